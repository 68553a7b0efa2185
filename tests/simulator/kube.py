# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The piece of the Kubernetes API that cordon, drain, node readiness and DaemonSets need, over TLS.

Good enough for the `kubernetes` client library and the modules of kubernetes.core: discovery, lists with
selectors, patches, eviction. Left out: watches, OpenAPI, pagination (a list is always whole), admission.
"""

from __future__ import annotations

import base64
import copy
import json
import os
import re
import ssl
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from . import pki as certificates
from .httpd import HttpServer, Request, Response, json_response
from .kube_cluster import Blocked, Cluster, Nodes, Object


@dataclass(frozen=True)
class _Kind:
    group_version: str
    resource: str
    kind: str
    singular: str
    namespaced: bool
    short: tuple[str, ...] = ()


_KINDS = (
    _Kind("v1", "namespaces", "Namespace", "namespace", False, ("ns",)),
    _Kind("v1", "nodes", "Node", "node", False, ("no",)),
    _Kind("v1", "persistentvolumeclaims", "PersistentVolumeClaim", "persistentvolumeclaim", True, ("pvc",)),
    _Kind("v1", "persistentvolumes", "PersistentVolume", "persistentvolume", False, ("pv",)),
    _Kind("v1", "pods", "Pod", "pod", True, ("po",)),
    _Kind("apps/v1", "daemonsets", "DaemonSet", "daemonset", True, ("ds",)),
    _Kind("apps/v1", "deployments", "Deployment", "deployment", True, ("deploy",)),
    _Kind("apps/v1", "replicasets", "ReplicaSet", "replicaset", True, ("rs",)),
    _Kind("apps/v1", "statefulsets", "StatefulSet", "statefulset", True, ("sts",)),
    _Kind("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", "poddisruptionbudget", True, ("pdb",)),
    _Kind("storage.k8s.io/v1", "csidrivers", "CSIDriver", "csidriver", False),
)
_BY_PATH = {(kind.group_version, kind.resource): kind for kind in _KINDS}
_VERBS = ["create", "delete", "get", "list", "patch", "update"]
_WRITES = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class KubernetesCall:
    """One request the API server received."""

    method: str
    path: str
    status: int
    user: str | None

    @property
    def is_write(self) -> bool:
        """Whether it asked for a change."""
        return self.method in _WRITES


class _ApiError(Exception):
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


class KubernetesApi:
    """An API server for one simulated fleet.

    Args:
        fleet: where nodes come from. When it has ``record_kubernetes(method, path, status, user)``, every
            write is reported to it.
        pki: its ``kubernetes`` authority (Ed25519) signs the server and the clients.
        scenario: the scenario's ``kubernetes`` section, see `kube_cluster.Cluster`.

    A client certificate's organization is its group: ``system:masters`` may do everything, ``view`` may read.
    """

    def __init__(self, fleet: Nodes, pki: certificates.Pki, scenario: Mapping[str, Any] | None = None) -> None:
        self.cluster = Cluster(fleet, scenario)
        self.calls: list[KubernetesCall] = []
        self._fleet = fleet
        self._pki = pki
        self._server: HttpServer | None = None

    @property
    def url(self) -> str:
        """The base URL."""
        assert self._server is not None
        return f"https://{self._server.host}:{self._server.port}"

    async def start(self, host: str, port: int) -> None:
        """Serve TLS on ``host``:``port`` (0 takes a free port)."""
        pair = certificates.make_server(self._pki.kubernetes, host, "kubernetes.default.svc")
        self._server = HttpServer(self._answer, _server_context(pair, self._pki.kubernetes.crt))
        # The workloads are running before anybody cordons a node.
        self.cluster.sync()
        await self._server.start(host, port)

    async def stop(self) -> None:
        """Stop serving."""
        if self._server is not None:
            await self._server.stop()

    def write_kubeconfig(self, path: Path | str, *, user: str = "admin", group: str = "system:masters") -> None:
        """Write a kubeconfig (mode 0600) with a fresh client certificate for ``user`` in ``group``."""
        pair = certificates.make_client(self._pki.kubernetes, group, user)
        cluster = {"server": self.url, "certificate-authority-data": _b64(self._pki.kubernetes.crt)}
        login = {"client-certificate-data": _b64(pair.crt), "client-key-data": _b64(pair.pem_key)}
        name = f"{user}@simulated"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "simulated", "cluster": cluster}],
            "users": [{"name": name, "user": login}],
            "contexts": [{"name": name, "context": {"cluster": "simulated", "user": name, "namespace": "default"}}],
            "current-context": name,
        }
        certificates.write_private(Path(path), yaml.safe_dump(config, sort_keys=False).encode())

    def set_fault(self, name: str, value: str) -> None:
        """Switch ``drain_blocked`` on for the node ``value``: a disruption budget then holds its pods."""
        if name != "drain_blocked":
            raise ValueError(f"the Kubernetes API has no fault {name!r}")
        self.cluster.blocked.add(value)

    def clear_fault(self, name: str, value: str) -> None:
        """Switch ``drain_blocked`` off again."""
        self.cluster.blocked.discard(value)

    # --- requests --------------------------------------------------------------------------------

    async def _answer(self, request: Request) -> Response:
        user = None
        try:
            user, group = _identity(request)
            if group not in ("system:masters", "view") or (group == "view" and request.method in _WRITES):
                verb = request.method.lower()
                raise _ApiError(403, "Forbidden", f'User "{user}" cannot {verb} path "{request.path}"')
            response = self._route(request)
        except _ApiError as error:
            response = error.response()
        call = KubernetesCall(request.method, request.path, response.status, user)
        self.calls.append(call)
        record: Callable[[str, str, int, str | None], None] | None = getattr(self._fleet, "record_kubernetes", None)
        if call.is_write and record is not None:
            record(call.method, call.path, call.status, call.user)
        return response

    def _route(self, request: Request) -> Response:
        parts = [part for part in request.path.split("/") if part]
        match parts:
            case ["version"]:
                major, minor, _unused = self.cluster.version.removeprefix("v").split(".", 2)
                return json_response({"major": major, "minor": minor, "gitVersion": self.cluster.version})
            case ["healthz" | "livez" | "readyz"]:
                return Response(body=b"ok")
            case ["api"]:
                return json_response({"kind": "APIVersions", "versions": ["v1"]})
            case ["apis"]:
                return json_response({"kind": "APIGroupList", "apiVersion": "v1", "groups": _groups()})
            case ["api", "v1"]:
                return json_response(_resources("v1"))
            case ["apis", group, version] if any(one.group_version == f"{group}/{version}" for one in _KINDS):
                return json_response(_resources(f"{group}/{version}"))
            case ["api", "v1", *rest]:
                return self._objects("v1", rest, request)
            case ["apis", group, version, *rest]:
                return self._objects(f"{group}/{version}", rest, request)
        raise _not_found_path()

    def _objects(self, group_version: str, rest: list[str], request: Request) -> Response:
        namespace = ""
        if len(rest) >= 3 and rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        kind = _BY_PATH.get((group_version, rest[0])) if rest else None
        if kind is None or (namespace and not kind.namespaced):
            raise _not_found_path()
        match rest:
            case [_unused]:
                if request.method == "POST":
                    return self._create(kind, namespace, request)
                return self._list(kind, namespace, request)
            case [_unused, name]:
                return self._one(kind, namespace, name, request)
            case ["pods", name, "eviction"] if request.method == "POST":
                return self._evict(kind, namespace, name)
            case ["nodes" | "pods", name, "status"] if request.method == "GET":
                return self._one(kind, namespace, name, request)
        raise _not_found_path()

    def _list(self, kind: _Kind, namespace: str, request: Request) -> Response:
        if request.method != "GET" or request.argument("watch") in ("true", "1"):
            raise _ApiError(405, "MethodNotAllowed", "the simulator serves no watches and no collection writes")
        labels, fields = request.argument("labelSelector"), request.argument("fieldSelector")
        items = [
            item
            for item in self.cluster.all(kind.resource)
            if (not namespace or item["metadata"].get("namespace") == namespace)
            and _matches_labels(item, labels or "")
            and _matches_fields(item, fields or "")
        ]
        metadata = {"resourceVersion": self.cluster.revision}
        answer = {"kind": f"{kind.kind}List", "apiVersion": kind.group_version, "metadata": metadata, "items": items}
        return json_response(answer)

    def _one(self, kind: _Kind, namespace: str, name: str, request: Request) -> Response:
        item = self.cluster.get(kind.resource, namespace, name)
        if item is None:
            raise _not_found(kind, name)
        if request.method == "GET":
            return json_response(item)
        if request.method == "DELETE":
            self.cluster.delete(kind.resource, namespace, name)
            if kind.resource == "pods":
                return json_response(item)
            details = {"name": name, "kind": kind.resource, "uid": item["metadata"]["uid"]}
            success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
            return json_response(success)
        if request.method == "PATCH":
            changed = _patched(copy.deepcopy(item), _body(request))
        elif request.method == "PUT":
            changed = _body(request)
        else:
            raise _ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        if not isinstance(changed, dict) or changed.get("metadata", {}).get("name") != name:
            raise _ApiError(400, "BadRequest", "the name of the object does not match the name on the URL")
        return json_response(self.cluster.replace(kind.resource, changed))

    def _create(self, kind: _Kind, namespace: str, request: Request) -> Response:
        item = _body(request)
        name = item.get("metadata", {}).get("name") if isinstance(item, dict) else None
        if not name:
            raise _ApiError(422, "Invalid", "metadata.name: Required value")
        if kind.namespaced:
            item["metadata"]["namespace"] = namespace or "default"
        if kind.resource in ("nodes", "pods"):
            raise _ApiError(403, "Forbidden", f"{kind.resource} of a simulated cluster come from its scenario")
        if self.cluster.get(kind.resource, namespace, name) is not None:
            raise _ApiError(409, "AlreadyExists", f'{kind.resource} "{name}" already exists')
        return json_response(self.cluster.create(kind.resource, item), 201)

    def _evict(self, kind: _Kind, namespace: str, name: str) -> Response:
        try:
            self.cluster.evict(namespace, name)
        except KeyError as error:
            raise _not_found(kind, name) from error
        except Blocked as blocked:
            cause = {"reason": "DisruptionBudget", "message": str(blocked)}
            message = "Cannot evict pod as it would violate the pod's disruption budget."
            raise _ApiError(429, "TooManyRequests", message, {"causes": [cause]}) from blocked
        return json_response({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}, 201)


def _server_context(pair: certificates.Pair, authority: bytes) -> ssl.SSLContext:
    """A context that asks for a client certificate but leaves the refusal to HTTP, as kube-apiserver does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # ssl can load a chain from files only; the file is gone before anybody else can see it.
    handle, path = tempfile.mkstemp()
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pair.crt + pair.pem_key)
        context.load_cert_chain(path)
    finally:
        Path(path).unlink()
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=authority.decode())
    return context


def _identity(request: Request) -> tuple[str, str]:
    """The user and the group of a client certificate."""
    if not request.peer_certificate:
        raise _ApiError(401, "Unauthorized", "Unauthorized")
    subject = dict(pair for part in request.peer_certificate["subject"] for pair in part)
    return subject.get("commonName", ""), subject.get("organizationName", "")


def _body(request: Request) -> Any:
    try:
        return json.loads(request.body)
    except ValueError as error:
        raise _ApiError(400, "BadRequest", "the body of the request was no JSON") from error


def _groups() -> list[Object]:
    names = dict.fromkeys(kind.group_version for kind in _KINDS if "/" in kind.group_version)
    result = []
    for group_version in names:
        group, _unused, version = group_version.partition("/")
        entry = {"groupVersion": group_version, "version": version}
        result.append({"name": group, "versions": [entry], "preferredVersion": entry})
    return result


def _resources(group_version: str) -> Object:
    resources: list[Object] = []
    for kind in _KINDS:
        if kind.group_version != group_version:
            continue
        entry = {"name": kind.resource, "singularName": kind.singular, "namespaced": kind.namespaced}
        resources.append({**entry, "kind": kind.kind, "verbs": _VERBS, "shortNames": list(kind.short)})
        if kind.resource == "pods":
            eviction = {"name": "pods/eviction", "singularName": "", "namespaced": True, "kind": "Eviction"}
            resources.append({**eviction, "group": "policy", "version": "v1", "verbs": ["create"]})
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}


def _not_found(kind: _Kind, name: str) -> _ApiError:
    details = {"name": name, "kind": kind.resource}
    return _ApiError(404, "NotFound", f'{kind.resource} "{name}" not found', details)


def _not_found_path() -> _ApiError:
    return _ApiError(404, "NotFound", "the server could not find the requested resource")


def _matches_labels(item: Object, selector: str) -> bool:
    labels = item["metadata"].get("labels") or {}
    for term in filter(None, re.split(r",(?![^(]*\))", selector)):
        term = term.strip()
        if found := re.match(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)\Z", term):
            values = {value.strip() for value in found[3].split(",")}
            if (labels.get(found[1]) in values) != (found[2] == "in"):
                return False
        elif "!=" in term:
            key, _unused, value = term.partition("!=")
            if labels.get(key.strip()) == value.strip():
                return False
        elif "=" in term:
            key, value = re.split("==?", term, maxsplit=1)
            if labels.get(key.strip()) != value.strip():
                return False
        elif (term.lstrip("!") in labels) == term.startswith("!"):
            return False
    return True


def _matches_fields(item: Object, selector: str) -> bool:
    for term in filter(None, selector.split(",")):
        found = re.match(r"([\w.]+)(==|=|!=)(.*)\Z", term)
        if found is None:
            raise _ApiError(400, "BadRequest", f"invalid field selector: {term!r}")
        value: Any = item
        for part in found[1].split("."):
            value = value.get(part, "") if isinstance(value, dict) else ""
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if (text == found[3]) != (found[2] != "!="):
            return False
    return True


def _patched(item: Object, patch: Any) -> Object:
    """Apply a JSON patch (a list) or a merge patch; lists of a strategic merge patch are replaced whole."""
    if isinstance(patch, dict):
        merged: Object = _merge(item, patch)
        return merged
    if not isinstance(patch, list):
        raise _ApiError(400, "BadRequest", "a patch is an object or a list")
    for step in patch:
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
        target = item
        for part in parents:
            target = target.setdefault(part, {})
        if not isinstance(target, dict):
            raise _ApiError(422, "Invalid", "the simulator patches maps only")
        if step["op"] == "remove":
            if last not in target:
                raise _ApiError(422, "Invalid", f"the path {step['path']} does not exist")
            del target[last]
        elif step["op"] in ("add", "replace"):
            target[last] = step["value"]
        else:
            raise _ApiError(422, "Invalid", f"the simulator knows no patch operation {step['op']!r}")
    return item


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value)
    return result


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
