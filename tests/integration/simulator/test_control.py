# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The simulator's control API."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import pytest
from simulator.control import Control
from simulator.factory import Factory


@dataclass(frozen=True)
class Call:
    node: str
    method: str
    body: bytes = b"secret"


class Fleet:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.calls = [Call("worker-1", "Version"), Call("worker-1", "Reset")]
        self.told: list[tuple[Any, ...]] = []
        self.factory = Factory()

    def writes(self) -> list[Call]:
        return [call for call in self.calls if call.method == "Reset"]

    def upgrades(self) -> list[Call]:
        return []

    def describe(self) -> list[dict[str, Any]]:
        return [{"name": "worker-1", "ready": True}]

    async def set_fault(self, name: str, fault: str, value: Any = True) -> None:
        if name != "worker-1":
            raise KeyError(name)
        self.told.append((name, fault, value))

    async def clear_fault(self, name: str, fault: str) -> None:
        self.told.append((name, fault, None))

    async def boot_medium(self, name: str, medium: Any = None) -> None:
        self.told.append((name, medium))

    async def eject_medium(self, name: str) -> None:
        self.told.append((name, "eject"))

    async def power_on(self, name: str) -> None:
        self.told.append((name, "on"))

    async def power_off(self, name: str) -> None:
        self.told.append((name, "off"))

    async def power_cycle(self, name: str) -> None:
        self.told.append((name, "cycle"))


def ask(url: str, method: str = "GET", value: Any = None, **headers: str) -> tuple[int, Any]:
    data = None if value is None else json.dumps(value).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_control_api() -> None:
    async def run() -> None:
        fleet = Fleet()
        factory = fleet.factory
        identity = factory.put("customization: {extraKernelArgs: [audit=1]}")
        control = Control(fleet)
        await control.start("127.0.0.1", 0)

        async def get(path: str, *arguments: Any, **headers: str) -> tuple[int, Any]:
            return await asyncio.to_thread(ask, control.url + path, *arguments, **headers)

        assert await get("/calls") == (
            200,
            [
                {"node": "worker-1", "method": "Version", "body": "bytes"},
                {"node": "worker-1", "method": "Reset", "body": "bytes"},
            ],
        )
        assert [call["method"] for call in (await get("/writes"))[1]] == ["Reset"]
        assert await get("/upgrades") == (200, [])
        assert (await get("/nodes"))[1][0]["name"] == "worker-1"
        assert (await get("/nodes/worker-1/faults/slow", "POST", 3))[0] == 200
        assert (await get("/nodes/worker-1/faults/unreachable", "POST"))[0] == 200
        assert (await get("/nodes/worker-1/faults/slow", "DELETE"))[0] == 200
        assert (await get("/nodes/nobody/faults/slow", "POST"))[0] == 404
        boot = {"medium": "iso", "schematic": identity, "version": "v1.14.1"}
        assert (await get("/nodes/worker-1/boot", "POST", boot))[0] == 200
        assert (await get("/nodes/worker-1/boot", "POST", {**boot, "schematic": "0" * 64}))[0] == 404
        assert (await get("/nodes/worker-1/boot", "POST", []))[0] == 400
        assert (await get("/nodes/worker-1/power", "POST", {"state": "cycle"}))[0] == 200
        assert (await get("/nodes/worker-1/power", "POST", {"state": "melt"}))[0] == 400
        assert (await get("/nodes/worker-1/boot", "DELETE"))[0] == 200
        assert fleet.told == [
            ("worker-1", "slow", 3),
            ("worker-1", "unreachable", True),
            ("worker-1", "slow", None),
            ("worker-1", {"schematic": factory.schematic_text(identity), "version": "v1.14.1"}),
            ("worker-1", "cycle"),
            ("worker-1", "eject"),
        ]
        assert (await get("/factory/faults/wrong_id", "POST"))[0] == 200
        assert factory.faults == {"wrong_id": True}
        assert (await get("/factory/faults/nonsense", "POST"))[0] == 400
        assert (await get("/factory/faults/wrong_id", "DELETE"))[0] == 200
        assert await get("/factory/requests") == (200, [])
        assert (await get("/nothing"))[0] == 404
        assert (await get("/calls", Origin="http://page.example"))[0] == 403
        await control.stop()

    asyncio.run(run())


def test_it_listens_on_loopback_only() -> None:
    with pytest.raises(ValueError, match="loopback"):
        asyncio.run(Control(Fleet()).start("0.0.0.0", 0))
