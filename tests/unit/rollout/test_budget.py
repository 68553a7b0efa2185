# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The error budget counts over the whole fleet and over all runs."""

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.budget import (
    BadBudget,
    exceeded,
    share,
)
from hypothesis import given
from hypothesis import strategies as st


def test_the_first_failure_halts_by_default():
    assert exceeded([], [], fleet=10) is None
    assert exceeded(["w-1"], [], fleet=10) == "1 of 10 nodes failed (w-1) and at most 0 may"


def test_a_canary_always_halts():
    assert exceeded(["w-1"], ["w-1"], max_failures="100%", fleet=10) == "the canary w-1 failed"
    assert exceeded(["w-2", "w-1"], ["w-1", "w-2"], fleet=10) == "the canaries w-1, w-2 failed"


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 100))
def test_never_more_failures_than_the_budget(fleet, failures, percent):
    failed = [f"n-{n}" for n in range(min(failures, fleet))]
    reason = exceeded(failed, [], max_failures=f"{percent}%", fleet=fleet)
    assert (reason is not None) is (len(failed) * 100 > fleet * percent)
    assert reason is None or reason.endswith(f"at most {fleet * percent // 100} may")


@pytest.mark.parametrize("value", ["", "-1", "1.5", "101%", "10 %%", None, True, 2.0, -3, "\u0663"])
def test_bad_budgets(value):
    with pytest.raises(BadBudget, match="max_failures is "):
        share(value, 10, "max_failures")
