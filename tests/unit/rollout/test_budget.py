# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The error budget counts over the whole fleet and over all runs."""

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.budget import (
    BadBudget,
    RolloutHalted,
    assess,
    check,
    share,
)
from hypothesis import given
from hypothesis import strategies as st


def test_the_first_failure_halts_by_default():
    check([], [], fleet=10)
    with pytest.raises(RolloutHalted, match="1 of 10 nodes failed"):
        check(["w-1"], [], fleet=10)


def test_a_canary_always_halts():
    with pytest.raises(RolloutHalted, match="canary w-1"):
        check(["w-1"], ["w-1"], max_failures="100%", fleet=10)


def test_the_retried_node_does_not_stop_its_own_retry():
    assert assess(["w-1"], ["w-1"], fleet=10, retrying="w-1")["halted"] is False
    assert assess(["w-1", "w-2"], ["w-1"], fleet=10, retrying="w-1")["halted"] is True


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 100))
def test_never_more_failures_than_the_budget(fleet, failures, percent):
    failed = [f"n-{n}" for n in range(min(failures, fleet))]
    answer = assess(failed, [], max_failures=f"{percent}%", fleet=fleet)
    assert answer["halted"] is (len(failed) * 100 > fleet * percent)
    assert answer["limit"] == share(f"{percent}%", fleet, "x")


@pytest.mark.parametrize("value", ["", "-1", "1.5", "101%", "10 %%", None, True, 2.0, -3, "\u0663"])
def test_bad_budgets(value):
    with pytest.raises(BadBudget, match="max_failures is "):
        share(value, 10, "max_failures")
