# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Denials of several nodes as one answer: what is merged, what is not known, and what became of earlier ones."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import denials_info
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import COUNTS
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.boots import ANOTHER, SAME, UNKNOWN, Look

from .made import made


def denial(signature: str, count: int = 1, **changes: Any) -> dict[str, Any]:
    """One denial as the analysis gives it."""
    source, target, kind, permission = signature.split(":")
    return {
        "signature": signature,
        "source_type": source,
        "target_type": target,
        "class": kind,
        "permissions": [permission],
        "permissive": True,
        "count": count,
        "first": "2026-11-22T08:00:00.000Z",
        "last": "2026-11-22T09:00:00.000Z",
        "comms": ["c"],
        "paths": [],
        "owners": [],
        "catalogue_id": None,
        "known_benign": False,
        "constraint": None,
        "doubtful": 0,
        "enforced": 0,
        "userspace": False,
        "mcs_count": 0,
        "raw_contexts": [],
        "samples": [],
        **changes,
    }


def node(*denials: dict[str, Any], verdict: str = "complete", watched: str | None = None) -> dict[str, Any]:
    """What one node answered."""
    return {
        "counts": dict.fromkeys(COUNTS, 2),
        "coverage": {"verdict": verdict, "reasons": [{"id": "F1"}, {"id": "F2"}] if verdict != "complete" else []},
        "denials": list(denials),
        "mac_errors": [],
        "boot": "b",
        "watched": watched,
    }


def told(
    nodes: dict[str, Any], unread: dict[str, Any] | None = None, **params: Any
) -> tuple[dict[str, Any], list[str]]:
    """What is said of these answers."""
    action = made(denials_info, **params)
    action.ask_fleet = lambda _question: (copy.deepcopy(nodes), unread or {})
    result, heading, _version = action._of_nodes({})
    return result, heading


A, B = "a_t:b_t:file:read", "c_t:d_t:dir:write"


def test_denials_of_several_nodes_are_merged_with_the_nodes_that_have_them() -> None:
    result, heading = told({"n-2": node(denial(A, 2), denial(B)), "n-1": node(denial(A, 3))})
    assert [(one["signature"], one["count"], one["nodes"]) for one in result["denials"]] == [
        (A, 5, ["n-1", "n-2"]),
        (B, 1, ["n-2"]),
    ]
    assert result["counts"] == dict.fromkeys(COUNTS, 4)
    assert result["coverage"] == {"n-1": "complete", "n-2": "complete"}
    assert (result["summary"], result["unread"], result["unsure"]) == (
        {"asked": 2, "answered": 2, "unread": 0},
        {},
        False,
    )
    assert heading == ["n-1: coverage complete", "n-2: coverage complete"]


@pytest.mark.parametrize(
    ("nodes", "unread", "unsure"),
    [
        ({"n": node()}, {}, False),
        ({"n": node(watched=SAME)}, {}, False),
        ({"n": node(watched=ANOTHER)}, {}, True),
        ({"n": node(watched=UNKNOWN)}, {}, True),
        ({"n": node(verdict="partial")}, {}, False),
        ({"n": node(verdict="none")}, {}, True),
        ({"n": {**node(), "denials": None}}, {}, True),
        ({"n": node(), "m": {**node(), "denials": None}}, {}, True),
        ({"n": node()}, {"m": {"found": "it is away"}}, True),
    ],
)
def test_no_denial_is_known_only_where_every_log_was_read(
    nodes: dict[str, Any], unread: dict[str, Any], unsure: bool
) -> None:
    result, _heading = told(nodes, unread)
    assert result["unsure"] is unsure
    assert result["denials"] == (None if unsure else [])
    found, _heading = told({**nodes, "x": node(denial(A))}, unread)
    assert [one["signature"] for one in found["denials"]] == [A]


def test_what_is_not_known_is_said_for_each_node() -> None:
    nodes = {"n-2": node(verdict="partial", watched=ANOTHER), "n-1": node(watched=SAME)}
    _result, heading = told(nodes, {"n-4": {"found": "refused"}, "n-3": {"found": "it is away"}})
    assert heading == [
        "n-1: coverage complete",
        "n-2: coverage partial (F1, F2), not known to be in the boot it was in before the wait",
        "n-3: not read, it is away",
        "n-4: not read, refused",
    ]


def acted(result: dict[str, Any], monkeypatch: pytest.MonkeyPatch, **params: Any) -> dict[str, Any]:
    """The whole task's result for what was found."""
    action = made(denials_info, files=["audit.log"], **params)
    action._of_files = lambda: ({"coverage": {}, "mac_errors": [], **result}, ["a heading"], None)
    answer = action.act()
    assert isinstance(answer, dict)
    return answer


def test_what_is_enforced_and_what_is_known_to_be_harmless_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    harmless = denial(B, 4, permissive=False, known_benign=True, catalogue_id="k")
    found = [denial(A), denial("e_t:f_t:file:read", permissive=False), harmless, denial("g_t:h_t:x:y", permissive=None)]
    result = acted({"denials": found, "unsure": True}, monkeypatch)
    assert [one["signature"] for one in result["enforced"]] == ["e_t:f_t:file:read"]
    assert result["known_benign"] == [{"signature": B, "catalogue_id": "k", "count": 4}]
    assert result["table"].splitlines()[0] == "a heading"
    assert (result["changed"], "unsure" in result) == (False, False)


@pytest.mark.parametrize(("unsure", "enforced"), [(True, None), (False, [])])
def test_that_nothing_is_enforced_is_known_only_of_logs_that_were_read(
    unsure: bool, enforced: list[Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for denials in ([denial(A)], [], None):
        assert acted({"denials": denials, "unsure": unsure}, monkeypatch)["enforced"] == enforced


@pytest.mark.parametrize(
    ("saved", "now", "difference"),
    [
        ([A], [B], {"new": [B], "gone": [A], "still": []}),
        ([B, A], [A, B], {"new": [], "gone": [], "still": [A, B]}),
        ([], [], {"new": [], "gone": [], "still": []}),
        (None, [A], None),
        ([A], None, None),
    ],
)
def test_what_became_of_earlier_denials(
    saved: list[str] | None, now: list[str] | None, difference: dict[str, Any] | None
) -> None:
    earlier = {"audit": {"denials": None if saved is None else [denial(one) for one in saved]}}
    assert denials_info._difference(earlier, None if now is None else [denial(one) for one in now]) == difference


def test_before_a_wait_it_is_looked_at_which_boot_each_node_is_in(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(denials_info.time, "sleep", slept.append)
    seen = {"n-1": Look(boot_id="b")}
    for params, before in (({}, seen), ({"files": ["a"]}, {})):
        action = made(denials_info, watch_seconds=7.5, **params)
        action.ask_fleet = lambda _question: (seen, {"m": {}})
        assert action._watch() == before
    assert slept == [7.5, 7.5]
    assert made(denials_info)._watch() == {}
    assert len(slept) == 2
