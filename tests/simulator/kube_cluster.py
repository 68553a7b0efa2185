# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the simulated Kubernetes holds: nodes as the fleet reports them, and workloads that controllers keep alive.

There is no background task: controllers and scheduler run in `Cluster.sync`, which the API calls before
every answer. That keeps a fleet of many nodes free of charge while nobody asks, and its answers repeatable.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from . import kube_pods
from .containers import Behaviour, Finished
from .kube_budgets import BLOCKED_LABEL, blocking, check_eviction, with_status
from .kube_jobs import Jobs
from .kube_nodes import NodeObjects, Nodes
from .kube_objects import (
    CONTROL_PLANE,
    Key,
    Object,
    controller_of,
    is_ready,
    key_of,
    now,
    stamp,
)
from .kube_workloads import make_fixed_objects, read_workloads

_MIRROR = "kubernetes.io/config.mirror"
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


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
        self._started = now()
        self._objects: dict[str, dict[Key, Object]] = {}
        self._nodes = NodeObjects(fleet, self.version, self._uids, self._next_revision)
        self._addresses: dict[str, str] = {}
        #: Namespaces that do not go though they are deleted, as a finalizer would have it.
        self.held_namespaces: set[str] = set()
        self.behaviours: dict[str, Behaviour] = {}
        self.jobs = Jobs(self._store("jobs"), self._store("pods"), self._run_container, self._metadata)
        self._workloads = read_workloads(self.scenario, self.fleet.kubernetes_nodes(), self.version)
        make_fixed_objects(self.scenario, self._workloads, self._fixed)

    # --- reading ---------------------------------------------------------------------------------

    def all(self, resource: str) -> list[Object]:
        """All objects of a resource (``pods``, ``nodes``, ...), as the API shows them now."""
        self.sync()
        if resource == "nodes":
            return [self._nodes.object_of(node) for node in self._nodes.listed()]
        if resource == "poddisruptionbudgets":
            pods = list(self._store("pods").values())
            return [with_status(budget, pods) for budget in self._budgets()]
        if resource in ("deployments", "statefulsets", "replicasets", "daemonsets"):
            return [self._with_status(resource, item) for item in self._store(resource).values()]
        return list(self._store(resource).values())

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        """One object, or None."""
        if resource == "nodes":
            self.sync()
            return next((self._nodes.object_of(node) for node in self._nodes.listed() if node["name"] == name), None)
        return next((item for item in self.all(resource) if key_of(item) == (namespace, name)), None)

    # --- writing ---------------------------------------------------------------------------------

    def replace(self, resource: str, item: Object) -> Object:
        """Store a changed object and return what is then there."""
        namespace, name = key_of(item)
        if resource != "nodes":
            item["metadata"]["resourceVersion"] = self._next_revision()
            self._store(resource)[namespace, name] = item
            return item
        self._nodes.write(item)
        result = self.get("nodes", "", name)
        assert result is not None
        return result

    def create(self, resource: str, item: Object) -> Object:
        """Add an object."""
        item["metadata"].setdefault("uid", self._uid())
        item["metadata"].setdefault("creationTimestamp", stamp(now()))
        if resource == "namespaces":
            item["status"] = {"phase": "Active"}
        if resource == "jobs":
            item["status"] = {}
        return self.replace(resource, item)

    def delete(self, resource: str, namespace: str, name: str) -> None:
        """Remove an object; controllers replace pods at the next look, a Node returns when its machine joins again."""
        if resource == "nodes":
            self._nodes.delete(name)
        elif resource == "namespaces":
            self._end_namespace(name)
        else:
            self._store(resource).pop((namespace, name), None)
        self._next_revision()
        self.sync()

    def _end_namespace(self, name: str) -> None:
        """What it holds goes first, and then, at a later look, it itself."""
        space = self._store("namespaces")["", name]
        space["metadata"].setdefault("deletionTimestamp", stamp(now()))
        space["status"] = {"phase": "Terminating"}

    def evict(self, namespace: str, name: str) -> None:
        """Delete a pod if every disruption budget allows it.

        Raises:
            KeyError: no such pod.
            Blocked: a budget does not allow it.
        """
        self.sync()
        pod = self._store("pods")[namespace, name]
        check_eviction(pod, self._budgets(), list(self._store("pods").values()))
        self.delete("pods", namespace, name)

    # --- controllers and scheduler ---------------------------------------------------------------

    def sync(self) -> None:
        """Run every controller once: nodes that left or came back, missing pods, pods that wait for a node."""
        nodes = self._nodes.listed()
        ready = {node["name"]: node for node in nodes if node["ready"]}
        # Asking the fleet once per look keeps a fleet of a thousand nodes affordable.
        self._addresses = {node["name"]: str(node["address"]) for node in nodes}
        pods = self._store("pods")
        for key, pod in list(pods.items()):
            where = pod["spec"].get("nodeName")
            if where is not None and where not in ready:
                del pods[key]
        for name, node in ready.items():
            if self._nodes.booted_again(node):
                self._restart_containers(name)
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
        self.jobs.step(set(ready))
        self._end_namespaces()
        for pod in pods.values():
            if "nodeName" not in pod["spec"]:
                self._place(pod, list(ready.values()))
            self._label_blocked(pod)

    def _end_namespaces(self) -> None:
        for (_unused, name), space in list(self._store("namespaces").items()):
            if space["metadata"].get("deletionTimestamp") is None or name in self.held_namespaces:
                continue
            held = [(kept, key) for kept in self._objects.values() for key in kept if key[0] == name]
            for kept, key in held:
                del kept[key]
            if not held:
                del self._store("namespaces")["", name]

    def _run_container(self, node: str, container: Object) -> Finished:
        return self.fleet.run_container(node, container, self.behaviours.get(node, Behaviour()))

    def _metadata(self, namespace: str, name: str) -> Object:
        return {
            "name": name,
            "namespace": namespace,
            "uid": self._uid(),
            "resourceVersion": self._next_revision(),
            "creationTimestamp": stamp(now()),
            "annotations": {},
        }

    def _restart_containers(self, name: str) -> None:
        for pod in self._store("pods").values():
            if pod["spec"].get("nodeName") == name and pod["status"].get("containerStatuses"):
                status = pod["status"]["containerStatuses"][0]
                status["restartCount"] += 1
                status["state"] = {"running": {"startedAt": stamp(now())}}

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
            owner = {"apiVersion": "v1", "kind": "Node", "name": node["name"], "uid": self._nodes.uid(node["name"])}
            pod["metadata"]["ownerReferences"] = [{**owner, "controller": True}]

    def _place(self, pod: Object, ready: Sequence[Mapping[str, Any]]) -> None:
        open_nodes = [node for node in ready if not node["unschedulable"] and not self._nodes.taints(node["name"])]
        wanted = pod["metadata"]["annotations"].get(kube_pods.ONLY_ON)
        if wanted is not None:
            open_nodes = [node for node in open_nodes if node["name"] == wanted]
        workers = [node for node in open_nodes if node["role"] != "controlplane"]
        tolerated = any(toleration.get("key") == CONTROL_PLANE for toleration in pod["spec"].get("tolerations", []))
        # Talos leaves control planes schedulable only when told so; a cluster without workers is told so.
        if not tolerated and self._nodes.dedicated:
            open_nodes = workers
        if not open_nodes:
            return
        load: dict[str, int] = {node["name"]: 0 for node in open_nodes}
        for other in self._store("pods").values():
            if other["spec"].get("nodeName") in load:
                same = controller_of(other) == controller_of(pod)
                load[other["spec"]["nodeName"]] += 100 if same else 1
        self._bind(pod, min(load, key=lambda name: (load[name], name)))

    def _bind(self, pod: Object, node: str) -> None:
        started = stamp(max(self._started, now()) if self._nodes.was_ready(node) else self._started)
        kube_pods.run(pod, node, host_ip=self._addresses.get(node, ""), started=started)

    def _add_pod(self, workload: Object, name: str, node: str | None) -> Object:
        metadata = self._metadata(workload["namespace"], name)
        pod = kube_pods.pending(workload, metadata, self.scenario.get("local_volumes", []))
        self._store("pods")[workload["namespace"], name] = pod
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
            "creationTimestamp": stamp(self._started),
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
        ready = len([pod for pod in self._owned(workload) if is_ready(pod)]) if workload else 0
        if resource == "daemonsets":
            wanted = len(self._nodes.listed())
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
        added = blocking(self._store("pods").values(), lambda node: str(uuid.uuid5(self._uids, node)))
        return [*self._store("poddisruptionbudgets").values(), *added]

    # --- small things ----------------------------------------------------------------------------

    def _store(self, resource: str) -> dict[Key, Object]:
        return self._objects.setdefault(resource, {})

    def _owned(self, workload: Object | None) -> list[Object]:
        if workload is None or "owner" not in workload:
            return []
        return [pod for pod in self._store("pods").values() if controller_of(pod) == workload["owner"]["uid"]]

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
