# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a rollout ends: whose turn is over, what stops it, and what the playbook fails with."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.report import ending
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.state import LedgerState, NodeState

PLAN: dict[str, Any] = {
    "waves": [{"nodes": ["a"]}, {"nodes": ["b", "c"]}, {"nodes": ["d"]}],
    "nodes": ["a", "b", "c", "d"],
    "canaries": [],
}
HALT = {"number": 3, "reason": "a drill", "who": "me", "at": "2026-11-22T11:00:00Z"}


def node(**how: Any) -> NodeState:
    """A node as the ledger knows it."""
    state = NodeState()
    for key, value in how.items():
        object.__setattr__(state, key, value)
    return state


def state(nodes: dict[str, NodeState] | None = None, *halts: dict[str, Any]) -> LedgerState:
    """A ledger."""
    return LedgerState("ledger", nodes=nodes or {}, halts=list(halts))


@pytest.mark.parametrize(
    ("host", "after", "over"),
    [
        ("a", "gate", []),
        ("a", "stop", []),
        ("a", "wave", ["a"]),
        ("c", "wave", ["a", "b", "c"]),
        ("b", "wave", ["a", "b", "c"]),
        ("d", "wave", ["a", "b", "c", "d"]),
        ("a", "rollout", ["a", "b", "c", "d"]),
    ],
)
def test_whose_turn_is_over(host: str, after: str, over: list[str]) -> None:
    assert ending.reached(PLAN, state(), host, after) == over


MODEL = {
    "nodes": [{"node": "a", "outcome": "moved"}, {"node": "b", "outcome": "failed"}, {"node": "c", "outcome": "x"}]
}


@pytest.mark.parametrize(
    ("after", "why", "over", "failure"),
    [
        ("gate", "halted", ["b"], None),
        ("wave", "", ["a", "b"], None),
        ("wave", "two failed", ["a"], "The rollout stops: two failed. Do what the report says and run it again;"),
        ("rollout", "two failed", ["a"], "The rollout stops: two failed."),
        ("rollout", "", ["a"], None),
        ("rollout", "", ["a", "b", "c"], "b, c did not end moved. Fix what the report says"),
        ("rollout", "", ["a", "c"], "c did not end moved."),
    ],
)
def test_what_it_fails_with(after: str, why: str, over: list[str], failure: str | None) -> None:
    found = ending.failure(after, why, MODEL, over)
    assert found is None if failure is None else found is not None and found.startswith(failure)


def test_what_ended_it_before_its_first_wave() -> None:
    assert ending.unplanned("no image.", []) == "The rollout stopped before its first wave: no image."
    assert ending.unplanned("no image.", ["a", "b"]) == (
        "The rollout stopped before its first wave: no image. An earlier run left a,b unfinished:"
        " --limit a,b goes on without the rest of the fleet."
    )


def test_a_halt_stops_it_until_only_what_was_wiped_is_left() -> None:
    halted = state({}, HALT)
    told = ending.stopped(PLAN, halted, ["a"], after="wave", max_failures=9)
    assert told == "halt 3 by me at 2026-11-22T11:00:00Z: a drill"
    assert ending.stopped(PLAN, state(), ["a"], after="wave", max_failures=9) == ""
    assert ending.reached(PLAN, halted, "a", "rollout") == []
