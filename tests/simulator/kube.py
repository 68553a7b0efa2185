# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The piece of the Kubernetes API that cordon, drain, node readiness, DaemonSets and leases need, over TLS.

Good enough for the `kubernetes` client library and the modules of kubernetes.core: discovery, lists with
selectors, patches, eviction, updates that conflict. Left out: watches, OpenAPI, pagination (a list is always
whole), admission.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import quick_yaml

from . import pki as certificates
from .httpd import HttpServer, Request, Response, json_response
from .kube_budgets import Blocked
from .kube_cluster import Cluster
from .kube_kinds import BY_PATH, KINDS, ApiError, Kind, groups, not_found, not_found_path, resources
from .kube_nodes import Nodes
from .kube_patch import matches_fields, matches_labels, patched
from .kube_versions import check_deletion, check_new, check_update

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
        #: What RBAC does not allow: pairs of an HTTP method and a resource.
        self.refused: set[tuple[str, str]] = set()
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
        # It asks for a client certificate but leaves the refusal to HTTP, as kube-apiserver does.
        secured = certificates.server_context(pair, self._pki.kubernetes.crt, protocol="http/1.1", required=False)
        self._server = HttpServer(self._answer, secured)
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
        certificates.write_private(Path(path), quick_yaml.dump(config).encode())

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
                raise ApiError(403, "Forbidden", f'User "{user}" cannot {verb} path "{request.path}"')
            for method, part in self.refused:
                if method == request.method and part in request.path.split("/"):
                    verb = {"POST": "create", "DELETE": "delete", "GET": "list"}[method]
                    raise ApiError(
                        403, "Forbidden", f'{part} is forbidden: User "{user}" cannot {verb} resource "{part}"'
                    )
            response = self._route(request)
        except ApiError as error:
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
                return json_response({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups()})
            case ["api", "v1"]:
                return json_response(resources("v1"))
            case ["apis", group, version] if any(one.group_version == f"{group}/{version}" for one in KINDS):
                return json_response(resources(f"{group}/{version}"))
            case ["api", "v1", *rest]:
                return self._objects("v1", rest, request)
            case ["apis", group, version, *rest]:
                return self._objects(f"{group}/{version}", rest, request)
        raise not_found_path()

    def _objects(self, group_version: str, rest: list[str], request: Request) -> Response:
        namespace = ""
        if len(rest) >= 3 and rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        kind = BY_PATH.get((group_version, rest[0])) if rest else None
        if kind is None or (namespace and not kind.namespaced):
            raise not_found_path()
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
        raise not_found_path()

    def _list(self, kind: Kind, namespace: str, request: Request) -> Response:
        if request.method != "GET" or request.argument("watch") in ("true", "1"):
            raise ApiError(405, "MethodNotAllowed", "the simulator serves no watches and no collection writes")
        labels, fields = request.argument("labelSelector"), request.argument("fieldSelector")
        items = [
            item
            for item in self.cluster.all(kind.resource)
            if (not namespace or item["metadata"].get("namespace") == namespace)
            and matches_labels(item, labels or "")
            and matches_fields(item, fields or "")
        ]
        metadata = {"resourceVersion": self.cluster.revision}
        answer = {"kind": f"{kind.kind}List", "apiVersion": kind.group_version, "metadata": metadata, "items": items}
        return json_response(answer)

    def _one(self, kind: Kind, namespace: str, name: str, request: Request) -> Response:
        item = self.cluster.get(kind.resource, namespace, name)
        if item is None:
            raise not_found(kind, name)
        if request.method == "GET":
            return json_response(item)
        if request.method == "DELETE":
            check_deletion(kind, item, request.body)
            self.cluster.delete(kind.resource, namespace, name)
            if kind.resource in ("pods", "namespaces"):
                return json_response(item)
            details = {"name": name, "kind": kind.resource, "uid": item["metadata"]["uid"]}
            success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
            return json_response(success)
        if request.method == "PATCH":
            changed = patched(copy.deepcopy(item), _body(request))
        elif request.method == "PUT":
            changed = _body(request)
        else:
            raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        if not isinstance(changed, dict) or changed.get("metadata", {}).get("name") != name:
            raise ApiError(400, "BadRequest", "the name of the object does not match the name on the URL")
        check_update(kind, item, changed, whole=request.method == "PUT")
        return json_response(self.cluster.replace(kind.resource, changed))

    def _create(self, kind: Kind, namespace: str, request: Request) -> Response:
        item = _body(request)
        name = item.get("metadata", {}).get("name") if isinstance(item, dict) else None
        if not name:
            raise ApiError(422, "Invalid", "metadata.name: Required value")
        if kind.namespaced:
            item["metadata"]["namespace"] = namespace or "default"
        if kind.resource in ("nodes", "pods"):
            raise ApiError(403, "Forbidden", f"{kind.resource} of a simulated cluster come from its scenario")
        if kind.namespaced and self.cluster.get("namespaces", "", item["metadata"]["namespace"]) is None:
            raise not_found(BY_PATH["v1", "namespaces"], item["metadata"]["namespace"])
        if kind.namespaced and self._is_ending(item["metadata"]["namespace"]):
            space = item["metadata"]["namespace"]
            text = f'{kind.full_name} "{name}" is forbidden: unable to create new content in namespace {space} '
            raise ApiError(403, "Forbidden", f"{text}because it is being terminated")
        check_new(kind, item)
        if self.cluster.get(kind.resource, namespace, name) is not None:
            raise ApiError(409, "AlreadyExists", f'{kind.full_name} "{name}" already exists')
        return json_response(self.cluster.create(kind.resource, item), 201)

    def _is_ending(self, namespace: str) -> bool:
        space = self.cluster.get("namespaces", "", namespace)
        return space is not None and space["metadata"].get("deletionTimestamp") is not None

    def _evict(self, kind: Kind, namespace: str, name: str) -> Response:
        try:
            self.cluster.evict(namespace, name)
        except KeyError as error:
            raise not_found(kind, name) from error
        except Blocked as blocked:
            cause = {"reason": "DisruptionBudget", "message": str(blocked)}
            message = "Cannot evict pod as it would violate the pod's disruption budget."
            raise ApiError(429, "TooManyRequests", message, {"causes": [cause]}) from blocked
        return json_response({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}, 201)


def _identity(request: Request) -> tuple[str, str]:
    """The user and the group of a client certificate."""
    if not request.peer_certificate:
        raise ApiError(401, "Unauthorized", "Unauthorized")
    subject = dict(pair for part in request.peer_certificate["subject"] for pair in part)
    return subject.get("commonName", ""), subject.get("organizationName", "")


def _body(request: Request) -> Any:
    try:
        return json.loads(request.body)
    except ValueError as error:
        raise ApiError(400, "BadRequest", "the body of the request was no JSON") from error


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
