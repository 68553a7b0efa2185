# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about the resources of a node (COSI, the state that Talos' controllers work on)."""

from __future__ import annotations

import builtins
from typing import Any

from ..texts import printable, printable_all
from .calls import Calls
from .resources import Resource, ResourceKind, moment, resource_kind
from .specs import parse_spec

# A fleet of 5,000 members, or every disk and volume of a large machine, is far below.
_MOST_RESOURCES = 20_000
_MOST_BYTES = 16 * 1024 * 1024


class ResourceReads(Calls):
    """Reads of resources."""

    async def get(self, resource: str, id: str | None = None) -> Resource:
        """One resource.

        Args:
            resource: a name in RESOURCES, or ``namespace/Type.group``.
            id: needed for kinds that have more than one instance.

        Raises:
            NotFound: the kind is known but holds no such id.
            Unsupported: this Talos version has no such kind.
        """
        kind = resource_kind(resource)
        wanted = id or kind.id
        if wanted is None:
            raise ValueError(f"{resource} has no fixed id; give one, or list them")
        answer = await self._unary("Get", namespace=kind.namespace, type=kind.type, id=wanted)
        if not answer.HasField("resource"):
            raise self._invalid("Get", f"no resource for {kind.type} {wanted}")
        return self._resource(answer.resource, kind, wanted, "Get")

    async def list(self, resource: str) -> builtins.list[Resource]:
        """All resources of a kind (a name in RESOURCES, or ``namespace/Type.group``); may be empty.

        Raises:
            Unsupported: this Talos version has no such kind.
        """
        kind = resource_kind(resource)
        return await self._collect(
            "List",
            lambda message: self._resource(message.resource, kind, None, "List"),
            most_messages=_MOST_RESOURCES,
            most_bytes=_MOST_BYTES,
            namespace=kind.namespace,
            type=kind.type,
        )

    def _resource(self, message: Any, kind: ResourceKind, id: str | None, method: str) -> Resource:
        metadata = message.metadata
        if not message.HasField("spec") or not (metadata.type and metadata.id):
            raise self._invalid(method, "a resource without a spec or a name")
        name = f"{printable(metadata.type, 80)} {printable(metadata.id, 80)}"
        # Compared before the content is looked at, which may be anything.
        if metadata.type != kind.type or metadata.id != (id or metadata.id):
            raise self._invalid(method, f"{name} instead of {kind.type} {id or ''}".rstrip())
        try:
            spec = parse_spec(message.spec.yaml_spec, kind.most_bytes)
        except ValueError as error:
            raise self._invalid(method, f"{name} whose content {error}") from None
        return Resource(
            type=metadata.type,
            namespace=metadata.namespace,
            id=printable(metadata.id),
            version=printable(metadata.version),
            phase=printable(metadata.phase),
            created=moment(metadata.created) if metadata.HasField("created") else None,
            updated=moment(metadata.updated) if metadata.HasField("updated") else None,
            owner=printable(metadata.owner),
            labels=printable_all(dict(metadata.labels)),
            spec=spec,
        )

    async def spec(self, resource: str, id: str | None = None) -> dict[str, Any]:
        """The content of one resource that must be a mapping.

        Raises:
            InvalidAnswer: it is a text instead. And all that ``get`` raises.
        """
        found = await self.get(resource, id)
        if not isinstance(found.spec, dict):
            raise self._invalid("Get", f"a {found.type} that is not a mapping")
        return found.spec
