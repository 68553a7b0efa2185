# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Denials of several nodes as one answer: what is merged, what is not known, and what became of earlier ones."""

from __future__ import annotations

import asyncio
import copy
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import denials_info
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import COUNTS
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.coverage import CoverageInput
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


@pytest.mark.parametrize("watch", [0, 5])
def test_what_is_asked_of_a_node(watch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    audit = {**{key: f"the {key}" for key in ("counts", "coverage", "mac_errors")}, "denials": [], "more": 1}
    document = {"audit": audit, "talos": {"version": "v1.14.0"}, "boot": {"id": "b", "look": None}}

    async def collect(client: Any, **how: Any) -> Any:
        asked.append((client, how, how.pop("peer")("192.0.2.2")))
        return SimpleNamespace(document=document)

    action = made(
        denials_info, {"n-1": {"talos_serial_baseline": 3}}, watch_seconds=watch, max_samples=2, talosconfig="c"
    )
    action.target = lambda host, address: SimpleNamespace(connect=lambda: f"{host} at {address}")
    client = SimpleNamespace(endpoint="e")
    answers: dict[str, Any] = {}

    def ask_fleet(read: Any) -> Any:
        answers["n-1"] = asyncio.run(read(client, SimpleNamespace(host="n-1", address="192.0.2.1")))
        return {"n-1": node()}, {}

    action.ask_fleet = ask_fleet
    monkeypatch.setattr(denials_info, "collect", collect)
    monkeypatch.setattr(denials_info, "compare", lambda earlier, now: (earlier, now))
    monkeypatch.setattr(denials_info, "of_evidence", lambda boot: f"look of {boot['id']}")
    result, _heading, version = action._of_nodes({"n-1": "earlier"})
    assert version == "v1.14.0"
    how = {
        "name": "n-1",
        "address": "192.0.2.1",
        "endpoint": "e",
        "kubernetes": None,
        "config": None,
        "operation": {},
        "cluster": {},
        "max_samples": 2,
        "baseline_missing": 3,
        "strict_messages": False,
    }
    assert asked == [(client, how, "n-1 at 192.0.2.2")]
    told = {"counts": "the counts", "coverage": "the coverage", "denials": [], "mac_errors": "the mac_errors"}
    assert answers["n-1"] == {**told, "boot": "b", "watched": ("earlier", "look of b") if watch else None}
    assert list(result) == ["nodes", "unread", "summary", "counts", "coverage", "denials", "unsure"]
    assert result["nodes"] == {"n-1": node()}


@pytest.mark.parametrize(
    ("denials", "verdict", "unsure"), [([], "partial", False), (None, "partial", True), ([], "none", True)]
)
def test_what_is_found_in_files(
    denials: list[Any] | None, verdict: str, unsure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    found = {"counts": {}, "coverage": {"verdict": verdict}, "denials": denials, "mac_errors": [], "more": 1}

    def analyze(files: Any, context: Any, *, max_samples: int) -> dict[str, Any]:
        asked.append((files, context, max_samples))
        return found

    monkeypatch.setattr(denials_info, "analyze_files", analyze)
    monkeypatch.setattr(denials_info.report, "knowledge", lambda coverage: ["known", coverage["verdict"]])
    told = made(denials_info, files=["a", "b"], talos_version="v1.13.2", max_samples=7)._of_files()
    assert told == (
        {key: found[key] for key in ("counts", "coverage", "denials", "mac_errors")} | {"unsure": unsure},
        ["known", verdict],
        None,
    )
    assert asked == [(["a", "b"], CoverageInput(talos_version="v1.13.2"), 7)]


@pytest.mark.parametrize(("given", "version"), [(None, "v1.14.0"), ("v1.13.2", "v1.13.2")])
def test_advice_is_for_the_release_that_was_named_or_that_runs(
    given: str | None, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def advise(found: Any, **how: Any) -> dict[str, Any]:
        asked.append((found, how))
        return {"policy_unread": None}

    monkeypatch.setattr(denials_info, "advise", advise)
    params = {"talos_version": given, "policy": "p.cil", "policy_sources": "s"}
    action = made(denials_info, **params)
    action._of_nodes = lambda _before: ({"denials": None, "unsure": True}, [], "v1.14.0")
    assert action.act()["advice"] == {"policy_unread": None}
    assert asked == [([], {**params, "talos_version": version})]
