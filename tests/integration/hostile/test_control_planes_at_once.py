# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Of several control planes that are to be reset at the same moment at most one is, and etcd keeps its quorum."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from integration import playbook
from simulator import Simulator


def _watch(sim: Simulator, fewest: list[int], stop: threading.Event) -> None:
    while not stop.is_set():
        fewest[0] = min(fewest[0], len(sim.fleet.etcd.voters()))
        time.sleep(0.02)


@pytest.mark.parametrize(("count", "wiped"), [(3, ("cp-1", "cp-3")), (5, ("cp-1", "cp-2", "cp-3"))])
def test_at_most_one_is_reset(count: int, wiped: tuple[str, ...], tmp_path: Path) -> None:
    nodes: dict[str, Any] = {f"cp-{number}": {"role": "controlplane"} for number in range(1, count + 1)}
    scenario = {"name": "cps", "time_scale": 8, "uptime": "96h", "nodes": {**nodes, "worker-1": {}}}
    with Simulator(scenario, tmp_path / "fleet") as sim:
        variables = playbook.settings(sim, tmp_path / "evidence", rollout_hosts="controlplanes")
        gate = playbook.run(sim, tmp_path / "gate", "talosops.selinux.gate", variables=variables)
        judged = gate.of("Judge the evidence")
        assert set(wiped) <= set(judged["decisions"]["eligible"]), gate.output
        spare = next(name for name in nodes if name not in wiped)
        given = {}
        for name in wiped:
            given[name] = {
                **playbook.reset_options(judged["nodes"][name]),
                "route": "endpoint",
                "endpoints": [sim.nodes[spare].address],
                "kubeconfig": str(sim.directory / "kubeconfig"),
            }
        task = {key: "{{ given[inventory_hostname]." + key + " }}" for key in given[wiped[0]]}
        tasks = [{"name": "wipe", "talosops.selinux.machine_reset": task, "ignore_errors": True}]
        fewest, stop = [count], threading.Event()
        watcher = threading.Thread(target=_watch, args=(sim, fewest, stop))
        watcher.start()
        try:
            run = playbook.play(sim, tmp_path / "reset", tasks, hosts=",".join(wiped), variables={"given": given})
            sent = playbook.resets(sim)
            sim.wait_for(sent[0], "maintenance", timeout=250)
        finally:
            stop.set()
            watcher.join()
        assert len(sent) == 1, run.output
        assert fewest[0] == count - 1
        for name in set(wiped) - set(sent):
            result = run.of("wipe", name)
            assert result["failure"]["kind"] == "lock_held" and sent[0] in result["msg"], result["msg"]
