# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Problem may quote anything: neither its texts nor its context reach a terminal unescaped, or without an end."""

from __future__ import annotations

import json

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.errors import BadAnswer
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.drain_api import DrainProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import TalosError

EVIL = "\x1b]0;OWNED\x07\x1b[2J\u202etxt\nok: [node]" + "A" * 200_000


@pytest.mark.parametrize("kind", [Problem, TalosError, BadAnswer, DrainProblem])
def test_every_part_is_printable_and_bounded(kind: type[Problem]) -> None:
    problem = kind(f"found {EVIL}", f"why {EVIL}", f"do {EVIL}", named=EVIL, listed=[EVIL, {EVIL: EVIL}])
    problem.context["later"] = EVIL
    for text in (str(problem), problem.found, problem.why, problem.do, repr(problem.args)):
        assert text.isprintable() and len(text) < 20_000
    shown = json.dumps(problem.as_dict(), ensure_ascii=False)
    assert shown.isprintable() and len(shown) < 60_000
    assert problem.found.startswith("found \\x1b]0;OWNED\\x07") and "[cut, 20" in problem.found


def test_honest_texts_are_left_alone() -> None:
    problem = Problem("found  it at C:\\x", "why", "do Stra\u00dfe", path="a  b", count=3, nothing=None)
    assert str(problem) == "found  it at C:\\x. Why. Do Stra\u00dfe."
    facts = {"kind": "problem", "path": "a  b", "count": 3, "nothing": None}
    assert problem.facts() == facts
    assert problem.as_dict() == {**facts, "found": "found  it at C:\\x", "why": "why", "do": "do Stra\u00dfe"}
