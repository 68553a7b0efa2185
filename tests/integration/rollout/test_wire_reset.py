# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node whose log outgrew its memory is reinstalled when the store has all of it, and refused when it has not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from integration import playbook
from simulator import Simulator

#: Less than the node keeps, so that the reads of two rounds meet.
ROUND = 600_000


def talk(sim: Simulator, node: str) -> None:
    """Many events that are no denials."""

    async def write() -> None:
        logs: Any = sim.nodes[node].kernel_logs()
        written = 0
        while written < ROUND:
            logs.serial += 1
            text = f"prog-id={logs.serial % 900 + 1} op=LOAD"
            line = f"type=BPF msg=audit({time.time():.3f}:{logs.serial}): {text}\n".encode()
            logs.auditd.write(line)
            written += len(line)

    sim.run(write())


def test_the_rollout_judges_by_what_was_collected_before(tmp_path: Path) -> None:
    nodes: dict[str, Any] = {f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}
    nodes |= {f"worker-{number}": {"uptime": "96h"} for number in (1, 2)}
    scenario = {"name": "wrapped", "time_scale": 60, "nodes": nodes}
    directory = tmp_path / "rollout"
    with Simulator(scenario, tmp_path / "fleet") as sim:
        variables = playbook.settings(sim, directory, rollout_control_planes=False)
        collecting = {"rollout_directory": str(directory), "collect_kubeconfig": variables["rollout_kubeconfig"]}
        for number in range(4):
            run = playbook.run(sim, tmp_path / str(number), "talosops.selinux.collect", variables=collecting)
            assert run.code == 0, run.output
            if number < 3:
                talk(sim, "worker-1")
        # Three rounds at once: between the last collection and now is more than the node keeps.
        for _unused in range(3):
            talk(sim, "worker-2")
        run = playbook.run(sim, tmp_path / "rollout-run", "talosops.selinux.rollout", variables=variables)
        rows = playbook.report(directory)
        assert rows["worker-1"]["outcome"] == "moved", run.output
        assert "evidence-complete" in {reason["id"] for reason in rows["worker-2"]["reasons"]}
        assert playbook.resets(sim) == ["worker-1"]
