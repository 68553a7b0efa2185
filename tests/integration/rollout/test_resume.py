# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rollout that is killed, or halted by a failed node, goes on from its ledger and does nothing twice."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from integration import playbook
from simulator import Simulator

NODES = {
    **{f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)},
    "worker-1": {},
    "worker-2": {},
}
#: Where the controller is killed, run after run: at the beginning of this step of this node.
KILLS = [("worker-1", "drain"), ("worker-1", "reset"), ("worker-2", "apply"), ("cp-1", "boot")]


def _started_at(evidence: Path, node: str, step: str) -> bool:
    return any(
        entry["kind"] == "begin" and (entry["node"], entry["step"]) == (node, step)
        for entry in playbook.ledger(evidence)
    )


def _sent(sim: Simulator, method: str) -> Counter[str]:
    return Counter(call.node for call in sim.writes() if call.method.endswith(f"/{method}"))


def test_killed_again_and_again_it_ends_where_it_should(tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    with Simulator({"name": "kill", "time_scale": 120, "uptime": "96h", "nodes": NODES}, tmp_path / "fleet") as sim:
        variables = playbook.settings(sim, evidence, rollout_batch=1)
        for number, (node, step) in enumerate(KILLS):
            place = tmp_path / f"run-{number}"
            process = playbook.start(sim, place, "talosops.selinux.rollout", variables=variables)
            while not _started_at(evidence, node, step):
                assert process.poll() is None, (place / "output.txt").read_text()
                time.sleep(0.02)
            playbook.kill(process)
        resumed = playbook.run(sim, tmp_path / "resumed", "talosops.selinux.rollout", variables=variables)
        assert resumed.code == 0, resumed.output
        # The others were judged while it was away, when etcd could spare no further member.
        done = {"worker-1", "worker-2", "cp-1"}
        assert {name for name, node in sim.nodes.items() if node.selinux == "enforcing"} == done
        boots = {name: sim.nodes[name].boot_id for name in done}
        last = playbook.run(sim, tmp_path / "last", "talosops.selinux.rollout", variables=variables)
        assert last.code == 0, last.output

        assert {name for name, node in sim.nodes.items() if node.selinux == "enforcing"} == set(NODES)
        assert {name: sim.nodes[name].boot_id for name in done} == boots, "a node that was done was touched again"
        assert all(node.ready and not node.unschedulable for node in sim.nodes.values())
        once = dict.fromkeys(NODES, 1)
        assert _sent(sim, "Reset") == once
        assert _sent(sim, "ApplyConfiguration") == once
        assert sim.upgrades() == []
        rows = playbook.report(evidence)
        assert {row["outcome"] for row in rows.values()} == {"moved"}


def test_a_failed_canary_halts_and_is_finished_after_repair(tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    with Simulator({"name": "halt", "time_scale": 120, "uptime": "96h", "nodes": NODES}, tmp_path / "fleet") as sim:
        variables = playbook.settings(sim, evidence, rollout_hosts="workers")
        hasty = {**variables, "rollout_install_timeout": 8}
        sim.set_fault("worker-1", "install_fails")
        halted = playbook.run(sim, tmp_path / "halted", "talosops.selinux.rollout", variables=hasty)
        assert halted.code != 0
        assert {call.node for call in playbook.talos_writes(sim)} == {"worker-1"}
        row = playbook.report(evidence)["worker-1"]
        assert row["outcome"] == "failed"
        assert any(reason["id"] == "rollout.install" and reason["remedy"] for reason in row["reasons"])
        assert "the canary worker-1 failed" in halted.output
        assert playbook.report(evidence)["worker-2"]["outcome"] != "moved"

        sim.clear_fault("worker-1", "install_fails")
        again = playbook.run(sim, tmp_path / "again", "talosops.selinux.rollout", variables=variables)
        assert again.code == 0, again.output
        assert {row["outcome"] for row in playbook.report(evidence).values()} == {"moved"}
        assert _sent(sim, "Reset") == {"worker-1": 1, "worker-2": 1}
        assert all(sim.nodes[name].selinux == "enforcing" for name in ("worker-1", "worker-2"))
