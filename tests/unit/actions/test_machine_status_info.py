# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for a machine: when a wish is fulfilled, what is waited through, and which machine is the right one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import machine_status_info
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.looks import WrongMachine
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import Unreachable
from ansible_collections.talosops.selinux.plugins.plugin_utils.waiting import NotYet

from .made import made

LOST = Unreachable("nobody answers", "w", "d")


def boot(name: str) -> dict[str, Any]:
    """A look at a boot as a result has it."""
    return {"boot_id": name}


def status(stage: str = "running", ready: bool | None = True, **more: Any) -> dict[str, Any]:
    return {"stage": stage, "ready": ready, "boot": boot("a"), **more}


def looking(answers: list[Any], **params: Any) -> Any:
    """An action that sees these answers one after another, and the last one for ever."""
    action = made(machine_status_info, wait_sleep=0.001, **{"wait_timeout": 0.01, **params})

    def look() -> dict[str, Any]:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, dict)
        return answer

    action._look = look
    return action


def ended(act: Callable[[], Any]) -> str | None:
    """What was waited for in vain; None where it came."""
    try:
        act()
    except NotYet as problem:
        return problem.found
    return None


@pytest.mark.parametrize(
    ("params", "seen", "waited_for"),
    [
        ({"wait_for": "ready"}, status(), None),
        ({"wait_for": "ready"}, status(ready=False), "n-1 to be ready"),
        ({"wait_for": "ready"}, status(ready=None), "n-1 to be ready"),
        ({"wait_for": "ready"}, status("booting"), "n-1 to be ready"),
        ({"wait_for": "stage", "stage": "maintenance"}, status("maintenance", False), None),
        ({"wait_for": "stage", "stage": "maintenance"}, status(), "n-1 to be maintenance"),
        ({"wait_for": "down", "boot": boot("a")}, status(), "n-1 to go down"),
        ({"wait_for": "down", "boot": boot("b")}, status(), None),
        ({"wait_for": "down", "boot": boot("a")}, LOST, None),
    ],
)
def test_what_is_waited_for(params: dict[str, Any], seen: Any, waited_for: str | None) -> None:
    found = ended(looking([seen], **params).act)
    if waited_for is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith(f"waited 0.01 seconds for {waited_for}; last seen: ")


@pytest.mark.parametrize(("wish", "more"), [("ready", {}), ("stage", {"stage": "running"})])
def test_a_machine_that_boots_is_waited_for(wish: str, more: dict[str, Any]) -> None:
    answers = [LOST, status("booting"), status()]
    assert looking(answers, wait_for=wish, wait_timeout=60, **more).act() == status()


def test_one_that_is_down_says_why() -> None:
    found = looking([LOST], wait_for="down", boot=boot("a")).act()
    assert found == {"stage": "down", "ready": False, "boot": None, "found": "nobody answers", "changed": False}


def test_without_a_wish_it_is_looked_at_once() -> None:
    assert looking([status("booting")], wait_for=None).act()["stage"] == "booting"


@pytest.mark.parametrize("expect", [None, {}, {"uuid": "", "serial_number": None}])
def test_a_machine_in_maintenance_mode_must_be_known_by_something(expect: dict[str, Any] | None) -> None:
    with pytest.raises(WrongMachine, match="nothing is known by which n-1 could be recognised"):
        looking([status()], mode="maintenance", expect=expect).act()
    for known in ({"fingerprint": "f"}, {"expect": {"uuid": "u"}}):
        assert looking([status()], mode="maintenance", **known).act() == status()


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        ({"uuid": "AB"}, None),
        ({"uuid": "ab", "serial_number": "S"}, None),
        ({"uuid": "cd"}, "has the uuid ab, not cd"),
        ({"uuid": "ab", "serial_number": "T"}, "has the serial number s, not T"),
    ],
)
def test_another_machine_is_told(expect: dict[str, str], words: str | None) -> None:
    action = made(machine_status_info, expect=expect)
    if words is None:
        assert action._compare({"uuid": "ab", "serial_number": "s"}) is None
    else:
        with pytest.raises(WrongMachine, match=words) as raised:
            action._compare({"uuid": "ab", "serial_number": "s"})
        assert raised.value.context["expected"] == list(expect.values())[-1]


def test_a_machine_that_does_not_say_who_it_is_is_another() -> None:
    with pytest.raises(WrongMachine, match="has the uuid unknown, not ab"):
        made(machine_status_info, expect={"uuid": "ab"})._compare({"uuid": None})
