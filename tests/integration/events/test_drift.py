# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each kind of drift raises exactly one finding, in the compliance report and as an event, of the same fleet."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import waiver_file
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.drift import KINDS
from integration import playbook
from integration.events.following import Collected, follow, settled
from simulator import Simulator

ENFORCING = {"kernel_args": ["enforcing=1"]}
#: The node that each kind happens to; a waiver is the fleet's.
NODE_OF = {
    "fell-back-to-permissive": "fell-back",
    "new-permissive-node": "newcomer",
    "evidence-lost": "silent",
    "command-line-changed": "other-arguments",
    "policy-version-changed": "other-release",
    "waiver-expired": None,
}
NODES: dict[str, Any] = {
    **dict.fromkeys(("fell-back", "silent", "other-arguments", "other-release", "as-before"), ENFORCING),
    "newcomer": {},
    "cp-1": {"role": "controlplane", **ENFORCING},
}
#: What a changed mode, a new node and a lost one are called as events; any other drift is a ``drift``.
TYPE_OF = {
    "fell-back-to-permissive": "mode_change",
    "new-permissive-node": "new_node",
    "evidence-lost": "evidence_lost",
}


@dataclasses.dataclass(frozen=True)
class Drifted:
    """The second report of a fleet that drifted, and what the event source told of it."""

    sim: Simulator
    report: dict[str, Any]
    told: Collected
    again: Collected


def _report(sim: Simulator, directory: Path, number: int, hosts: str) -> dict[str, Any]:
    run = playbook.run(
        sim,
        directory / f"report-{number}",
        "talosops.selinux.compliance",
        variables={
            "rollout_directory": str(directory / "kept"),
            "compliance_hosts": hosts,
            "compliance_fail_on": "never",
            "compliance_waivers": str(directory / "waivers.yml"),
        },
    )
    assert run.code == 0, run.output
    return dict(json.loads((Path(run.of("Report compliance")["bundle"]) / "report.json").read_bytes()))


def _waive(directory: Path, until: dt.datetime) -> None:
    waiver_file.write(directory, waiver_file.waiver("pod_t:run_t:dir:write", expires=until.isoformat()))


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drifted]:
    directory = tmp_path_factory.mktemp("drift")
    now = dt.datetime.now(dt.UTC)
    _waive(directory, now + dt.timedelta(days=1))
    with Simulator({"name": "drift", "uptime": "96h", "time_scale": 60, "nodes": NODES}, directory / "fleet") as sim:
        state, arguments = directory / "state", {"waivers": str(directory / "waivers.yml")}
        known = [node.address for name, node in sim.nodes.items() if name != "newcomer"]
        follow(
            sim,
            state,
            lambda queue: settled(state, len(known))(queue) and (state / "waivers").exists(),
            nodes=known,
            **arguments,
        )
        _report(sim, directory, 1, "talos:!newcomer")
        sim.new_system("fell-back")
        sim.set_fault("silent", "unreachable")
        sim.new_system("other-arguments", kernel_args=["enforcing=1", "panic=0"])
        sim.new_system("other-release", kernel_args=["enforcing=1"], version="v1.14.2")
        for name in ("fell-back", "other-arguments", "other-release"):
            sim.wait_for(name, "running", ready=True)
        _waive(directory, now - dt.timedelta(seconds=1))
        # A report is told from the one before by its second.
        time.sleep(1.1)
        report = _report(sim, directory, 2, "talos")

        def all_told(queue: Collected) -> bool:
            return len([event for event in queue.events if event.get("drift")]) >= len(KINDS)

        told = follow(sim, state, all_told, **arguments)
        visited = len(sim.calls) + 60
        again = follow(sim, state, lambda _queue: len(sim.calls) > visited, **arguments)
        yield Drifted(sim, report, told, again)


def test_every_kind_happens_here() -> None:
    assert set(NODE_OF) == set(KINDS)


@pytest.mark.parametrize("kind", sorted(NODE_OF))
def test_a_kind_is_one_finding_and_one_event(drifted: Drifted, kind: str) -> None:
    findings = [item for item in drifted.report["drift"] if item["kind"] == kind]
    assert [item["node"] for item in findings] == [NODE_OF[kind]]
    events = [event for event in drifted.told.events if event.get("drift") == kind]
    name = NODE_OF[kind]
    assert [event["uuid"] for event in events] == [drifted.sim.nodes[name].uuid.lower() if name else None]
    assert events[0]["type"] == TYPE_OF.get(kind, "drift")


def test_nothing_else_drifted_and_nothing_is_told_again(drifted: Drifted) -> None:
    assert len(drifted.report["drift"]) == len(KINDS)
    assert drifted.report["counts"]["drift"] == len(KINDS)
    assert len([event for event in drifted.told.events if event.get("drift")]) == len(KINDS)
    assert [event for event in drifted.again.events if event.get("drift")] == []


def test_a_waiver_that_is_renewed_may_expire_again_and_a_file_that_breaks_is_said_once(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    state, arguments = tmp_path / "state", {"waivers": str(tmp_path / "waivers.yml")}
    with Simulator({"name": "waiver", "nodes": {"cp-1": {"role": "controlplane"}}}, tmp_path / "fleet") as sim:
        ids = []
        for days in (1, 2):
            _waive(tmp_path, now + dt.timedelta(days=days))
            follow(sim, state, lambda _queue: _kept(state) == [True], **arguments)
            _waive(tmp_path, now - dt.timedelta(days=days))
            (event,) = follow(sim, state, lambda _queue: _kept(state) == [False], **arguments).of("drift")
            ids.append(event["id"])
        assert len(set(ids)) == 2

        def broken(_queue: Collected) -> None:
            (tmp_path / "waivers.yml").write_text("schema: 1\nwaivers: [")

        found = follow(sim, state, lambda queue: bool(queue.of("evidence_lost")), during=broken, **arguments)
        assert len(found.of("evidence_lost")) == 1
        assert "waivers.yml" in found.of("evidence_lost")[0]["found"]


def _kept(state: Path) -> list[bool]:
    path = state / "waivers"
    return [row["in_force"] for row in json.loads(path.read_text())] if path.exists() else []
