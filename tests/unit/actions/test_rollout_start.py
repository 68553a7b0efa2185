# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run that was stopped left is settled for the hosts of the inventory; of others nothing is known."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.action import rollout_start
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import work
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.work import StepProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import Ledger
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.owner import of_process

from .made import made

ROOT = Path(__file__).resolve().parents[3]


def test_a_host_that_left_the_inventory_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_controller", lambda host: of_process(os.getpid()))
    taken: list[str] = []

    def lock(self: Any, name: str, holder: str) -> Any:
        return SimpleNamespace(acquire=lambda *_given, **_more: taken.append(name))

    monkeypatch.setattr(work.Work, "cluster_lock", lock)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for host in ("gone", "n-1"):
        ledger.begin(host, "verify", machine_type="worker")
    found = made(rollout_start, directory=str(tmp_path), kubeconfig="k", consent="wipe").act()
    assert {key: found[key] for key in ("resume", "start", "released", "halts", "changed")} == {
        "resume": [],
        "start": ["n-1"],
        "released": ["n-1"],
        "halts": [],
        "changed": True,
    }
    assert found["run"] and list(ledger.open_operations()) == ["gone"]
    assert taken == ["talosops-selinux-rollout"], "what was begun is settled under the lock of the cluster"


def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_controller", lambda host: of_process(os.getpid()))
    lock = SimpleNamespace(acquire=lambda *_given, **_more: None, release=lambda: None)
    monkeypatch.setattr(work.Work, "cluster_lock", lambda *_given: lock)


@pytest.mark.parametrize("consent", ["", "Wipe", "yes", "true"])
def test_a_fleet_is_not_judged_for_a_wipe_that_nobody_agreed_to(
    consent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _alone(monkeypatch)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.begin("n-2", "verify", machine_type="worker")
    hosts = {"n-1": {}, "n-2": {}}
    asked = {"directory": str(tmp_path), "kubeconfig": "k", "consent": consent, "run_once": True}
    with pytest.raises(StepProblem, match="nobody agreed to wipe n-1 and 1 more") as raised:
        made(rollout_start, hosts, **asked).act()
    assert "rollout_consent" in raised.value.do
    assert ledger.open_operations() == {}, "what an earlier run began is settled all the same"
    assert ledger.read().locks == {}, "and the next controller need not wait"
    # The plan needs nobody's consent.
    assert made(rollout_start, hosts, check=True, **{**asked, "kubeconfig": None}).act()["start"] == ["n-1", "n-2"]


def test_what_was_wiped_is_brought_back_without_a_new_consent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _alone(monkeypatch)
    monkeypatch.setattr(rollout_start, "settle", lambda one: True)
    Ledger(tmp_path / "ledger.jsonl").begin("n-2", "verify", machine_type="worker")
    found = made(rollout_start, {"n-1": {}, "n-2": {}}, directory=str(tmp_path), kubeconfig="k", run_once=True).act()
    assert found["resume"] == ["n-2"]


def test_without_a_kubeconfig_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _alone(monkeypatch)
    with pytest.raises(StepProblem, match=r"no kubeconfig was given.*rollout_kubeconfig"):
        made(rollout_start, directory=str(tmp_path), consent="wipe").act()
    assert not (tmp_path / "ledger.jsonl").exists()


@pytest.mark.parametrize("version", ["2.16.0", "2.17.14", "2.19.3", "2.19.0b4"])
def test_an_old_core_rolls_nothing_out(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_start, "__version__", version)
    with pytest.raises(StepProblem, match=re.escape(f"this is ansible-core {version}, and a rollout needs 2.19.4")):
        made(rollout_start, check=True, directory=str(tmp_path)).act()


@pytest.mark.parametrize("version", ["2.19.4", "2.19.14", "2.20.0", "2.21.5rc1", "3.0"])
def test_a_newer_core_does(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _alone(monkeypatch)
    monkeypatch.setattr(rollout_start, "__version__", version)
    assert made(rollout_start, check=True, directory=str(tmp_path)).act()["start"] == ["n-1"]


def test_the_oldest_core_is_the_one_that_the_collection_declares() -> None:
    declared = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["requires_ansible"]
    assert declared == ">=" + ".".join(map(str, rollout_start.OLDEST_CORE))
