# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The simulator's own door for other processes: what was called, boot media, faults. Plain HTTP, loopback only.

A playbook's boot hook inserts the medium here, as a real one would ask a BMC.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .factory import Factory
from .httpd import HttpServer, Request, Response, json_response

_SCHEMATIC_ID = re.compile(r"[0-9a-f]{64}\Z")


class ControlledFleet(Protocol):
    """What the control API needs of a fleet. Unknown nodes are KeyError, unknown faults ValueError."""

    calls: Sequence[Any]
    factory: Factory | None

    def writes(self) -> Sequence[Any]:
        """Calls that change the world."""

    def upgrades(self) -> Sequence[Any]:
        """Calls that upgrade: the collection makes none."""

    def describe(self) -> list[dict[str, Any]]:
        """One line of facts per node."""

    async def set_fault(self, name: str, fault: str, value: Any = True) -> None:
        """Switch a node's fault on."""

    async def clear_fault(self, name: str, fault: str) -> None:
        """Switch a node's fault off."""

    async def boot_medium(self, name: str, medium: Mapping[str, Any] | None = None) -> None:
        """Insert a boot medium and select it for the next start; a machine that is down starts."""

    async def eject_medium(self, name: str) -> None:
        """Remove the boot medium."""

    async def power_on(self, name: str) -> None:
        """Start a machine that is down."""

    async def power_off(self, name: str) -> None:
        """Cut the power."""

    async def power_cycle(self, name: str) -> None:
        """Cut the power and start again through the firmware."""

    async def swap_addresses(self, name: str, other: str) -> None:
        """Let two machines change their addresses."""


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Control:
    """The control API of one fleet.

    Routes:
        ``GET /nodes``, ``/calls``, ``/writes``, ``/upgrades``, ``/factory/requests``: JSON lists.
        ``POST /nodes/<name>/boot`` with ``{"schematic": id | text | mapping, "version": "v1.14.1"}``: insert a medium
        and boot from it next; ``DELETE`` ejects it.
        ``POST /nodes/<name>/power`` with ``{"state": "on" | "off" | "cycle"}``.
        ``POST /nodes/<name>/swap`` with ``{"with": other}``: the two machines change their addresses.
        ``POST`` (the body is the value, nothing means true) and ``DELETE /nodes/<name>/faults/<fault>``.
        ``POST`` and ``DELETE /factory/faults/<fault>``.
    """

    def __init__(self, fleet: ControlledFleet) -> None:
        self._fleet = fleet
        self._server = HttpServer(self._answer)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://{self._server.host}:{self._server.port}"

    async def start(self, host: str, port: int) -> None:
        """Serve on ``host``:``port`` (0 takes a free port).

        Raises:
            ValueError: ``host`` is no loopback address; whoever reaches this API owns the fleet.
        """
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"the control API listens on loopback addresses only, not on {host}")
        await self._server.start(host, port)

    async def stop(self) -> None:
        """Stop serving."""
        await self._server.stop()

    async def _answer(self, request: Request) -> Response:
        try:
            # Only programs may ask: a web page in the operator's browser could reach loopback too.
            if "origin" in request.headers:
                raise _Refused(403, "no requests from web pages")
            return json_response(await self._route(request))
        except KeyError as error:
            return json_response({"error": f"unknown: {error.args[0] if error.args else error}"}, 404)
        except _Refused as refused:
            return json_response({"error": str(refused)}, refused.status)
        except ValueError as error:
            return json_response({"error": str(error)}, 400)

    async def _route(self, request: Request) -> Any:
        parts = [part for part in request.path.split("/") if part]
        match request.method, parts:
            case "GET", []:
                return {"routes": [line.strip() for line in (Control.__doc__ or "").splitlines() if "``" in line]}
            case "GET", ["nodes"]:
                return _plain(self._fleet.describe())
            case "GET", ["calls"]:
                return _plain(self._fleet.calls)
            case "GET", ["writes"]:
                return _plain(self._fleet.writes())
            case "GET", ["upgrades"]:
                return _plain(self._fleet.upgrades())
            case "POST", ["nodes", name, "boot"]:
                return await self._boot(name, _value(request, {}))
            case "DELETE", ["nodes", name, "boot"]:
                await self._fleet.eject_medium(name)
                return {"node": name, "medium": None}
            case "POST", ["nodes", name, "power"]:
                return await self._power(name, _value(request, {}))
            case "POST", ["nodes", name, "swap"]:
                other = str(_value(request, {}).get("with"))
                await self._fleet.swap_addresses(name, other)
                return {"node": name, "with": other}
            case "POST", ["nodes", name, "faults", fault]:
                await self._fleet.set_fault(name, fault, _value(request, True))
                return {"node": name, "fault": fault, "on": True}
            case "DELETE", ["nodes", name, "faults", fault]:
                await self._fleet.clear_fault(name, fault)
                return {"node": name, "fault": fault, "on": False}
        factory = self._fleet.factory
        if parts[0] == "factory" and factory is not None:
            match request.method, parts[1:]:
                case "GET", ["requests"]:
                    return _plain(factory.requests)
                case "POST", ["faults", fault]:
                    factory.set_fault(fault, _value(request, True))
                    return {"factory": True, "fault": fault, "on": True}
                case "DELETE", ["faults", fault]:
                    factory.clear_fault(fault)
                    return {"factory": True, "fault": fault, "on": False}
        raise _Refused(404, f"no such route: {request.method} {request.path}")

    async def _boot(self, name: str, body: Any) -> Any:
        if not isinstance(body, Mapping):
            raise _Refused(400, "the body must be a JSON object")
        medium = {key: body[key] for key in ("schematic", "version", "kernel_args") if body.get(key)}
        schematic = medium.get("schematic")
        if isinstance(schematic, str) and _SCHEMATIC_ID.match(schematic) and self._fleet.factory is not None:
            medium["schematic"] = self._fleet.factory.schematic_text(schematic)
        await self._fleet.boot_medium(name, medium)
        return {"node": name, "medium": medium}

    async def _power(self, name: str, body: Any) -> Any:
        state = body.get("state") if isinstance(body, Mapping) else None
        switches = {"on": self._fleet.power_on, "off": self._fleet.power_off, "cycle": self._fleet.power_cycle}
        if state not in switches:
            raise _Refused(400, "state must be on, off or cycle")
        await switches[state](name)
        return {"node": name, "power": state}


def _value(request: Request, default: Any) -> Any:
    if not request.body.strip():
        return default
    try:
        return json.loads(request.body)
    except ValueError as error:
        raise _Refused(400, "the body is no JSON") from error


def _plain(value: Any) -> Any:
    """Plain JSON data of dataclasses, mappings and sequences; bytes are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(type(value).__name__)
