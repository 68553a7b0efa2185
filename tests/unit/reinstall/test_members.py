# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A peer is a member of the node's own etcd, whatever answers at its address."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.members import (
    NoPeer,
    Peer,
    ask_a_peer,
    peers_of,
    require_same_etcd,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.work import StepProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import connect
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Talosconfig
from simulator import Simulator

NAMES = ("cp-1", "cp-2", "cp-3")


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, Simulator]]:
    """Two clusters whose control planes have the same names."""
    nodes = {name: {"role": "controlplane"} for name in NAMES}
    directory = tmp_path_factory.mktemp("members")
    with (
        Simulator({"name": "a", "nodes": nodes}, directory / "a") as one,
        Simulator({"name": "b", "nodes": nodes}, directory / "b") as other,
    ):
        yield one, other


def ask(question: Any, target: Any) -> Any:
    """A question to a node of a simulator, over TLS, as a step asks it."""
    sim, name = target
    context = Talosconfig.load(str(sim.directory / "talosconfig")).context(None)

    async def visit() -> Any:
        async with connect(context, sim.nodes[name].address) as client:
            return await question(client)

    return fleet.run(visit())


def work_of(sim: Simulator, own: str) -> Any:
    """What the evidence of a control plane recorded, as far as its peers need it."""

    async def members(client: Any) -> Any:
        return await client.etcd_members()

    listed = ask(members, (sim, own))
    ids = {member.hostname: f"{member.id:016x}" for member in listed}
    facts = {"member": ids[own], "peers": peers_of(listed, ids[own])}
    return types.SimpleNamespace(facts=facts, ask=ask, host=own)


def peer(work: Any, sim: Simulator, name: str) -> Peer:
    recorded = next(one for one in work.facts["peers"] if one["hostname"] == name)
    return Peer(recorded["id"], name, (sim, name))  # type: ignore[arg-type]  # as :func:`ask` takes it


def test_the_peers_are_the_other_members_with_their_addresses(clusters: tuple[Simulator, Simulator]) -> None:
    work = work_of(clusters[0], "cp-1")
    assert {one["hostname"]: one["address"] for one in work.facts["peers"]} == {
        name: clusters[0].nodes[name].address.rpartition(":")[0] or clusters[0].nodes[name].address
        for name in ("cp-2", "cp-3")
    }


def test_a_member_of_the_same_etcd_is_believed(clusters: tuple[Simulator, Simulator]) -> None:
    work = work_of(clusters[0], "cp-1")
    listed = require_same_etcd(work, peer(work, clusters[0], "cp-2"))
    assert set(listed) == {work.facts["member"], *(one["id"] for one in work.facts["peers"])}


def test_the_same_name_in_another_cluster_is_not(clusters: tuple[Simulator, Simulator]) -> None:
    work = work_of(clusters[0], "cp-1")
    with pytest.raises(StepProblem, match="answers for cp-2, which is"):
        require_same_etcd(work, peer(work, clusters[1], "cp-2"))


def test_another_member_at_the_address_is_not(clusters: tuple[Simulator, Simulator]) -> None:
    work = work_of(clusters[0], "cp-1")
    recorded = peer(work, clusters[0], "cp-2")
    with pytest.raises(StepProblem, match="answers for cp-2, which is"):
        require_same_etcd(work, Peer(recorded.id, "cp-2", (clusters[0], "cp-3")))  # type: ignore[arg-type]  # likewise


def test_a_member_that_lost_one_that_was_recorded_is_not(clusters: tuple[Simulator, Simulator]) -> None:
    work = work_of(clusters[0], "cp-1")
    work.facts["peers"].append({"id": "00000000000000ff", "hostname": "cp-9", "address": "10.0.0.9"})
    with pytest.raises(StepProblem, match="not all that were recorded"):
        require_same_etcd(work, peer(work, clusters[0], "cp-2"))


def test_without_a_peer_of_the_same_etcd_nothing_is_answered(
    clusters: tuple[Simulator, Simulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = work_of(clusters[0], "cp-1")
    module = ask_a_peer.__globals__
    monkeypatch.setitem(module, "peers", lambda work: [peer(work, clusters[1], name) for name in ("cp-2", "cp-3")])
    with pytest.raises(NoPeer, match="no other member of the etcd of cp-1 could give a snapshot"):
        ask_a_peer(work, lambda peer: "taken from the wrong one", what="a snapshot")
    monkeypatch.setitem(
        module, "peers", lambda work: [peer(work, clusters[1], "cp-2"), peer(work, clusters[0], "cp-3")]
    )
    assert ask_a_peer(work, lambda one: one.hostname, what="a snapshot")[0] == "cp-3"


def test_an_answer_of_a_peer_whose_address_was_taken_meanwhile_is_none(
    clusters: tuple[Simulator, Simulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = work_of(clusters[0], "cp-1")
    there, taken = peer(work, clusters[0], "cp-2"), peer(work, clusters[1], "cp-2").target
    moving = types.SimpleNamespace(id=there.id, hostname=there.hostname, target=there.target)
    monkeypatch.setitem(ask_a_peer.__globals__, "peers", lambda work: [moving])

    def question(one: Any) -> str:
        one.target = taken
        return "from whom is not known"

    with pytest.raises(NoPeer, match="answers for cp-2, which is"):
        ask_a_peer(work, question, what="a snapshot")
