# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ledger of a rollout: steps in their order, resumed where they were left, and locks."""

from __future__ import annotations

import dataclasses
import os
from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.errors import LockHeld, StepRefused
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import (
    CONTROL_PLANE_LOCK,
    FLEET,
    ROLLOUT_LOCK,
    Ledger,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger_file import entries, verify
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.owner import of_process
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.state import NextStep, next_step
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES, STEPS

START = datetime(2026, 11, 22, 12, tzinfo=UTC)


def through(ledger, node, last, **facts):
    facts = {"machine_type": "worker", **facts}
    for step in STEP_NAMES[: STEP_NAMES.index(last) + 1]:
        ledger.begin(node, step, **facts)
        ledger.finish(node, step, "done")


def test_a_whole_operation(ledger, clock):
    assert ledger.state("w-1")["done"] == []
    assert next_step(ledger.node("w-1")).name == "verify"
    for step in STEP_NAMES:
        changes_world = next(s.changes_world for s in STEPS if s.name == step)
        following = next_step(ledger.node("w-1"))
        assert following == NextStep(step, changes_world, interrupted=False, failed_before=False)
        assert not following.look_first
        ledger.begin("w-1", step, wave="canary", machine_type="worker")
        clock.now += timedelta(minutes=1)
        assert ledger.state("w-1")["open"] == step
        ledger.finish("w-1", step, "done", note="ok")
    state = ledger.state("w-1")
    assert state["complete"] and not state["unfinished"] and state["canary"]
    assert state["done"] == list(STEP_NAMES)
    assert next_step(ledger.node("w-1")) is None
    assert ledger.open_operations() == {}
    whole = verify(ledger.path)
    assert whole.ok and whole.entries == 24 and whole.torn == 0
    assert [entry["seq"] for entry in entries(ledger.path)] == list(range(1, 25))
    assert oct(ledger.path.stat().st_mode & 0o777) == "0o600"
    ledger.begin("w-1", "verify")
    assert ledger.state("w-1")["done"] == [], "a new operation after a complete one"


def test_a_canary_stays_one_when_it_is_resumed_and_when_it_fails(ledger):
    ledger.begin("w-1", "verify", wave="canary", machine_type="worker")
    ledger.finish("w-1", "verify", "done")
    ledger.begin("w-1", "gate", wave="resume")
    assert ledger.read().canaries == ["w-1"]
    ledger.finish("w-1", "gate", "failed", found="no")
    ledger.fail("w-1", "gate", wave="workers", found="no")
    assert ledger.read().canaries == ["w-1"] == ledger.read().failed
    ledger.fail("w-2", "verify", wave="canary", found="before its first step")
    ledger.fail("w-2", "verify", wave="resume", found="again")
    ledger.fail("w-3", "verify", wave="workers", found="no")
    assert ledger.read().canaries == ["w-1", "w-2"]


@pytest.mark.parametrize("write", ["begin", "intent", "sent", "look", "finish", "fail", "close"])
def test_nothing_is_written_for_a_node_while_another_controller_holds_the_rollout(ledger, clock, write):
    for step in ("verify", "gate", "save"):
        ledger.begin("w-1", step, machine_type="worker")
        ledger.finish("w-1", step, "done")
    ledger.begin("w-1", "drain")
    writes = {
        "begin": lambda: ledger.begin("w-2", "verify"),
        "intent": lambda: ledger.intent("w-1", "drain"),
        "sent": lambda: ledger.sent("w-1", "drain"),
        "look": lambda: ledger.look("w-1", "drain", "unknown", found="f"),
        "finish": lambda: ledger.finish("w-1", "drain", "done"),
        "fail": lambda: ledger.fail("w-2", "verify", found="f"),
        "close": lambda: ledger.close("w-1", "it takes too long"),
    }
    if write == "sent":
        ledger.intent("w-1", "drain")
    other = Ledger(ledger.path, run="r2", owner="host-b", now=clock)
    other.acquire("rollout", "fleet", "host-b", clock.now + timedelta(hours=1))
    size = ledger.path.stat().st_size
    with pytest.raises(LockHeld, match="host-b holds the rollout lock"):
        writes[write]()
    assert ledger.path.stat().st_size == size
    clock.now += timedelta(hours=2)
    assert writes[write]()["seq"] > 0


def test_a_person_may_close_what_a_controller_that_ended_left(ledger, clock):
    through(ledger, "w-1", "gate")
    ended = str(dataclasses.replace(of_process(os.getpid()), start="1"))
    ledger.acquire(ROLLOUT_LOCK, FLEET, ended, clock.now + timedelta(minutes=30))
    ledger.close("w-1", "it is scrapped")
    assert not ledger.node("w-1").unfinished


def test_order_is_kept(ledger):
    for step in ("gate", "soak", "no-such-step"):
        with pytest.raises(StepRefused, match="of w-1 is refused: "):
            ledger.begin("w-1", step)
    with pytest.raises(StepRefused, match="not open"):
        ledger.finish("w-1", "verify", "done")
    ledger.begin("w-1", "verify")
    with pytest.raises(StepRefused, match="still open"):
        ledger.begin("w-1", "gate")
    with pytest.raises(StepRefused, match="not an outcome"):
        ledger.finish("w-1", "verify", "fine")
    ledger.finish("w-1", "verify", "done")
    with pytest.raises(StepRefused, match="already done"):
        ledger.begin("w-1", "verify")
    assert verify(ledger.path).entries == 2, "what is refused leaves no entry"


def test_a_failed_step_is_tried_again(ledger):
    through(ledger, "w-1", "drain")
    ledger.begin("w-1", "reset")
    ledger.finish("w-1", "reset", "failed", found="the node refused")
    assert verify(ledger.path).failed == ["w-1"]
    assert ledger.state("w-1")["failure"] == {"found": "the node refused"}
    step = next_step(ledger.node("w-1"))
    assert (step.name, step.failed_before, step.look_first) == ("reset", True, True)
    ledger.begin("w-1", "reset")
    assert verify(ledger.path).failed == []
    assert ledger.state("w-1")["attempts"]["reset"] == 2


def test_an_interrupted_step_is_named(ledger, tmp_path):
    through(ledger, "w-1", "drain")
    ledger.begin("w-1", "reset")
    other = Ledger(ledger.path, run="r2", owner="host-b")
    step = next_step(other.node("w-1"))
    assert (step.name, step.interrupted, step.look_first) == ("reset", True, True)
    assert list(other.open_operations()) == ["w-1"]
    assert other.begin("w-1", "reset")["resumed"] is True


def test_what_was_begun_is_not_taken_for_wiped(ledger):
    assert ledger.restart("w-1", "nothing there") is None
    through(ledger, "w-1", "drain")
    ledger.begin("w-1", "reset")
    assert not ledger.node("w-1").may_be_wiped
    assert ledger.restart("w-1", "the verdict is stale")["kind"] == "close"
    assert next_step(ledger.node("w-1")).name == "verify"


def test_restart_only_while_nothing_may_have_been_sent(ledger):
    through(ledger, "w-1", "drain")
    ledger.begin("w-1", "reset")
    with pytest.raises(StepRefused, match="not open"):
        ledger.intent("w-1", "boot")
    ledger.intent("w-1", "reset")
    known = ledger.node("w-1")
    assert (known.may_be_wiped, known.wiped) == (True, False)
    with pytest.raises(StepRefused, match="may have been sent"):
        ledger.restart("w-1", "no")
    ledger.sent("w-1", "reset", actor_id="a")
    assert ledger.node("w-1").wiped
    with pytest.raises(StepRefused, match="reason"):
        ledger.close("w-1", " ")
    ledger.close("w-1", "the machine was scrapped")
    assert verify(ledger.path).unfinished == []


def test_a_look_has_three_answers(ledger):
    through(ledger, "w-1", "drain")
    ledger.begin("w-1", "reset")
    ledger.intent("w-1", "reset")
    ledger.look("w-1", "reset", "unknown", found="no answer")
    known = ledger.node("w-1")
    assert (known.open, known.may_be_wiped, known.doubt) == ("reset", True, "no answer")
    ledger.look("w-1", "reset", "did_not", found="the old installation answers")
    known = ledger.node("w-1")
    assert (known.open, known.may_be_wiped, known.doubt, known.failed) == ("reset", False, None, None)
    with pytest.raises(StepRefused, match="no such answer"):
        ledger.look("w-1", "reset", "perhaps")
    for record in (ledger.begin, ledger.fail):
        with pytest.raises(StepRefused, match="there is no such step"):
            record("w-1", "no such")


@pytest.mark.parametrize("later", ["boot", "identify"])
def test_a_reset_without_effect_takes_back_what_followed_it(ledger, later):
    through(ledger, "w-1", "drain")
    ledger.begin("w-1", "reset")
    ledger.intent("w-1", "reset")
    ledger.sent("w-1", "reset")
    ledger.finish("w-1", "reset", "done")
    for step in STEP_NAMES[STEP_NAMES.index("boot") : STEP_NAMES.index(later)]:
        ledger.begin("w-1", step)
        ledger.finish("w-1", step, "done")
    ledger.begin("w-1", later)
    assert ledger.node("w-1").wiped
    ledger.look("w-1", "reset", "did_not", found="the old installation answers")
    known = ledger.node("w-1")
    assert known.done == ["verify", "gate", "save", "drain"]
    assert (known.open, known.failed, known.may_be_wiped) == (None, "reset", False)
    assert known.failure == {"found": "the old installation answers"}
    ledger.restart("w-1", "nothing was wiped")


def test_facts_pass_only_from_steps_that_are_done(ledger):
    ledger.begin("w-1", "verify")
    ledger.finish("w-1", "verify", "done", target="a", boot_path="hook")
    ledger.begin("w-1", "gate")
    ledger.finish("w-1", "gate", "failed", found="no")
    assert ledger.node("w-1").facts == {"target": "a", "boot_path": "hook"}


# -- locks ---------------------------------------------------------------------------------------------------------


def test_one_control_plane_and_one_controller(ledger, clock):
    hour = START + timedelta(hours=1)
    ledger.acquire(CONTROL_PLANE_LOCK, "cp-1", "host-a", hour)
    ledger.acquire(CONTROL_PLANE_LOCK, "cp-1", "host-a", hour + timedelta(hours=1))
    for node, owner in (("cp-2", "host-a"), ("cp-1", "host-b"), ("cp-2", "host-b")):
        with pytest.raises(LockHeld, match="host-a holds the control-plane lock for cp-1 until"):
            ledger.acquire(CONTROL_PLANE_LOCK, node, owner, hour)
    with pytest.raises(LockHeld, match="host-a holds the control-plane lock for cp-1"):
        ledger.release(CONTROL_PLANE_LOCK, "cp-1", "host-b")
    ledger.release(CONTROL_PLANE_LOCK, "cp-1", "host-a")
    assert ledger.release(CONTROL_PLANE_LOCK, "cp-1", "host-a") is None
    ledger.acquire(CONTROL_PLANE_LOCK, "cp-2", "host-b", hour)


def test_a_stale_lock_names_its_owner(ledger, clock):
    ledger.acquire(CONTROL_PLANE_LOCK, "cp-1", "host-a", START + timedelta(hours=1))
    ledger.begin("cp-1", "verify", machine_type="controlplane")
    clock.now += timedelta(hours=2)
    with pytest.raises(LockHeld, match=r"host-a holds .* for cp-1; it expired at") as caught:
        ledger.acquire(CONTROL_PLANE_LOCK, "cp-2", "host-b", clock.now + timedelta(hours=1))
    assert caught.value.context["stale"] is True
    assert caught.value.context["owner"] == "host-a"
    taken = ledger.acquire(CONTROL_PLANE_LOCK, "cp-1", "host-b", clock.now + timedelta(hours=1))
    assert taken["taken_over_from"]["owner"] == "host-a"


def test_a_stale_lock_of_a_settled_node_is_taken_over(ledger, clock):
    ledger.acquire(CONTROL_PLANE_LOCK, "cp-1", "host-a", START + timedelta(hours=1))
    clock.now += timedelta(hours=2)
    taken = ledger.acquire(CONTROL_PLANE_LOCK, "cp-2", "host-b", clock.now + timedelta(hours=1))
    assert taken["taken_over_from"]["node"] == "cp-1"


def test_a_lock_is_broken_only_with_a_reason(ledger, clock):
    ledger.acquire(CONTROL_PLANE_LOCK, "cp-1", "host-a", START + timedelta(hours=1))
    with pytest.raises(LockHeld, match="host-a holds the control-plane lock for cp-1"):
        ledger.release(CONTROL_PLANE_LOCK, "cp-2", "host-b", broken_because=" ")
    entry = ledger.release(CONTROL_PLANE_LOCK, "cp-2", "host-b", broken_because="host-a burned down")
    assert entry["held"]["owner"] == "host-a"
    with pytest.raises(StepRefused, match="time zone"):
        ledger.acquire(CONTROL_PLANE_LOCK, "cp-1", "host-a", datetime(2026, 1, 1))


def test_world_changing_steps_of_control_planes_need_the_lock(ledger):
    facts = {"machine_type": "controlplane"}
    through(ledger, "cp-1", "save", **facts)
    with pytest.raises(LockHeld, match="without the control-plane lock"):
        ledger.begin("cp-1", "drain", **facts)
    ledger.acquire(CONTROL_PLANE_LOCK, "cp-2", "host-a", START + timedelta(hours=1))
    with pytest.raises(LockHeld, match="which host-a holds for cp-2"):
        ledger.begin("cp-1", "drain", **facts)


def test_no_worker_leaves_while_a_control_plane_is_away(ledger):
    through(ledger, "w-1", "save", machine_type="worker")
    ledger.acquire(CONTROL_PLANE_LOCK, "cp-1", "host-a", START + timedelta(hours=1))
    with pytest.raises(LockHeld, match="has control plane cp-1 in flight"):
        ledger.begin("w-1", "drain", machine_type="worker")
    ledger.release(CONTROL_PLANE_LOCK, "cp-1", "host-a")
    ledger.begin("w-1", "drain", machine_type="worker")


@pytest.mark.parametrize("machine_type", [None, "unknown", "controlplane"])
def test_an_unknown_or_changed_machine_type_changes_no_world(ledger, machine_type):
    for step in ("verify", "gate", "save"):
        ledger.begin("n-1", step, **({"machine_type": "worker"} if machine_type == "controlplane" else {}))
        ledger.finish("n-1", step, "done")
    with pytest.raises(StepRefused, match="whether it is a control plane is not known"):
        ledger.begin("n-1", "drain", **({"machine_type": machine_type} if machine_type else {}))


def test_the_machine_type_cannot_change_on_the_way(ledger):
    through(ledger, "cp-1", "verify", machine_type="controlplane")
    with pytest.raises(StepRefused, match="controlplane and worker"):
        ledger.begin("cp-1", "gate", machine_type="worker")


def test_the_machine_type_is_remembered(ledger):
    through(ledger, "cp-1", "save", machine_type="controlplane")
    for facts in ({}, {"machine_type": None}, {"machine_type": ""}):
        with pytest.raises(LockHeld, match="without the control-plane lock"):
            ledger.begin("cp-1", "drain", **facts)


def test_one_controller_per_rollout(ledger, clock):
    ledger.acquire(ROLLOUT_LOCK, FLEET, "host-a", START + timedelta(hours=1))
    ledger.begin("w-1", "verify")
    other = Ledger(ledger.path, owner="host-b", now=clock)
    with pytest.raises(LockHeld, match="host-a holds the rollout lock"):
        other.begin("w-2", "verify")
    clock.now += timedelta(hours=2)
    other.acquire(ROLLOUT_LOCK, FLEET, "host-b", clock.now + timedelta(hours=1))
    with pytest.raises(LockHeld, match="host-b holds the rollout lock"):
        ledger.begin("w-3", "verify")
    with pytest.raises(LockHeld, match="host-b holds the rollout lock"):
        ledger.finish("w-1", "verify", "done")
    assert other.begin("w-1", "verify")["resumed"] is True


@pytest.mark.parametrize("step", STEP_NAMES)
def test_a_worker_goes_on_beside_a_control_plane_but_does_not_begin_to_disappear(ledger, step):
    for name in STEP_NAMES[: STEP_NAMES.index(step)]:
        ledger.begin("w-1", name, machine_type="worker")
        ledger.finish("w-1", name, "done")
    ledger.acquire(CONTROL_PLANE_LOCK, "cp-1", "host-a", START + timedelta(hours=1))
    if step not in ("drain", "reset"):
        assert ledger.begin("w-1", step, machine_type="worker")["step"] == step
        return
    with pytest.raises(LockHeld, match="has control plane cp-1 in flight") as refused:
        ledger.begin("w-1", step, machine_type="worker")
    assert refused.value.context["holder"] == "host-a"
