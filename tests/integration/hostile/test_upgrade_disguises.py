# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Into enforcing by an upgrade, in every disguise, against simulated nodes: each is refused by its own id."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.files import load
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import RequestRefused
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.request import judge_request
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.proof import prove
from integration import playbook
from simulator import Simulator, rawclient

LABELS = ["META", "STATE", "EPHEMERAL"]
RESET = {"api": "Reset", "path": "in_place", "mode": "SYSTEM_DISK", "labels": LABELS, "then": "install"}
#: What somebody could put in place of the reset, and the id that refuses it.
DISGUISES: dict[str, tuple[dict[str, Any], str]] = {
    "the upgrade call": ({"api": "Upgrade", "path": "in_place"}, "upgrade-api"),
    "the lifecycle service's upgrade": ({"api": "LifecycleService/Upgrade", "path": "in_place"}, "lifecycle-service"),
    "the lifecycle service's install": (
        {"api": "machine.LifecycleService/Install", "path": "in_place"},
        "lifecycle-service",
    ),
    "wipe, then upgrade": ({**RESET, "then": "upgrade"}, "wipe-and-upgrade"),
    "wipe without META": ({**RESET, "labels": ["STATE", "EPHEMERAL"]}, "label-wipe-without-installer"),
    "wipe of EPHEMERAL": ({**RESET, "labels": ["EPHEMERAL"]}, "label-wipe-without-installer"),
    "wipe of user disks": ({**RESET, "path": "hook", "labels": [], "mode": "USER_DISKS"}, "wipe-mode"),
}
#: Nodes that were upgraded into enforcing, and what of them was wiped before.
OLD: dict[str, bool | list[str]] = {
    "upgraded": False,
    "wiped-and-upgraded": ["STATE", "EPHEMERAL"],
    "new-data": ["EPHEMERAL"],
    "new-meta": ["META"],
}
#: What each of them still has of its permissive life.
KEPT = {
    "upgraded": {"identity", "meta", "state", "ephemeral"},
    "wiped-and-upgraded": {"meta"},
    "new-data": {"identity", "meta", "state"},
    "new-meta": {"identity", "state", "ephemeral"},
    "reinstalled": set(),
}
NODES: dict[str, Any] = {
    "cp-1": {"role": "controlplane"},
    "honest": {},
    # Somebody stages an upgrade after the verdict.
    "staged": {},
    # Somebody upgrades the permissive node into enforcing.
    "upgraded": {},
    # Somebody wipes all but META and then upgrades: it looks like a new node, on the boot partitions of the old one.
    "wiped-and-upgraded": {},
    # Somebody upgrades, and only the data is new; or only META, with the old identity.
    "new-data": {},
    "new-meta": {},
    # Somebody reinstalls it by hand: that is a new install.
    "reinstalled": {},
    # It enforced already, and is upgraded.
    "enforcing": {"talos": "v1.14.0", "kernel_args": ["enforcing=1"]},
}


@dataclasses.dataclass(frozen=True)
class Tried:
    """A fleet judged before and after what was done to it, and an attempt to wipe the node with a staged upgrade."""

    sim: Simulator
    before: dict[str, Any]
    after: dict[str, Any]
    again: dict[str, Any]
    reset: playbook.Run
    attention: list[str]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    """Judge, do what an operator should not, judge twice again."""
    directory = tmp_path_factory.mktemp("disguises")
    scenario = {"name": "disguises", "uptime": "96h", "time_scale": 1000, "nodes": NODES}
    with Simulator(scenario, directory / "fleet") as sim:
        settings = playbook.settings(sim, directory / "evidence")

        def judge(name: str) -> dict[str, Any]:
            run = playbook.run(sim, directory / name, "talosops.selinux.gate", variables=settings)
            return run.of("Judge the evidence")

        before = judge("before")
        assert before["decisions"]["eligible"] == sorted(set(NODES) - {"cp-1", "enforcing"})
        rawclient.machine(
            sim.nodes["staged"].address,
            rawclient.client_context(sim.directory),
            "MetaWrite",
            key=7,
            value=b"factory.talos.dev/metal-installer:v1.14.1",
        )
        arguments = playbook.reset_options(before["nodes"]["staged"])
        task = {"name": "Wipe", "talosops.selinux.machine_reset": arguments, "ignore_errors": True}
        reset = playbook.play(sim, directory / "reset", [task], hosts="staged")
        for name, wiped in {**OLD, "reinstalled": True, "enforcing": False}.items():
            sim.new_system(name, version="v1.14.1", kernel_args=["enforcing=1"], wiped=wiped)
            sim.wait_for(name, "running", ready=True)
        after = judge("after")
        attention = json.loads((directory / "evidence" / "report.json").read_text())["attention"]
        yield Tried(sim, before, after, judge("again"), reset, attention)


def test_no_node_was_upgraded_or_wiped(tried: Tried) -> None:
    assert tried.sim.upgrades() == []
    assert playbook.resets(tried.sim) == []
    assert [call.method for call in playbook.talos_writes(tried.sim)] == ["/machine.MachineService/MetaWrite"]


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_disguise_is_refused_by_its_own_id(disguise: str, tried: Tried) -> None:
    request, identifier = DISGUISES[disguise]
    live = load(Path(tried.before["nodes"]["honest"]["path"]).parent / "evidence.json")
    assert {check["result"] for check in judge_request(RESET, live)} <= {"pass", "skipped"}
    with pytest.raises(RequestRefused) as caught:
        judge_request(request, live)
    assert caught.value.context["checks"] == [identifier]


def test_a_staged_upgrade_stops_the_wipe_and_the_next_verdict(tried: Tried) -> None:
    wiped = tried.reset.of("Wipe")
    # The whole policy is asked before the request is: it says the same by its own check.
    assert wiped["failure"]["checks"] == ["new-install-only"]
    assert [reason["id"] for reason in tried.after["nodes"]["staged"]["reasons"]] == ["new-install-only"]


def test_a_node_that_was_upgraded_is_told_from_one_that_was_reinstalled(tried: Tried) -> None:
    # Whoever looks a second time sees it again, although the newest evidence on file is of an enforcing node.
    for judged in (tried.after, tried.again):
        for name in OLD:
            assert judged["nodes"][name]["decision"] == "refused"
            assert "upgraded-not-reinstalled" in _reasons(judged, name)
        assert "upgraded-not-reinstalled" not in _reasons(judged, "reinstalled")
        assert _result(judged, "reinstalled", "upgraded-not-reinstalled") == "pass"
    for name, kept in KEPT.items():
        assert {item["id"] for item in _proof(tried, name)["reinstall"] if item["ok"] is not True} == kept


def test_an_enforcing_node_that_was_upgraded_is_reported_and_blocks_nobody(tried: Tried) -> None:
    assert _result(tried.after, "enforcing", "enforcing-node-upgraded") == "fail"
    for judged in (tried.after, tried.again):
        assert {"enforcing-node-upgraded", "upgraded-not-reinstalled"}.isdisjoint(_reasons(judged, "enforcing"))
        assert judged["decisions"]["eligible"] == ["honest"]
    assert _result(tried.again, "enforcing", "enforcing-node-upgraded") == "pass"


def test_the_report_names_both(tried: Tried) -> None:
    told = sorted(tuple(line.split(": ")[:2]) for line in tried.attention)
    assert told == sorted(
        [("enforcing", "enforcing-node-upgraded"), *((name, "upgraded-not-reinstalled") for name in OLD)]
    )


def _reasons(judged: dict[str, Any], node: str) -> set[str]:
    return {reason["id"] for reason in judged["nodes"][node]["reasons"]}


def _result(judged: dict[str, Any], node: str, identifier: str) -> str:
    (found,) = [check for check in playbook.verdict(judged["nodes"][node])["checks"] if check["id"] == identifier]
    return str(found["result"])


def _proof(tried: Tried, node: str) -> dict[str, Any]:
    proof = prove(_evidence(tried.before, node), _evidence(tried.after, node))
    assert proof["enforcing"]
    return proof


def _evidence(judged: dict[str, Any], node: str) -> dict[str, Any]:
    return load(Path(judged["nodes"][node]["path"]).parent / "evidence.json")
