# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The numbers of a stream: which serials were seen, which are missing.

One counter of the kernel numbers all events of a boot from 1 without holes (kernel/audit.c, audit_serial), so a
number that never arrives is a lost event, or one of a type auditd does not write.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable


class Serials:
    """A set of serials kept as first, last and the holes between: memory grows with losses, not with length.

    When there are more than ``most`` holes the oldest are only counted; a record that arrives later than that
    many holes is not one the kernel delayed.
    """

    def __init__(self, most: int = 20_000) -> None:
        self.first: int | None = None
        self.last: int | None = None
        self.holes: list[tuple[int, int, bytes, bytes]] = []
        """``(from, to, time before, time after)``, ascending."""
        self.forgotten = 0
        self.most = most

    def extend(self, serial: int, before: bytes, after: bytes) -> None:
        """Take a serial above every one seen; what was jumped over becomes a hole."""
        if self.last is None:
            self.first = serial
        elif serial > self.last + 1:
            self.holes.append((self.last + 1, serial - 1, before, after))
            if len(self.holes) > self.most:
                half = self.most // 2
                self.forgotten += sum(hole[1] - hole[0] + 1 for hole in self.holes[:half])
                del self.holes[:half]
        self.last = serial

    def hole(self, serial: int) -> tuple[int, int, bytes, bytes] | None:
        """The hole ``serial`` is missing in, or None."""
        place = self._place(serial)
        return None if place is None else self.holes[place]

    def fill(self, serial: int) -> bool:
        """Take a late serial out of its hole; False when it was in none."""
        place = self._place(serial)
        if place is None:
            return False
        first, last, before, after = self.holes[place]
        parts = []
        if first < serial:
            parts.append((first, serial - 1, before, after))
        if serial < last:
            parts.append((serial + 1, last, before, after))
        self.holes[place : place + 1] = parts
        return True

    def lower(self, serial: int, stamp: bytes) -> None:
        """Take a serial below the first: the stream began out of order."""
        if self.first is not None and serial < self.first:
            if serial + 1 < self.first:
                self.holes.insert(0, (serial + 1, self.first - 1, stamp, stamp))
            self.first = serial

    def _place(self, serial: int) -> int | None:
        place = bisect_right(self.holes, serial, key=_start) - 1
        if place >= 0 and self.holes[place][0] <= serial <= self.holes[place][1]:
            return place
        return None

    @property
    def missing(self) -> int:
        """How many serials between first and last were never seen."""
        return self.forgotten + sum(hole[1] - hole[0] + 1 for hole in self.holes)

    def intervals(self) -> list[tuple[int, int]]:
        """What was seen, as ascending closed intervals."""
        if self.first is None or self.last is None:
            return []
        found, start = [], self.first
        for first, last, _unused, _unused in self.holes:
            if first > start:
                found.append((start, first - 1))
            start = last + 1
        if start <= self.last:
            found.append((start, self.last))
        return found


def _start(hole: tuple[int, int, bytes, bytes]) -> int:
    return hole[0]


def union(parts: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join closed intervals."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(parts):
        if joined and first <= joined[-1][1] + 1:
            if last > joined[-1][1]:
                joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def gaps(seen: list[tuple[int, int]], first: int) -> list[tuple[int, int]]:
    """What is missing from ``first`` up to the last serial of joined intervals."""
    missing, want = [], first
    for low, high in seen:
        if low > want:
            missing.append((want, low - 1))
        want = max(want, high + 1)
    return missing


def common(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> int:
    """How many numbers stand in two lists of ascending closed intervals."""
    return sum(max(0, min(high, last) - max(low, first) + 1) for low, high in some for first, last in others)


def without(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What of ascending closed intervals lies in none of the others."""
    left = []
    for low, high in some:
        for first, last in others:
            if last < low or first > high:
                continue
            if first > low:
                left.append((low, first - 1))
            low = last + 1
        if low <= high:
            left.append((low, high))
    return left
