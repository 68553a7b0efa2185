# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine in maintenance mode: it runs from a boot medium and has no evidence, but it can say which machine it is."""

from __future__ import annotations

from typing import Any

from ..talos.client import NodeClient
from ..talos.errors import NotFound


async def read_machine(client: NodeClient, *, name: str, pool: str | None, workload: str | None) -> dict[str, Any]:
    """What ``gate.cohort.judge_cohort`` asks about a machine.

    Args:
        client: an open client, made with a pinned fingerprint.
        name: the machine's inventory name.
        pool, workload: where the operator will put it, or None when that was not said.

    Returns:
        ``{name, uuid, fingerprint, stage, installed, pool, workload}``; ``installed`` is what Talos means by it: there
        is a META partition, whatever it holds (so the volume is anything but missing).

    Raises:
        TalosError: a question was not answered, or the machine is not the one whose fingerprint was pinned.
    """
    status = await client.spec("machine_status")
    system = await client.spec("system_information")
    try:
        meta = (await client.get("volume_statuses", "META")).spec
        installed = meta.get("phase") != "missing" if isinstance(meta, dict) and "phase" in meta else None
    except NotFound:
        # Nobody looked for the partition, so nobody knows that it is missing.
        installed = None
    return {
        "name": name,
        "uuid": system.get("uuid"),
        "fingerprint": client.peer_fingerprint,
        "stage": status.get("stage"),
        "installed": installed,
        "pool": pool,
        "workload": workload,
    }
