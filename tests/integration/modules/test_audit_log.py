# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who follows a log that fills many times over loses nothing of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import keep as keeping
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.keep import keep
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import connect
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Talosconfig
from integration import judging
from simulator import Simulator
from simulator.rings import KernelRecord

#: What fills the node's memory of the log twice.
BURSTS, EACH = 16, 400
FILLS, LINES = 4, 2000


def test_a_log_that_fills_while_it_is_followed_has_no_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "KERNEL_SECONDS", 0.1)
    with Simulator({"name": "follow", "uptime": "1h", "nodes": {"worker-1": {}}}, tmp_path / "fleet") as sim:
        kept = fleet.run(_follow(sim, tmp_path / "audit"))
        logs = sim.nodes["worker-1"].kernel_logs()
        held, ring = len(logs.auditd.read()), logs.kernel.read()
    assert kept["followed"]["ended"] is None
    assert kept["holes"] == []
    (boot,) = AuditStore(tmp_path / "audit" / "worker-1").boots()
    stored = b"".join(AuditStore(tmp_path / "audit" / "worker-1").read(boot).streams["service"].chunks())
    assert stored.count(b"avc:  denied") == BURSTS * EACH
    assert len(stored) > 1.5 * held, "the node still held everything: nothing was followed"
    kernel = b"".join(AuditStore(tmp_path / "audit" / "worker-1").read(boot).streams["kernel"].chunks())
    assert kernel.count(b"port is up") == FILLS * LINES
    assert b"Linux version" in kernel and not any(b"Linux version" in record.text for record in ring)


async def _follow(sim: Simulator, directory: Path) -> dict[str, Any]:
    context = Talosconfig.load(str(sim.directory / "talosconfig"), environ={}).context("reader")
    async with connect(context, sim.nodes["worker-1"].address, deadlines=judging.PATIENT) as client:
        following = asyncio.create_task(keep(client, "worker-1", directory, follow_seconds=10))
        service = directory / "worker-1"
        while not list(service.glob("*/service.log")):
            await asyncio.sleep(0.05)
        for number in range(BURSTS):
            denial = {"template": "hostpath_run", "count": EACH, "comm": "burst"}
            await asyncio.to_thread(sim.add_denial, "worker-1", denial)
            if number < FILLS:
                await asyncio.to_thread(sim.run, _fill(sim, number))
                last = b"%d-%d: port is up" % (number, LINES - 1)
                while not any(last in path.read_bytes() for path in service.glob("*/kernel.log")):
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.1)
        return await following


async def _fill(sim: Simulator, number: int) -> None:
    """Fill about a third of the kernel's ring."""
    for line in range(LINES):
        sim.nodes["worker-1"].kernel_logs().kernel.write(
            KernelRecord(0, 6, 4000.0, b"veth%d-%d: port is up, and forwards" % (number, line))
        )
