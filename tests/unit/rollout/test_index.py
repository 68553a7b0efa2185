# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ledger's index saves reading, and never answers anything that the ledger does not say."""

from __future__ import annotations

import json
import os
import random

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import canonical_json, sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.errors import LedgerBroken
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import Ledger
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger_file import verify
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.jsonl"


def fill(path, nodes, seed=1):
    """Several nodes, each somewhere in its operation; every entry by another object, as every task is."""
    dice = random.Random(seed)
    for number in range(nodes):
        for step in STEP_NAMES[: dice.randint(1, len(STEP_NAMES))]:
            Ledger(path, owner="a").begin(f"w-{number}", step, machine_type="worker")
            if step == "reset" and dice.random() < 0.5:
                Ledger(path, owner="a").intent(f"w-{number}", step)
            if dice.random() < 0.9:
                Ledger(path, owner="a").finish(f"w-{number}", step, "done", number=number)
            else:
                break


def files(path):
    return sorted(path.with_name("ledger.jsonl.index").glob("*.json"))


@pytest.mark.parametrize("seed", range(5))
def test_every_node_is_what_a_replay_says(path, seed):
    fill(path, 8, seed)
    whole = verify(path)
    assert whole.ok and len(whole.nodes) == 8
    for name, node in whole.nodes.items():
        assert Ledger(path).node(name) == node
    assert Ledger(path).node("stranger").done == []


def test_a_step_reads_no_other_nodes_lines(path, monkeypatch):
    fill(path, 8)
    size = path.stat().st_size
    read = []
    real = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, length: read.append(found := real(descriptor, length)) or found)
    Ledger(path).node("w-3")
    assert sum(map(len, read)) == 0 < size


@pytest.mark.parametrize(
    ("which", "damage"),
    [(which, damage) for which in ("head", "node") for damage in ("remove", "truncate", "garbage")]
    + [("node", "other")],
)
def test_a_damaged_index_is_not_believed(path, damage, which):
    fill(path, 4)
    expected = verify(path).nodes
    for file in files(path):
        if (file.name == "head.json") != (which == "head"):
            continue
        if damage == "remove":
            file.unlink()
        elif damage == "truncate":
            file.write_bytes(file.read_bytes()[:-20])
        elif damage == "garbage":
            file.write_bytes(b"[]")
        else:
            file.write_bytes(canonical_json(sealed({"format": 1, "name": "w-0", "state": {"seq": 0}})))
    for name, node in expected.items():
        assert Ledger(path).node(name) == node
    Ledger(path).close("w-1", "tried")
    assert verify(path).ok and verify(path).nodes["w-1"].done == []


def test_a_line_that_was_changed_under_the_index_is_found(path):
    fill(path, 4)
    lines = path.read_bytes().splitlines(keepends=True)
    forged = json.loads(lines[1])
    forged["by"] = "b"
    lines[1] = canonical_json(forged) + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(LedgerBroken, match="line 3 does not carry the hash of the line before it"):
        Ledger(path).node("w-3")


def test_a_last_line_that_was_changed_without_a_trace_in_the_files_times_is_read_again(path):
    fill(path, 4)
    before = path.stat()
    content = path.read_bytes()
    start = content.rstrip(b"\n").rindex(b"\n") + 1
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content[start:].replace(b'"by":"a"', b'"by":"b"'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size and path.read_bytes() != content
    Ledger(path).begin("w-9", "verify")
    assert verify(path).ok, "what follows is chained to the line that is there"


def test_entries_that_another_program_cut_off_are_missed_by_any_process(path):
    fill(path, 4)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))
    with pytest.raises(LedgerBroken, match="became shorter"):
        Ledger(path).node("w-0")
    with pytest.raises(LedgerBroken, match="became shorter"):
        Ledger(path).begin("w-9", "verify")


def test_a_crash_between_the_line_and_its_index_loses_nothing(path, monkeypatch):
    fill(path, 3)
    module = __import__("ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.index", fromlist=["Index"])
    monkeypatch.setattr(module.Index, "save", lambda *_: None)
    Ledger(path).begin("w-9", "verify")
    monkeypatch.undo()
    assert Ledger(path).node("w-9").open == "verify"
    Ledger(path).finish("w-9", "verify", "done")
    assert Ledger(path).node("w-9") == verify(path).nodes["w-9"]


def test_it_is_private(path):
    os.umask(old := os.umask(0))
    os.umask(0)
    try:
        fill(path, 1)
    finally:
        os.umask(old)
    assert path.with_name("ledger.jsonl.index").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in files(path)} == {0o600}
