# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Collect and save the evidence of Talos nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..plugin_utils.actions import TalosAction, Target, summary
from ..plugin_utils.audit.store import AuditStore
from ..plugin_utils.evidence import files
from ..plugin_utils.evidence.cluster import read_cluster
from ..plugin_utils.evidence.collect import Collection, collect
from ..plugin_utils.evidence.planned import planned_config
from ..plugin_utils.rollout.ledger import Ledger, is_gone
from ..plugin_utils.talos.client import NodeClient

_TARGET = ("version", "schematic", "installer", "installer_digest")


class ActionModule(TalosAction):
    """One sealed document for each node, saved with the raw logs."""

    MODULE = "evidence"

    def act(self) -> dict[str, Any]:
        kubernetes = self._kubernetes()
        operations = Ledger(self.params["ledger"]).open_operations() if self.params["ledger"] else {}

        store = self.params["store"]

        async def read(client: NodeClient, target: Target) -> Collection:
            host = target.host
            image = self.variable(host, "talos_target") or self.params["target"]
            return await collect(
                client,
                name=host,
                address=target.address,
                endpoint=client.endpoint,
                peer=lambda address: self.target(host, address=address).connect(),
                kubernetes=kubernetes,
                config=planned_config(self.machine_config_text(host), image, self.params["boot"]),
                operation={
                    "locked_by": self._holder(operations.get(host)),
                    "boot_path": self.variable(host, "talos_boot_path"),
                    "approved_local_data": self.variable(host, "talos_approved_local_data") is True,
                    "target": {key: image[key] for key in _TARGET} if image else None,
                },
                # A context that signs requests for Omni is refused before anything is asked.
                cluster={"name": target.context.name, "omni": False},
                max_samples=self.params["max_samples"],
                store=AuditStore(Path(store) / files.safe_name(host)) if store else None,
                keep=not self.check,
            )

        collected, unread = self.ask_fleet(read)
        nodes: dict[str, Any] = {}
        for host, collection in collected.items():
            document = collection.document
            path = None if self.check else str(files.save(self.params["directory"], document, collection.logs))
            nodes[host] = {"path": path, "sha256": document["sha256"], "evidence": document}
        return {"nodes": nodes, "unread": unread, "summary": summary(nodes, unread), "changed": bool(nodes)}

    def _kubernetes(self) -> Callable[[str, str | None], dict[str, Any]] | None:
        if self.params["kubeconfig"] is None:
            return None
        return read_cluster(self.params["kubeconfig"], self.params["kube_context"]).of_node

    def _holder(self, operation: dict[str, Any] | None) -> str | None:
        if operation is None or operation["run"] == self.params["run"]:
            return None
        if not operation["wiped"] and is_gone(operation["by"]):
            # It was stopped before it did anything that lasts, and starts over.
            return None
        return f"run {operation['run']}"
