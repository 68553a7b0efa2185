# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clocks of a simulated machine."""

from __future__ import annotations

import math
import time


class Clock:
    """A clock that only goes on (``running``), and the wall clock, which NTP and people set.

    Moments are seconds on the running clock; it has no zero point of its own, so moments of two machines compare.

    Args:
        base: the clock of the fleet: time that passes there passes here.
        offset: how far the wall clock is off (seconds) before anybody sets it.
    """

    def __init__(self, base: Clock | None = None, offset: float = 0.0) -> None:
        self._base = base
        self._ahead = 0.0
        self._offset = offset
        self._steps: list[tuple[float, float]] = []

    def running(self) -> float:
        """The present moment."""
        return (self._base.running() if self._base is not None else time.time()) + self._ahead

    def wall(self, moment: float | None = None) -> float:
        """What the wall clock showed at a moment, seconds since 1970; without one, what it shows now."""
        moment = self.running() if moment is None else moment
        return moment + self._shift(moment)

    def _shift(self, moment: float) -> float:
        return self._offset + sum(seconds for at, seconds in self._steps if at <= moment)

    def step(self, seconds: float) -> None:
        """Set the wall clock forwards, or (negative) back."""
        self._steps.append((self.running(), seconds))

    def advance(self, seconds: float) -> None:
        """Let time pass at once."""
        self._ahead += seconds

    def boot_time(self, started: float) -> float:
        """The time of boot as a kernel computes it: it moves with every step of the wall clock."""
        return started + self._shift(self.running())

    def boot_time_of_a_read(self, started: float, passed: float) -> float:
        """The time of boot as the Dmesg call computes it for a line, ``passed`` seconds after the read began.

        Now minus the uptime in whole seconds (rounded up, as sysinfo(2) gives it): another one for every line.
        """
        now = self.running() + passed
        return now + self._shift(now) - math.ceil(now - started)
