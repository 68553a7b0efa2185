# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resources over COSI: get, list, watch; nobody may write."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from .. import resources
from ..proto import make
from .table import ADMIN, ADMINS, EMPTY, Caller, method

if TYPE_CHECKING:
    from ..node import Node


def _access(node: Node, kind: str, namespace: str, caller: Caller) -> resources.ResourceType:
    """The access policy: unknown types and namespaces look like missing permission, not like missing things."""
    known = resources.find(node, kind)
    if known is None:
        raise GRPCError(Status.PERMISSION_DENIED, f'resource type "{kind}" is not supported')
    if known.sensitive and ADMIN not in caller.roles:
        raise GRPCError(Status.PERMISSION_DENIED, "not authorized")
    if namespace not in resources.NAMESPACES:
        raise GRPCError(Status.PERMISSION_DENIED, f'namespace "{namespace}" is not supported')
    return known


@method("/cosi.resource.State/Get", "cosi.resource.GetRequest", "cosi.resource.GetResponse")
async def _get(node: Node, request: Any, caller: Caller) -> Any:
    known = _access(node, request.type, request.namespace, caller)
    specs = resources.collect(node, known, request.namespace)
    if request.id not in specs:
        text = (
            f"failed to get resource: resource {request.type}({request.namespace}/{request.id}@undefined) doesn't exist"
        )
        raise GRPCError(Status.NOT_FOUND, text.removeprefix("failed to get resource: "))
    found = resources.message(node, known, request.namespace, request.id, specs[request.id])
    return make("cosi.resource.GetResponse", resource=found)


def _matches(identifier: str, labels: Mapping[str, str], options: Any) -> bool:
    if options.HasField("id_query") and options.id_query.regexp and not re.search(options.id_query.regexp, identifier):
        return False
    queries = list(options.label_query)
    return not queries or any(all(_holds(term, labels) for term in query.terms) for query in queries)


_EXISTS, _EQUAL, _NOT_EXISTS, _IN = range(4)


def _holds(term: Any, labels: Mapping[str, str]) -> bool:
    if term.op == _NOT_EXISTS:
        return term.key not in labels
    found = term.key in labels and (term.op == _EXISTS or labels[term.key] in term.value)
    return found != term.invert


@method("/cosi.resource.State/List", "cosi.resource.ListRequest", "cosi.resource.ListResponse", stream=True)
async def _list_resources(node: Node, request: Any, caller: Caller) -> AsyncIterator[Any]:
    known = _access(node, request.type, request.namespace, caller)
    for identifier, spec in sorted(resources.collect(node, known, request.namespace).items()):
        if _matches(identifier, resources.labels(node, known, identifier), request.options):
            found = resources.message(node, known, request.namespace, identifier, spec)
            yield make("cosi.resource.ListResponse", resource=found)


CREATED, UPDATED, DESTROYED, BOOTSTRAPPED = 0, 1, 2, 3


@method("/cosi.resource.State/Watch", "cosi.resource.WatchRequest", "cosi.resource.WatchResponse", stream=True)
async def _watch(node: Node, request: Any, caller: Caller) -> AsyncIterator[Any]:
    known = _access(node, request.type, request.namespace, caller)
    single = request.id if request.HasField("id") else None
    options = request.options
    if single is not None and (options.bootstrap_contents or options.label_query):
        raise GRPCError(Status.UNIMPLEMENTED, "bootstrap contents are not supported for a single resource")

    def snapshot() -> dict[str, tuple[Any, str]]:
        specs = resources.collect(node, known, request.namespace)
        wanted = [single] if single is not None else sorted(specs)
        return {
            identifier: (specs[identifier], resources.to_yaml(node, known, specs[identifier]))
            for identifier in wanted
            if identifier in specs and _matches(identifier, resources.labels(node, known, identifier), options)
        }

    def event(kind: int, identifier: str, spec: Any, version: int) -> Any:
        found = resources.message(node, known, request.namespace, identifier, spec, version)
        if kind == DESTROYED:
            found.ClearField("spec")
        return make("cosi.resource.Event", resource=found, event_type=kind)

    yield make("cosi.resource.WatchResponse")
    seen = snapshot()
    counts = dict.fromkeys(seen, 1)
    if single is not None:
        # Watching one resource begins with what it is now, or with the tombstone of what is not there.
        spec = seen[single][0] if single in seen else {}
        yield make("cosi.resource.WatchResponse", event=[event(CREATED if seen else DESTROYED, single, spec, 1)])
    elif options.bootstrap_contents:
        for identifier, (spec, _text) in seen.items():
            yield make("cosi.resource.WatchResponse", event=[event(CREATED, identifier, spec, 1)])
        if request.api_version >= 1:
            yield make("cosi.resource.WatchResponse", event=[make("cosi.resource.Event", event_type=BOOTSTRAPPED)])
    while True:
        woken = node.changed
        current = snapshot()
        for identifier, (spec, text) in current.items():
            if identifier not in seen:
                counts[identifier] = 1
                yield make("cosi.resource.WatchResponse", event=[event(CREATED, identifier, spec, 1)])
            elif seen[identifier][1] != text:
                counts[identifier] = counts.get(identifier, 1) + 1
                yield make("cosi.resource.WatchResponse", event=[event(UPDATED, identifier, spec, counts[identifier])])
        for identifier in seen.keys() - current.keys():
            yield make(
                "cosi.resource.WatchResponse", event=[event(DESTROYED, identifier, {}, counts.get(identifier, 1))]
            )
        seen = current
        await woken.wait()


async def _no_writes(_node: Node, _request: Any, _caller: Caller) -> Any:
    raise GRPCError(Status.PERMISSION_DENIED, "write access is not allowed")


for _name, _since in (
    ("Create", "1.8"),
    ("Update", "1.8"),
    ("Destroy", "1.8"),
    ("Teardown", "1.14"),
    ("TeardownAndDestroy", "1.14"),
):
    method(f"/cosi.resource.State/{_name}", EMPTY, EMPTY, roles=ADMINS, since=_since)(_no_writes)
