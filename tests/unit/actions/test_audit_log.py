# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is added to the stores of a fleet, and which node's failure is its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import audit_log
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import Unreachable

from .made import made

CLIENT: Any = object()


def kept(service: int, kernel: int, *warnings: str) -> dict[str, Any]:
    return {"appended": {"service": service, "kernel": kernel}, "warnings": list(warnings)}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was put on the terminal."""
    found: list[str] = []
    monkeypatch.setattr(audit_log, "Display", lambda: SimpleNamespace(display=found.append))
    monkeypatch.setattr(audit_log, "table", lambda nodes, unread: ["rows of", *nodes, *unread])
    return found


@pytest.mark.parametrize(
    ("nodes", "changed"),
    [
        ({"n-2": kept(0, 0, "late"), "n-1": kept(0, 1, "soon", "full")}, True),
        ({"n-1": kept(2, 0), "n-2": kept(0, 0)}, True),
        ({"n-1": kept(0, 0), "n-2": kept(0, 0)}, False),
        ({}, False),
    ],
)
def test_a_collection(nodes: dict[str, Any], changed: bool, shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def ask_fleet(self: Any, visit: Callable[..., Any], **how: Any) -> Any:
        asked.append((visit.__name__, how))
        return nodes, {"n-3": {"found": "away"}}

    monkeypatch.setattr(audit_log.ActionModule, "ask_fleet", ask_fleet)
    found = made(audit_log, directory="d", follow_seconds=30, show=changed).act()
    rows = "\n".join(["rows of", *nodes, "n-3"])
    assert found == {
        "nodes": nodes,
        "unread": {"n-3": {"found": "away"}},
        "summary": {"asked": len(nodes) + 1, "answered": len(nodes), "unread": 1},
        "table": rows,
        "warnings": ["n-1: soon", "n-1: full", "n-2: late"] if "n-2" in nodes and nodes["n-2"]["warnings"] else [],
        "changed": changed,
    }
    assert shown == ([f"\n{rows}\n"] if changed else [])
    # A node that is followed has that time, and its usual one.
    assert asked == [("_visit", {"node_deadline": 75.0})]


@pytest.mark.parametrize("check", [True, False])
def test_what_is_kept_of_a_node(check: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    async def keep(*what: Any, **how: Any) -> dict[str, Any]:
        asked.append((what, how))
        return kept(1, 1)

    monkeypatch.setattr(audit_log, "keep", keep)
    action = made(audit_log, check=check, directory="d", persisted=True, follow_seconds=3)
    target: Any = SimpleNamespace(host="n-2")
    assert asyncio.run(action._visit(CLIENT, target)) == kept(1, 1)
    assert asked == [((CLIENT, "n-2", "d"), {"persisted": True, "follow_seconds": 3, "check": check})]


def test_a_damaged_store_is_its_nodes_problem_and_a_lost_node_everybodys_way_to_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raised: list[Problem] = [Problem("its store is damaged", "w", "d"), Unreachable("away", "w", "d")]

    async def keep(*_what: Any, **_how: Any) -> dict[str, Any]:
        raise raised.pop(0)

    monkeypatch.setattr(audit_log, "keep", keep)
    action, target = made(audit_log, directory="d"), SimpleNamespace(host="n-1")
    returned = asyncio.run(action._visit(CLIENT, target))
    assert isinstance(returned, Problem) and returned.found == "its store is damaged"
    with pytest.raises(Unreachable, match="away"):
        asyncio.run(action._visit(CLIENT, target))
