# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""In whose name a task writes, and how sure it is that nobody else may."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import itertools
import multiprocessing
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.actions import Target
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import files
from ansible_collections.talosops.selinux.plugins.plugin_utils.kube import ClusterProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import order, work
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.step import ACTS, take
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.work import StepProblem, Work
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.errors import LockHeld
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import (
    CLUSTER_LOCK,
    CONTROL_PLANE_LOCK,
    ROLLOUT_LOCK,
    Ledger,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.owner import of_process
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Context
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import TalosError

from .machines import HOST, Machine, OneNode


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


def test_how_long_locks_hold() -> None:
    minutes = dt.timedelta(minutes=1)
    assert (
        30 * minutes,
        120 * minutes,
        20 * minutes,
        60.0,
    ) == (work.LEASE, work.CONTROL_PLANE_TIME, work._RENEW, work._PATIENCE)
    second = dt.timedelta(seconds=1)
    found = {left: work._holds_for_now(left * minutes) for left in (0, 20, 30)}
    assert found == {0: False, 20: False, 30: True}
    assert work._holds_for_now(20 * minutes + second) and not work._holds_for_now(30 * minutes + second)
    assert work.in_flight("cp-1", "u") == "cp-1 (u)"


@pytest.fixture
def reached(tmp_path: Path) -> OneNode:
    """The work on a control plane that has two peers and is reached through endpoints, of which one is itself."""
    one = OneNode(tmp_path, itertools.repeat(Machine()))
    context = Context("c", ["10.0.0.9", "10.0.0.1", "10.0.0.2"], crt=b"", key=b"")
    one.action.target = lambda host, address=None: Target(host, address or "10.0.0.1", context, "endpoint", None)
    one.facts["peers"] = [{"address": "10.0.0.2"}, {"address": "10.0.0.3"}]
    return one


@pytest.mark.parametrize("address", [None, "10.0.0.2"])
def test_a_control_plane_is_reached_through_the_others(reached: OneNode, address: str | None) -> None:
    where = Work.where(reached, address)
    assert (where.host, where.address, where.route) == (HOST, address or "10.0.0.1", "endpoint")
    assert where.context.endpoints == ["10.0.0.2", "10.0.0.3", "10.0.0.9"]
    assert where.context.name == "c"
    assert Work.address.fget(reached) == "10.0.0.1"  # type: ignore[attr-defined]  # a property has one


@pytest.mark.parametrize(("peers", "route"), [([], "endpoint"), (None, "endpoint"), ([{"address": "a"}], "direct")])
def test_where_there_are_no_others_or_no_endpoints_the_way_is_the_inventorys(
    reached: OneNode, peers: Any, route: Any
) -> None:
    real = reached.action.target
    reached.action.target = lambda host, address=None: dataclasses.replace(real(host, address), route=route)
    reached.facts["peers"] = peers
    assert Work.where(reached) == reached.action.target(HOST)


def test_what_is_asked_of_whom(reached: OneNode, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    reached.action.ask = lambda question, target: asked.append((question, target)) or "answer"
    question: Any = object()
    other = dataclasses.replace(reached.action.target(HOST), address="10.0.0.5")
    assert [Work.ask(reached, question), Work.ask(reached, question, other)] == ["answer"] * 2
    assert [(what, where.address, where.context.endpoints) for what, where in asked] == [
        (question, "10.0.0.1", ["10.0.0.2", "10.0.0.3", "10.0.0.9"]),
        (question, "10.0.0.5", other.context.endpoints),
    ]


@pytest.mark.parametrize("fingerprint", [None, "f"])
def test_a_machine_in_maintenance_mode_is_pinned_or_nobody_vouches_for_it(
    reached: OneNode, monkeypatch: pytest.MonkeyPatch, fingerprint: str | None
) -> None:
    asked: list[Any] = []

    class Client:
        async def __aenter__(self) -> None:
            asked.append("open")

        async def __aexit__(self, *_error: object) -> None:
            asked.append("closed")

    monkeypatch.setattr(work, "connect_maintenance", lambda address, **how: asked.append((address, how)) or Client())

    async def question(client: Any) -> str:
        asked.append(type(client))
        return "answer"

    assert Work.ask_maintenance(reached, question, fingerprint=fingerprint) == "answer"
    pinned = {"fingerprints": [fingerprint] if fingerprint else [], "trust_unverified": fingerprint is None}
    assert asked == [("10.0.0.1", pinned), "open", Client, "closed"]


def test_while_it_waits_it_holds_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = OneNode(tmp_path, itertools.repeat(Machine()))
    done: list[Any] = []
    monkeypatch.setattr(one, "hold_cluster", lambda: done.append("held"))
    monkeypatch.setattr(work, "poll", lambda look, ended, **how: done.append((ended, how)) or look())
    assert one.wait(lambda: done.append("looked") or 7, bool, timeout=9, waiting_for="w", do="d") == 7
    how = {"timeout": 9, "sleep": 0.01, "waiting_for": "w", "do": "d", "patient_with": (TalosError,)}
    assert done == [(bool, how), "held", "looked"]


def test_the_locks_in_the_cluster(tmp_path: Path) -> None:
    one = OneNode(tmp_path, itertools.repeat(Machine()))
    one.params |= {"kubeconfig": "k", "kube_context": "c"}
    locks = [one.cluster_lock("name", "holder"), one.control_plane_lease("machine")]
    assert [vars(lock) for lock in locks] == [
        {"_kubeconfig": "k", "_context": "c", "name": "name", "holder": "holder", "lasting": False},
        {
            "_kubeconfig": "k",
            "_context": "c",
            "name": "talosops-selinux-control-plane",
            "holder": "machine",
            "lasting": True,
        },
    ]


class Lease:
    """A lock in the cluster that keeps what it was asked."""

    def __init__(self, asked: list[Any], fails: bool = False) -> None:
        self.asked, self.fails = asked, fails

    def acquire(self, lease: Any, **how: Any) -> None:
        self.asked.append(("acquire", lease, how))

    def release(self) -> None:
        self.asked.append("release")
        if self.fails:
            raise ClusterProblem("the API gives no answer", "w", "d")


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Work, list[Any], Lease]:
    """The work of a controller with nothing yet, and what the cluster was asked."""
    one: Any = Work.__new__(Work)
    one.params, one._again_at, one.host, one.facts = {"directory": str(tmp_path)}, 0.0, HOST, {}
    one.ledger = Ledger(tmp_path / "ledger.jsonl")
    asked: list[Any] = []
    lease = Lease(asked)
    monkeypatch.setattr(Work, "cluster_lock", lambda self, name, holder: asked.append((name, holder)) or lease)
    return one, asked, lease


def held_until(one: Work, kind: str) -> dt.timedelta | None:
    """How long a lock in the directory still holds, to a minute."""
    lock = one.ledger.lock(kind)
    if lock is None:
        return None
    left = dt.datetime.fromisoformat(lock["expires"]) - dt.datetime.now(dt.UTC)
    return dt.timedelta(minutes=round(left / dt.timedelta(minutes=1)))


def test_the_locks_are_taken_once_and_released_both(locked: tuple[Work, list[Any], Lease], tmp_path: Path) -> None:
    one, asked, _lease = locked
    assert [held_until(one, kind) for kind in (ROLLOUT_LOCK, CLUSTER_LOCK)] == [None, None]
    one.hold_cluster(take_over="it is gone")
    run = one.ledger.run
    assert run is not None and len(run) == 12
    assert [held_until(one, kind) for kind in (ROLLOUT_LOCK, CLUSTER_LOCK)] == [work.LEASE] * 2
    one.hold_cluster()
    assert one.ledger.run == run
    how = {"take_over": "it is gone", "about": str(tmp_path.absolute())}
    lease = ("talosops-selinux-rollout", one.ledger.owner)
    assert asked == [lease, ("acquire", work.LEASE, how)]
    one.let_go()
    assert asked[2:] == [lease, "release"]
    assert [held_until(one, kind) for kind in (ROLLOUT_LOCK, CLUSTER_LOCK)] == [None, None]
    one.let_go()
    assert asked[4:] == []


def test_a_cluster_that_gives_no_answer_keeps_the_directorys_lock_from_nobody(
    locked: tuple[Work, list[Any], Lease],
) -> None:
    one, _asked, lease = locked
    one.hold_cluster()
    lease.fails = True
    with pytest.raises(ClusterProblem, match="gives no answer"):
        one.let_go()
    assert [held_until(one, kind) for kind in (ROLLOUT_LOCK, CLUSTER_LOCK)] == [None, work.LEASE]


@pytest.mark.parametrize(
    ("facts", "kubeconfig", "released"),
    [({"uuid": "u"}, "k", True), ({"uuid": "u"}, None, False), ({"uuid": ""}, "k", False), ({}, "k", False)],
)
def test_a_control_planes_lock_is_released_in_the_cluster_where_its_machine_is_known(
    locked: tuple[Work, list[Any], Lease],
    monkeypatch: pytest.MonkeyPatch,
    facts: dict[str, str],
    kubeconfig: str | None,
    released: bool,
) -> None:
    one, asked, lease = locked
    monkeypatch.setattr(Work, "control_plane_lease", lambda self, holder: asked.append(holder) or lease)
    one.facts, one.params = facts, {**one.params, "kubeconfig": kubeconfig}
    one.release_control_plane_lock()
    one.take_control_plane_lock()
    one.take_control_plane_lock()
    assert held_until(one, CONTROL_PLANE_LOCK) == work.CONTROL_PLANE_TIME
    one.host = "other"
    one.release_control_plane_lock()
    assert (held_until(one, CONTROL_PLANE_LOCK), asked) == (work.CONTROL_PLANE_TIME, [])
    one.host = HOST
    one.release_control_plane_lock()
    assert held_until(one, CONTROL_PLANE_LOCK) is None
    assert asked == (["worker-1 (u)", "release"] if released else [])


@pytest.mark.parametrize(("host", "named"), [(None, "n-1"), ("n-2", "n-2")])
def test_every_task_begins_with_nothing_but_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str | None, named: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(work, "_controller", lambda name: asked.append(name) or of_process(os.getpid()))
    action: Any = SimpleNamespace(host="n-1", params={"directory": str(tmp_path)})
    one = Work(action, host)
    found = dict(vars(one))
    ledger = found.pop("ledger")
    assert (ledger.path, ledger.owner) == (tmp_path / "ledger.jsonl", str(of_process(os.getpid())))
    assert found == {
        "action": action,
        "params": action.params,
        "host": named,
        "facts": {},
        "look_first": False,
        "again": False,
        "failed_before": False,
        "changed": False,
        "failure": None,
        "writes": {},
        "_again_at": 0.0,
    }
    assert asked == [named]
