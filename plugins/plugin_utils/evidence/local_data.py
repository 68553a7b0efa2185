# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Data on a node's own disks that a wipe of the system disk destroys, as Kubernetes knows of it.

What cannot be told is listed too, with the reason: a person reads the list and approves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .workloads import Object, containers_of, host_paths, value_at

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


def local_data(nodename: str, nodes: Sequence[Object], pods: Sequence[Object], volumes: Sequence[Object]) -> list[str]:
    """What lives on this node's disks, one line each, sorted.

    Args:
        nodename: the node's name in Kubernetes.
        nodes: all Node objects, whose labels decide what a volume's affinity selects.
        pods: the pods on the node.
        volumes: all PersistentVolumes.
    """
    claims = {
        (value_at(pod, "metadata", "namespace"), claim)
        for pod in pods
        for volume in value_at(pod, "spec", "volumes") or []
        if (claim := value_at(volume, "persistentVolumeClaim", "claimName"))
    }
    found = [entry for volume in volumes if (entry := _volume(nodename, nodes, claims, volume))]
    found += [entry for pod in pods for entry in _directories(pod)]
    return sorted(set(found))


def _volume(nodename: str, nodes: Sequence[Object], claims: set[tuple[Any, Any]], volume: Object) -> str | None:
    """A line for a PersistentVolume that is on this node's disks or may be; None for one that is elsewhere."""
    spec = volume.get("spec") or {}
    name = f"PersistentVolume {value_at(volume, 'metadata', 'name')}"
    on_a_node = "local" in spec or "hostPath" in spec
    required = value_at(spec, "nodeAffinity", "required")
    if required is None:
        if not on_a_node:
            # Storage that every node reaches.
            return None
        claim = (value_at(spec, "claimRef", "namespace"), value_at(spec, "claimRef", "name"))
        return name if claim in claims else f"{name} (which node holds it is not known)"
    selected = {node_name: _selects(required, node) for node in nodes if (node_name := _name(node))}
    here, others = selected.get(nodename), [value for key, value in selected.items() if key != nodename]
    if here is None or not any(value is not False for value in selected.values()):
        return f"{name} (which node holds it is not known)"
    # A volume that several nodes may use is in a zone, not on a disk, unless its kind says that it is on one.
    return name if here and (on_a_node or not any(value is not False for value in others)) else None


def _selects(required: Any, node: Object) -> bool | None:
    """Whether node selector terms select a node; None when a term is not understood (Kubernetes: any term suffices)."""
    answers = [_fits(term, node) for term in value_at(required, "nodeSelectorTerms") or []]
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
    name = f"{value_at(pod, 'metadata', 'namespace')}/{value_at(pod, 'metadata', 'name')}"
    return [
        f"{path} of the host, written by pod {name}"
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
