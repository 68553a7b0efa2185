# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two machines swap addresses while one of them is judged for its reset: neither is wiped.

The other machine is a node of the same cluster whose certificate is good for the address it took.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from integration import playbook
from simulator import Simulator

NODES: dict[str, Any] = {
    **{f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)},
    "worker-1": {},
    "worker-2": {"denials": ["csi_unlabeled"]},
}


# Early in the reading, and after the last question but the one before the write.
@pytest.mark.parametrize("call", [1, 3])
def test_no_machine_is_wiped(tmp_path: Path, call: int) -> None:
    with Simulator({"name": "swap", "time_scale": 60, "uptime": "96h", "nodes": NODES}, tmp_path / "fleet") as sim:
        evidence = tmp_path / "evidence"
        gate = playbook.run(sim, tmp_path / "gate", "talosops.selinux.gate", variables=playbook.settings(sim, evidence))
        judged = gate.of("Judge the evidence")["nodes"]
        assert judged["worker-1"]["decision"] == "eligible" and judged["worker-2"]["decision"] == "refused"
        binds = playbook.verdict(judged["worker-1"])["binds"]
        path = Path(judged["worker-1"]["path"])
        arguments = {
            "evidence": str(path.parent / "evidence.json"),
            "verdict": str(path),
            "boot_path": "in_place",
            "config_sha256": binds["config_sha256"],
            "installer_digest": binds["target"]["installer_digest"],
        }
        one, other = sim.nodes["worker-1"], sim.nodes["worker-2"]
        serve, seen = one.gateway.serve, 0

        async def swap() -> None:
            for node in (one, other):
                await node.gateway.close()
            one.address, other.address = other.address, one.address
            for node in (one, other):
                await node.gateway.open()

        async def swap_in_the_middle(known: Any, stream: Any) -> None:
            nonlocal seen
            if known.path.endswith("/SystemStat"):
                seen += 1
                if seen == call:
                    asyncio.get_running_loop().create_task(swap())
                    await asyncio.sleep(5)
            await serve(known, stream)

        setattr(one.gateway, "serve", swap_in_the_middle)  # noqa: B010 (a method of the simulator is replaced)
        task = {"name": "Reset", "talosops.selinux.machine_reset": arguments}
        run = playbook.play(sim, tmp_path / "reset", [task], hosts="worker-1")
        (failure,) = run.failures()["worker-1"]
        # The collection notes what it cannot read and goes on; without an identity no verdict holds.
        assert failure["failure"]["kind"] == ("verdict_refused" if call == 1 else "peer_changed"), failure["msg"]
        assert seen >= call and playbook.resets(sim) == [] and playbook.talos_writes(sim) == []
