# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of what a node is asked for its evidence."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any

from ..talos import boots
from ..talos.client import NodeClient
from ..talos.errors import TalosError
from .sections import role_of
from .visit import Visit, text_at


@dataclasses.dataclass(frozen=True)
class Question:
    """One question: its name under ``errors``, and how it is asked.

    Attributes:
        optional: the thing may rightly be absent, so that a clean "not there" is no error.
    """

    source: str
    ask: Callable[[NodeClient], Awaitable[Any]]
    optional: bool = False


def _one(source: str, resource: str, *, optional: bool = False) -> Question:
    return Question(source, lambda client: client.get(resource), optional)


def _all(source: str, resource: str) -> Question:
    return Question(source, lambda client: client.list(resource))


#: In the order in which they are asked: the logs last, so that they hold what happened while the others were asked.
QUESTIONS: dict[str, Question] = {
    "security_state": Question("SecurityState", lambda client: client.security_state()),
    "kernel_cmdline": _one("KernelCmdline", "kernel_cmdline"),
    "machine_status": _one("MachineStatus", "machine_status"),
    "machine_type": _one("MachineType", "machine_type"),
    "extension_statuses": _all("ExtensionStatuses", "extension_statuses"),
    "image_factory_schematic": _one("ImageFactorySchematic", "image_factory_schematic", optional=True),
    "booted_entry": _one("BootedEntry", "booted_entry", optional=True),
    "identity": _one("Identity", "identity"),
    "cluster_info": _one("ClusterInfo", "cluster_info", optional=True),
    "nodename": _one("Nodename", "nodename"),
    "system_information": _one("SystemInformation", "system_information"),
    "time_status": _one("TimeStatus", "time_status"),
    "volume_statuses": _all("VolumeStatuses", "volume_statuses"),
    "disks": _all("Disks", "disks"),
    "system_disk": _one("SystemDisk", "system_disk", optional=True),
    "meta_keys": _all("MetaKeys", "meta_keys"),
    "services": Question("ServiceList", lambda client: client.services()),
    "processes": Question("Processes", lambda client: client.processes()),
    "kernel_records": Question("Dmesg", lambda client: client.dmesg()),
    "service_log": Question("Logs of auditd", lambda client: client.logs("auditd")),
}


async def ask_all(visit: Visit) -> dict[str, Any]:
    """The node's answers by name; None where it gave none, with the failure under ``visit.errors``.

    Beside QUESTIONS: ``node_status``, which is asked by the node's name, and ``manifest_status`` of a control plane.
    """
    answers: dict[str, Any] = {name: await _ask(visit, question) for name, question in QUESTIONS.items()}
    client, nodename = visit.client, text_at(answers["nodename"], "nodename")
    answers["node_status"] = answers["manifest_status"] = None
    if nodename:
        answers["node_status"] = await visit.get("NodeStatus", client.get("node_status", nodename))
    if role_of(answers["machine_type"]) == "controlplane":
        answers["manifest_status"] = await _ask(visit, _one("ManifestStatus", "manifest_status", optional=True))
    return answers


async def clock_offset(visit: Visit, clock: Callable[[], dt.datetime]) -> float | None:
    """By how many seconds the node's clock is ahead of this machine's; None when the node does not tell its time.

    The answer took its time, so of the two bounds that this gives the smaller offset is taken.
    """
    before = clock()
    local = await visit.get("Time", visit.client.local_time())
    after = clock()
    if local is None:
        return None
    least, most = (local - after).total_seconds(), (local - before).total_seconds()
    nearest = 0.0 if least <= 0 <= most else most if most < 0 else least
    return round(nearest, 1)


async def kernel_boot_id(client: NodeClient) -> str | None:
    """The kernel's own id of the boot, where Talos has no BootID (before 1.14); None where the caller may not read it.

    Kubernetes reports it too. It needs os:admin, so nothing else rests on it.
    """
    try:
        told = await client.read("/proc/sys/kernel/random/boot_id", max_bytes=128)
        return boots.identifier(told.decode("ascii").strip())
    except (TalosError, UnicodeDecodeError):
        return None


async def _ask(visit: Visit, question: Question) -> Any:
    if question.optional:
        return (await visit.get_if_there(question.source, question.ask(visit.client)))[1]
    return await visit.get(question.source, question.ask(visit.client))
