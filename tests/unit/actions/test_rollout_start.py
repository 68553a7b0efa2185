# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run that was stopped left is settled for the hosts of the inventory; of others nothing is known."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import rollout_start
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import work
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import Ledger
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.owner import of_process

from .made import made


def test_a_host_that_left_the_inventory_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_controller", lambda host: of_process(os.getpid()))
    taken: list[str] = []

    def lock(self: Any, name: str, holder: str) -> Any:
        return SimpleNamespace(acquire=lambda *_given, **_more: taken.append(name))

    monkeypatch.setattr(work.Work, "cluster_lock", lock)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for host in ("gone", "n-1"):
        ledger.begin(host, "verify", machine_type="worker")
    found = made(rollout_start, directory=str(tmp_path), kubeconfig="k").act()
    assert {key: found[key] for key in ("resume", "start", "released", "halts", "changed")} == {
        "resume": [],
        "start": ["n-1"],
        "released": ["n-1"],
        "halts": [],
        "changed": True,
    }
    assert found["run"] and list(ledger.open_operations()) == ["gone"]
    assert taken == ["talosops-selinux-rollout"], "what was begun is settled under the lock of the cluster"
