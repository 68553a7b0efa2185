# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the Kubernetes API knows of the nodes: network and storage plugins, restarts, and data that a wipe destroys."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..problem import Problem, missing_library

_IMPORT_ERROR: ImportError | None = None
try:
    import kubernetes
except ImportError as error:
    kubernetes = None
    _IMPORT_ERROR = error

_WORKLOADS = Path(__file__).parent / "data" / "workloads.yml"
#: Controllers whose pods stay on a node for long, so that one started before the boot tells nothing about this boot.
_RESIDENT = ("DaemonSet", "StatefulSet")


class ClusterProblem(Problem):
    """The Kubernetes API could not be read."""

    kind = "kubernetes"


@dataclasses.dataclass(frozen=True)
class Cluster:
    """One reading of the Kubernetes API, as the plain dictionaries the API sends."""

    daemonsets: Sequence[Mapping[str, Any]]
    csidrivers: Sequence[Mapping[str, Any]]
    pods: Sequence[Mapping[str, Any]]
    volumes: Sequence[Mapping[str, Any]]

    def of_node(self, nodename: str, booted_at: str | None) -> dict[str, Any]:
        """The ``kubernetes`` facts of the evidence document that come from the Kubernetes API.

        Args:
            nodename: the node's name in Kubernetes.
            booted_at: when the node booted (ISO 8601), or None when that is not known.
        """
        known = _known_workloads()
        pods = [pod for pod in self.pods if _path(pod, "spec", "nodeName") == nodename]
        return {
            "cni": _found(known, "cni", self.daemonsets),
            "csi": [
                {"name": _path(d, "metadata", "name"), "version": None, "source": "CSIDriver"} for d in self.csidrivers
            ],
            "addons": _found(known, "addon", [*self.daemonsets, *pods]),
            "workloads_restarted": _restarts(pods, booted_at),
            "local_data": _local_data(nodename, pods, self.volumes),
        }


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
    brought = {entry["name"]: entry["manifest"] for entry in _known_workloads() if entry.get("manifest")}
    return [
        {**item, "source": f"{item['source']}, Talos manifest {brought[item['name']]}"}
        if brought.get(item["name"]) in (applied or ())
        else dict(item)
        for item in cni
    ]


def read_cluster(kubeconfig: str, context: str | None = None, *, timeout: float = 15.0) -> Cluster:
    """Read what the gate needs from the Kubernetes API.

    Args:
        kubeconfig: path of the kubeconfig file.
        context: its context, or None for the current one.
        timeout: seconds for each of the four lists.

    Raises:
        ClusterProblem: when any of them cannot be read.
        MissingLibrary: without the ``kubernetes`` library.
    """
    try:
        with kube_client(kubeconfig, context) as client:
            apps, core, storage = (
                kubernetes.client.AppsV1Api(client),
                kubernetes.client.CoreV1Api(client),
                kubernetes.client.StorageV1Api(client),
            )
            lists = [
                read(_request_timeout=timeout)
                for read in (
                    apps.list_daemon_set_for_all_namespaces,
                    storage.list_csi_driver,
                    core.list_pod_for_all_namespaces,
                    core.list_persistent_volume,
                )
            ]
            return Cluster(*([client.sanitize_for_serialization(item) for item in one.items] for one in lists))
    except Problem:
        raise
    except Exception as error:
        # The library lets errors of urllib3, yaml, ssl and its own through; each means the same here.
        raise unread(
            kubeconfig,
            error,
            "which network and storage plugins run, and what a wipe destroys, is not known without it",
        ) from error


def kube_client(kubeconfig: str, context: str | None = None) -> Any:
    """An API client of the ``kubernetes`` library; enter it, so that its connections are closed.

    Args:
        kubeconfig: path of the kubeconfig file.
        context: its context, or None for the current one.

    Raises:
        ClusterProblem: when the kubeconfig cannot be used.
        MissingLibrary: without the ``kubernetes`` library.
    """
    if kubernetes is None:
        raise missing_library("kubernetes", _IMPORT_ERROR)
    try:
        return kubernetes.config.new_client_from_config(config_file=kubeconfig, context=context)
    except Exception as error:
        # A kubeconfig that cannot be used ends in whatever its file, its YAML or its credentials plugin raise.
        raise unread(kubeconfig, error, "without it the cluster can neither be read nor drained") from error


def unread(kubeconfig: str, error: Exception, why: str) -> ClusterProblem:
    """The problem of an API that gave no answer, or one that refuses."""
    reason = getattr(error, "reason", None) or type(error).__name__
    return ClusterProblem(
        f"the Kubernetes API of {kubeconfig} cannot be read: {reason}",
        why,
        "check the kubeconfig, its credentials and that the API server answers",
        kubeconfig=kubeconfig,
    )


def _known_workloads() -> list[dict[str, Any]]:
    with _WORKLOADS.open(encoding="utf-8") as file:
        return list(yaml.safe_load(file)["workloads"])


def _found(
    known: Sequence[Mapping[str, Any]], kind: str, objects: Sequence[Mapping[str, Any]]
) -> list[dict[str, str | None]]:
    found: dict[str, dict[str, str | None]] = {}
    for item in objects:
        pod_spec = _path(item, "spec", "template", "spec") or item.get("spec") or {}
        for container in [*(pod_spec.get("initContainers") or []), *(pod_spec.get("containers") or [])]:
            image = str(container.get("image", ""))
            for entry in known:
                if entry["kind"] == kind and entry["name"] not in found and re.search(entry["image"], image):
                    version = re.search(r":v?(\d[^@]*)(?:@|$)", image)
                    found[entry["name"]] = {
                        "name": entry["name"],
                        "version": version.group(1) if version else None,
                        "source": f"{item.get('kind') or 'workload'} {_path(item, 'metadata', 'namespace')}/"
                        f"{_path(item, 'metadata', 'name')}",
                    }
    return [found[name] for name in sorted(found)]


def _restarts(pods: Sequence[Mapping[str, Any]], booted_at: str | None) -> dict[str, Any] | None:
    if booted_at is None:
        return None
    boot = _moment(booted_at)
    resident = [pod for pod in pods if _owner_kind(pod) in _RESIDENT]
    stale = []
    for pod in resident:
        starts = [
            _path(status, "state", "running", "startedAt")
            for status in _path(pod, "status", "containerStatuses") or [{}]
        ]
        if any(start is None or _moment(start) < boot for start in starts):
            stale.append(f"{_path(pod, 'metadata', 'namespace')}/{_path(pod, 'metadata', 'name')}")
    return {"checked": len(resident), "stale": sorted(stale)}


def _local_data(nodename: str, pods: Sequence[Mapping[str, Any]], volumes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Persistent volumes that live on this node's disks (facts: a wipe of EPHEMERAL destroys them)."""
    local = []
    for volume in volumes:
        spec = volume.get("spec") or {}
        if not ("local" in spec or "hostPath" in spec):
            continue
        terms = _path(spec, "nodeAffinity", "required", "nodeSelectorTerms") or []
        names = [
            value
            for term in terms
            for expression in term.get("matchExpressions") or []
            if expression.get("key") == "kubernetes.io/hostname"
            for value in expression.get("values") or []
        ]
        claims = _path(spec, "claimRef", "name")
        used_here = any(
            _path(claim, "persistentVolumeClaim", "claimName") == claims
            for pod in pods
            for claim in _path(pod, "spec", "volumes") or []
        )
        if nodename in names or (not names and claims is not None and used_here):
            local.append(f"PersistentVolume {_path(volume, 'metadata', 'name')}")
    return sorted(local)


def _owner_kind(pod: Mapping[str, Any]) -> str | None:
    owners = _path(pod, "metadata", "ownerReferences") or []
    return owners[0].get("kind") if owners else None


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))


def _path(value: Any, *keys: str) -> Any:
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value
