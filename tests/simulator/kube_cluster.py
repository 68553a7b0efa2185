# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the simulated Kubernetes holds: nodes as the fleet reports them, and workloads that controllers keep alive.

There is no background task: controllers and scheduler run in `Cluster.sync`, which the API calls before
every answer. That keeps a fleet of many nodes free of charge while nobody asks, and its answers repeatable.
"""

from __future__ import annotations

import datetime
import hashlib
import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

Object = dict[str, Any]
Key = tuple[str, str]

BLOCKED_LABEL = "simulator.talosops/blocked-on"
_MIRROR = "kubernetes.io/config.mirror"
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"

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


class Nodes(Protocol):
    """The part of a fleet that Kubernetes needs."""

    def kubernetes_nodes(self) -> list[dict[str, Any]]:
        """One dict per registered node: name, role, zone, ready, unschedulable, boot_id, machine_id, address.

        Optional keys: ``talos`` (version), ``system_uuid``, ``labels``, and ``pods``: workloads (as in the scenario,
        of kind Pod when not said otherwise) that run on this node only.
        """

    def set_unschedulable(self, name: str, value: bool) -> None:
        """Cordon or uncordon a node."""


class Blocked(Exception):
    """A disruption budget forbids the eviction; the text names the budget as Kubernetes does."""


class Cluster:
    """The objects of one simulated cluster.

    Args:
        fleet: where nodes come from.
        scenario: the scenario's ``kubernetes`` section: ``version`` (of the kubelet), ``cni`` (flannel, cilium, calico,
            none), ``csi`` (driver names), ``defaults`` (False leaves the demo workloads out), ``workloads``
            (``{kind, name, namespace, replicas, image, labels, empty_dir, host_path, host, privileged, selinux,
            volume, started}``), ``pdbs`` (``{name, namespace, selector, min_available | max_unavailable}``),
            ``local_volumes`` (``{name, node, path}``).
    """

    def __init__(self, fleet: Nodes, scenario: Mapping[str, Any] | None = None) -> None:
        self.fleet = fleet
        self.scenario = dict(scenario or {})
        self.version = str(self.scenario.get("version", "v1.34.2"))
        self.blocked: set[str] = set()
        self._revision = 1000
        self._serial = 0
        # Two clusters never share a uid: that of kube-system is what tells them apart.
        self._uids = uuid.uuid4()
        self._node_versions: dict[str, tuple[str, str]] = {}
        self._started = _now()
        self._objects: dict[str, dict[Key, Object]] = {}
        self._boots: dict[str, tuple[str, str]] = {}
        self._addresses: dict[str, str] = {}
        self._dedicated = False
        # What was written through Kubernetes to a Node object: it outlives a reinstall of the machine.
        self._node_writes: dict[str, Object] = {}
        self._deleted_nodes: dict[str, str] = {}
        self._workloads = self._read_workloads()
        self._make_fixed_objects()

    # --- reading ---------------------------------------------------------------------------------

    def all(self, resource: str) -> list[Object]:
        """All objects of a resource (``pods``, ``nodes``, ...), as the API shows them now."""
        self.sync()
        if resource == "nodes":
            return [self._node(node) for node in self._nodes()]
        if resource == "poddisruptionbudgets":
            return [self._budget(budget) for budget in self._budgets()]
        if resource in ("deployments", "statefulsets", "replicasets", "daemonsets"):
            return [self._with_status(resource, item) for item in self._store(resource).values()]
        return list(self._store(resource).values())

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        """One object, or None."""
        if resource == "nodes":
            self.sync()
            return next((self._node(node) for node in self._nodes() if node["name"] == name), None)
        return next((item for item in self.all(resource) if _key(item) == (namespace, name)), None)

    # --- writing ---------------------------------------------------------------------------------

    def replace(self, resource: str, item: Object) -> Object:
        """Store a changed object and return what is then there."""
        namespace, name = _key(item)
        if resource != "nodes":
            item["metadata"]["resourceVersion"] = self._next_revision()
            self._store(resource)[namespace, name] = item
            return item
        self.fleet.set_unschedulable(name, bool(item["spec"].get("unschedulable", False)))
        before = self._node(next(node for node in self._nodes() if node["name"] == name), own=True)
        taints = [taint for taint in item["spec"].get("taints", []) if taint["key"] != _UNSCHEDULABLE]
        self._node_writes[name] = {
            "labels": _difference(before["metadata"]["labels"], item["metadata"].get("labels") or {}),
            "annotations": _difference(before["metadata"]["annotations"], item["metadata"].get("annotations") or {}),
            "taints": taints,
        }
        self._next_revision()
        result = self.get("nodes", "", name)
        assert result is not None
        return result

    def create(self, resource: str, item: Object) -> Object:
        """Add an object."""
        item["metadata"].setdefault("uid", self._uid())
        item["metadata"].setdefault("creationTimestamp", _text(_now()))
        return self.replace(resource, item)

    def delete(self, resource: str, namespace: str, name: str) -> None:
        """Remove an object; controllers replace pods at the next look, a Node returns when its machine joins again."""
        if resource == "nodes":
            self._deleted_nodes[name] = self._boots.get(name, ("", ""))[1]
            self._node_writes.pop(name, None)
        else:
            self._store(resource).pop((namespace, name), None)
        self._next_revision()
        self.sync()

    def evict(self, namespace: str, name: str) -> None:
        """Delete a pod if every disruption budget allows it.

        Raises:
            KeyError: no such pod.
            Blocked: a budget does not allow it.
        """
        self.sync()
        pod = self._store("pods")[namespace, name]
        for budget in self._budgets():
            if budget["metadata"]["namespace"] == namespace and _selects(budget["spec"]["selector"], pod):
                shown = self._budget(budget)["status"]
                # As in Kubernetes: a pod that is not ready may go once the others suffice.
                if shown["disruptionsAllowed"] <= 0 and _is_ready(pod):
                    raise Blocked(
                        f"The disruption budget {budget['metadata']['name']} needs {shown['desiredHealthy']} "
                        f"healthy pods and has {shown['currentHealthy']} currently"
                    )
        self.delete("pods", namespace, name)

    # --- controllers and scheduler ---------------------------------------------------------------

    def sync(self) -> None:
        """Run every controller once: nodes that left or came back, missing pods, pods that wait for a node."""
        nodes = self._nodes()
        ready = {node["name"]: node for node in nodes if node["ready"]}
        # Asking the fleet once per look keeps a fleet of a thousand nodes affordable.
        self._addresses = {node["name"]: str(node["address"]) for node in nodes}
        self._dedicated = any(node["role"] != "controlplane" for node in nodes)
        pods = self._store("pods")
        for key, pod in list(pods.items()):
            where = pod["spec"].get("nodeName")
            if where is not None and where not in ready:
                del pods[key]
        for name, node in ready.items():
            self._notice_boot(name, node)
        for workload in self._workloads:
            if workload["kind"] == "DaemonSet":
                self._run_everywhere(workload, ready)
            elif workload["kind"] in ("Deployment", "StatefulSet"):
                self._run_replicas(workload)
            elif not workload.get("made") and workload.get("node") in (None, *ready):
                workload["made"] = True
                self._add_pod(workload, workload["name"], workload.get("node"))
        for node in ready.values():
            if node["role"] == "controlplane":
                self._run_static_pods(node)
        for pod in pods.values():
            if "nodeName" not in pod["spec"]:
                self._place(pod, list(ready.values()))
            self._label_blocked(pod)

    def _notice_boot(self, name: str, node: Mapping[str, Any]) -> None:
        """Containers on a machine that booted again are new ones, whoever wiped what."""
        seen, now = self._boots.get(name), (str(node["machine_id"]), str(node["boot_id"]))
        self._boots[name] = now
        if seen is None or seen == now:
            return
        for pod in self._store("pods").values():
            if pod["spec"].get("nodeName") == name:
                status = pod["status"]["containerStatuses"][0]
                status["restartCount"] += 1
                status["state"] = {"running": {"startedAt": _text(_now())}}

    def _run_everywhere(self, workload: Object, ready: Mapping[str, Any]) -> None:
        running = {pod["spec"].get("nodeName") for pod in self._owned(workload)}
        for name in ready:
            if name not in running:
                pod = self._add_pod(workload, f"{workload['name']}-{self._suffix(5)}", name)
                # The DaemonSet controller marks its pods so (kubernetes: pkg/controller/daemon).
                pod["metadata"]["labels"] = {**pod["metadata"]["labels"], "pod-template-generation": "1"}

    def _run_replicas(self, workload: Object) -> None:
        owned = self._owned(workload)
        names = {pod["metadata"]["name"] for pod in owned}
        for index in range(int(workload["replicas"])):
            if len(names) >= int(workload["replicas"]):
                break
            if workload["kind"] == "StatefulSet":
                name = f"{workload['name']}-{index}"
            else:
                name = f"{workload['name']}-{workload['hash']}-{self._suffix(5)}"
            if name not in names:
                names.add(name)
                self._add_pod(workload, name, None)

    def _run_static_pods(self, node: Mapping[str, Any]) -> None:
        for component in ("kube-apiserver", "kube-controller-manager", "kube-scheduler"):
            name = f"{component}-{node['name']}"
            if ("kube-system", name) in self._store("pods"):
                continue
            image = f"registry.k8s.io/{component}:{self.version}"
            static: Object = {
                "kind": "Node",
                "name": component,
                "namespace": "kube-system",
                "image": image,
                "labels": {},
            }
            pod = self._add_pod(static, name, node["name"])
            pod["metadata"]["annotations"][_MIRROR] = hashlib.sha256(name.encode()).hexdigest()[:32]
            pod["metadata"]["labels"] = {"k8s-app": component, "tier": "control-plane"}
            owner = {"apiVersion": "v1", "kind": "Node", "name": node["name"], "uid": self._node_uid(node["name"])}
            pod["metadata"]["ownerReferences"] = [{**owner, "controller": True}]

    def _place(self, pod: Object, ready: Sequence[Mapping[str, Any]]) -> None:
        open_nodes = [node for node in ready if not node["unschedulable"] and not self._taints(node["name"])]
        wanted = pod["metadata"]["annotations"].get("simulator.talosops/only-on")
        if wanted is not None:
            open_nodes = [node for node in open_nodes if node["name"] == wanted]
        workers = [node for node in open_nodes if node["role"] != "controlplane"]
        tolerated = any(toleration.get("key") == _CONTROL_PLANE for toleration in pod["spec"].get("tolerations", []))
        # Talos leaves control planes schedulable only when told so; a cluster without workers is told so.
        if not tolerated and self._dedicated:
            open_nodes = workers
        if not open_nodes:
            return
        load: dict[str, int] = {node["name"]: 0 for node in open_nodes}
        for other in self._store("pods").values():
            if other["spec"].get("nodeName") in load:
                same = _controller(other) == _controller(pod)
                load[other["spec"]["nodeName"]] += 100 if same else 1
        self._bind(pod, min(load, key=lambda name: (load[name], name)))

    def _bind(self, pod: Object, node: str) -> None:
        started = _text(max(self._started, _now())) if node in self._boots else _text(self._started)
        pod["spec"]["nodeName"] = node
        container = pod["spec"]["containers"][0]
        pod["status"] = {
            "phase": "Running",
            "hostIP": self._addresses.get(node, ""),
            "startTime": pod["metadata"]["annotations"].pop("simulator.talosops/started", started),
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": started}
                for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
            ],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": container["image"],
                    "ready": True,
                    "started": True,
                    "restartCount": 0,
                }
            ],
        }
        pod["status"]["containerStatuses"][0]["state"] = {"running": {"startedAt": pod["status"]["startTime"]}}

    def _add_pod(self, workload: Object, name: str, node: str | None) -> Object:
        namespace = workload["namespace"]
        container: Object = {"name": workload["name"], "image": workload["image"]}
        if workload.get("privileged"):
            container["securityContext"] = {"privileged": True}
        volumes: list[Object] = []
        if workload.get("empty_dir"):
            volumes.append({"name": "scratch", "emptyDir": {}})
        if workload.get("host_path"):
            volumes.append({"name": "host", "hostPath": {"path": workload["host_path"], "type": "DirectoryOrCreate"}})
        annotations: dict[str, str] = {}
        if workload.get("started"):
            annotations["simulator.talosops/started"] = str(workload["started"])
        if workload.get("volume"):
            volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": workload["volume"]}})
            where = next((one["node"] for one in self._local_volumes() if one["name"] == workload["volume"]), None)
            if where is not None:
                annotations["simulator.talosops/only-on"] = where
        if workload.get("node"):
            annotations["simulator.talosops/only-on"] = str(workload["node"])
        spec: Object = {"containers": [container], "volumes": volumes, "restartPolicy": "Always"}
        if workload.get("host"):
            spec["hostNetwork"] = True
        if workload.get("selinux"):
            spec["securityContext"] = {"seLinuxOptions": dict(workload["selinux"])}
        if workload["kind"] == "DaemonSet" or namespace == "kube-system":
            spec["tolerations"] = [{"key": _CONTROL_PLANE, "operator": "Exists", "effect": "NoSchedule"}]
        metadata: Object = {
            "name": name,
            "namespace": namespace,
            "uid": self._uid(),
            "resourceVersion": self._next_revision(),
            "creationTimestamp": _text(_now()),
            "labels": dict(workload["labels"]),
            "annotations": annotations,
        }
        if "owner" in workload:
            metadata["ownerReferences"] = [workload["owner"]]
        waiting = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        pod["status"] = {"phase": "Pending", "conditions": [waiting]}
        self._store("pods")[namespace, name] = pod
        if node is not None:
            self._bind(pod, node)
        return pod

    def _label_blocked(self, pod: Object) -> None:
        labels = pod["metadata"]["labels"]
        node = pod["spec"].get("nodeName", "")
        controlled = {owner["kind"] for owner in pod["metadata"].get("ownerReferences", [])}
        if self._is_blocked(node) and controlled & {"ReplicaSet", "StatefulSet"}:
            labels[BLOCKED_LABEL] = node
        else:
            labels.pop(BLOCKED_LABEL, None)

    def _is_blocked(self, node: str) -> bool:
        has_fault = getattr(self.fleet, "has_fault", None)
        return node in self.blocked or bool(has_fault and node and has_fault(node, "drain_blocked"))

    # --- objects ---------------------------------------------------------------------------------

    def _nodes(self) -> list[dict[str, Any]]:
        """The fleet's nodes that have a Node object, in order of name."""
        result = []
        for node in sorted(self.fleet.kubernetes_nodes(), key=lambda one: str(one["name"])):
            boot_at_deletion = self._deleted_nodes.get(node["name"])
            if boot_at_deletion is not None:
                # A kubelet registers its node when it starts, so a deleted one returns with the next boot.
                if not node["ready"] or boot_at_deletion == str(node["boot_id"]):
                    continue
                del self._deleted_nodes[node["name"]]
            result.append(node)
        return result

    def _node(self, node: Mapping[str, Any], *, own: bool = False) -> Object:
        """A Node object; ``own`` leaves out what was written to it through Kubernetes."""
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
            labels |= {_CONTROL_PLANE: "", "node.kubernetes.io/exclude-from-external-load-balancers": ""}
        written = {} if own else self._node_writes.get(name, {})
        annotations = {"node.alpha.kubernetes.io/ttl": "0", "networking.talos.dev/self-ips": str(node["address"])}
        taints = [{"key": _CONTROL_PLANE, "effect": "NoSchedule"}] if control_plane and self._dedicated else []
        if "taints" in written:
            taints = list(written["taints"])
        if node["unschedulable"]:
            taints.append({"key": _UNSCHEDULABLE, "effect": "NoSchedule"})
        spec: Object = {"podCIDR": "10.244.0.0/24"}
        if taints:
            spec["taints"] = taints
        if node["unschedulable"]:
            spec["unschedulable"] = True
        known = ("True", "KubeletReady", "kubelet is posting ready status")
        lost = ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
        status, reason, message = known if ready else lost
        beat = _text(_now() if ready else self._started)
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
            condition |= {"lastHeartbeatTime": beat, "lastTransitionTime": _text(self._started)}
        talos = str(node.get("talos", "v1.14.1"))
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "uid": self._node_uid(name),
                "resourceVersion": "0" if own else self._node_version(node, written),
                "creationTimestamp": _text(self._started),
                "labels": _overlaid(labels, written.get("labels")),
                "annotations": _overlaid(annotations, written.get("annotations")),
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
                    "kubeletVersion": self.version,
                    "kubeProxyVersion": self.version,
                    "operatingSystem": "linux",
                    "architecture": "amd64",
                },
            },
        }

    def _node_version(self, node: Mapping[str, Any], written: Object) -> str:
        """A new version whenever a Node object says something new; heartbeats go to leases and do not count."""
        name, content = str(node["name"]), repr((sorted(node.items()), written))
        if self._node_versions.get(name, ("", ""))[0] != content:
            self._node_versions[name] = (content, self._next_revision())
        return self._node_versions[name][1]

    def _taints(self, name: str) -> list[Object]:
        """Taints written through Kubernetes that keep pods away."""
        taints = self._node_writes.get(name, {}).get("taints", [])
        return [taint for taint in taints if taint["key"] != _CONTROL_PLANE and taint["effect"] != "PreferNoSchedule"]

    def _read_workloads(self) -> list[Object]:
        network = self.scenario.get("cni", "flannel")
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
        if self.scenario.get("defaults", True):
            base += _DEFAULT_WORKLOADS
        base += self.scenario.get("workloads", [])
        for node in self.fleet.kubernetes_nodes():
            base += [{"kind": "Pod", "node": node["name"], **one} for one in node.get("pods") or []]
        result = []
        for given in base:
            workload: Object = {"kind": "Deployment", "namespace": "default", "replicas": 1, **given}
            workload["image"] = str(workload.get("image", "docker.io/library/busybox:1")).replace(
                "{version}", self.version
            )
            if isinstance(network, Mapping) and network.get("version") and workload["name"] in (name, f"kube-{name}"):
                workload["image"] = f"{workload['image'].rpartition(':')[0]}:{network['version']}"
            workload["labels"] = {"app": workload["name"], **given.get("labels", {})}
            workload["hash"] = hashlib.sha256(f"{workload['namespace']}/{workload['name']}".encode()).hexdigest()[:10]
            result.append(workload)
        return result

    def _make_fixed_objects(self) -> None:
        spaces = {"default", "kube-system", "kube-public", "kube-node-lease"}
        for namespace in sorted(spaces | {str(workload["namespace"]) for workload in self._workloads}):
            self._fixed("namespaces", "v1", "Namespace", "", namespace, {}, {"phase": "Active"})
        for workload in self._workloads:
            self._make_controller(workload)
        for driver in self.scenario.get("csi", []):
            given = driver if isinstance(driver, Mapping) else {"name": driver}
            spec: Object = {
                "attachRequired": True,
                "podInfoOnMount": False,
                "seLinuxMount": bool(given.get("selinux_mount")),
            }
            self._fixed("csidrivers", "storage.k8s.io/v1", "CSIDriver", "", str(given["name"]), spec)
        for volume in self._local_volumes():
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
            self._fixed("persistentvolumes", "v1", "PersistentVolume", "", volume["name"], spec, {"phase": "Bound"})
            claim = {"volumeName": volume["name"], "storageClassName": "local", "accessModes": ["ReadWriteOnce"]}
            space = str(volume.get("namespace", "default"))
            self._fixed(
                "persistentvolumeclaims",
                "v1",
                "PersistentVolumeClaim",
                space,
                volume["name"],
                claim,
                {"phase": "Bound"},
            )
        defaults = _DEFAULT_BUDGETS if self.scenario.get("defaults", True) else []
        for budget in [*defaults, *self.scenario.get("pdbs", [])]:
            selector = {"matchLabels": dict(budget["selector"])}
            spec = {"selector": selector}
            for key, name in (("min_available", "minAvailable"), ("max_unavailable", "maxUnavailable")):
                if key in budget:
                    spec[name] = budget[key]
            space = str(budget.get("namespace", "default"))
            self._fixed("poddisruptionbudgets", "policy/v1", "PodDisruptionBudget", space, str(budget["name"]), spec)

    def _make_controller(self, workload: Object) -> None:
        kind, namespace, name = workload["kind"], workload["namespace"], workload["name"]
        if kind == "Pod":
            return
        selector = {"matchLabels": dict(workload["labels"])}
        template: Object = {"metadata": {"labels": dict(workload["labels"])}}
        template["spec"] = {"containers": [{"name": name, "image": workload["image"]}]}
        spec: Object = {"selector": selector, "template": template}
        if kind != "DaemonSet":
            spec["replicas"] = int(workload["replicas"])
        top = self._fixed(f"{kind.lower()}s", "apps/v1", kind, namespace, name, spec)
        owner = top
        if kind == "Deployment":
            owner = self._fixed("replicasets", "apps/v1", "ReplicaSet", namespace, f"{name}-{workload['hash']}", spec)
            owner["metadata"]["ownerReferences"] = [_reference(top)]
        workload["owner"] = _reference(owner)

    def _fixed(
        self,
        resource: str,
        api_version: str,
        kind: str,
        namespace: str,
        name: str,
        spec: Object,
        status: Object | None = None,
    ) -> Object:
        metadata = {
            "name": name,
            "uid": self._uid(),
            "resourceVersion": self._next_revision(),
            "creationTimestamp": _text(self._started),
            "labels": {},
            "annotations": {},
        }
        if namespace:
            metadata["namespace"] = namespace
        item = {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec, "status": status or {}}
        self._store(resource)[namespace, name] = item
        return item

    def _with_status(self, resource: str, item: Object) -> Object:
        workload = next(
            (
                one
                for one in self._workloads
                if one["namespace"] == item["metadata"]["namespace"]
                and item["metadata"]["name"] in (one["name"], f"{one['name']}-{one['hash']}")
            ),
            None,
        )
        ready = len([pod for pod in self._owned(workload) if _is_ready(pod)]) if workload else 0
        if resource == "daemonsets":
            wanted = len(self._nodes())
            counts = {
                "desiredNumberScheduled": wanted,
                "currentNumberScheduled": ready,
                "numberReady": ready,
                "numberAvailable": ready,
                "numberMisscheduled": 0,
                "updatedNumberScheduled": ready,
            }
        else:
            wanted = int(item["spec"].get("replicas", 0))
            counts = {"replicas": wanted, "readyReplicas": ready, "availableReplicas": ready}
            counts |= {"updatedReplicas": wanted, "unavailableReplicas": wanted - ready}
        return {**item, "status": {"observedGeneration": 1, **counts}}

    def _budgets(self) -> list[Object]:
        """The budgets there are, and those that the fault ``drain_blocked`` adds."""
        result = list(self._store("poddisruptionbudgets").values())
        seen: set[Key] = set()
        for pod in self._store("pods").values():
            node = pod["metadata"]["labels"].get(BLOCKED_LABEL)
            space = pod["metadata"]["namespace"]
            if node is None or (space, node) in seen:
                continue
            seen.add((space, node))
            metadata = {"name": f"blocks-{node}", "namespace": space, "uid": str(uuid.uuid5(self._uids, node))}
            spec = {"maxUnavailable": 0, "selector": {"matchLabels": {BLOCKED_LABEL: node}}}
            budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}
            result.append(budget)
        return result

    def _budget(self, budget: Object) -> Object:
        selected = [
            pod
            for pod in self._store("pods").values()
            if pod["metadata"]["namespace"] == budget["metadata"]["namespace"]
            and _selects(budget["spec"]["selector"], pod)
        ]
        expected, healthy = len(selected), len([pod for pod in selected if _is_ready(pod)])
        if "minAvailable" in budget["spec"]:
            desired = _share(budget["spec"]["minAvailable"], expected)
        else:
            desired = max(0, expected - _share(budget["spec"].get("maxUnavailable", 1), expected))
        status = {
            "observedGeneration": 1,
            "expectedPods": expected,
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "disruptionsAllowed": max(0, healthy - desired),
        }
        return {**budget, "status": status}

    # --- small things ----------------------------------------------------------------------------

    def _store(self, resource: str) -> dict[Key, Object]:
        return self._objects.setdefault(resource, {})

    def _owned(self, workload: Object | None) -> list[Object]:
        if workload is None or "owner" not in workload:
            return []
        return [pod for pod in self._store("pods").values() if _controller(pod) == workload["owner"]["uid"]]

    def _local_volumes(self) -> list[Object]:
        return list(self.scenario.get("local_volumes", []))

    def _node_uid(self, name: str) -> str:
        return str(uuid.uuid5(self._uids, f"node/{name}"))

    def _uid(self) -> str:
        self._serial += 1
        return str(uuid.uuid5(self._uids, f"object/{self._serial}"))

    def _suffix(self, length: int) -> str:
        self._serial += 1
        number = int(hashlib.sha256(str(self._serial).encode()).hexdigest(), 16)
        letters = ""
        for _unused in range(length):
            number, index = divmod(number, len(_LETTERS))
            letters += _LETTERS[index]
        return letters

    def _next_revision(self) -> str:
        self._revision += 1
        return str(self._revision)

    @property
    def revision(self) -> str:
        """The resourceVersion of the whole cluster."""
        return str(self._revision)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def _text(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _key(item: Object) -> Key:
    return str(item["metadata"].get("namespace", "")), str(item["metadata"]["name"])


def _reference(owner: Object) -> Object:
    names = {key: owner[key] for key in ("apiVersion", "kind")}
    metadata = owner["metadata"]
    return {**names, "name": metadata["name"], "uid": metadata["uid"], "controller": True, "blockOwnerDeletion": True}


def _controller(pod: Object) -> str | None:
    owners: Iterable[Object] = pod["metadata"].get("ownerReferences", [])
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), None)


def _is_ready(pod: Object) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


def _selects(selector: Object, item: Object) -> bool:
    wanted = selector.get("matchLabels", {})
    labels = item["metadata"].get("labels", {})
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def _share(value: Any, total: int) -> int:
    if isinstance(value, str) and value.endswith("%"):
        return math.ceil(total * int(value[:-1]) / 100)
    return int(value)


def _difference(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str | None]:
    changed: dict[str, str | None] = {key: value for key, value in after.items() if before.get(key) != value}
    return changed | dict.fromkeys(set(before) - set(after))


def _overlaid(base: Mapping[str, str], changes: Mapping[str, str | None] | None) -> dict[str, str]:
    merged = {**base, **(changes or {})}
    return {key: value for key, value in merged.items() if value is not None}
