# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A halt is one entry of the ledger, made printable; it is lifted by its number."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import rollout_halt
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import work
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import Ledger
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.owner import of_process

from .made import made


def test_a_halt_and_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_controller", lambda host: of_process(os.getpid()))
    Ledger(tmp_path / "ledger.jsonl").begin("n-1", "verify", machine_type="worker")

    def done(check: bool = False, **options: Any) -> tuple[bool, list[tuple[Any, ...]]]:
        given = {"directory": str(tmp_path), "state": "halted", "reason": "a\x1b[31mdenial", "who": "a\nrule"}
        found = made(rollout_halt, check=check, **{**given, **options}).act()
        assert set(found) == {"halts", "changed"}
        return found["changed"], [(halt["number"], halt["reason"], halt["who"]) for halt in found["halts"]]

    assert done(check=True) == (True, [])
    first = (2, r"a\x1b[31mdenial", r"a\nrule")
    assert done() == (True, [first])
    # Said again it is the same halt.
    assert done() == (False, [first])
    long = (3, "r" * 500 + " [cut, 600 characters]", "w" * 500 + " [cut, 600 characters]")
    assert done(reason="r" * 600, who="w" * 600) == (True, [first, long])
    assert done(state="lifted", halts=[2], check=True) == (True, [first, long])
    assert done(state="lifted", halts=[2]) == (True, [long])
