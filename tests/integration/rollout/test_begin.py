# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What fails while a step begins is a failure of its node, of the canary that it is, and of the run."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import CONTROL_PLANE_LOCK, Ledger
from integration import playbook
from simulator import Simulator

NODES = {**{f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}, "worker-1": {}, "worker-2": {}}


@pytest.fixture
def sim(tmp_path: Path) -> Simulator:
    with Simulator({"name": "begin", "time_scale": 120, "uptime": "96h", "nodes": NODES}, tmp_path / "fleet") as it:
        yield it


def test_a_lock_of_another_fails_the_canary(sim: Simulator, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    expires = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    Ledger(evidence / "ledger.jsonl", run="other").acquire(CONTROL_PLANE_LOCK, "cp-1", "another-host", expires)
    run = playbook.run(
        sim,
        tmp_path / "run",
        "talosops.selinux.rollout",
        variables=playbook.settings(sim, evidence, rollout_hosts="workers"),
    )
    assert run.code != 0 and "the canary worker-1 failed" in run.output
    rows = playbook.report(evidence)
    assert rows["worker-1"]["outcome"] == "failed"
    assert rows["worker-1"]["reasons"][0]["id"] == "rollout.drain"
    assert "another-host has control plane cp-1 in flight" in rows["worker-1"]["reasons"][0]["found"]
    assert rows["worker-2"]["outcome"] == "not_reached"
    assert playbook.talos_writes(sim) == [] and not sim.nodes["worker-1"].unschedulable


def test_a_step_that_cannot_even_be_templated_fails_its_node_and_the_run(sim: Simulator, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    seconds = "{{ 1 if inventory_hostname == 'worker-2' else 1 // 0 }}"
    run = playbook.run(
        sim,
        tmp_path / "run",
        "talosops.selinux.rollout",
        variables=playbook.settings(sim, evidence, rollout_hosts="workers", rollout_soak_seconds=seconds),
    )
    assert run.code != 0, run.output
    row = playbook.report(evidence)["worker-1"]
    assert (row["outcome"], row["reasons"][0]["id"]) == ("failed", "rollout.not_recorded")
    assert playbook.report(evidence)["worker-2"]["outcome"] == "not_reached"
    assert playbook.talos_writes(sim) == []
