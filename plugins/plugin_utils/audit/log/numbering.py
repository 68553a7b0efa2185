# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is believed of the numbers and times of one stream, and how what stood in a shadow is taken back.

An event that a process could have written is believed on *probation*: until the kernel's records behind the shadow
confirm its number and time, or contradict them. Then it is undone, as if it had never been read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .serials import Serials
from .shadow import SHADOW, subject
from .values import milliseconds

# No serial yet; not -1, as a log may claim number 0 and nothing comes before the first number.
NONE = -2
# Largest step back in time between neighbours seen on real kernels, floods included, in milliseconds.
BACKWARD = 1000
TWO_TIMES = "its number has two times"
# Events in a row behind the clock before the clock is taken to have been set back.
_CLOCK_STEP = 8
_RECENT = 8192


@dataclass(slots=True)
class Seen:
    """An event that later ones must confirm, at byte ``start`` of the stream as auditd wrote it."""

    serial: int
    stamp: bytes
    text: bytes
    shadow: bool
    start: int
    user: bool = False


class Numbering:
    """Serials and times along one stream.

    ``mark(text, reason)`` is called with the lines of every event found doubtful, at once or when later records tell.
    """

    def __init__(self, mark: Callable[[bytes, str], None]) -> None:
        self._mark = mark
        self.serials = Serials()
        self.boots: list[Serials] = []
        self.serial = NONE
        self.stamp = b""
        self.first_stamp = b""
        self.recent: dict[int, bytes] = {}
        self.older: dict[int, bytes] = {}
        self.users: dict[int, bytes] = {}
        self.user_domains: dict[bytes, int] = {}
        self.events = 0
        self.late = 0
        self.clock_steps = 0
        self.probation: list[Seen] = []
        self._base = (NONE, b"")
        self._behind = 0
        self._message = -1

    def rotate(self) -> None:
        """Forget serials too old to be continued; call now and then."""
        if len(self.recent) > _RECENT:
            self.older, self.recent = self.recent, {}
        if len(self.users) > _RECENT:
            self.users = dict(list(self.users.items())[-_RECENT // 2 :])

    def known(self, serial: int) -> bytes | None:
        """The time of a recently seen serial."""
        return self.recent.get(serial) or self.older.get(serial)

    # -- believed

    def _accept(self, serial: int, stamp: bytes, user: bool, shadow: bool, start: int, text: bytes) -> None:
        self.events += 1
        self.first_stamp = self.first_stamp or stamp
        advanced = serial > self.serial
        if advanced:
            self.serials.extend(serial, self.stamp or stamp, stamp)
            self.serial = serial
            if milliseconds(self.stamp or b"0.0") - milliseconds(stamp) > BACKWARD:
                self._behind += 1
                if self._behind >= _CLOCK_STEP:
                    self.stamp, self._behind = stamp, 0
                    self.clock_steps += 1
            else:
                self._behind = 0
                if milliseconds(stamp) >= milliseconds(self.stamp or b"0.0"):
                    self.stamp = stamp
        else:
            self.late += 1
            if not self.serials.fill(serial):
                self.serials.lower(serial, stamp)
        self.recent[serial] = stamp
        if user:
            self._remember(serial, stamp, start, text)
            if shadow and advanced:
                # It may be forged itself, so what stands before it in the shadow stays on probation.
                while self.probation and self.probation[0].start + SHADOW < start:
                    old = self.probation.pop(0)
                    self._base = (old.serial, old.stamp)
                self.probation.append(Seen(serial, stamp, text, True, start, True))
            elif not shadow:
                self.probation = []
        elif shadow and advanced:
            self.probation.append(Seen(serial, stamp, text, True, start))
        self.rotate()

    def _remember(self, serial: int, stamp: bytes, start: int, text: bytes) -> None:
        """Remember a message of a process: from here on anything may be its text."""
        self._message = start
        self.users[serial] = stamp
        domain = subject(text)
        self.user_domains[domain] = self.user_domains.get(domain, 0) + 1

    def _join(self, events: list[Seen]) -> None:
        """Believe events of a shadow as far as anything in it is believed."""
        for seen in events:
            self.serials.extend(seen.serial, self.stamp, seen.stamp)
            self.serial, self.recent[seen.serial] = seen.serial, seen.stamp
            if milliseconds(seen.stamp) > milliseconds(self.stamp):
                self.stamp = seen.stamp
            self.probation.append(seen)

    # -- taken back

    def _settle_two_times(self, serial: int, stamp: bytes, shadow: bool) -> bool:
        """A number came with a second time: True when the earlier event was the forged one and is now marked."""
        for place, seen in enumerate(self.probation):
            if seen.serial == serial:
                if shadow and abs(milliseconds(stamp) - milliseconds(seen.stamp)) <= BACKWARD:
                    # Both stand where a process could write: neither is to be believed.
                    self._mark(seen.text, TWO_TIMES)
                    del self.probation[place]
                    return False
                self._roll_back(place, TWO_TIMES)
                return True
        return False

    def _settle_future(self, stamp: bytes, back: int) -> int:
        """Time steps back behind events from a shadow that claimed a later one: those are marked."""
        for place, seen in enumerate(self.probation):
            if milliseconds(seen.stamp) - milliseconds(stamp) > BACKWARD:
                self._roll_back(place, "its time runs ahead of the records after it")
                return milliseconds(self.stamp) - milliseconds(stamp)
        return back

    def _roll_back(self, place: int, reason: str) -> None:
        """Undo the shadow's events from ``place`` on, and mark them: behind the first none continues the numbering."""
        self._undo(self.probation[:place], self.probation[place:], reason)

    def _undo(self, kept: list[Seen], undone: list[Seen], reason: str) -> None:
        self.probation = kept
        self.serial, self.stamp = (kept[-1].serial, kept[-1].stamp) if kept else self._base
        for seen in undone:
            for numbers in (self.recent, self.older, self.users):
                numbers.pop(seen.serial, None)
            self._mark(seen.text, reason)
        self._shrink()

    def _shrink(self) -> None:
        """Take numbers above the current one out of the seen ones."""
        if self.serial < 0:
            self.serials, self.first_stamp = Serials(), b""
            return
        while self.serials.holes and self.serials.holes[-1][0] > self.serial:
            self.serials.holes.pop()
        self.serials.last = self.serial

    def _restart(self) -> None:
        """Nothing read so far is believed."""
        self.probation, self._base = [], (NONE, b"")
        self.serials, self.serial, self.stamp, self.first_stamp = Serials(), NONE, b"", b""
        self.recent, self.older, self.users = {}, {}, {}
