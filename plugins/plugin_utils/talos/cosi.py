# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about the resources of a node (COSI, the state that Talos' controllers work on)."""

from __future__ import annotations

import builtins
from typing import Any

from .calls import Calls
from .errors import printable
from .resources import Resource, moment, parse_spec, resource_kind


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
        found = self._resource(answer.resource, "Get")
        if (found.type, found.id) != (kind.type, wanted):
            raise self._invalid("Get", f"{printable(found.type)} {printable(found.id)} instead of {kind.type} {wanted}")
        return found

    async def list(self, resource: str) -> builtins.list[Resource]:
        """All resources of a kind (a name in RESOURCES, or ``namespace/Type.group``); may be empty.

        Raises:
            Unsupported: this Talos version has no such kind.
        """
        kind = resource_kind(resource)
        found = await self._collect(
            "List",
            lambda: lambda message: self._resource(message.resource, "List"),
            namespace=kind.namespace,
            type=kind.type,
        )
        for item in found:
            if item.type != kind.type:
                raise self._invalid("List", f"a {printable(item.type)} among {kind.type}")
        return found

    def _resource(self, message: Any, method: str) -> Resource:
        metadata = message.metadata
        if not message.HasField("spec") or not (metadata.type and metadata.id):
            raise self._invalid(method, "a resource without a spec or a name")
        try:
            spec = parse_spec(message.spec.yaml_spec)
        except ValueError as error:
            raise self._invalid(
                method, f"{printable(metadata.type, 80)} {printable(metadata.id, 80)} whose content {error}"
            ) from None
        return Resource(
            type=metadata.type,
            namespace=metadata.namespace,
            id=metadata.id,
            version=metadata.version,
            phase=metadata.phase,
            created=moment(metadata.created) if metadata.HasField("created") else None,
            updated=moment(metadata.updated) if metadata.HasField("updated") else None,
            owner=metadata.owner,
            labels=dict(metadata.labels),
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
