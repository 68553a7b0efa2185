# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every member says of etcd: an answer that is missing is missed, whichever member it is that owes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.members import read_etcd
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.visit import Visit
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import connect
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Talosconfig
from simulator import Simulator

NAMES = ("cp-1", "cp-2", "cp-3")
ALARM = 1


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """Three control planes, of which one has an alarm."""
    nodes = {name: {"role": "controlplane"} for name in NAMES}
    scenario = {"name": "members", "nodes": nodes, "etcd": {"alarms": {"cp-2": ALARM}}}
    with Simulator(scenario, tmp_path_factory.mktemp("members")) as simulator:
        yield simulator


def read(sim: Simulator, at: str = "cp-1", without: str | None = None) -> tuple[dict[str, Any], list[str]]:
    """etcd as a visit to one node reads it, and the sources that could not be read; nobody reaches ``without``."""
    context = Talosconfig.load(str(sim.directory / "talosconfig")).context(None)
    gone = sim.nodes[without].address if without else None

    async def question() -> tuple[dict[str, Any], list[str]]:
        async with connect(context, sim.nodes[at].address) as client:
            visit = Visit(client)
            found = await read_etcd(
                visit, lambda address: connect(context, "127.0.0.1:1" if address == gone else address)
            )
            return found, [error["source"] for error in visit.errors]

    return fleet.run(question())


def test_every_member_is_asked_and_agrees(sim: Simulator) -> None:
    found, errors = read(sim)
    assert errors == []
    members = {member["hostname"]: member for member in found["members"]}
    assert set(members) == set(NAMES)
    assert found["member_id"] == members["cp-1"]["id"]
    assert all(int(member["id"], 16) and member["healthy"] and member["peers"] for member in members.values())
    assert (found["agreed"], found["voters"], found["quorum"], found["tolerance"]) == (True, 3, 2, 1)
    assert found["leader"] in {member["id"] for member in members.values()}
    # The alarm is one, although every member tells of it.
    assert found["alarms"] == [{"member_id": members["cp-2"]["id"], "alarm": "nospace"}]
    assert found["healthy"] is False and found["errors"] == found["problems"] != []


@pytest.mark.parametrize("method", ["EtcdAlarmList", "EtcdStatus", "EtcdMemberList"])
@pytest.mark.parametrize("silent", NAMES)
def test_one_answer_that_is_missing_makes_etcd_unknown(sim: Simulator, method: str, silent: str) -> None:
    sim.set_fault(silent, "permission_denied", [method])
    try:
        found, errors = read(sim)
    finally:
        sim.clear_fault(silent, "permission_denied")
    assert found["healthy"] is None
    if silent == "cp-1" and method == "EtcdMemberList":
        # Without its own list nobody else is known.
        assert errors == [method] and found["members"] == []
        return
    assert len(errors) == 1 and errors[0].startswith(f"{method} of ")
    assert (found["alarms"] is None) is (method == "EtcdAlarmList")
    assert (found["agreed"] is None) is (method == "EtcdMemberList")


@pytest.mark.parametrize("silent", NAMES[1:])
def test_a_member_that_cannot_be_reached_makes_etcd_unknown(sim: Simulator, silent: str) -> None:
    found, errors = read(sim, without=silent)
    assert (found["healthy"], found["agreed"], found["alarms"]) == (None, None, None)
    assert len(errors) == 1 and errors[0].startswith("etcd member ")


def test_a_cluster_without_alarms_is_healthy(sim: Simulator) -> None:
    etcd = sim.fleet.etcd
    kept, etcd.alarms = etcd.alarms, {}
    try:
        found, errors = read(sim, "cp-3")
    finally:
        etcd.alarms = kept
    assert (errors, found["alarms"], found["problems"]) == ([], [], [])
    assert found["healthy"] is True and found["tolerance_after_removal"] == 0


def test_a_member_without_an_address_of_its_own_makes_etcd_unknown(sim: Simulator) -> None:
    """One that was added and never started tells no client URL, and nobody can ask it."""
    context = Talosconfig.load(str(sim.directory / "talosconfig")).context(None)

    async def question() -> dict[str, Any]:
        async with connect(context, sim.nodes["cp-1"].address) as client:
            listed = [
                dataclasses.replace(one, client_urls=[]) if one.hostname == "cp-2" else one
                for one in await client.etcd_members()
            ]

            async def members() -> list[Any]:
                return listed

            visit = Visit(client)
            client.etcd_members = members  # type: ignore[method-assign]  # what the member says, changed on its way
            found = await read_etcd(visit, lambda address: connect(context, address))
            assert visit.errors == []
            return found

    found = fleet.run(question())
    assert (found["healthy"], found["agreed"]) == (None, None)
    assert [alarm["alarm"] for alarm in found["alarms"]] == ["nospace"]
