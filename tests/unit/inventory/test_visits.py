# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a visit asks a machine for the inventory, and what of it is believed to be text."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.inventory import visits
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import Unreachable

SPECS = {
    "identity": {"nodeId": "i"},
    "system_information": {"uuid": "u"},
    "nodename": {"nodename": "n"},
}


class Node:
    """A machine that is asked."""

    def __init__(self, kind: str = "worker", **specs: Any) -> None:
        self.kind, self.specs = kind, {**SPECS, **specs}

    async def __aenter__(self) -> Node:
        return self

    async def __aexit__(self, *_error: object) -> None:
        return None

    async def spec(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.specs[name]
        return found

    async def security_state(self) -> Any:
        return SimpleNamespace(selinux="permissive")

    async def get(self, name: str) -> Any:
        assert name == "machine_type"
        return SimpleNamespace(spec=self.kind)

    async def talos_version(self) -> str:
        return "v1.14.1"


WHOLE = {
    "identity": "i",
    "uuid": "u",
    "hostname": "n",
    "machine_type": "worker",
    "version": "v1.14.1",
    "selinux": "permissive",
}


@pytest.mark.parametrize(
    ("node", "changed"),
    [
        (Node(), {}),
        (Node("controlplane"), {"machine_type": "controlplane"}),
        (Node("init"), {"machine_type": None}),
        (Node(identity={}), {"identity": None}),
        (Node(system_information={"uuid": 7}), {"uuid": None}),
        (Node(nodename={"nodename": ""}), {"hostname": None}),
        (Node(nodename={"nodename": "x" * 254}), {"hostname": "x" * 253}),
    ],
)
def test_a_machine(node: Any, changed: dict[str, Any]) -> None:
    assert asyncio.run(visits._facts(node)) == WHOLE | changed


def test_a_machine_that_does_not_answer_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def connect(context: Any, address: str, *, route: str) -> Any:
        asked.append((context, address, route))
        if address == "b":
            raise Unreachable("b is away", "w", "d")
        return Node()

    monkeypatch.setattr(visits, "connect", connect)
    context: Any = "context"
    found = visits.visit_nodes(context, ["a", "b"], "endpoint", 2)
    assert found == {"a": WHOLE, "b": {"kind": "unreachable", "found": "b is away"}}
    assert sorted(asked) == [("context", "a", "endpoint"), ("context", "b", "endpoint")]
