# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Collect and save the evidence of Talos nodes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible.utils.display import Display  # type: ignore[import-untyped]  # ansible-core ships no types

from ..plugin_utils.actions import TalosAction, Target, summary
from ..plugin_utils.arguments import read_once
from ..plugin_utils.audit.knowledge import catalogue
from ..plugin_utils.audit.store.store import AuditStore
from ..plugin_utils.evidence import files
from ..plugin_utils.evidence.cluster import read_cluster
from ..plugin_utils.evidence.collect import Collection, collect
from ..plugin_utils.evidence.joined import Machine
from ..plugin_utils.evidence.machine import FINGERPRINT, read_machine, read_omni
from ..plugin_utils.evidence.schema import TARGET_KEYS
from ..plugin_utils.image.machine_config.planned import planned_config
from ..plugin_utils.problem import Problem
from ..plugin_utils.report import collected as collected_table
from ..plugin_utils.rollout.ledger import Ledger
from ..plugin_utils.rollout.owner import is_gone
from ..plugin_utils.talos import fleet
from ..plugin_utils.talos.client import NodeClient, connect_maintenance

_SAVED_AT_ONCE = 8

read_once(catalogue.load)


class ActionModule(TalosAction):
    """One sealed document for each node, saved with the raw logs."""

    MODULE = "evidence"

    def act(self) -> dict[str, Any]:
        kubernetes = self._kubernetes()
        operations = Ledger(self.params["ledger"]).open_operations() if self.params["ledger"] else {}

        store = self.params["store"]

        async def read(client: NodeClient, target: Target) -> Collection:
            host = target.host
            image = self._image(host)
            text = self.machine_config_text(host)
            return await collect(
                client,
                name=host,
                address=target.address,
                endpoint=client.endpoint,
                peer=lambda address: self.target(host, address=address).connect(),
                kubernetes=kubernetes,
                config=lambda node: planned_config(text, image, self.params["boot"], node),
                operation=self.operation(host, locked_by=self._holder(operations.get(host)), image=image),
                cluster={"name": target.context.name},
                max_samples=self.params["max_samples"],
                **self.audit_terms(host),
                store=AuditStore(Path(store) / files.safe_name(host)) if store else None,
                keep=not self.check,
            )

        waiting = [host for host in self.hosts() if self.variable(host, FINGERPRINT) is not None]
        machines, silent = self._machines(waiting, operations)
        collected, unread = self.ask_fleet(read, without=waiting)
        unread |= silent
        # Each is waited for until it is on the disk, which takes as long for several at once as for one.
        with ThreadPoolExecutor(_SAVED_AT_ONCE) as pool:
            nodes = dict(zip(collected, pool.map(self._kept, collected.values()), strict=True))
        summaries = {host: entry["summary"] for host, entry in nodes.items()}
        logs = self.params["logs"]
        table = collected_table.render(summaries, unread, (logs.get("nodes") or {}) if logs else None)
        if self.params["show"]:
            # Not every result callback shows text with line breaks as people would want to read it.
            Display().display(f"\n{table}\n")
        return {
            "nodes": nodes,
            "machines": machines,
            "table": table,
            "unread": unread,
            "summary": summary([*nodes, *machines], unread),
            "changed": bool(nodes),
        }

    def _kept(self, collection: Collection) -> dict[str, Any]:
        path = None if self.check else files.save(self.params["directory"], collection.document, collection.logs)
        return files.entry_of(collection.document, path)

    def _machines(
        self, hosts: list[str], operations: dict[str, Any]
    ) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
        """What is known of machines that wait for their first installation, and the failures, by host."""

        async def look(host: str) -> tuple[dict[str, Any], bool | None]:
            address = self.variable(host, "ansible_host") or host
            async with connect_maintenance(address, fingerprints=[str(self.variable(host, FINGERPRINT))]) as client:
                machine = await read_machine(
                    client,
                    name=host,
                    pool=self.variable(host, "talos_pool"),
                    workload=self.variable(host, "talos_workload"),
                )
                return machine, await read_omni(client)

        found: dict[str, dict[str, Any]] = {}
        failures: dict[str, dict[str, Any]] = {}
        for host, seen in fleet.run(fleet.ask_all(hosts, look, in_flight=self.params["in_flight"])).items():
            if isinstance(seen, Problem):
                failures[host] = seen.as_dict()
                continue
            machine, omni = seen
            # It runs no schematic of its own to derive an image from: it is to become what its cohort becomes.
            cohort = self.variable(host, "talos_cohort") or []
            image = self._image(host, *cohort[:1])
            try:
                text = self.machine_config_text(host)
            except Problem as problem:
                failures[host] = problem.as_dict()
                continue
            found[host] = {
                "machine": machine,
                "target": {key: image[key] for key in TARGET_KEYS} if image else None,
                "config": planned_config(text, image, self.params["boot"], None),
                "operation": {
                    "locked_by": self._holder(operations.get(host)),
                    "boot_path": self.variable(host, "talos_boot_path"),
                    "approved_local_data": None,
                },
                "cluster": {"name": self.target(host).context.name, "id": None, "omni": omni},
            }
        return found, failures

    def _image(self, *hosts: str) -> dict[str, Any] | None:
        """The image that the first of these hosts that has one is to be judged for."""
        prepared = (self.params["images"] or {}).get("nodes") or {}
        targets: list[dict[str, Any] | None] = [prepared[host]["target"] for host in hosts if host in prepared]
        return next((target for target in targets if target), self.params["target"])

    def _kubernetes(self) -> Callable[[Machine, str | None], dict[str, Any]] | None:
        if self.params["kubeconfig"] is None:
            return None
        return read_cluster(self.params["kubeconfig"], self.params["kube_context"]).of_node

    def _holder(self, operation: dict[str, Any] | None) -> str | None:
        if operation is None or operation["run"] == self.params["run"]:
            return None
        if not operation["may_be_wiped"] and is_gone(operation["by"]):
            # It was stopped before it did anything that lasts, and starts over.
            return None
        return f"run {operation['run']}"
