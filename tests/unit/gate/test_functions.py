# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an expression may call: times, durations, and what lies outside of what is allowed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import functions
from hypothesis import given
from hypothesis import strategies as st

from .samples import NOW


@pytest.mark.parametrize("text", ["", "4", "h", "4 h", "4w", "-4h", "1.5h", "4h ", "99999999999s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        functions.duration(text)


@pytest.mark.parametrize("text", ["2026-11-22T12:00:00", "2026-11-22", "noon", ""])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match=r"has no time zone|Invalid isoformat"):
        functions.moment(text)


def test_moments() -> None:
    assert functions.moment("2026-11-22T12:00:00Z") == functions.moment("2026-11-22T13:00:00+01:00") == NOW
    assert functions.moment("2026-11-22T12:00:00z") == NOW
    assert functions.iso(dt.datetime(2026, 11, 22, 13, 0, 0, 999, dt.timezone(dt.timedelta(hours=1)))) == (
        "2026-11-22T12:00:00Z"
    )


def test_every_function_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "policies.md").read_text(encoding="utf-8")
    for name in (*functions.FUNCTIONS, "seconds_since"):
        assert f"| `{name}` |" in text, name
    for name, (_unused, types, answer) in functions.FUNCTIONS.items():
        assert types and answer, name


WORDS = st.sampled_from(["audit", "selinux", "enforcing", "lsm", "security", "quiet", "talos.auditd.disabled"])


ARGS = st.lists(
    st.one_of(WORDS, st.tuples(WORDS, st.sampled_from(["0", "1", "on", "off", "", "a,b"])).map("=".join)), max_size=8
)


@given(ARGS, st.dictionaries(WORDS, st.lists(st.sampled_from(["0", "1", "on", ""]))))
def test_what_is_outside_is_exactly_what_is_not_allowed(args: list[str], allowed: dict[str, list[str]]) -> None:
    outside = functions.args_outside(args, allowed)
    for argument in args:
        name, _unused, _unused = argument.partition("=")
        fine = name not in allowed or argument in {f"{name}={value}" for value in allowed[name]}
        assert (argument in outside) is not fine
    assert functions.args_outside(outside, allowed) == outside
