# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small things about Kubernetes objects, and the Node object of a simulated machine."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str]

CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"


def now() -> datetime.datetime:
    """The present time, in whole seconds."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def stamp(moment: datetime.datetime) -> str:
    """A time as Kubernetes writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def key_of(item: Object) -> Key:
    """Namespace and name of an object."""
    return str(item["metadata"].get("namespace", "")), str(item["metadata"]["name"])


def reference_to(owner: Object) -> Object:
    """An owner reference to an object that controls."""
    names = {key: owner[key] for key in ("apiVersion", "kind")}
    metadata = owner["metadata"]
    return {**names, "name": metadata["name"], "uid": metadata["uid"], "controller": True, "blockOwnerDeletion": True}


def controller_of(pod: Object) -> str | None:
    """The uid of what controls an object, None when nothing does."""
    owners: Iterable[Object] = pod["metadata"].get("ownerReferences", [])
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), None)


def is_ready(pod: Object) -> bool:
    """Tell whether a pod is ready."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


def selects(selector: Object, item: Object) -> bool:
    """Tell whether a label selector takes an object; an empty one takes nothing."""
    wanted = selector.get("matchLabels", {})
    labels = item["metadata"].get("labels", {})
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def share(value: Any, total: int) -> int:
    """A number, or a percentage of ``total`` rounded up."""
    if isinstance(value, str) and value.endswith("%"):
        return math.ceil(total * int(value[:-1]) / 100)
    return int(value)


def changes_between(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str | None]:
    """What turns one mapping into the other; None removes a key."""
    changed: dict[str, str | None] = {key: value for key, value in after.items() if before.get(key) != value}
    return changed | dict.fromkeys(set(before) - set(after))


def overlaid(base: Mapping[str, str], changes: Mapping[str, str | None] | None) -> dict[str, str]:
    """A mapping with such changes made."""
    merged = {**base, **(changes or {})}
    return {key: value for key, value in merged.items() if value is not None}


def node_object(
    node: Mapping[str, Any],
    *,
    uid: str,
    version: str,
    kubelet: str,
    started: datetime.datetime,
    dedicated: bool,
    written: Object,
) -> Object:
    """The Node object of one of the fleet's nodes.

    Args:
        node: what the fleet says of it, see `kube_cluster.Nodes`.
        version: its resourceVersion.
        kubelet: version of Kubernetes.
        started: when the cluster began.
        dedicated: whether control planes are kept free of workloads.
        written: labels, annotations and taints that were written through Kubernetes.
    """
    name, ready = str(node["name"]), bool(node["ready"])
    control_plane = node["role"] == "controlplane"
    labels = {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
    }
    labels |= {str(key): str(value) for key, value in (node.get("labels") or {}).items()}
    if node.get("zone"):
        labels["topology.kubernetes.io/zone"] = str(node["zone"])
    if control_plane:
        labels |= {CONTROL_PLANE: "", "node.kubernetes.io/exclude-from-external-load-balancers": ""}
    annotations = {"node.alpha.kubernetes.io/ttl": "0", "networking.talos.dev/self-ips": str(node["address"])}
    taints = [{"key": CONTROL_PLANE, "effect": "NoSchedule"}] if control_plane and dedicated else []
    if "taints" in written:
        taints = list(written["taints"])
    if node["unschedulable"]:
        taints.append({"key": UNSCHEDULABLE, "effect": "NoSchedule"})
    spec: Object = {"podCIDR": "10.244.0.0/24"}
    if taints:
        spec["taints"] = taints
    if node["unschedulable"]:
        spec["unschedulable"] = True
    known = ("True", "KubeletReady", "kubelet is posting ready status")
    lost = ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
    status, reason, message = known if ready else lost
    beat = stamp(now() if ready else started)
    conditions = [
        {"type": kind, "status": "False" if ready else "Unknown", "reason": f"Kubelet{word}", "message": ""}
        for kind, word in (
            ("MemoryPressure", "HasSufficientMemory"),
            ("DiskPressure", "HasNoDiskPressure"),
            ("PIDPressure", "HasSufficientPID"),
        )
    ]
    conditions.append({"type": "Ready", "status": status, "reason": reason, "message": message})
    for condition in conditions:
        condition |= {"lastHeartbeatTime": beat, "lastTransitionTime": stamp(started)}
    talos = str(node.get("talos", "v1.14.1"))
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": uid,
            "resourceVersion": version,
            "creationTimestamp": stamp(started),
            "labels": overlaid(labels, written.get("labels")),
            "annotations": overlaid(annotations, written.get("annotations")),
        },
        "spec": spec,
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": str(node["address"])},
                {"type": "Hostname", "address": name},
            ],
            "capacity": {"cpu": "4", "memory": "8146776Ki", "pods": "110"},
            "allocatable": {"cpu": "3950m", "memory": "7645016Ki", "pods": "110"},
            "conditions": conditions,
            "nodeInfo": {
                "machineID": str(node["machine_id"]),
                "systemUUID": str(node.get("system_uuid", node["machine_id"])),
                "bootID": str(node["boot_id"]),
                "kernelVersion": str(node.get("kernel", "6.18.33-talos")),
                "osImage": f"Talos ({talos})",
                "containerRuntimeVersion": "containerd://2.2.1",
                "kubeletVersion": kubelet,
                "kubeProxyVersion": kubelet,
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        },
    }
