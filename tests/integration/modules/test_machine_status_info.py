# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""machine_status_info waits until a boot ended: a step of the node's clock ends none, whatever the release tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from integration import playbook
from simulator import Simulator

WORKERS: dict[str, Any] = {"with-id": {"talos": "v1.14.1"}, "without-id": {"talos": "v1.13.7"}}
NODES: dict[str, Any] = {"cp-1": {"role": "controlplane"}, **WORKERS}


def test_a_step_of_the_clock_is_no_reboot(tmp_path: Path) -> None:
    hosts = ",".join(WORKERS)
    with Simulator({"name": "down", "time_scale": 120, "uptime": "96h", "nodes": NODES}, tmp_path / "fleet") as sim:
        asked = {"name": "look", "talosops.selinux.machine_status_info": {}}
        first = playbook.play(sim, tmp_path / "first", [asked], hosts=hosts)
        boots = {name: first.of("look", name)["boot"] for name in WORKERS}

        def wait(place: str, seconds: int) -> playbook.Run:
            options = {
                "wait_for": "down",
                "boot": "{{ boots[inventory_hostname] }}",
                "wait_timeout": seconds,
                "wait_sleep": 1,
            }
            task = {"name": "wait", "talosops.selinux.machine_status_info": options, "ignore_errors": True}
            return playbook.play(sim, tmp_path / place, [task], hosts=hosts, variables={"boots": boots})

        for step in (4379, -2 * 4379):
            for name in WORKERS:
                sim.step_clock(name, step)
            stepped = wait(f"stepped-{step}", 2)
            for name in WORKERS:
                assert stepped.of("wait", name)["failure"]["kind"] == "timeout", stepped.output
        for name in WORKERS:
            sim.restart(name)
            sim.wait_for(name, "running", ready=True)
        rebooted = wait("rebooted", 60)
        for name in WORKERS:
            result = rebooted.of("wait", name)
            assert (result["stage"], result["boot"] != boots[name]) == ("running", True), rebooted.output
            sim.set_fault(name, "unreachable")
        silent = wait("silent", 60)
        assert {silent.of("wait", name)["stage"] for name in WORKERS} == {"down"}
