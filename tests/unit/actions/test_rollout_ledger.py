# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A person closes an operation: nothing resumes it, and no other control plane waits for it."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.action import rollout_ledger
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import work
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import CONTROL_PLANE_LOCK, Ledger
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger_file import entries
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.owner import of_process
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES

from .made import made

WHY = "its board is broken"


@pytest.mark.parametrize(
    ("state", "check", "closed"), [("closed", False, True), ("closed", True, False), ("look", False, False)]
)
def test_what_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, check: bool, closed: bool) -> None:
    monkeypatch.setattr(work, "_controller", lambda host: of_process(os.getpid()))
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.begin("n-1", "verify", machine_type="controlplane")
    ledger.finish("n-1", "verify", "done")
    ledger.acquire(CONTROL_PLANE_LOCK, "n-1", ledger.owner, dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))
    found = made(rollout_ledger, check=check, directory=str(tmp_path), state=state, reason=WHY).act()
    assert found["changed"] is (state == "closed")
    assert found["pending"] == list(STEP_NAMES if closed else STEP_NAMES[1:])
    assert found["node"]["unfinished"] is not closed
    assert list(ledger.open_operations()) == ([] if closed else ["n-1"])
    assert (ledger.lock(CONTROL_PLANE_LOCK) is None) is closed
    reasons = [entry["facts"]["reason"] for entry in entries(ledger.path) if entry["kind"] == "close"]
    assert reasons == ([WHY] if closed else [])
