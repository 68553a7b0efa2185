# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images of a fleet: what no node is asked about is derived once for all."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import schematic
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.machine import FINGERPRINT

from .made import made

GIVEN = {"schematic": {"a": 1}, "version": "v1.14.1", "platform": "metal", "arch": "amd64", "secureboot": False}
OF_EACH = {
    "present": None,
    "id": "i",
    "added": ["enforcing=1"],
    "removed": [],
    "verified": True,
    "target": {"installer": "x"},
    "cmdline": "enforcing=1",
}


def test_hosts_of_which_everything_is_given_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    derived: list[Any] = []

    def resolve(params: Any, found: Any, *, check: bool) -> dict[str, Any]:
        derived.append((params["version"], found, check))
        return {**OF_EACH, "kernel_args": [], "changed": True, "diff": {"prepared": "text"}}

    monkeypatch.setattr(schematic, "resolve", resolve)
    monkeypatch.setattr(schematic.ActionModule, "ask_fleet", None)
    found = made(schematic, {"n-1": {}, "n-2": {}, "waiting": {FINGERPRINT: "f"}}, run_once=True, **GIVEN).act()
    assert derived == [("v1.14.1", None, False)]
    assert found == {
        "nodes": {"n-1": OF_EACH, "n-2": OF_EACH},
        "unread": {},
        "summary": {"asked": 2, "answered": 2, "unread": 0},
        "changed": True,
        "diff": [{"prepared": "n-1, n-2\ntext"}],
    }
