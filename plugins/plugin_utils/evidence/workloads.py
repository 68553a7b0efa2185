# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network plugins, add-ons and restarts, as the pods of a node and the DaemonSets of its cluster show them."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..nested import value_at
from ..yaml_loader import load_yaml

_VERSION = re.compile(r":v?(\d[^/]*)\Z")
_WORKLOADS = Path(__file__).parent / "data" / "workloads.yml"
#: Controllers whose pods stay on a node for long, so that one started before the boot tells nothing about this boot.
_RESIDENT = ("DaemonSet", "StatefulSet")
#: Where the kubelet looks for network plugins and their configuration; whatever mounts these makes itself one.
_CNI_PLACES = ("/etc/cni", "/opt/cni")

Object = Mapping[str, Any]
Finding = dict[str, str | None]


def network_plugins(pods: Sequence[Object]) -> list[Finding]:
    """The network plugins that run on a node: ``[{name, version, source}]``.

    Args:
        pods: the pods on the node; a plugin that the cluster knows but does not run here does not count.

    Returns:
        A pod in the host's network that mounts the directories of the CNI is one, whatever its image is called. One
        that is not recognised has the name ``unknown: NAMESPACE/OWNER``, which no compatibility table rates.
    """
    found: dict[str, Finding] = {}
    for pod in pods:
        if not _installs_cni(pod):
            continue
        known = list(_recognised("cni", pod))
        for name, version in known or [(f"unknown: {_owner(pod)}", None)]:
            found.setdefault(name, {"name": name, "version": version, "source": _source(pod)})
    return [found[name] for name in sorted(found)]


def addons(objects: Sequence[Object]) -> list[Finding]:
    """The add-ons of the compatibility table among workloads, those of the whole cluster included.

    Args:
        objects: DaemonSets of the cluster and pods of the node: what may be scheduled here tomorrow counts too.
    """
    found: dict[str, Finding] = {}
    for item in objects:
        for name, version in _recognised("addon", item):
            found.setdefault(name, {"name": name, "version": version, "source": _source(item)})
    return [found[name] for name in sorted(found)]


def inline_drivers(pods: Sequence[Object]) -> dict[str, str]:
    """The storage drivers of volumes that pods bring themselves, and what shows each."""
    volumes = (volume for pod in pods for volume in value_at(pod, "spec", "volumes") or [])
    return {str(name): "Pod" for volume in volumes if (name := value_at(volume, "csi", "driver"))}


def with_manifests(
    cni: Sequence[Mapping[str, str | None]] | None, applied: Sequence[str] | None
) -> list[dict[str, str | None]] | None:
    """The network plugins of the evidence, with what Talos says about those that it applied itself.

    Args:
        cni: what was found in Kubernetes, ``[{name, version, source}]``; None when that is not known.
        applied: ``manifestsApplied`` of the resource ManifestStatus (Talos ``pkg/machinery/resources/k8s``); None for a
            worker, which has none.

    Returns:
        The same list, in which a plugin that Talos applied names both sources. A manifest alone adds nothing: what it
        brought may be gone by now, and a plugin that nobody recognised in its place.
    """
    if cni is None:
        return None
    brought = {entry["name"]: entry["manifest"] for entry in known_workloads() if entry.get("manifest")}
    return [
        {**item, "source": f"{item['source']}, Talos manifest {brought[item['name']]}"}
        if brought.get(item["name"]) in (applied or ())
        else dict(item)
        for item in cni
    ]


def restarts(pods: Sequence[Object], booted_at: str | None) -> dict[str, Any] | None:
    """Whether every resident pod of a node started after its boot: ``{checked, stale: [namespace/name]}``.

    Args:
        pods: the pods on the node.
        booted_at: when it booted (ISO 8601); None gives None.
    """
    if booted_at is None:
        return None
    boot = _moment(booted_at)
    resident = [pod for pod in pods if _owner_kind(pod) in _RESIDENT]
    stale = []
    for pod in resident:
        starts = [
            value_at(status, "state", "running", "startedAt")
            for status in value_at(pod, "status", "containerStatuses") or [{}]
        ]
        if any(start is None or _moment(start) < boot for start in starts):
            stale.append(f"{value_at(pod, 'metadata', 'namespace')}/{value_at(pod, 'metadata', 'name')}")
    return {"checked": len(resident), "stale": sorted(stale)}


def host_paths(pod: Object) -> dict[str, str]:
    """The paths of the host that a pod mounts, by the name of the volume."""
    return {
        str(volume.get("name")): str(path)
        for volume in value_at(pod, "spec", "volumes") or []
        if (path := value_at(volume, "hostPath", "path"))
    }


def containers_of(item: Object) -> list[Object]:
    """All containers of a pod, or of a workload's template."""
    spec = value_at(item, "spec", "template", "spec") or item.get("spec") or {}
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


def _installs_cni(pod: Object) -> bool:
    paths = host_paths(pod).values()
    return value_at(pod, "spec", "hostNetwork") is True and any(
        path == place or path.startswith(f"{place}/") for path in paths for place in _CNI_PLACES
    )


def _recognised(kind: str, item: Object) -> Iterator[tuple[str, str | None]]:
    """Name and version of what the images of a workload are known for."""
    for container in containers_of(item):
        image = str(container.get("image", ""))
        for entry in known_workloads():
            if entry["kind"] == kind and entry["image"].search(image):
                # A digest, and the port of a registry, stand behind a colon too.
                version = _VERSION.search(image.partition("@")[0])
                yield entry["name"], version.group(1) if version else None


def _source(item: Object) -> str:
    """The workload as a person names it: its controller, where a pod has one."""
    owner = (value_at(item, "metadata", "ownerReferences") or [{}])[0]
    if owner.get("kind") in _RESIDENT:
        return f"{owner['kind']} {_owner(item)}"
    # Items of a list carry no kind of their own.
    kind = item.get("kind") or ("DaemonSet" if value_at(item, "spec", "template") else "Pod")
    return f"{kind} {value_at(item, 'metadata', 'namespace')}/{value_at(item, 'metadata', 'name')}"


def _owner(pod: Object) -> str:
    owner = (value_at(pod, "metadata", "ownerReferences") or [{}])[0]
    name = owner.get("name") or value_at(pod, "metadata", "name")
    return f"{value_at(pod, 'metadata', 'namespace')}/{name}"


def _owner_kind(pod: Object) -> str | None:
    owners = value_at(pod, "metadata", "ownerReferences") or []
    return owners[0].get("kind") if owners else None


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))


@functools.cache
def known_workloads() -> tuple[dict[str, Any], ...]:
    """What is known by its image: its ``kind``, its ``name``, and the pattern of its ``image``."""
    entries = load_yaml(_WORKLOADS.read_bytes())["workloads"]
    return tuple({**entry, "image": re.compile(entry["image"])} for entry in entries)
