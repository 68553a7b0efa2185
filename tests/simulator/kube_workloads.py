# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a simulated cluster runs and keeps: its network, its workloads, and the objects that a scenario fixes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .kube_objects import Object, reference_to

# Adds an object: (resource, API version, kind, namespace, name, spec, status).
Fixed = Callable[..., Object]

#: Where a network plugin leaves its configuration for the kubelet.
_CNI = "/etc/cni/net.d"

_NETWORKS: dict[str, list[Object]] = {
    "flannel": [
        {
            "kind": "DaemonSet",
            "name": "kube-flannel",
            "image": "ghcr.io/siderolabs/flannel:v0.27.4",
            "host": True,
            "host_path": _CNI,
        },
        {"kind": "DaemonSet", "name": "kube-proxy", "image": "registry.k8s.io/kube-proxy:{version}", "host": True},
    ],
    "cilium": [
        {
            "kind": "DaemonSet",
            "name": "cilium",
            "image": "quay.io/cilium/cilium:v1.18.4",
            "host": True,
            "host_path": _CNI,
        },
        {"kind": "Deployment", "name": "cilium-operator", "image": "quay.io/cilium/operator-generic:v1.18.4"},
    ],
    "calico": [
        {
            "kind": "DaemonSet",
            "name": "calico-node",
            "image": "docker.io/calico/node:v3.31.0",
            "host": True,
            "host_path": _CNI,
        },
        {"kind": "Deployment", "name": "calico-kube-controllers", "image": "docker.io/calico/kube-controllers:v3.31.0"},
        {"kind": "DaemonSet", "name": "kube-proxy", "image": "registry.k8s.io/kube-proxy:{version}", "host": True},
    ],
    "none": [],
}

_DEFAULT_WORKLOADS: list[Object] = [
    {"kind": "Deployment", "name": "web", "namespace": "demo", "replicas": 3, "image": "docker.io/library/nginx:1.29"},
    {
        "kind": "Deployment",
        "name": "cache",
        "namespace": "demo",
        "image": "docker.io/valkey/valkey:9",
        "empty_dir": True,
    },
]
_DEFAULT_BUDGETS: list[Object] = [
    {"name": "web", "namespace": "demo", "selector": {"app": "web"}, "max_unavailable": 1}
]


def read_workloads(scenario: Mapping[str, Any], nodes: Iterable[Mapping[str, Any]], version: str) -> list[Object]:
    """The workloads of a cluster, each complete: those of its network, the demo's, the scenario's, the nodes' own."""
    network = scenario.get("cni", "flannel")
    name = network["name"] if isinstance(network, Mapping) else str(network or "none")
    if name not in _NETWORKS:
        raise ValueError(f"kubernetes.cni: {name!r} is none of {', '.join(_NETWORKS)}")
    base = [{"namespace": "kube-system", **one} for one in _NETWORKS[name]]
    dns = {
        "kind": "Deployment",
        "name": "coredns",
        "replicas": 2,
        "image": "registry.k8s.io/coredns/coredns:v1.13.1",
    }
    base.append({"namespace": "kube-system", **dns})
    if scenario.get("defaults", True):
        base += _DEFAULT_WORKLOADS
    base += scenario.get("workloads", [])
    for node in nodes:
        base += [{"kind": "Pod", "node": node["name"], **one} for one in node.get("pods") or []]
    result = []
    for given in base:
        workload: Object = {"kind": "Deployment", "namespace": "default", "replicas": 1, **given}
        workload["image"] = str(workload.get("image", "docker.io/library/busybox:1")).replace("{version}", version)
        if isinstance(network, Mapping) and network.get("version") and workload["name"] in (name, f"kube-{name}"):
            workload["image"] = f"{workload['image'].rpartition(':')[0]}:{network['version']}"
        workload["labels"] = {"app": workload["name"], **given.get("labels", {})}
        workload["hash"] = hashlib.sha256(f"{workload['namespace']}/{workload['name']}".encode()).hexdigest()[:10]
        result.append(workload)
    return result


def make_fixed_objects(scenario: Mapping[str, Any], workloads: list[Object], fixed: Fixed) -> None:
    """Add what a scenario fixes: namespaces, controllers, drivers, local volumes, disruption budgets."""
    spaces = {"default", "kube-system", "kube-public", "kube-node-lease"}
    for namespace in sorted(spaces | {str(workload["namespace"]) for workload in workloads}):
        fixed("namespaces", "v1", "Namespace", "", namespace, {}, {"phase": "Active"})
    for workload in workloads:
        _make_controller(workload, fixed)
    for driver in scenario.get("csi", []):
        given = driver if isinstance(driver, Mapping) else {"name": driver}
        spec: Object = {
            "attachRequired": True,
            "podInfoOnMount": False,
            "seLinuxMount": bool(given.get("selinux_mount")),
        }
        fixed("csidrivers", "storage.k8s.io/v1", "CSIDriver", "", str(given["name"]), spec)
    for volume in scenario.get("local_volumes", []):
        term = {"key": "kubernetes.io/hostname", "operator": "In", "values": [volume["node"]]}
        spec = {
            "capacity": {"storage": str(volume.get("capacity", "10Gi"))},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "local",
            "local": {"path": str(volume.get("path", f"/var/mnt/{volume['name']}"))},
            "claimRef": {"namespace": str(volume.get("namespace", "default")), "name": volume["name"]},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}},
        }
        fixed("persistentvolumes", "v1", "PersistentVolume", "", volume["name"], spec, {"phase": "Bound"})
        claim = {"volumeName": volume["name"], "storageClassName": "local", "accessModes": ["ReadWriteOnce"]}
        space = str(volume.get("namespace", "default"))
        fixed(
            "persistentvolumeclaims",
            "v1",
            "PersistentVolumeClaim",
            space,
            volume["name"],
            claim,
            {"phase": "Bound"},
        )
    defaults = _DEFAULT_BUDGETS if scenario.get("defaults", True) else []
    for budget in [*defaults, *scenario.get("pdbs", [])]:
        selector = {"matchLabels": dict(budget["selector"])}
        spec = {"selector": selector}
        for key, name in (("min_available", "minAvailable"), ("max_unavailable", "maxUnavailable")):
            if key in budget:
                spec[name] = budget[key]
        space = str(budget.get("namespace", "default"))
        fixed("poddisruptionbudgets", "policy/v1", "PodDisruptionBudget", space, str(budget["name"]), spec)


def _make_controller(workload: Object, fixed: Fixed) -> None:
    kind, namespace, name = workload["kind"], workload["namespace"], workload["name"]
    if kind == "Pod":
        return
    selector = {"matchLabels": dict(workload["labels"])}
    template: Object = {"metadata": {"labels": dict(workload["labels"])}}
    template["spec"] = {"containers": [{"name": name, "image": workload["image"]}]}
    spec: Object = {"selector": selector, "template": template}
    if kind != "DaemonSet":
        spec["replicas"] = int(workload["replicas"])
    top = fixed(f"{kind.lower()}s", "apps/v1", kind, namespace, name, spec)
    owner = top
    if kind == "Deployment":
        owner = fixed("replicasets", "apps/v1", "ReplicaSet", namespace, f"{name}-{workload['hash']}", spec)
        owner["metadata"]["ownerReferences"] = [reference_to(top)]
    workload["owner"] = reference_to(owner)
