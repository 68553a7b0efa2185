# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A step is taken, a node released, or in check mode said what would be done with it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import reinstall_step
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES

from .made import made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the step was asked to do, in the place of doing it."""
    found: list[Any] = []

    def take(work: Any, step: str) -> dict[str, Any]:
        found.append((work, step))
        return {"step": step, "taken": True, "facts": {"a": 1}, "changed": False}

    monkeypatch.setattr(reinstall_step, "Work", lambda action: action.host)
    monkeypatch.setattr(reinstall_step, "take", take)
    monkeypatch.setattr(
        reinstall_step, "fail_and_release", lambda work, reason: found.append((work, reason)) or "it was not wiped"
    )
    return found


def test_a_step_is_taken(asked: list[Any]) -> None:
    found = made(reinstall_step, step="drain").act()
    assert found == {"step": "drain", "taken": True, "facts": {"a": 1}, "changed": False, "node": None}
    assert asked == [("n-1", "drain")]


def test_a_node_is_released(asked: list[Any]) -> None:
    found = made(reinstall_step, state="released", reason="r", step="drain").act()
    assert found == {"step": None, "taken": False, "facts": {}, "node": "it was not wiped", "changed": True}
    assert asked == [("n-1", "r")]


@pytest.mark.parametrize(
    ("facts", "variables", "path", "image"),
    [
        ({}, {}, "no known path", "an image that is not registered yet"),
        ({"boot_path": "hook"}, {"talos_boot_path": "in_place"}, "hook", "an image that is not registered yet"),
        ({}, {"talos_boot_path": "in_place", "talos_target": {"installer": "i"}}, "in_place", "i"),
        ({"target": {"installer": "i"}}, {}, "no known path", "i"),
        ({"target": {"installer": "i"}}, {"talos_target": {"installer": "new"}}, "no known path", "new"),
    ],
)
@pytest.mark.parametrize("state", ["taken", "released"])
def test_in_check_mode_it_is_said_once_and_nothing_is_done(
    facts: dict[str, Any],
    variables: dict[str, Any],
    path: str,
    image: str,
    state: str,
    asked: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = SimpleNamespace(facts=facts, done=STEP_NAMES[:-2])
    work = SimpleNamespace(ledger=SimpleNamespace(node=lambda host: {"n-1": known}[host]))
    shown: list[str] = []
    monkeypatch.setattr(reinstall_step, "Work", lambda _action: work)
    monkeypatch.setattr(reinstall_step, "Display", lambda: SimpleNamespace(display=shown.append))
    words = f"n-1 would be taken through rejoin, soak, booted by {path}, and installed from {image}"
    found = made(reinstall_step, {"n-1": variables}, check=True, step="verify", state=state, reason="r").act()
    assert found == {"step": "verify", "taken": False, "facts": {}, "node": None, "msg": words, "changed": True}
    assert (shown, asked) == ([words], [])
