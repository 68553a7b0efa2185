# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A step opens its entry, acts and closes it; a control plane keeps its lock from its drain to the end of its soak."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import before, step
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.work import CONTROL_PLANE_LOCK, NotKnown
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import LockHeld
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger_file import entries
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES

from .machines import FACTS, HOST, Machine, OneNode

CONTROL_PLANE = {"machine_type": "controlplane", "uuid": None}


def acting(patch: pytest.MonkeyPatch, **acts: Any) -> None:
    """Let every step do nothing but leave what its row says, or what is given."""
    made = {
        row.name: (lambda work, row=row: {name: FACTS[name] for name in row.leaves if name in FACTS})
        for row in step.BY_NAME.values()
    }
    patch.setattr(step, "ACTS", {**made, **acts})


def holder(work: OneNode) -> str | None:
    lock = work.ledger.lock(CONTROL_PLANE_LOCK)
    return None if lock is None else str(lock["node"])


def test_a_control_plane_holds_its_lock_from_its_drain_until_its_soak_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acting(monkeypatch)
    work = OneNode(tmp_path, itertools.repeat(Machine())).at("drain", **CONTROL_PLANE)
    assert holder(work) is None
    held = {}
    for name in STEP_NAMES[STEP_NAMES.index("drain") :]:
        assert step.take(work, name)["taken"]
        held[name] = holder(work)
    assert held.pop("soak") is None
    assert set(held) == {"drain", "reset", "boot", "identify", "apply", "install", "prove", "rejoin"}
    assert set(held.values()) == {HOST}


@pytest.mark.parametrize("failing", ["reset", "identify", "install", "prove", "rejoin", "soak"])
def test_it_holds_it_when_a_step_after_the_wipe_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(work: OneNode) -> dict[str, Any]:
        if failing == "reset":
            work.ledger.intent(work.host, "reset")
            work.ledger.sent(work.host, "reset")
        raise Problem("it broke", "w", "d")

    acting(monkeypatch, **{failing: fail})
    work = OneNode(tmp_path, itertools.repeat(Machine())).at("drain", **CONTROL_PLANE)
    for name in STEP_NAMES[STEP_NAMES.index("drain") : STEP_NAMES.index(failing)]:
        if name == "reset":
            monkeypatch.setitem(step.ACTS, "reset", _wipe)
        step.take(work, name)
    with pytest.raises(Problem, match="it broke"):
        step.take(work, failing)
    assert "stays cordoned" in step.fail_and_release(work, "it broke")
    assert step.release(work) is False
    assert holder(work) == HOST


def _wipe(work: OneNode) -> dict[str, Any]:
    work.ledger.intent(work.host, "reset")
    work.ledger.sent(work.host, "reset")
    return {"actor_id": None, "gone": "it is gone"}


def test_one_that_was_not_wiped_gives_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(work: OneNode) -> dict[str, Any]:
        raise Problem("it broke", "w", "d")

    acting(monkeypatch, reset=fail)
    undone: list[str] = []
    monkeypatch.setattr(before, "undo_drain", lambda work: undone.append(work.host) or True)
    work = OneNode(tmp_path, itertools.repeat(Machine())).at("drain", **CONTROL_PLANE)
    monkeypatch.setitem(step.ACTS, "drain", _drain)
    step.take(work, "drain")
    assert holder(work) == HOST
    with pytest.raises(Problem, match="it broke"):
        step.take(work, "reset")
    assert step.fail_and_release(work, "it broke") == f"{HOST} was not wiped and is uncordoned again"
    assert (holder(work), undone) == (None, [HOST])


def _drain(work: OneNode) -> dict[str, Any]:
    work.ledger.intent(work.host, "drain")
    return {"cordoned": True}


def test_a_control_plane_is_not_drained_while_another_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acting(monkeypatch)
    work = OneNode(tmp_path, itertools.repeat(Machine())).at("drain", **CONTROL_PLANE)
    other = OneNode(tmp_path, itertools.repeat(Machine()))
    other.host = "cp-2"
    other.take_control_plane_lock()
    with pytest.raises(LockHeld, match="holds the control-plane lock for cp-2"):
        step.take(work, "drain")
    known = work.ledger.node(HOST)
    assert known.failed == "drain" and "drain" not in known.done
    assert holder(work) == "cp-2"


def test_a_worker_takes_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acting(monkeypatch)
    work = OneNode(tmp_path, itertools.repeat(Machine())).at("drain")
    assert step.take(work, "drain")["taken"]
    assert holder(work) is None


def test_a_step_that_is_done_is_not_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acting(monkeypatch, identify=lambda work: {"fingerprint": "second"})
    work = OneNode(tmp_path, itertools.repeat(Machine())).at("identify")
    assert step.take(work, "identify") == {
        "step": "identify",
        "taken": True,
        "facts": {"fingerprint": "second"},
        "changed": False,
    }
    again = step.take(work, "identify")
    assert again == {"step": "identify", "taken": False, "facts": {"fingerprint": "second"}, "changed": False}
    assert work.ledger.node(HOST).attempts["identify"] == 1


def test_an_effect_that_is_not_known_leaves_the_step_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def doubt(work: OneNode) -> dict[str, Any]:
        raise NotKnown("nobody answers", "w", "look at its console")

    acting(monkeypatch, reset=doubt)
    work = OneNode(tmp_path, itertools.repeat(Machine())).at("reset")
    with pytest.raises(NotKnown, match="nobody answers"):
        step.take(work, "reset")
    known = work.ledger.node(HOST)
    assert (known.open, known.doubt, known.failed) == ("reset", "nobody answers", None)
    assert known.failure is not None and known.failure["do"] == "look at its console"


def test_a_step_that_breaks_has_failed_and_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acting(monkeypatch, boot=lambda work: {}["x"])
    work = OneNode(tmp_path, itertools.repeat(Machine())).at("boot")
    with pytest.raises(Problem, match="the step boot of worker-1 ended with an unexpected KeyError"):
        step.take(work, "boot")
    known = work.ledger.node(HOST)
    assert known.failed == "boot" and known.failure is not None
    assert known.failure["why"] == "it is not known how far it came"


def test_what_an_earlier_step_should_have_left_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acting(monkeypatch)
    work = OneNode(tmp_path, itertools.repeat(Machine()))
    for name in STEP_NAMES[:-1]:
        work.ledger.begin(HOST, name, machine_type="worker")
        work.ledger.finish(HOST, name, "done")
    with pytest.raises(Problem, match=r"the ledger does not know boot_after, hostname, uuid, cordoned of worker-1"):
        step.take(work, "soak")
    assert work.ledger.node(HOST).failed == "soak"


@pytest.mark.parametrize("complete", [False, True])
def test_the_first_step_begins_anew_what_was_stopped_before_the_wipe_and_after_what_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complete: bool
) -> None:
    """Evidence and verdict of an operation that was stopped are not carried on."""
    acting(monkeypatch)
    work = OneNode(tmp_path, itertools.repeat(Machine())).at("soak" if complete else "save")
    if complete:
        work.ledger.begin(HOST, "soak")
        work.ledger.finish(HOST, "soak", "done")
    assert step.take(work, "verify")["taken"]
    assert work.ledger.node(HOST).done == ["verify"]
    closed = [entry["facts"]["reason"] for entry in entries(work.ledger.path) if entry["kind"] == "close"]
    assert closed == ([] if complete else ["it was stopped before anything was wiped"])


def failed(work: OneNode) -> tuple[str | None, dict[str, Any] | None]:
    known = work.ledger.node(HOST)
    return known.failed, known.failure


@pytest.mark.parametrize("uncordoned", [True, False])
def test_a_failure_that_no_step_could_record_is_recorded_by_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uncordoned: bool
) -> None:
    """A task that could not even be templated has failed its node."""
    monkeypatch.setattr(before, "undo_drain", lambda _work: uncordoned)
    work = OneNode(tmp_path, itertools.repeat(Machine())).at("reset")
    told = step.fail_and_release(work, "a template is wrong")
    assert told == f"{HOST} was not wiped" + (" and is uncordoned again" if uncordoned else "")
    name, failure = failed(work)
    assert name == "reset" and failure is not None and failure["found"] == "a template is wrong"
    (entry,) = (entry for entry in entries(work.ledger.path) if entry["kind"] == "fail")
    assert (entry["step"], entry["facts"]["wave"]) == ("reset", "1")
    looks = [entry["facts"]["found"] for entry in entries(work.ledger.path) if entry["kind"] == "look"]
    found = "the node was uncordoned again" if uncordoned else "the node has no cordon of the rollout's"
    assert looks == [f"{found}, as nothing was wiped"]


def test_a_failure_that_its_step_recorded_is_not_recorded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = OneNode(tmp_path, itertools.repeat(Machine())).at("gate")
    work.ledger.fail(HOST, "gate", wave="1", found="it is refused")
    count = len(list(entries(work.ledger.path)))
    assert step.fail_and_release(work, "another reason") == f"{HOST} was not wiped"
    name, failure = failed(work)
    assert (name, failure and failure["found"]) == ("gate", "it is refused")
    assert len(list(entries(work.ledger.path))) == count


def test_what_is_not_known_stays_so_and_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def doubt(work: OneNode) -> dict[str, Any]:
        work.ledger.intent(work.host, "reset")
        raise NotKnown("nobody answers", "w", "d")

    acting(monkeypatch, reset=doubt)
    work = OneNode(tmp_path, itertools.repeat(Machine())).at("reset")
    with pytest.raises(NotKnown, match="nobody answers"):
        step.take(work, "reset")
    told = step.fail_and_release(work, "nobody answers")
    assert told == (
        f"{HOST} was wiped, or may have been, and stays cordoned: run the rollout again, which goes on with it"
    )
    assert (failed(work)[0], work.ledger.node(HOST).doubt) == (None, "nobody answers")


@pytest.mark.parametrize("uncordoned", [True, False])
def test_a_halted_node_is_closed_and_has_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uncordoned: bool
) -> None:
    monkeypatch.setattr(before, "undo_drain", lambda _work: uncordoned)
    work = OneNode(tmp_path, itertools.repeat(Machine())).at("reset")
    work.ledger.halt("a denial", "a rulebook")
    told = step.fail_and_release(work, "it is halted")
    assert told == f"{HOST} was not taken further" + (" and is uncordoned again" if uncordoned else "")
    known = work.ledger.node(HOST)
    assert (known.failed, known.unfinished, known.done) == (None, False, [])
    closed = [entry["facts"]["reason"] for entry in entries(work.ledger.path) if entry["kind"] == "close"]
    assert closed == ["it is halted"]
    assert step.release(work) is False
