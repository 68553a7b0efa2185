# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets of numbers: what was seen, and what is missing."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.serials import (
    Serials,
    common,
    gaps,
    union,
    without,
)
from hypothesis import given
from hypothesis import strategies as st

SETS = st.sets(st.integers(1, 30), max_size=15)


def intervals(numbers: set[int]) -> list[tuple[int, int]]:
    return union((number, number) for number in numbers)


def members(found: list[tuple[int, int]]) -> set[int]:
    return {number for low, high in found for number in range(low, high + 1)}


@given(SETS, SETS)
def test_intervals_are_sets(some: set[int], others: set[int]) -> None:
    one, other = intervals(some), intervals(others)
    assert members(one) == some
    assert all(high + 1 < low for (_unused, high), (low, _unused) in itertools.pairwise(one))
    assert members(union([*one, *other])) == some | others
    assert common(one, other) == len(some & others)
    assert members(without(one, other)) == some - others
    assert members(gaps(one, 1)) == set(range(1, max(some, default=0) + 1)) - some


def test_holes_are_filled_and_the_start_may_come_late() -> None:
    serials = Serials()
    for serial in (5, 6, 10):
        serials.extend(serial, b"1.000", b"2.000")
    assert serials.hole(8) == (7, 9, b"1.000", b"2.000")
    assert serials.fill(8) and not serials.fill(8)
    serials.lower(2, b"0.500")
    serials.lower(6, b"0.600")
    assert serials.intervals() == [(2, 2), (5, 6), (8, 8), (10, 10)]
    assert serials.missing == 4


@pytest.mark.parametrize("serial", [7, 3, 12])
def test_what_is_in_no_hole_fills_none(serial: int) -> None:
    serials = Serials()
    for seen in (5, 7, 9):
        serials.extend(seen, b"", b"")
    assert serials.hole(serial) is None and not serials.fill(serial)


def test_many_holes_are_only_counted() -> None:
    serials = Serials(most=4)
    for serial in range(1, 21, 2):
        serials.extend(serial, b"", b"")
    assert serials.missing == 9
    assert serials.forgotten and len(serials.holes) <= 4


def test_no_more_holes_are_kept_than_allowed_and_the_oldest_are_counted() -> None:
    serials = Serials(most=2)
    for serial in (1, 3, 6):
        serials.extend(serial, b"before", b"after")
    assert [hole[:2] for hole in serials.holes] == [(2, 2), (4, 5)]
    assert serials.forgotten == 0
    serials.extend(8, b"before", b"after")
    assert [hole[:2] for hole in serials.holes] == [(4, 5), (7, 7)]
    assert serials.forgotten == 1
    # What comes later than that is not what a kernel delays.
    assert not serials.fill(2)
    assert serials.fill(4)
