# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A reset that an earlier run may have sent: what the machine shows decides, not what was recorded of the sending."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import wipe
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.step import take
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger_file import entries

from .machines import HOST, Machine, OneNode

WAITING = Machine(how="maintenance", stage="maintenance")


def stopped(directory: Path, write: str, machine: Machine) -> OneNode:
    """The work on a node whose controller was killed around its reset, and what answers there now."""
    work = OneNode(directory, itertools.repeat(machine)).at("reset")
    work.ledger.begin(HOST, "reset")
    work.ledger.intent(HOST, "reset")
    if write == "sent":
        work.ledger.sent(HOST, "reset")
    work.params["poll_seconds"] = 0
    # Nothing boots by a hook here, so nobody's word stands for what the machine shows.
    work.params["confirm_wiped"] = {HOST: "its console finds nothing to boot"}
    return work


def looked(work: OneNode) -> list[tuple[str, str]]:
    """The answers that were recorded of looks, with what was found."""
    seen = [entry for entry in entries(work.ledger.path) if entry["kind"] == "look"]
    return [(entry["answer"], entry["facts"]["found"]) for entry in seen]


@pytest.mark.parametrize("write", ["intent", "sent"])
def test_a_machine_that_waits_is_not_reset_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str) -> None:
    monkeypatch.setattr(wipe, "send", None)
    work = stopped(tmp_path, write, WAITING)
    assert take(work, "reset")["facts"] == {"actor_id": None, "gone": "the machine waits in maintenance mode"}
    assert looked(work) == [("happened", "the machine waits in maintenance mode")]


@pytest.mark.parametrize("write", ["intent", "sent"])
def test_an_unwiped_node_is_ordered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str) -> None:
    ordered: list[bool] = []

    def order(work: OneNode) -> Any:
        ordered.append(work.ledger.node(HOST).may_be_wiped)
        raise Problem("it is not eligible any more", "w", "d")

    monkeypatch.setattr(wipe, "_order", order)
    work = stopped(tmp_path, write, Machine())
    with pytest.raises(Problem, match="not eligible any more"):
        take(work, "reset")
    assert ordered == [False], "that it was not wiped is on the disk before it is judged anew"
    assert looked(work) == [("did_not", "the old installation still answers, in stage running")]


@pytest.mark.parametrize(
    ("write", "confirmed", "waits"), [("intent", "", True), ("intent", "seen", False), ("sent", "", False)]
)
def test_an_intent_is_waited_out_until_the_machine_shows_what_became_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str, confirmed: str, waits: bool
) -> None:
    work = stopped(tmp_path, write, Machine())
    asked: list[Any] = []

    def wait(look: Any, done: Any, **how: Any) -> tuple[str, str]:
        asked.append((look(), [done((answer, "found")) for answer in ("unknown", "did_not", "happened")], how))
        return "did_not", "it still answers"

    monkeypatch.setattr(wipe, "look_back", lambda _work: ("unknown", "nobody answers"))
    monkeypatch.setattr(wipe, "see", lambda _work: "seen")
    monkeypatch.setattr(wipe, "effect_of_reset", lambda facts, seen: (facts["uuid"], seen))
    monkeypatch.setattr(work, "wait", wait)
    assert wipe._look_back(work, write, confirmed) == ("did_not" if waits else "unknown")
    how = {"timeout": 0.4, "waiting_for": f"{HOST} to answer", "do": ""}
    assert asked == ([((work.facts["uuid"], "seen"), [False, True, True], how)] if waits else [])
    assert looked(work) == ([("did_not", "it still answers")] if waits else [])


@pytest.mark.parametrize(("timeout", "least", "most"), [(60, 59, 60), (4000, 300, 300)])
def test_its_end_is_listened_for_while_there_is_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timeout: float, least: float, most: float
) -> None:
    work = OneNode(tmp_path, itertools.repeat(None)).at("reset", boot_path="hook")
    work.params["wipe_timeout"] = timeout
    listened: list[tuple[str, float]] = []

    def reports(_work: Any, actor: str, seconds: float) -> bool:
        listened.append((actor, seconds))
        return True

    monkeypatch.setattr(wipe, "_reports_its_end", reports)
    monkeypatch.setattr(wipe, "see", lambda _work: SimpleNamespace(how="silent", boot=None))
    monkeypatch.setattr(wipe, "effect_of_reset", lambda _facts, _seen: ("unknown", "nobody answers"))
    monkeypatch.setattr(wipe, "require_machine", lambda _work, _seen: None)
    monkeypatch.setattr(wipe, "_of_silence", lambda _work, confirmed, *, ended: ("happened", f"{confirmed} {ended}"))
    assert wipe._wait_until_gone(work, "actor", None, "seen by ada", silent_looks=2) == "seen by ada True"
    ((actor, seconds),) = listened
    assert actor == "actor" and least <= seconds <= most
