# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values of ours in texts of others, by their length."""

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.quoted import MASK, Quoted


def test_a_long_value_is_known_again_as_it_is() -> None:
    value = "".join(f"{number:05d}x" for number in range(2000))
    quoted = Quoted()
    quoted.learn(value)
    assert quoted.masked(f"it says {value[6000:6040]} there") == f"it says {MASK} there"
    assert quoted.masked(f"it says {value[6000:6040].upper()} there") == f"it says {MASK} there"
    assert quoted.masked("it says nothing of ours") == "it says nothing of ours"


def test_words_that_are_to_be_shown_are() -> None:
    quoted = Quoted()
    for value in ("Worker1", "worker-one-of-many"):
        quoted.learn(value)
    text = "worker1 beside worker-one-of-many and WORKER1"
    assert quoted.masked(text) == f"{MASK} beside {MASK} and {MASK}"
    quoted.forget(["WORKER1"])
    assert quoted.masked(text) == f"worker1 beside {MASK} and WORKER1"
    quoted.forget(["worker-one-of-many"])
    assert quoted.masked(text) == text


@pytest.mark.parametrize(("value", "masked"), [("abc", False), ("abcd", True), ("abcdefg", True), ("abcdefgh", True)])
def test_how_short_a_value_may_be_to_be_known_again(value: str, masked: bool) -> None:
    quoted = Quoted()
    quoted.learn(value)
    assert (quoted.masked(f"it is {value}, it says") == f"it is {MASK}, it says") is masked
    # A short one is known as a word of its own only.
    assert (MASK in quoted.masked(f"x{value}x")) is (len(value) >= 8)
