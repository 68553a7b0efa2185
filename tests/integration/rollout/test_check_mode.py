# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``--check`` of the rollout tells what would happen and does nothing: no node, factory or file is written to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from integration import playbook
from simulator import Simulator

#: Seconds between the reads of the logs, and by how much a clock is set meanwhile.
PAUSE, STEP = 2 * 3600, 4379


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """A fleet that may move but for one worker."""
    nodes = {
        **{f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)},
        "worker-1": {},
        "worker-2": {"denials": [{"template": "csi_unlabeled", "count": 1}]},
    }
    for name, node in nodes.items():
        # After the pauses, and after all that set it, the clock of each node is right.
        node["clock_offset"] = -2 * PAUSE - (STEP if name == "worker-2" else 0)
    with Simulator({"name": "check", "uptime": "96h", "nodes": nodes}, tmp_path_factory.mktemp("check")) as simulator:
        yield simulator


def _check(sim: Simulator, directory: Path) -> playbook.Run:
    before = _files(directory / "evidence"), {name: node.boot_id for name, node in sim.nodes.items()}, _posted(sim)
    run = playbook.run(
        sim,
        directory / "check",
        "talosops.selinux.rollout",
        variables=playbook.settings(sim, directory / "evidence"),
        arguments=["--check", "--diff"],
        # That nobody may be reinstalled is no host pattern that somebody mistyped.
        environment={"ANSIBLE_HOST_PATTERN_MISMATCH": "error"},
    )
    assert run.code == 0 and "Could not match" not in run.output, run.output
    after = _files(directory / "evidence"), {name: node.boot_id for name, node in sim.nodes.items()}, _posted(sim)
    assert before == after
    assert sim.writes() == []
    return run


def _audit(run: playbook.Run) -> tuple[str, list[Any], int, list[tuple[str, int]]]:
    """What a run's evidence says of worker-2's log."""
    audit = playbook.document(run.of("Collect the evidence")["nodes"]["worker-2"])["audit"]
    denials = [(denial["signature"], denial["count"]) for denial in audit["denials"]]
    return audit["coverage"]["verdict"], audit["coverage"]["reasons"], audit["counts"]["denied"], denials


def _files(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def _posted(sim: Simulator) -> set[str]:
    """The schematics that were ever sent to the factory. Sending a known one again changes nothing there."""
    return {request.body for request in sim.fleet.factory.requests if request.method == "POST"}


def test_a_first_look_changes_nothing(sim: Simulator, tmp_path: Path) -> None:
    run = _check(sim, tmp_path)
    # The image is not registered, so nothing can be judged for it yet; the arguments it would get are shown.
    assert "enforcing=1" in run.output
    assert run.of("Judge the evidence")["decisions"]["eligible"] == []
    assert "target-pinned" in run.output


def test_after_the_gate_it_tells_the_waves_and_steps(sim: Simulator, tmp_path: Path) -> None:
    variables = playbook.settings(sim, tmp_path / "evidence")
    tables = []
    for number, step in enumerate((STEP, 0)):
        kept = playbook.run(sim, tmp_path / f"collect-{number}", "talosops.selinux.collect", variables=variables)
        assert kept.code == 0, kept.output
        tables.append(_audit(kept))
        sim.advance(PAUSE)
        sim.step_clock("worker-2", step)
    judged = playbook.run(sim, tmp_path / "gate", "talosops.selinux.gate", variables=variables)
    assert judged.code == 0, judged.output
    assert sim.writes() == []
    run = _check(sim, tmp_path)
    # One denial, hours and a set clock apart: it is one record wherever it is told of, and nothing is missing.
    assert [*tables, _audit(judged), _audit(run)] == [("complete", [], 1, [("pod_t:unlabeled_t:dir:write", 1)])] * 4
    planned = run.of("Order the rollout")
    assert planned["order"] == ["worker-1", "cp-1", "cp-2", "cp-3"]
    shown = " ".join(run.output.split())
    for line in planned["summary"]:
        assert line in shown
    for name in planned["order"]:
        told = run.of("Report what would be done to the node", name)["msg"]
        assert told.startswith(f"{name} would be taken through verify, gate, save, drain, reset, boot,")
        assert f"{sim.factory_url.removeprefix('http://')}/metal-installer/" in told
        assert told in shown
    # One task for each of them, and none for those that stay.
    of_nodes = [
        record for record in run.records if record["task"].startswith(("Report what would", "Verify", "Judge again"))
    ]
    assert [record["host"] for record in of_nodes] == planned["order"]
