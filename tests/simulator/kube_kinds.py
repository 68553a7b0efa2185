# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds that the simulated Kubernetes API serves, its discovery documents and its error answers."""

from __future__ import annotations

from dataclasses import dataclass

from .httpd import Response, json_response
from .kube_objects import Object


@dataclass(frozen=True)
class Kind:
    """One kind of object: where the API serves it."""

    group_version: str
    resource: str
    kind: str
    singular: str
    namespaced: bool
    short: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The resource with its group, as errors name it."""
        group, slash, _version = self.group_version.partition("/")
        return f"{self.resource}.{group}" if slash else self.resource


KINDS = (
    Kind("v1", "namespaces", "Namespace", "namespace", False, ("ns",)),
    Kind("v1", "nodes", "Node", "node", False, ("no",)),
    Kind("v1", "persistentvolumeclaims", "PersistentVolumeClaim", "persistentvolumeclaim", True, ("pvc",)),
    Kind("v1", "persistentvolumes", "PersistentVolume", "persistentvolume", False, ("pv",)),
    Kind("v1", "pods", "Pod", "pod", True, ("po",)),
    Kind("apps/v1", "daemonsets", "DaemonSet", "daemonset", True, ("ds",)),
    Kind("apps/v1", "deployments", "Deployment", "deployment", True, ("deploy",)),
    Kind("apps/v1", "replicasets", "ReplicaSet", "replicaset", True, ("rs",)),
    Kind("apps/v1", "statefulsets", "StatefulSet", "statefulset", True, ("sts",)),
    Kind("batch/v1", "jobs", "Job", "job", True),
    Kind("coordination.k8s.io/v1", "leases", "Lease", "lease", True),
    Kind("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", "networkpolicy", True, ("netpol",)),
    Kind("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", "poddisruptionbudget", True, ("pdb",)),
    Kind("storage.k8s.io/v1", "csidrivers", "CSIDriver", "csidriver", False),
)
BY_PATH = {(kind.group_version, kind.resource): kind for kind in KINDS}
_VERBS = ["create", "delete", "get", "list", "patch", "update"]


class ApiError(Exception):
    """An error answer: a Kubernetes ``Status`` object."""

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details

    def response(self) -> Response:
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details is not None:
            status["details"] = self.details
        return json_response(status, self.code)


def groups() -> list[Object]:
    """The API groups, as discovery lists them."""
    names = dict.fromkeys(kind.group_version for kind in KINDS if "/" in kind.group_version)
    result = []
    for group_version in names:
        group, _unused, version = group_version.partition("/")
        entry = {"groupVersion": group_version, "version": version}
        result.append({"name": group, "versions": [entry], "preferredVersion": entry})
    return result


def resources(group_version: str) -> Object:
    """The resources of one group and version, as discovery lists them."""
    found: list[Object] = []
    for kind in KINDS:
        if kind.group_version != group_version:
            continue
        entry = {"name": kind.resource, "singularName": kind.singular, "namespaced": kind.namespaced}
        found.append({**entry, "kind": kind.kind, "verbs": _VERBS, "shortNames": list(kind.short)})
        if kind.resource == "pods":
            eviction = {"name": "pods/eviction", "singularName": "", "namespaced": True, "kind": "Eviction"}
            found.append({**eviction, "group": "policy", "version": "v1", "verbs": ["create"]})
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": found}


def not_found(kind: Kind, name: str) -> ApiError:
    """The answer for an object that is not there."""
    details = {"name": name, "group": kind.full_name.partition(".")[2], "kind": kind.resource}
    return ApiError(404, "NotFound", f'{kind.full_name} "{name}" not found', details)


def not_found_path() -> ApiError:
    """The answer for a path that the API does not serve."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")
