# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask a fleet what the inventory needs to know: discovery members, and for each address who answers there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..problem import Problem
from ..talos import fleet
from ..talos.client import NodeClient, Route, connect
from ..talos.config import Context
from ..talos.errors import TalosError

_MEMBER_KEYS = ("nodeId", "hostname", "addresses", "machineType", "operatingSystem")


def discovery_members(context: Context) -> list[dict[str, Any]] | None:
    """The members that the first endpoint that answers knows, empty where discovery is off; None when none answers."""

    async def ask() -> list[dict[str, Any]] | None:
        for endpoint in context.endpoints:
            try:
                async with connect(context, endpoint) as client:
                    found = await client.list("members")
            except TalosError:
                continue
            specs = [item.spec for item in found if isinstance(item.spec, dict)]
            return [{key: spec.get(key) for key in _MEMBER_KEYS} for spec in specs]
        return None

    return fleet.run(ask())


def visit_nodes(context: Context, addresses: Sequence[str], route: Route, in_flight: int) -> dict[str, dict[str, Any]]:
    """Who answers at each address.

    Returns:
        By address ``{identity, uuid, hostname, machine_type, version, selinux}``, or ``{kind, found}``.
    """

    async def visit(address: str) -> dict[str, Any]:
        async with connect(context, address, route=route) as client:
            return await _facts(client)

    answers = fleet.run(fleet.ask_all(list(addresses), visit, in_flight=in_flight))
    return {
        address: {"kind": answer.kind, "found": answer.found} if isinstance(answer, Problem) else answer
        for address, answer in answers.items()
    }


async def _facts(client: NodeClient) -> dict[str, Any]:
    identity = await client.spec("identity")
    system = await client.spec("system_information")
    name = await client.spec("nodename")
    state = await client.security_state()
    kind = (await client.get("machine_type")).spec
    return {
        "identity": _text(identity.get("nodeId")),
        "uuid": _text(system.get("uuid")),
        "hostname": _text(name.get("nodename")),
        "machine_type": kind if kind in ("controlplane", "worker") else None,
        "version": str(await client.talos_version()),
        "selinux": state.selinux,
    }


def _text(value: Any) -> str | None:
    return value[:253] if isinstance(value, str) and value else None
