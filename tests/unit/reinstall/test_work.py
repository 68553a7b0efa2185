# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""In whose name a task writes, and how sure it is that nobody else may."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import multiprocessing
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import files
from ansible_collections.talosops.selinux.plugins.plugin_utils.kube import ClusterProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import order, work
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.step import ACTS, take
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.work import StepProblem, Work
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.errors import LockHeld
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import Ledger
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.owner import of_process
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES

from .machines import Machine, OneNode


def _told(pipe: Any, wait: Any) -> None:
    wait.wait()
    try:
        pipe.send(str(work._controller("worker-1")))
    except StepProblem as problem:
        pipe.send(problem.found)


def _orphan(pipe: Any, started: Any, wait: Any) -> None:
    multiprocessing.get_context("fork").Process(target=_told, args=(pipe, wait)).start()
    started.set()
    # As a controller that is killed: nothing is waited for.
    os._exit(1)


def test_a_task_writes_in_the_name_of_the_process_that_started_it() -> None:
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    wait = fork.Event()
    wait.set()
    task = fork.Process(target=_told, args=(theirs, wait))
    task.start()
    assert ours.recv() == str(of_process(os.getpid()))
    task.join()


def test_a_task_whose_playbook_ended_takes_nothing_further() -> None:
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    started, wait = fork.Event(), fork.Event()
    controller = fork.Process(target=_orphan, args=(theirs, started, wait))
    controller.start()
    controller.join()
    assert started.is_set()
    wait.set()
    assert ours.recv() == "the playbook that was to take worker-1 further has ended"


@pytest.mark.parametrize(("own", "ended"), [("77", True), ("", False)])
def test_a_playbook_that_is_just_ending_has_ended(monkeypatch: pytest.MonkeyPatch, own: str, ended: bool) -> None:
    """It shows no start time any more, so nobody would ever find that it is gone; without /proc nobody shows one."""
    monkeypatch.setattr(
        work, "of_process", lambda pid: SimpleNamespace(pid=pid, start=own if pid == os.getpid() else "")
    )
    with contextlib.ExitStack() as stack:
        if ended:
            stack.enter_context(pytest.raises(StepProblem, match="has ended"))
        assert work._controller("worker-1").start == ""


class Cluster:
    """The lock in the cluster, which somebody else may take over, or which may give no answer."""

    def __init__(self) -> None:
        self.asked = 0
        self.problem: Problem | None = None

    def acquire(self, lease: Any, **_more: Any) -> None:
        self.asked += 1
        if self.problem is not None:
            raise self.problem


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Work, Cluster]:
    """The work of a controller that took its locks a moment ago."""
    one: Any = Work.__new__(Work)
    one.params, one._again_at = {"directory": str(tmp_path)}, 0.0
    one.ledger = Ledger(tmp_path / "ledger.jsonl")
    cluster = Cluster()
    monkeypatch.setattr(Work, "cluster_lock", lambda self, name, holder: cluster)
    one.hold_cluster()
    assert cluster.asked == 1
    return one, cluster


PROBLEMS = [LockHeld("another holds it", "w", "d"), ClusterProblem("the API gives no answer", "w", "d")]


@pytest.mark.parametrize("problem", PROBLEMS, ids=["taken over", "no answer"])
def test_before_a_node_is_taken_away_the_cluster_is_asked_again(held: tuple[Work, Cluster], problem: Problem) -> None:
    one, cluster = held
    one.hold_cluster()
    assert cluster.asked == 1, "for a while its word is taken"
    cluster.problem = problem
    one.hold_cluster()
    with pytest.raises(type(problem), match=problem.found):
        one.hold_cluster(sure=True)


@pytest.mark.parametrize("problem", PROBLEMS, ids=["taken over", "no answer"])
def test_a_lock_that_seems_to_hold_longer_than_any_is_not_counted_on(
    held: tuple[Work, Cluster], monkeypatch: pytest.MonkeyPatch, problem: Problem
) -> None:
    """The clock of the control host was set back: by it the locks would never have to be renewed."""
    one, cluster = held

    class Clock(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            return super().now(tz) - dt.timedelta(hours=3)

    monkeypatch.setattr(work, "dt", SimpleNamespace(datetime=Clock, timedelta=dt.timedelta, UTC=dt.UTC))
    cluster.problem = problem
    with pytest.raises(type(problem), match=problem.found):
        one.hold_cluster()
    cluster.problem = None
    one.hold_cluster()
    assert cluster.asked == 3, "it is renewed at once"
    one.hold_cluster()
    assert cluster.asked == 3, "and then holds for a while"


def test_a_lock_that_cannot_be_renewed_counts_for_its_time_and_is_tried_again_later(
    held: tuple[Work, Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API may be away with the control plane that is reinstalled."""
    one, cluster = held
    monkeypatch.setattr(work, "_RENEW", work.LEASE)
    cluster.problem = ClusterProblem("the API gives no answer", "w", "d")
    one.hold_cluster()
    one.hold_cluster()
    assert cluster.asked == 2, "it is not asked at every look"
    cluster.problem, one._again_at = LockHeld("another holds it", "w", "d"), 0.0
    with pytest.raises(LockHeld, match="another holds it"):
        one.hold_cluster()


@pytest.mark.parametrize("step", STEP_NAMES)
def test_the_steps_that_take_a_node_away_are_sure_of_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    asked: list[bool] = []
    one = OneNode(tmp_path, itertools.repeat(Machine())).at(step)
    monkeypatch.setattr(one, "hold_cluster", lambda *, sure: asked.append(sure))
    monkeypatch.setitem(ACTS, step, lambda work: {})
    take(one, step)
    assert asked == [step in ("drain", "reset")]


def test_a_node_that_may_be_wiped_already_is_taken_further_on_the_lock_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its control plane may be the one that the API ran on."""
    asked: list[bool] = []
    one = OneNode(tmp_path, itertools.repeat(Machine())).at("reset")
    one.ledger.begin(one.host, "reset", machine_type="worker")
    one.ledger.intent(one.host, "reset")
    monkeypatch.setattr(one, "hold_cluster", lambda *, sure: asked.append(sure))
    monkeypatch.setitem(ACTS, "reset", lambda work: {})
    take(one, "reset")
    assert asked == [False]


def test_a_step_goes_by_the_evidence_that_was_judged_and_no_other_that_lies_there(tmp_path: Path) -> None:
    """Both are whole and sealed: an earlier one of the node, or another node's."""
    saved = {}
    for name, at in (
        ("worker-1", "2026-01-02T03:04:05Z"),
        ("worker-1", "2026-01-01T03:04:05Z"),
        ("worker-2", "2026-01-02T03:04:05Z"),
    ):
        document = sealed({"collected_at": at, "node": {"name": name}, "audit": {"sources": []}})
        saved[name, at] = files.save(str(tmp_path), document, {}), document["sha256"]
    (judged, sha256), *others = saved.values()
    one = OneNode(tmp_path, itertools.repeat(None))
    one.facts |= {"evidence": str(judged), "evidence_sha256": sha256}
    assert one.judged()["sha256"] == sha256
    given = order.Order(str(judged), "v", "in_place", "c", "d", "strict", *[None] * 5, evidence_sha256=sha256)
    nowhere: Any = None
    for other, _sha256 in others:
        judged.write_bytes(other.read_bytes())
        with pytest.raises(Problem, match="is not the one that was collected"):
            one.judged()
        with pytest.raises(Problem, match="is not the one that was collected"):
            order.send(one.action, given, nowhere)
