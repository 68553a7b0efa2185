# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine in maintenance mode: it runs from a boot medium and has no evidence, but it can say which machine it is."""

from __future__ import annotations

from typing import Any

from ..talos.client import NodeClient
from ..talos.errors import TalosError

#: Whether META is there, by the phase of its volume; the phases between tell nothing yet.
_INSTALLED = {"missing": False, "located": True, "provisioned": True, "prepared": True, "ready": True}


async def read_machine(client: NodeClient, *, name: str, pool: str | None, workload: str | None) -> dict[str, Any]:
    """What ``gate.cohort.judge_cohort`` asks about a machine.

    Args:
        client: an open client, made with a pinned fingerprint.
        name: the machine's inventory name.
        pool, workload: where the operator will put it, or None when that was not said.

    Returns:
        ``{name, uuid, fingerprint, stage, installed, pool, workload}``, None for what the machine did not answer.
        ``installed`` is what Talos means by it: there is a META partition, whatever it holds. A volume that nobody
        looked for is not known to be missing.
    """
    return {
        "name": name,
        "uuid": await _answer(client, "system_information", None, "uuid"),
        "fingerprint": client.peer_fingerprint,
        "stage": await _answer(client, "machine_status", None, "stage"),
        "installed": _INSTALLED.get(await _answer(client, "volume_statuses", "META", "phase") or ""),
        "pool": pool,
        "workload": workload,
    }


async def _answer(client: NodeClient, resource: str, identifier: str | None, key: str) -> str | None:
    try:
        spec = (await client.get(resource, identifier)).spec
    except TalosError:
        return None
    value = spec.get(key) if isinstance(spec, dict) else None
    return value if isinstance(value, str) else None
