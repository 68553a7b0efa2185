# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recorded dry runs are whole: each diff leads from what the node runs to what was sent."""

from __future__ import annotations

import re

import pytest
import yaml
from dry_runs import DryRun, dry_runs

RUNS = dry_runs()
HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@$")


def hunks(answer: str) -> list[tuple[re.Match[str], list[str]]]:
    found: list[tuple[re.Match[str], list[str]]] = []
    for line in answer.split("\n"):
        head = HUNK.match(line)
        if head:
            found.append((head, []))
        elif found and line:
            found[-1][1].append(line)
    return found


def test_each_release_and_both_outcomes_are_there() -> None:
    assert {run.version for run in RUNS} == {"v1.10", "v1.12", "v1.13", "v1.14"}
    assert len(RUNS) >= 40
    assert 5 <= sum("No changes." in run.answer for run in RUNS) <= len(RUNS) - 20


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.version}-{run.name}")
def test_hunks_are_as_long_as_their_heads_say(run: DryRun) -> None:
    found = list(hunks(run.answer))
    assert bool(found) is ("No changes." not in run.answer)
    for head, lines in found:
        removed, added = (int(head[group] or 1) for group in (2, 4))
        assert sum(line[0] in " -" for line in lines) == removed
        assert sum(line[0] in " +" for line in lines) == added


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.version}-{run.name}")
def test_no_changes_is_answered_where_the_documents_say_the_same_and_only_there(run: DryRun) -> None:
    sent = run.sent.decode("utf-8-sig").replace("!vault ", "")
    same = list(yaml.safe_load_all(run.running)) == list(yaml.safe_load_all(sent))
    assert ("No changes." in run.answer) == same


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.version}-{run.name}")
def test_what_a_diff_takes_out_stands_in_what_the_node_runs(run: DryRun) -> None:
    running = run.running.split("\n")
    for head, lines in hunks(run.answer):
        start = int(head[1]) - 1
        old = [line[1:] for line in lines if line[0] in " -"]
        assert running[start : start + len(old)] == old
