# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who follows a log that fills many times over loses nothing of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.keep import keep
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import connect
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Talosconfig
from integration import judging
from simulator import Simulator

#: What fills the node's memory of the log twice.
BURSTS, EACH = 16, 400


def test_a_log_that_fills_while_it_is_followed_has_no_hole(tmp_path: Path) -> None:
    with Simulator({"name": "follow", "uptime": "1h", "nodes": {"worker-1": {}}}, tmp_path / "fleet") as sim:
        kept = fleet.run(_follow(sim, tmp_path / "audit"))
        held = len(sim.nodes["worker-1"].kernel_logs().auditd.read())
    assert kept["followed"]["ended"] is None
    assert kept["holes"] == []
    (boot,) = AuditStore(tmp_path / "audit" / "worker-1").boots()
    stored = b"".join(AuditStore(tmp_path / "audit" / "worker-1").read(boot).streams["service"].chunks())
    assert stored.count(b"avc:  denied") == BURSTS * EACH
    assert len(stored) > 1.5 * held, "the node still held everything: nothing was followed"


async def _follow(sim: Simulator, directory: Path) -> dict[str, Any]:
    context = Talosconfig.load(str(sim.directory / "talosconfig"), environ={}).context("reader")
    async with connect(context, sim.nodes["worker-1"].address, deadlines=judging.PATIENT) as client:
        following = asyncio.create_task(keep(client, "worker-1", directory, follow_seconds=10))
        service = directory / "worker-1"
        while not list(service.glob("*/service.log")):
            await asyncio.sleep(0.05)
        for _unused in range(BURSTS):
            denial = {"template": "hostpath_run", "count": EACH, "comm": "burst"}
            await asyncio.to_thread(sim.add_denial, "worker-1", denial)
            await asyncio.sleep(0.1)
        return await following
