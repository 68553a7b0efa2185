# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ledger: readable after any kill, resumable from any line, and impossible to change unnoticed."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import canonical_json
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.errors import (
    LedgerBroken,
    LedgerProblem,
    LockHeld,
    SecretRefused,
    StepRefused,
)
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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TESTS = Path(__file__).resolve().parents[2]
START = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(tmp_path, clock):
    return Ledger(tmp_path / "run" / "ledger.jsonl", run="r1", owner="host-a", now=clock)


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


# -- secrets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "facts",
    [
        {"token": "x"},
        {"machine_config": "x"},
        {"machineConfig": "x"},
        {"apiKey": "x"},
        {"TALOSCONFIG": "x"},
        {"nested": [{"deep": {"client-key": "x"}}]},
        {"note": "-----BEGIN " + "CERTIFICATE-----"},
        {"note": ["it says LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"]},
        {"bootstrap_token": 7},
    ],
)
def test_secrets_are_refused_and_not_repeated(ledger, facts):
    with pytest.raises(SecretRefused) as caught:
        ledger.begin("w-1", "verify", **facts)
    assert "CERTIFICATE" not in str(caught.value)
    assert not ledger.path.exists()


def test_hashes_and_names_are_welcome(ledger):
    facts = {
        "config_sha256": "ab",
        "signing_key_fingerprint": "cd",
        "machine_config_path": "x.yaml",
        "schematic": "ef",
        "monkey": "business",
        "count": 3,
        "share": 0.5,
        "list": [None, True],
    }
    assert ledger.begin("w-1", "verify", **facts)["facts"] == facts


def test_only_plain_data(ledger):
    with pytest.raises(LedgerProblem, match="plain JSON"):
        ledger.begin("w-1", "verify", when=START)


# -- the chain -----------------------------------------------------------------------------------------------------


def filled(ledger):
    through(ledger, "w-1", "save")
    ledger.begin("w-1", "drain")
    return ledger.path.read_bytes().splitlines(keepends=True)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_change_of_any_byte_is_found(ledger, data):
    if not ledger.path.exists():
        filled(ledger)
    original = ledger.path.read_bytes()
    lines = original.splitlines(keepends=True)
    place = data.draw(st.integers(0, len(original) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != original[place]))
    changed = original[:place] + bytes([byte]) + original[place + 1 :]
    number = original[:place].count(b"\n") + 1
    copy = ledger.path.with_name("copy.jsonl")
    copy.write_bytes(changed)
    state = verify(copy)
    if number == len(lines):
        # The last line has no successor: a change that keeps it valid is only found by comparing heads.
        assert not state.ok or state.torn or state.head != verify(ledger.path).head
        return
    assert not state.ok
    assert state.broken_at in (number, number + 1)
    with pytest.raises(LedgerBroken, match=f"line {state.broken_at}"):
        Ledger(copy).begin("w-2", "verify")
    assert copy.read_bytes() == changed, "a broken ledger is left as it was found"


@pytest.mark.parametrize(
    ("change", "line", "found"),
    [
        ("drop", 4, "became shorter while it was in use"),
        ("swap", 4, "is broken: line 4 does not carry the hash of the line before it"),
        ("repeat", 5, "is broken: line 5 does not carry the hash of the line before it"),
        ("insert", 5, "is broken: line 5 has the number 4"),
    ],
)
def test_lines_cannot_be_moved(ledger, change, line, found):
    lines = filled(ledger)
    if change == "drop":
        del lines[3]
    elif change == "swap":
        lines[3], lines[4] = lines[4], lines[3]
    elif change == "repeat":
        lines.insert(4, lines[3])
    else:
        forged = json.loads(lines[3]) | {"prev": json.loads(lines[4])["prev"]}
        lines.insert(4, canonical_json(forged) + b"\n")
    ledger.path.write_bytes(b"".join(lines))
    assert verify(ledger.path).broken_at == line
    with pytest.raises(LedgerBroken, match=f"is broken: line {line} "):
        list(entries(ledger.path))
    with pytest.raises(LedgerBroken, match=found):
        Ledger(ledger.path).state("w-1")


def test_a_torn_tail_at_every_length(ledger, tmp_path):
    lines = filled(ledger)
    whole, last = b"".join(lines[:-1]), lines[-1]
    for cut in range(1, len(last), 7):
        path = tmp_path / f"cut-{cut}" / "ledger.jsonl"
        path.parent.mkdir()
        path.write_bytes(whole + last[:cut])
        state = verify(path)
        assert state.ok and state.torn == cut and state.entries == len(lines) - 1
        assert state.nodes["w-1"].open is None
        again = Ledger(path)
        again.begin("w-1", "drain")
        state = verify(path)
        assert state.ok and not state.torn and state.nodes["w-1"].open == "drain"
        (report,) = state.recovered
        assert report["bytes"] == cut
        assert (path.parent / report["file"]).read_bytes() == last[:cut]


def test_a_ledger_that_shrinks_is_noticed(ledger):
    lines = filled(ledger)
    ledger.path.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(LedgerBroken, match="became shorter"):
        ledger.state("w-1")
    ledger.path.unlink()
    with pytest.raises(LedgerBroken, match="became shorter"):
        ledger.state("w-1")


def test_one_object_sees_what_others_write(ledger):
    other = Ledger(ledger.path, owner="host-b")
    ledger.begin("w-1", "verify")
    assert other.state("w-1")["open"] == "verify"
    other.finish("w-1", "verify", "done")
    assert ledger.state("w-1")["done"] == ["verify"]
    kept = ledger.read()
    ledger.begin("w-1", "gate")
    assert kept.nodes["w-1"].open is None, "a state that was handed out does not change"
    with ledger.path.open("ab") as file:
        file.write(b'{"torn')
    assert other.state("w-1")["open"] == "gate"
    ledger.finish("w-1", "gate", "done")
    assert other.state("w-1")["done"] == ["verify", "gate"]
    assert verify(ledger.path).ok


def test_nothing_there_is_an_empty_ledger(tmp_path):
    state = verify(tmp_path / "none.jsonl")
    assert state.ok and state.entries == 0
    assert list(entries(tmp_path / "none.jsonl")) == []
    with pytest.raises(LedgerProblem, match="cannot be used"):
        verify(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerProblem, match="cannot be used"):
        Ledger(tmp_path / "file" / "ledger.jsonl").begin("w-1", "verify")


# -- real processes ------------------------------------------------------------------------------------------------

WRITER = """
import sys
sys.path[:0] = sys.argv[1].split(":")
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import Ledger
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES
ledger = Ledger(sys.argv[2], owner=sys.argv[3])
for number in range(int(sys.argv[4])):
    for step in STEP_NAMES:
        node = f"{sys.argv[3]}-{number}"
        ledger.begin(node, step, machine_type="worker", filler="x" * 2000)
        print(node, step, "begin", flush=True)
        ledger.finish(node, step, "done")
        print(node, step, "finish", flush=True)
"""


def writer(path, owner, nodes):
    roots = f"{TESTS.parent / '.collections'}:{TESTS}"
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, roots, str(path), owner, str(nodes)], stdout=subprocess.PIPE, text=True
    )


def test_kill_at_random_moments(tmp_path):
    dice = random.Random(os.environ.get("LEDGER_SEED", "20261122"))
    path = tmp_path / "ledger.jsonl"
    for round_number in range(8):
        process = writer(path, f"k{round_number}", 50)
        told = [process.stdout.readline() for _unused in range(dice.randint(1, 20))]
        time.sleep(dice.random() / 50)
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read().splitlines(keepends=True)
        process.wait()
        process.stdout.close()
        state = verify(path)
        assert state.ok
        written = {(e["node"], e["step"], e["kind"]) for e in entries(path) if e["kind"] in ("begin", "finish")}
        promised = {tuple(line.split()) for line in told if line.endswith("\n")}
        assert promised <= written, "what was told as written is there"
        again = Ledger(path, owner="after")
        for node in state.unfinished:
            step = next_step(again.node(node))
            again.begin(node, step.name, machine_type="worker")
            again.close(node, "the test is done with it")
    assert verify(path).unfinished == []


def test_two_writers_share_one_chain(tmp_path):
    path = tmp_path / "ledger.jsonl"
    writers = [writer(path, owner, 2) for owner in ("a", "b", "c")]
    for process in writers:
        process.communicate()
        assert process.returncode == 0
    state = verify(path)
    assert state.ok and state.entries == 3 * 2 * 24
    assert all(node.complete for node in state.nodes.values())


def test_a_writer_that_hangs_is_told(ledger, tmp_path):
    import fcntl

    ledger.begin("w-1", "verify")
    with ledger.path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LedgerProblem, match="another process has held"):
            Ledger(ledger.path, lock_seconds=0.05).finish("w-1", "verify", "done")


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
