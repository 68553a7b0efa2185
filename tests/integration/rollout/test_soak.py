# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A soak passes on a whole log of the boot that was proven, without an unreviewed enforced denial, and not on less."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from integration import playbook
from simulator import Simulator

UNREAD = "its log of this boot is"
#: What happens to each node when its soak begins, and what its report must then say.
CASES: dict[str, tuple[Callable[[Simulator, str], Any], str]] = {
    "unread": (
        lambda sim, name: sim.set_fault(name, "permission_denied", ["Logs", "Dmesg"]),
        "its log of this boot is",
    ),
    "half-read": (lambda sim, name: sim.set_fault(name, "permission_denied", ["Logs"]), UNREAD),
    "lost": (lambda sim, name: sim.set_fault(name, "lost_records"), UNREAD),
    "denied": (lambda sim, name: sim.add_denial(name, "nfs"), "it enforces, and denied"),
    "rebooted": (
        lambda sim, name: sim.run(sim.fleet.power_cycle(name)),
        "is not known to be in the boot that was proven",
    ),
}


def _interfere(sim: Simulator, evidence: Path, stop: threading.Event) -> None:
    left = dict(CASES)
    while left and not stop.is_set():
        soaking = {entry["node"] for entry in playbook.ledger(evidence) if entry.get("step") == "soak"}
        for name in soaking & set(left):
            left.pop(name)[0](sim, name)
        time.sleep(0.02)


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, playbook.Run, dict[str, Any]]]:
    directory = tmp_path_factory.mktemp("soak")
    evidence = directory / "evidence"
    nodes: dict[str, Any] = {f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}
    nodes |= {name: {} for name in (*CASES, "fine")}
    # It stays, and takes the pods of the others.
    nodes["refused"] = {"denials": ["csi_unlabeled"]}
    scenario = {"name": "soak", "time_scale": 120, "uptime": "96h", "nodes": nodes}
    with Simulator(scenario, directory / "fleet") as sim:
        variables = playbook.settings(
            sim, evidence, rollout_hosts="workers", rollout_canary=6, rollout_max_failures=9, rollout_soak_seconds=6
        )
        stop = threading.Event()
        thread = threading.Thread(target=_interfere, args=(sim, evidence, stop))
        thread.start()
        run = playbook.run(sim, directory / "run", "talosops.selinux.rollout", variables=variables)
        stop.set()
        thread.join()
        yield sim, run, playbook.report(evidence)


@pytest.mark.parametrize("name", CASES)
def test_less_than_a_whole_log_without_denials_does_not_pass(
    soaked: tuple[Simulator, playbook.Run, dict[str, Any]], name: str
) -> None:
    sim, run, rows = soaked
    assert rows[name]["outcome"] == "failed", run.output
    reason = rows[name]["reasons"][0]
    assert CASES[name][1] in reason["found"] and reason["remedy"]
    assert sim.nodes[name].unschedulable, "it takes workloads although its soak did not pass"


def test_a_whole_log_passes(soaked: tuple[Simulator, playbook.Run, dict[str, Any]]) -> None:
    sim, run, rows = soaked
    assert rows["fine"]["outcome"] == "moved", run.output
    assert not sim.nodes["fine"].unschedulable


def test_the_run_says_so(soaked: tuple[Simulator, playbook.Run, dict[str, Any]]) -> None:
    assert soaked[1].code != 0
