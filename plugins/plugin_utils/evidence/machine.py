# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine in maintenance mode: it runs from a boot medium and has no evidence, but it can say which machine it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..talos.client import NodeClient
from ..talos.errors import TalosError

FINGERPRINT = "talos_maintenance_fingerprint"
"""The host variable that says: this machine waits in maintenance mode, and this is its key."""

#: Whether META is there, by the phase of its volume; the phases between tell nothing yet.
_INSTALLED = {"missing": False, "located": True, "provisioned": True, "prepared": True, "ready": True}


def is_managed(kernel_args: Sequence[str] | None) -> bool | None:
    """Whether a machine answers to Omni, or to another service that took it over by SideroLink.

    Omni's boot media and images carry ``siderolink.api`` on the kernel command line, and an installation keeps it
    (Talos ``cmd/installer``). A certificate for the node does not make it ours: Omni hands such out for emergencies.

    Args:
        kernel_args: the words of the kernel command line; None when it could not be read, which is no answer.
    """
    if kernel_args is None:
        return None
    return any(word.strip('"').partition("=")[0] == "siderolink.api" for word in kernel_args)


async def read_omni(client: NodeClient) -> bool | None:
    """:func:`is_managed` of the machine behind an open client; None when it does not show its command line."""
    line = await _answer(client, "kernel_cmdline", None, "cmdline")
    return is_managed(line.split() if line is not None else None)


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
