# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A person closes an operation: nothing resumes it, and no other control plane waits for it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.action import rollout_ledger
from ansible_collections.talosops.selinux.plugins.plugin_utils.kube import ClusterProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import work
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.errors import LockHeld
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import (
    CONTROL_PLANE_LOCK,
    FLEET,
    ROLLOUT_LOCK,
    Ledger,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger_file import entries
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.owner import of_process
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES

from .made import made

WHY = "its board is broken"
UUID = "4c4c4544-0042-4e10-8053-b4c04f4b4831"


@pytest.mark.parametrize(
    ("state", "check", "closed"), [("closed", False, True), ("closed", True, False), ("look", False, False)]
)
def test_what_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, check: bool, closed: bool) -> None:
    monkeypatch.setattr(work, "_controller", lambda host: of_process(os.getpid()))
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.begin("n-1", "verify", machine_type="worker")
    ledger.finish("n-1", "verify", "done")
    found = made(rollout_ledger, check=check, directory=str(tmp_path), state=state, reason=WHY).act()
    assert found["changed"] is (state == "closed")
    assert found["pending"] == list(STEP_NAMES if closed else STEP_NAMES[1:])
    assert found["node"]["unfinished"] is not closed
    assert list(ledger.open_operations()) == ([] if closed else ["n-1"])
    reasons = [entry["facts"]["reason"] for entry in entries(ledger.path) if entry["kind"] == "close"]
    assert reasons == ([WHY] if closed else [])


class Cluster:
    """A Kubernetes API that holds at most one Lease, that of the control planes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, holder: str | None) -> None:
        self.holder, self.fails = holder, False
        monkeypatch.setattr(work, "control_plane_lease", lambda kubeconfig, context, holder: Lease(self, holder))


@dataclasses.dataclass
class Lease:
    """That Lease, as one holder sees it."""

    cluster: Cluster
    holder: str

    def check(self) -> None:
        if self.cluster.holder not in (None, self.holder):
            raise LockHeld("f", "w", "d", owner=self.cluster.holder)

    def release(self) -> None:
        if self.cluster.fails:
            raise ClusterProblem("the API gives no answer", "w", "d")
        if self.cluster.holder == self.holder:
            self.cluster.holder = None


def _away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """The ledger of a control plane that was judged and then taken away."""
    monkeypatch.setattr(work, "_controller", lambda host: of_process(os.getpid()))
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for step in STEP_NAMES[:2]:
        ledger.begin("n-1", step, machine_type="controlplane")
        ledger.finish("n-1", step, "done", uuid=UUID)
    ledger.acquire(CONTROL_PLANE_LOCK, "n-1", ledger.owner, dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))
    return ledger


def _close(directory: Path, **options: str) -> None:
    made(rollout_ledger, directory=str(directory), state="closed", **{"reason": WHY, **options}).act()


@pytest.mark.parametrize("holder", [f"n-1 ({UUID})", f"n-2 ({UUID[::-1]})", None])
def test_both_locks_of_a_control_plane_are_released_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: str | None
) -> None:
    ledger, cluster = _away(tmp_path, monkeypatch), Cluster(monkeypatch, holder)
    _close(tmp_path, kubeconfig="kubeconfig")
    assert ledger.open_operations() == {} and ledger.read().locks == {}
    assert cluster.holder == (holder if holder and holder.startswith("n-2") else None)


def test_one_that_another_ledger_took_away_is_released_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_controller", lambda host: of_process(os.getpid()))
    cluster = Cluster(monkeypatch, f"n-1 ({UUID})")
    _close(tmp_path, kubeconfig="kubeconfig")
    assert cluster.holder is None
    assert [entry["facts"]["reason"] for entry in entries(tmp_path / "ledger.jsonl") if entry["kind"] == "close"] == [
        WHY
    ]


@pytest.mark.parametrize(
    ("holder", "options", "told"),
    [
        (f"n-1 ({UUID})", {}, "no kubeconfig was given"),
        (f"n-1 ({UUID[::-1]})", {"kubeconfig": "kubeconfig"}, "the ledger knows n-1 as"),
        (f"n-1 ({UUID})", {"kubeconfig": "kubeconfig", "reason": " "}, "no reason was given"),
    ],
    ids=["no cluster", "another machine", "no reason"],
)
def test_what_is_not_closed_keeps_its_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: str, options: dict[str, str], told: str
) -> None:
    ledger, cluster = _away(tmp_path, monkeypatch), Cluster(monkeypatch, holder)
    with pytest.raises(Problem, match=told):
        _close(tmp_path, **options)
    assert list(ledger.open_operations()) == ["n-1"] and list(ledger.read().locks) == [CONTROL_PLANE_LOCK]
    assert cluster.holder == holder


def test_what_could_not_be_released_in_the_cluster_is_when_it_is_closed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, cluster = _away(tmp_path, monkeypatch), Cluster(monkeypatch, f"n-1 ({UUID})")
    cluster.fails = True
    with pytest.raises(ClusterProblem, match="no answer"):
        _close(tmp_path, kubeconfig="kubeconfig")
    assert list(ledger.read().locks) == [CONTROL_PLANE_LOCK]
    cluster.fails = False
    _close(tmp_path, kubeconfig="kubeconfig")
    assert cluster.holder is None and ledger.read().locks == {}


def test_nothing_is_closed_while_another_controller_is_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, cluster = _away(tmp_path, monkeypatch), Cluster(monkeypatch, f"n-1 ({UUID})")
    ledger.acquire(ROLLOUT_LOCK, FLEET, "elsewhere", dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))
    with pytest.raises(LockHeld, match="elsewhere holds the rollout lock"):
        _close(tmp_path, kubeconfig="kubeconfig")
    assert list(ledger.open_operations()) == ["n-1"] and cluster.holder == f"n-1 ({UUID})"
