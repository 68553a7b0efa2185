# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A simulated fleet that is probed in this process, and what is left of it afterwards."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.collect import collect
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe import pod
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

    def __init__(self, sim: Simulator, directory: Path, role: str | None = None) -> None:
        self.sim, self.directory = sim, directory
        self.kubeconfig = str(sim.directory / "kubeconfig")
        self.context = Talosconfig.load(str(sim.directory / "talosconfig")).context(role)
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


def outcomes(result: dict[str, Any]) -> list[str]:
    return [row["outcome"] for row in result["attempts"]]


def expire(world: World) -> None:
    past = (dt.datetime.now(dt.UTC) - dt.timedelta(minutes=2)).isoformat(timespec="seconds")
    for name in world.namespaces():
        with config.new_client_from_config(world.kubeconfig) as api:
            client.CoreV1Api(api).patch_namespace(name, {"metadata": {"annotations": {pod.EXPIRES: past}}})


_KILLED = """
import contextlib, json, os, signal, sys, time, types
from pathlib import Path
sys.path[:0] = {paths!r}
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe import cluster, run
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import connect
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Talosconfig

step, when, given = {step!r}, {when!r}, json.loads({given!r})
if not given["janitor"]:
    run.watched = lambda remove: contextlib.nullcontext()

def until_told(seconds):
    end = time.monotonic() + 120
    while seconds and not Path(given["late"]).exists() and time.monotonic() < end:
        time.sleep(0.05)

if given["late"]:
    run.time = types.SimpleNamespace(sleep=until_told)
place = AuditStore if step == "keep_probe" else cluster.ProbeApi
name, _blank, number = step.partition(" ")
left = int(number or 1)
method = getattr(place, "_request" if name == "write" else name)

mortal = os.getpid()

def killed(*arguments, **options):
    global left
    if os.getpid() != mortal:
        return method(*arguments, **options)
    counts = name != "write" or arguments[1] != "GET"
    left -= counts
    if counts and not left and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = method(*arguments, **options)
    if counts and not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(place, method.__name__, killed)
context = Talosconfig.load(given["talosconfig"]).context(None)

def ask(question):
    async def visit():
        async with connect(context, given["address"]) as client:
            return await question(client)
    return fleet.run(visit())

run.probe(ask, AuditStore(Path(given["store"])), run.Settings(**given["settings"]))
"""


def killed(world: World, step: str, when: str, *, janitor: bool = False, late: Path | None = None) -> None:
    """Probe in a process that is killed at a step: alone, or with the whole controller, its janitor with it.

    Args:
        late: the janitor looks for what came late once this file is there, instead of after some seconds.
    """
    settings = {"name": "worker-1", "image": IMAGE, "kubeconfig": world.kubeconfig, "context": None}
    given = {
        "talosconfig": str(world.sim.directory / "talosconfig"),
        "address": world.sim.nodes["worker-1"].address,
        "store": str(world.store("worker-1").directory),
        "janitor": janitor,
        "late": str(late) if late else None,
        "settings": {**settings, "seconds": 60, "poll": 0.02, "check": False},
    }
    paths = [path for path in sys.path if path]
    text = _KILLED.format(paths=paths, step=step, when=when, given=json.dumps(given))
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -9, done.stderr
