# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Data on a node's own disks that a wipe of the system disk destroys, as Kubernetes knows of it.

What cannot be told is listed too, with the reason: a person reads the list and approves it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..nested import value_at
from .workloads import Object, containers_of, host_paths

#: Directories of the host that outlive a reboot of Talos (EPHEMERAL and the overlays kept on it).
_LASTING = ("/var", "/opt")
#: What is in these is made anew by Talos, the kubelet, containerd and network plugins, or is the business of others
#: (etcd has its own checks; logs are lost by every reinstall).
_MADE_ANEW = (
    "/opt/cni",
    "/var/lib/calico",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/log",
    "/var/run",
)


class LocalData:
    """What lives on the disks of a cluster's nodes, from one reading of it.

    Where each volume may be is found once for the whole cluster: looking at every node for every volume again for each
    node would grow with the third power of the fleet.

    Args:
        nodes: all Node objects, whose labels decide what a volume's affinity selects.
        volumes: all PersistentVolumes.
    """

    def __init__(self, nodes: Sequence[Object], volumes: Sequence[Object]) -> None:
        self._selection = _Selection(nodes)
        #: Lines of the volumes on each node's disks, or perhaps on them.
        self._lines: dict[str, list[str]] = {}
        #: Names of volumes that may be on any node, with the claim whose pod tells which; None where none could.
        self._anywhere: list[tuple[str, tuple[Any, Any] | None]] = []
        for volume in volumes:
            self._place(volume)

    def of(self, nodename: str, pods: Sequence[Object]) -> list[str]:
        """What lives on one node's disks, one line each, sorted.

        Args:
            nodename: the node's name in Kubernetes, one of ``nodes``.
            pods: the pods on the node.

        Raises:
            ValueError: it is none of ``nodes``.
        """
        if nodename not in self._selection.nodes:
            raise ValueError(f"{nodename} is none of the nodes that were read")
        claims = {
            (value_at(pod, "metadata", "namespace"), claim)
            for pod in pods
            for volume in value_at(pod, "spec", "volumes") or []
            if (claim := value_at(volume, "persistentVolumeClaim", "claimName"))
        }
        found = {name if claim in claims else _doubtful(name) for name, claim in self._anywhere}
        found.update(self._lines.get(nodename, ()))
        found.update(line for pod in pods for line in _directories(pod))
        return sorted(found)

    def _place(self, volume: Object) -> None:
        """Add a line for a volume to each node whose disks hold it, or may hold it."""
        spec = volume.get("spec") or {}
        name = f"PersistentVolume {value_at(volume, 'metadata', 'name')}"
        on_a_node = "local" in spec or "hostPath" in spec
        required = value_at(spec, "nodeAffinity", "required")
        if required is None:
            # Storage that every node reaches has no affinity either.
            if on_a_node:
                claim = (value_at(spec, "claimRef", "namespace"), value_at(spec, "claimRef", "name"))
                self._anywhere.append((name, claim))
            return
        selected = self._selection.of(required)
        if not selected:
            self._anywhere.append((name, None))
        for nodename, answer in selected.items():
            if answer is None:
                self._lines.setdefault(nodename, []).append(_doubtful(name))
            elif on_a_node or len(selected) == 1:
                # A volume that several nodes may use is in a zone, not on a disk, unless its kind says otherwise.
                self._lines.setdefault(nodename, []).append(name)


def _doubtful(name: str) -> str:
    return f"{name} (which node holds it is not known)"


class _Selection:
    """Which nodes the terms of a node selector select."""

    def __init__(self, nodes: Sequence[Object]) -> None:
        self.nodes = {_name(node): node for node in nodes}
        self._labelled: dict[tuple[str, Any], list[str]] = {}
        for nodename, node in self.nodes.items():
            for key, value in (value_at(node, "metadata", "labels") or {}).items():
                if isinstance(value, str):
                    self._labelled.setdefault((key, value), []).append(nodename)

    def of(self, required: Any) -> dict[str, bool | None]:
        """True or None (not understood) for each node that is selected or may be."""
        terms = value_at(required, "nodeSelectorTerms") or []
        candidates = {nodename: None for term in terms for nodename in self._candidates(term)}
        if not terms:
            candidates = dict.fromkeys(self.nodes)
        answers = {nodename: _selects(terms, self.nodes[nodename]) for nodename in candidates}
        return {nodename: answer for nodename, answer in answers.items() if answer is not False}

    def _candidates(self, term: Any) -> Iterable[str]:
        """The nodes that a term may select: by a rule that names values of a label, or of names; else all."""
        for rule in value_at(term, "matchFields") or []:
            if _names_values(rule):
                return [name for name in rule["values"] if name in self.nodes]
        for rule in value_at(term, "matchExpressions") or []:
            if _names_values(rule):
                return [name for value in rule["values"] for name in self._labelled.get((rule.get("key"), value), ())]
        return self.nodes


def _names_values(rule: Any) -> bool:
    values = value_at(rule, "values")
    named = isinstance(values, list) and all(isinstance(value, str) for value in values)
    return named and value_at(rule, "operator") == "In"


def _selects(terms: Any, node: Object) -> bool | None:
    """Whether node selector terms select a node; None when a term is not understood (Kubernetes: any term suffices)."""
    answers = [_fits(term, node) for term in terms]
    if True in answers:
        return True
    return None if None in answers or not answers else False


def _fits(term: Any, node: Object) -> bool | None:
    labels = value_at(node, "metadata", "labels") or {}
    expressions = [(rule, labels) for rule in value_at(term, "matchExpressions") or []]
    expressions += [(rule, {"metadata.name": _name(node)}) for rule in value_at(term, "matchFields") or []]
    answers = [_holds(rule, values) for rule, values in expressions]
    if False in answers:
        return False
    return None if None in answers or not answers else True


def _holds(rule: Any, labels: Mapping[str, Any]) -> bool | None:
    key, operator, values = value_at(rule, "key"), value_at(rule, "operator"), value_at(rule, "values") or []
    value = labels.get(key)
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    return None


def _directories(pod: Object) -> list[str]:
    """Lines for the lasting directories of the host into which a pod may write."""
    writable = {
        mount.get("name")
        for container in containers_of(pod)
        for mount in container.get("volumeMounts") or []
        if mount.get("readOnly") is not True
    }
    mounted = {mount.get("name") for one in containers_of(pod) for mount in one.get("volumeMounts") or []}
    # A pod that is made anew has another name, and the data that a person approved is still the same.
    namespace = value_at(pod, "metadata", "namespace")
    return [
        f"{path} of the host, written by pods of {namespace}"
        for volume, path in host_paths(pod).items()
        # A volume of which no mount is known may be written to.
        if (volume in writable or volume not in mounted) and _lasts(path)
    ]


def _lasts(path: str) -> bool:
    clean = "/" + "/".join(part for part in path.split("/") if part not in ("", "."))
    if ".." in clean.split("/"):
        return True
    if any(clean == place or clean.startswith(f"{place}/") for place in _MADE_ANEW):
        return False
    # The parents of a lasting directory hold it.
    return clean == "/" or any(clean == place or clean.startswith(f"{place}/") for place in _LASTING)


def _name(node: Object) -> str:
    return str(value_at(node, "metadata", "name"))
