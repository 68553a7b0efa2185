# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep the audit logs of Talos nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..plugin_utils.actions import TalosAction, Target, summary
from ..plugin_utils.audit.store import AuditStore
from ..plugin_utils.evidence.collect import Visit, read_boot
from ..plugin_utils.evidence.files import safe_name
from ..plugin_utils.problem import Problem
from ..plugin_utils.talos.client import NodeClient
from ..plugin_utils.talos.errors import NotFound

#: Oldest generation first (Talos: internal/app/machined/pkg/controllers/runtime/log_persistence.go).
_PERSISTED = ("/var/log/auditd.log.1", "/var/log/auditd.log")


class BootChanged(Problem):
    """The node rebooted while its logs were read."""

    kind = "boot_changed"


class ActionModule(TalosAction):
    """One stream for each node and boot; only what is new is added."""

    MODULE = "audit_log"

    def act(self) -> dict[str, Any]:
        directory = Path(self.params["directory"])
        answers, unread = self.ask_fleet(self._read)
        nodes: dict[str, Any] = {}
        for host, (boot, logs) in answers.items():
            try:
                nodes[host] = self._keep(AuditStore(directory / safe_name(host)), boot, logs)
            except Problem as problem:
                unread[host] = problem.as_dict()
        return {
            "nodes": nodes,
            "unread": unread,
            "summary": summary(nodes, unread),
            "changed": any(sum(node["appended"].values()) for node in nodes.values()),
        }

    async def _read(self, client: NodeClient, target: Target) -> tuple[Any, dict[str, bytes]]:
        visit = Visit(client)
        before = await read_boot(visit)
        logs = {"kernel": await client.dmesg(), "service": await client.logs("auditd")}
        if self.params["persisted"]:
            logs["persisted"] = b"".join([await _file(client, path) for path in _PERSISTED])
        after = await read_boot(visit)
        if not before.same_as(after):
            raise BootChanged(
                f"{target.host} rebooted while its logs were read, or does not tell when it booted",
                "records of two boots must not end up in one stream",
                "run the collection again",
            )
        return after, logs

    def _keep(self, store: AuditStore, boot: Any, logs: dict[str, bytes]) -> dict[str, Any]:
        key = store.boot_key(boot.id, boot.time)
        if self.check:
            return {"boot": key, "appended": dict.fromkeys(logs, 0), "holes": []}
        appended = {
            source: store.merge(key, source, data, boot_time=boot.time).appended for source, data in logs.items()
        }
        return {"boot": key, "appended": appended, "holes": [hole.as_dict() for hole in store.read(key).holes]}


async def _file(client: NodeClient, path: str) -> bytes:
    try:
        return await client.read(path)
    except NotFound:
        return b""
