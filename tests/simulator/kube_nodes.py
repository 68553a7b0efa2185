# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Node objects of the simulated cluster: what machines report, and what was written to them through Kubernetes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .containers import Behaviour, Finished
from .kube_objects import CONTROL_PLANE, UNSCHEDULABLE, Object, changes_between, node_object, now


class Nodes(Protocol):
    """The part of a fleet that Kubernetes needs."""

    def kubernetes_nodes(self) -> list[dict[str, Any]]:
        """One dict per registered node: name, role, zone, ready, unschedulable, boot_id, machine_id, address.

        Optional keys: ``talos`` (version), ``system_uuid``, ``labels``, and ``pods``: workloads (as in the scenario,
        of kind Pod when not said otherwise) that run on this node only.
        """

    def set_unschedulable(self, name: str, value: bool) -> None:
        """Cordon or uncordon a node."""

    def run_container(self, name: str, container: Mapping[str, Any], behaviour: Behaviour) -> Finished:
        """Run a container on a node to its end."""


class NodeObjects:
    """The Node object of each machine that joined.

    Args:
        fleet: where nodes come from.
        kubelet: the version of the kubelets.
        uids: what the uids of this cluster are made from.
        next_revision: gives the next resourceVersion.
    """

    def __init__(self, fleet: Nodes, kubelet: str, uids: uuid.UUID, next_revision: Callable[[], str]) -> None:
        self._fleet = fleet
        self._kubelet = kubelet
        self._uids = uids
        self._next_revision = next_revision
        self._started = now()
        #: Whether the cluster has workers, so that control planes are not for everybody's pods.
        self.dedicated = False
        self._versions: dict[str, tuple[str, str]] = {}
        self._boots: dict[str, tuple[str, str]] = {}
        # It outlives a reinstall of the machine.
        self._writes: dict[str, Object] = {}
        self._deleted: dict[str, str] = {}

    def listed(self) -> list[dict[str, Any]]:
        """The fleet's nodes that have a Node object, in order of name."""
        result = []
        for node in sorted(self._fleet.kubernetes_nodes(), key=lambda one: str(one["name"])):
            boot_at_deletion = self._deleted.get(node["name"])
            if boot_at_deletion is not None:
                # A kubelet registers its node when it starts, so a deleted one returns with the next boot.
                if not node["ready"] or boot_at_deletion == str(node["boot_id"]):
                    continue
                del self._deleted[node["name"]]
            result.append(node)
        self.dedicated = any(node["role"] != "controlplane" for node in result)
        return result

    def object_of(self, node: Mapping[str, Any], *, own: bool = False) -> Object:
        """A Node object; ``own`` leaves out what was written to it through Kubernetes."""
        name = str(node["name"])
        written: Object = {} if own else self._writes.get(name, {})
        return node_object(
            node,
            uid=self.uid(name),
            version="0" if own else self._version(node, written),
            kubelet=self._kubelet,
            started=self._started,
            dedicated=self.dedicated,
            written=written,
        )

    def _version(self, node: Mapping[str, Any], written: Object) -> str:
        """A new version whenever a Node object says something new; heartbeats go to leases and do not count."""
        name, content = str(node["name"]), repr((sorted(node.items()), written))
        if self._versions.get(name, ("", ""))[0] != content:
            self._versions[name] = (content, self._next_revision())
        return self._versions[name][1]

    def write(self, item: Object) -> None:
        """Take over what a changed Node object says beside what its machine reports."""
        name = item["metadata"]["name"]
        self._fleet.set_unschedulable(name, bool(item["spec"].get("unschedulable", False)))
        before = self.object_of(next(node for node in self.listed() if node["name"] == name), own=True)["metadata"]
        self._writes[name] = {
            "labels": changes_between(before["labels"], item["metadata"].get("labels") or {}),
            "annotations": changes_between(before["annotations"], item["metadata"].get("annotations") or {}),
            "taints": [taint for taint in item["spec"].get("taints", []) if taint["key"] != UNSCHEDULABLE],
        }
        self._next_revision()

    def delete(self, name: str) -> None:
        """Remove a Node object; it returns when its machine joins again."""
        self._deleted[name] = self._boots.get(name, ("", ""))[1]
        self._writes.pop(name, None)

    def booted_again(self, node: Mapping[str, Any]) -> bool:
        """Whether a ready machine booted since it was ready last."""
        name, present = str(node["name"]), (str(node["machine_id"]), str(node["boot_id"]))
        seen, self._boots[name] = self._boots.get(name), present
        return seen is not None and seen != present

    def was_ready(self, name: str) -> bool:
        """Whether a machine of that name was ever ready."""
        return name in self._boots

    def uid(self, name: str) -> str:
        """The uid of a Node object."""
        return str(uuid.uuid5(self._uids, f"node/{name}"))

    def taints(self, name: str) -> list[Object]:
        """Taints written through Kubernetes that keep pods away."""
        taints = self._writes.get(name, {}).get("taints", [])
        return [taint for taint in taints if taint["key"] != CONTROL_PLANE and taint["effect"] != "PreferNoSchedule"]
