# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file of a ledger: readable after any kill, by several processes, and impossible to change unnoticed."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import canonical_json
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout import ledger_file
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.errors import LedgerBroken, LedgerProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import Ledger
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger_file import entries, verify
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.state import next_step
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TESTS = Path(__file__).resolve().parents[2]


def filled(ledger):
    for step in STEP_NAMES[: STEP_NAMES.index("save") + 1]:
        ledger.begin("w-1", step, machine_type="worker")
        ledger.finish("w-1", step, "done")
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
    with pytest.raises(LedgerProblem, match="cannot be used"):
        Ledger(tmp_path / "file" / "ledger.jsonl").state("w-1")


def test_a_file_system_without_locks_keeps_no_ledger(ledger, monkeypatch):
    ledger.begin("w-1", "verify")
    whole = ledger.path.read_bytes()

    def refuse(descriptor, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(ledger_file.fcntl, "flock", refuse)
    for act in (
        lambda: ledger.state("w-1"),
        lambda: ledger.finish("w-1", "verify", "done"),
        lambda: verify(ledger.path),
    ):
        with pytest.raises(LedgerProblem, match=f"cannot be used.*{os.strerror(errno.ENOLCK)}"):
            act()
    assert ledger.path.read_bytes() == whole


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
