# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Halts in the ledger: they stop what was not wiped from the moment of their entry on, whoever writes beside them."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.halts import Halted, HaltRefused
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import FLEET, ROLLOUT_LOCK, Ledger
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger_file import entries, verify
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES, up_to


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "ledger.jsonl", owner="controller")
    ledger.acquire(ROLLOUT_LOCK, FLEET, "controller", datetime.now(UTC) + timedelta(hours=1))
    return ledger


def at(ledger: Ledger, node: str, step: str) -> None:
    """Bring a worker to a step that is begun."""
    for name in up_to(step):
        ledger.begin(node, name, machine_type="worker")
        ledger.finish(node, name, "done")
    ledger.begin(node, step, machine_type="worker")


def other(ledger: Ledger) -> Ledger:
    """Another process's view, which knows only what is on the disk."""
    return Ledger(ledger.path, owner="on-call")


@pytest.mark.parametrize("step", up_to("boot"))
def test_no_step_before_the_wipe_begins_or_writes(ledger: Ledger, step: str) -> None:
    at(ledger, "w-1", step)
    assert other(ledger).halt("storage", "J. Doe") is not None
    with pytest.raises(Halted, match=r"halt [0-9]+ by J\. Doe at .*: storage"):
        ledger.intent("w-1", step)
    with pytest.raises(Halted, match="of w-1 is refused, as the rollout is halted"):
        ledger.begin("w-1", step, machine_type="worker")
    with pytest.raises(Halted, match="verify of w-2 is refused, as the rollout is halted"):
        ledger.begin("w-2", "verify")
    with pytest.raises(Halted, match="of w-1 is refused, as the rollout is halted"):
        ledger.refuse_halted("w-1", step)
    # It can be ended and closed all the same.
    ledger.finish("w-1", step, "failed")
    ledger.close("w-1", "halted")
    assert ledger.node("w-1").unfinished is False


@pytest.mark.parametrize("written", ["intent", "sent"])
def test_what_may_be_wiped_goes_on_to_its_end(ledger: Ledger, written: str) -> None:
    at(ledger, "w-1", "reset")
    ledger.intent("w-1", "reset")
    if written == "sent":
        ledger.sent("w-1", "reset")
    other(ledger).halt("storage", "J. Doe")
    ledger.refuse_halted("w-1", "reset")
    ledger.intent("w-1", "reset")
    ledger.finish("w-1", "reset", "done")
    for step in STEP_NAMES[STEP_NAMES.index("reset") + 1 :]:
        ledger.begin("w-1", step)
        ledger.finish("w-1", step, "done")
    assert ledger.node("w-1").complete
    # Its next operation is a new one.
    with pytest.raises(Halted, match="verify of w-1 is refused, as the rollout is halted"):
        ledger.begin("w-1", "verify")


def test_a_reset_that_had_no_effect_is_not_sent_again(ledger: Ledger) -> None:
    at(ledger, "w-1", "reset")
    ledger.intent("w-1", "reset")
    other(ledger).halt("storage", "J. Doe")
    ledger.look("w-1", "reset", "did_not", found="the old installation answers")
    with pytest.raises(Halted, match="reset of w-1 is refused, as the rollout is halted"):
        ledger.intent("w-1", "reset")


def test_each_halt_is_lifted_by_its_number_and_stands_until_then(ledger: Ledger) -> None:
    first, second = (other(ledger).halt(reason, "J. Doe") for reason in ("storage", "network"))
    assert first is not None and second is not None
    assert other(ledger).halt("storage", "J. Doe") is None
    assert other(ledger).halt("storage", "another") is not None
    halts = other(ledger).halts()
    assert [(halt["number"], halt["reason"], halt["who"]) for halt in halts] == [
        (first["seq"], "storage", "J. Doe"),
        (second["seq"], "network", "J. Doe"),
        (second["seq"] + 1, "storage", "another"),
    ]
    other(ledger).lift([first["seq"]], "is back", "J. Doe")
    with pytest.raises(HaltRefused, match=f"halt {first['seq']} does not stand"):
        other(ledger).lift([first["seq"], second["seq"]], "is back", "J. Doe")
    with pytest.raises(Halted, match="verify of w-1 is refused, as the rollout is halted"):
        ledger.begin("w-1", "verify")
    other(ledger).lift([second["seq"], second["seq"] + 1], "is back", "J. Doe")
    ledger.begin("w-1", "verify")
    assert verify(ledger.path).halts == []


def test_they_are_what_a_replay_says_and_what_the_index_says(ledger: Ledger) -> None:
    other(ledger).halt("storage", "J. Doe")
    ledger.path.with_name("copy").mkdir()
    copy = ledger.path.with_name("copy") / "ledger.jsonl"
    copy.write_bytes(ledger.path.read_bytes())
    copy.chmod(0o600)
    whole = verify(ledger.path)
    assert whole.ok and len(whole.halts) == 1
    assert whole.as_dict()["halts"] == other(ledger).halts() == Ledger(copy).halts() == whole.halts


def test_a_ledger_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "typo" / "ledger.jsonl")
    with pytest.raises(HaltRefused, match="there is no rollout in"):
        ledger.halt("storage", "J. Doe")
    with pytest.raises(HaltRefused, match="does not stand"):
        ledger.lift([1], "r", "J. Doe")
    assert not (tmp_path / "typo").exists()


def _work(path: Path, name: str, start: Any) -> None:
    start.wait()
    ledger = Ledger(path, owner="controller")
    for number in range(40):
        node = f"{name}-{number}"
        try:
            at(ledger, node, "reset")
            ledger.intent(node, "reset")
        except Halted:
            return


def test_no_write_to_a_node_that_was_not_wiped_follows_a_halt(ledger: Ledger) -> None:
    fork = multiprocessing.get_context("fork")
    start = fork.Event()
    workers = [fork.Process(target=_work, args=(ledger.path, name, start)) for name in ("a", "b", "c")]
    for worker in workers:
        worker.start()
    start.set()
    while not any(entry["kind"] == "intent" for entry in entries(ledger.path)):
        pass
    halt = other(ledger).halt("storage", "J. Doe")
    assert halt is not None
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    told = list(entries(ledger.path))
    assert [
        entry["kind"] for entry in told if entry["seq"] > halt["seq"] and entry["kind"] in ("begin", "intent")
    ] == []
    assert verify(ledger.path).ok
    assert any(entry["kind"] == "intent" for entry in told)
