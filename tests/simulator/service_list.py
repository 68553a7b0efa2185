# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The services of a simulated node in its present stage, each with its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import versions
from .audit_writer import ServiceEvent, start_events

if TYPE_CHECKING:
    from .node import Node

_MOUNTED = "/var/lib, /var/lib/cni, CRI, /var/run, /var/run/lock, /opt to be mounted, network"
# What a service waits for before it starts, and what it says when it runs.
_WAITS = {
    "apid": 'service "containerd" to be "up", api certificates, config to be ready',
    "cri": f"volumes {_MOUNTED}",
    "etcd": 'volumes /var/lib, ETCD to be mounted, service "cri" to be "up", time sync, network, etcd spec',
    "kubelet": 'service "cri" to be "up", time sync, network',
    "syslogd": 'service "machined" to be "up"',
    "trustd": 'service "containerd" to be "up", time sync, network',
}
_TASKS = {"apid": 349, "etcd": 540, "kubelet": 493, "trustd": 394}
_PROCESSES = {"containerd": '["/bin/containerd"]', "cri": '["/bin/containerd"]', "udevd": '["/sbin/systemd-udevd"]'}


@dataclass
class ServiceState:
    """One service as ServiceList shows it; ``healthy`` None means unknown."""

    id: str
    state: str
    healthy: bool | None
    events: list[ServiceEvent]


def service_states(node: Node) -> list[ServiceState]:
    """All services of a node in its present stage."""
    assert node.boot is not None
    logs = node.kernel_logs()
    started = node.clock.wall(node.boot.started + 4)
    newest = versions.at_least(node.version, "1.14")
    result = []
    if logs.events:
        state = logs.events[-1].state
        result.append(ServiceState("auditd", state, True if state == "Running" else None, logs.events))
    names = ["apid", "containerd", "machined", "syslogd", "udevd"]
    if node.config_applied and not node.maintenance:
        names += ["cri", "kubelet"] + (["etcd", "trustd"] if node.role == "controlplane" else [])
        names += ["sandboxd"] if newest else []
    elif newest:
        text = f"Waiting for {_WAITS['cri']}"
        waiting = [ServiceEvent("Starting", "Starting service", started), ServiceEvent("Waiting", text, started)]
        result.append(ServiceState("cri", "Waiting", None, waiting))
    if not versions.at_least(node.version, "1.13") and node.maintenance:
        names.remove("apid")
    result += [ServiceState(name, "Running", True, _history(name, started)) for name in names]
    return sorted(result, key=lambda service: service.id)


def _history(name: str, started: float) -> list[ServiceEvent]:
    first, *rest = start_events(started)
    waits = [ServiceEvent("Waiting", f"Waiting for {_WAITS[name]}", started)] if name in _WAITS else []
    running = rest[2]
    if name in _TASKS:
        running.message = f"Started task {name} (PID {_TASKS[name]}) for container {name}"
    elif name in _PROCESSES:
        running.message = f"Process Process({_PROCESSES[name]}) started with PID 187"
    elif name == "sandboxd":
        running.message = "sandboxd started with PID 320"
    return [first, *waits, *rest]
