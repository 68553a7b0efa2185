# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A simulated fleet that is probed in this process, and what is left of it afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.collect import collect
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe.run import Settings, probe
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import NodeClient, connect
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Talosconfig
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.tls import Deadlines
from kubernetes import client, config
from simulator import Simulator
from simulator.containers import Behaviour
from simulator.kube_jobs import Trouble

IMAGE = "registry.example/probe@sha256:" + "a" * 64
SCENARIO: dict[str, Any] = {
    "name": "probes",
    "uptime": "96h",
    "nodes": {
        "cp-1": {"role": "controlplane", "kernel_args": ["enforcing=1"]},
        "worker-1": {"kernel_args": ["enforcing=1"]},
        "worker-2": {},
        "worker-3": {"kernel_args": ["-selinux", "selinux=0"]},
        "worker-4": {"kernel_args": ["enforcing=1"]},
    },
}
_PATIENT = Deadlines(connect=100, call=100, log=200, node=200)
_KINDS = ("namespaces", "networkpolicies", "jobs", "pods")


class World:
    """One fleet and its Kubernetes API."""

    def __init__(self, sim: Simulator, directory: Path) -> None:
        self.sim, self.directory = sim, directory
        self.kubeconfig = str(sim.directory / "kubeconfig")
        self.context = Talosconfig.load(str(sim.directory / "talosconfig")).context(None)
        self.cluster = sim.fleet.kubernetes.cluster
        self._writes = 0

    def reset(self) -> None:
        """Let everything behave well again, and forget what was written so far."""
        self.cluster.behaviours.clear()
        self.cluster.held_namespaces.clear()
        self.cluster.jobs.trouble, self.cluster.jobs.ahead = Trouble(), 0.0
        self.sim.fleet.kubernetes.refused.clear()
        for name in self.namespaces():
            with config.new_client_from_config(self.kubeconfig) as api:
                client.CoreV1Api(api).delete_namespace(name)
        while self.namespaces():
            pass
        self._writes = len(self.sim.writes())

    def behave(self, node: str, **how: Any) -> None:
        self.cluster.behaviours[node] = Behaviour(**how)

    def store(self, node: str) -> AuditStore:
        return AuditStore(self.directory / "audit" / node)

    def ask(self, node: str) -> Any:
        def ask(question: Any) -> Any:
            async def visit() -> Any:
                address = self.sim.nodes[node].address
                async with connect(self.context, address, deadlines=_PATIENT) as talos:
                    return await question(talos)

            return fleet.run(visit())

        return ask

    def probe(self, node: str = "worker-1", **changes: Any) -> dict[str, Any]:
        settings = {
            "name": node,
            "image": IMAGE,
            "kubeconfig": self.kubeconfig,
            "context": None,
            "seconds": 60,
            "poll": 0.02,
            "check": False,
            **changes,
        }
        return probe(self.ask(node), self.store(node), Settings(**settings))

    def writes(self) -> list[str]:
        return [call.method for call in self.sim.writes()[self._writes :]]

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Objects as Kubernetes has them, without anything going on meanwhile."""

        async def read() -> list[dict[str, Any]]:
            return list(self.cluster._objects.get(kind, {}).values())

        return self.sim.run(read())

    def namespaces(self) -> list[str]:
        self.sim.run(_sync(self.cluster))
        names = [item["metadata"]["name"] for item in self.all("namespaces")]
        return [name for name in names if name.startswith("talos-selinux-probe-")]

    def remains(self) -> list[str]:
        """Everything of any probe that is still in the cluster."""
        self.sim.run(_sync(self.cluster))
        marked = [item for kind in _KINDS for item in self.all(kind)]
        return [
            f"{item['kind']} {item['metadata']['name']}"
            for item in marked
            if "talosops.selinux/enforcement-probe" in (item["metadata"].get("labels") or {})
        ]

    def evidence(self, node: str, *, stored: bool = True) -> dict[str, Any]:
        async def read(talos: NodeClient) -> dict[str, Any]:
            found = await collect(
                talos,
                name=node,
                address=self.sim.nodes[node].address,
                endpoint=None,
                peer=lambda _address: talos,
                kubernetes=None,
                config=None,
                operation={},
                cluster={},
                store=self.store(node) if stored else None,
            )
            return found.document

        document: dict[str, Any] = self.ask(node)(read)
        return document


async def _sync(cluster: Any) -> None:
    cluster.sync()
    await asyncio.sleep(0)
