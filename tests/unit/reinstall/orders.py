# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An order to wipe, and a node that may change until the last moment before it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import order
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.answers import SystemStat
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import Unreachable

#: Where nobody is to be reached.
NOBODY: Any = SimpleNamespace()

ORDER = order.Order("e", "v", "in_place", "c", "d", "strict", None, None, None, "kubeconfig", None)
UUID = "4c4c4544-0042-4e10-8053-b4c04f4b4832"


class Node:
    """A node that may become another machine, boot or installation, or silent, the moment the ledger is written."""

    def __init__(self, **then: Any) -> None:
        self.now: dict[str, Any] = {"identity": "judged", "uuid": "u", "boot_id": "b"}
        self.then = then
        self.resets: list[tuple[str, ...]] = []

    async def spec(self, name: str) -> dict[str, Any]:
        if self.now.get("silent"):
            raise Unreachable("nobody answers", "w", "d")
        return {"identity": {"nodeId": self.now["identity"]}, "system_information": {"uuid": self.now["uuid"]}}[name]

    async def get(self, name: str) -> Any:
        return SimpleNamespace(spec={"bootID": self.now["boot_id"]})

    async def system_stat(self) -> SystemStat:
        return SystemStat(boot_time=1, processes=self.now.get("processes"))

    async def reset(self, labels: tuple[str, ...], **how: Any) -> str:
        self.resets.append(labels)
        return "actor"


def act(node: Node, patch: pytest.MonkeyPatch, told: list[str]) -> order.Sent:
    """Order the wipe of a node that changes right after the intent was recorded."""

    async def judged(*arguments: Any) -> None:
        """It passes."""

    def intent() -> None:
        told.append("intent")
        node.now |= node.then

    patch.setattr(order, "_judge", judged)
    given = order.Order(
        *("e", "v", "in_place", "c", "d", "strict", None, None, None, None, None),
        record_intent=intent,
        record_sent=lambda actor: told.append(f"sent {actor}"),
        record_unsent=lambda found: told.append(f"unsent: {found}"),
    )
    evidence = {
        "node": {"machine_type": "worker", "identity": "judged", "uuid": "u"},
        "boot": {"id": "b", "look": {"processes": 500}},
    }
    action: Any = SimpleNamespace(host="worker-1", check=False)
    nobody: Any = None
    client: Any = node
    return asyncio.run(order._act(action, given, nobody, client, evidence, {}))
