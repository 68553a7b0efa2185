# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell records a process wrote from records the kernel wrote.

The kernel copies the text of user messages unescaped, line breaks included, and auditd writes it raw: a pod with
CAP_AUDIT_WRITE can put any line into the log. Such lines can only stand in the *shadow* of a user message, the bytes
that one message can hold. What gives them away are the numbers: the kernel gives each event one number and one time,
and both grow along the file. A forged event has to reuse a number, join the forger's own message, step back, run ahead
of the records that follow, or sit in a gap that a loss left.

Outside a shadow nothing can be forged, so there late records, clock steps and jumps are what they look like.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable

from .numbering import BACKWARD, TWO_TIMES, Numbering, Seen
from .serials import Serials
from .shadow import SHADOW, SYSTEM_DOMAINS, USER_MESSAGE_BYTES, closes_quote, subject
from .values import milliseconds

# Events of a new numbering before it is believed; more than one user message can hold when told outside a shadow.
NEW_BOOT = 32
# A record may come this many serials before the first one seen when the stream starts out of order.
EARLY = 1024
# Smaller numbers that may come after an event that ran ahead: the widest disorder seen on real kernels.
LATE = 64
_AHEAD = "it runs ahead of the records after it"
_ENDED = "it comes after the end of its event"


class Order(Numbering):
    """Follows serials and times along one stream.

    ``mark(text, reason)`` is called with the lines of every event found doubtful, at once or when later records tell.
    """

    def __init__(self, mark: Callable[[bytes, str], None]) -> None:
        super().__init__(mark)
        self.shadow_end = -1
        self.trusted = True
        self.off: list[Seen] = []
        self.ahead: list[Seen] = []
        """Events of a shadow behind a gap, by number: forged, early, or real ones behind a loss."""
        self._passed = 0
        self.last_offset = -1
        self._reason = ""
        self.torn = False

    def went_on(self, serial: int, stamp: bytes, events: int, start: int) -> None:
        """Take over from a caller that followed ``events`` events in perfect order itself, the last at ``start``."""
        self.last_offset = max(self.last_offset, start)
        if events:
            self.serial, self.stamp = serial, stamp
            self.serials.last = serial
            self.events += events

    @property
    def orderly(self) -> bool:
        """Whether nothing waits for later records to be judged, so that the next number is simply the next event."""
        return not self.off and not self.ahead

    def take(
        self,
        serial: int,
        stamp: bytes,
        user: bool,
        start: int,
        text: bytes,
        ended: Callable[[], bool] | None = None,
    ) -> bool:
        """Judge the records ``text`` of one event, at byte ``start`` of the stream as auditd wrote it (no prefixes).

        ``ended`` tells whether the last record of this event stood before it. True when the event is a new one and
        believed. Behind a message of a process, call :meth:`shade` next.
        """
        shadow = start < self.shadow_end
        self.last_offset = start
        if shadow and not user and closes_quote(text):
            self._quote_closed(serial, stamp, text)
            return False
        if shadow and serial == self.serial + 1 and not user and self.orderly and stamp >= self.stamp:
            self.events += 1
            self.serial, self.stamp, self.serials.last = serial, stamp, serial
            self.recent[serial] = stamp
            self.probation.append(Seen(serial, stamp, text, True, start))
            return True
        if self.torn and self._torn_start(serial):
            self._forget_start()
        if self.probation and not shadow and self.serial > self.probation[-1].serial + LATE:
            # The kernel went on in this numbering: had a process written these, their real numbers had come since.
            self._base, self.probation = (self.serial, self.stamp), []
        if self.serial < 0:
            self._accept(serial, stamp, user, shadow, start, text)
            return True
        known = self.known(serial)
        if known == stamp:
            # A message that was not believed may have had that number at another time.
            if user != (self.users.get(serial) == stamp):
                self._mark(text, "its number belongs to a message of a process")
            elif shadow and not user and ended is not None and ended():
                self._mark(text, _ENDED)
            elif shadow and self.probation and self.probation[-1].serial == serial:
                self.probation[-1].text += text
            return False
        if self.off and self.off[-1].serial == serial and self.off[-1].stamp == stamp:
            self.off[-1].text += text
            return False
        rival = next((seen for seen in self.ahead if seen.serial == serial), None)
        if rival is not None and rival.stamp == stamp:
            rival.text += text
            return False
        if known is not None and self._settle_two_times(serial, stamp, shadow):
            known = None
        reason = self._misfit(serial, stamp, shadow, known)
        if rival is not None:
            self.ahead.remove(rival)
            self._mark(rival.text, TWO_TIMES)
            reason = TWO_TIMES if reason == _AHEAD else reason
        if reason == _AHEAD:
            return self._run_ahead(serial, stamp, user, start, text)
        if reason:
            return self._set_aside(serial, stamp, shadow, start, text, reason)
        self._drop_off(self._reason)
        self._settle_ahead(serial, stamp)
        self._accept(serial, stamp, user, shadow, start, text)
        return True

    def shade(self, start: int, text: bytes, reach: int = SHADOW) -> None:
        """The message at ``start`` may go on for ``reach`` bytes, whether or not its first line was believed."""
        self.trusted = subject(text) in SYSTEM_DOMAINS and (self.trusted or start >= self.shadow_end)
        self.shadow_end = max(self.shadow_end, start + reach)
        if not self.probation:
            self._base = (self.serial, self.stamp)

    def close(self) -> None:
        """The stream ended: decide what is still open."""
        self._drop_ahead("nothing after it confirms its number")
        if not self.off:
            return
        if any(seen.shadow for seen in self.off) or len(self.off) < 3:
            self._drop_off("nothing after it confirms its number")
        else:
            self._switch()

    @property
    def unconfirmed(self) -> int:
        """The kernel's events in the shadow of a workload's message that nothing after the shadow confirms."""
        if self.trusted or self.last_offset >= self.shadow_end:
            return 0
        # Of the workload's own messages none is more than what it says.
        return sum([not seen.user for seen in self.probation])

    # -- parts

    def _misfit(self, serial: int, stamp: bytes, shadow: bool, known: bytes | None) -> str:
        if known is not None:
            return TWO_TIMES
        if serial > self.serial:
            back = milliseconds(self.stamp) - milliseconds(stamp)
            if back > BACKWARD and self.probation:
                back = self._settle_future(stamp, back)
            if back > BACKWARD and shadow:
                return "it steps back in time"
            if shadow and serial > self.serial + 1:
                return _AHEAD
            return ""
        hole = self.serials.hole(serial)
        if hole is not None:
            when = milliseconds(stamp)
            if milliseconds(hole[2]) - BACKWARD <= when <= milliseconds(hole[3]) + BACKWARD:
                return "it fills a gap from inside a message of a workload" if shadow and not self.trusted else ""
            return "its time does not belong to its number"
        first = self.serials.first
        if (
            first is not None
            and first - EARLY <= serial < first
            and not shadow
            and abs(milliseconds(self.stamp) - milliseconds(stamp)) <= BACKWARD
        ):
            return ""
        return "its number steps back"

    def _run_ahead(self, serial: int, stamp: bytes, user: bool, start: int, text: bytes) -> bool:
        """Let an event of a shadow wait that left a gap: the missing may come, or its number again, or neither."""
        self.events += 1
        when = milliseconds(stamp)
        self._passed_by(serial)
        for seen in list(self.ahead):
            between = when - milliseconds(seen.stamp) if seen.serial < serial else milliseconds(seen.stamp) - when
            if between < -BACKWARD:
                self.ahead.remove(seen)
                self._mark(seen.text, "its number and time do not follow those around it")
        insort(self.ahead, Seen(serial, stamp, text, True, start, user), key=_number)
        if user:
            self._remember(serial, stamp, start, text)
        if start - min(seen.start for seen in self.ahead) > 2 * SHADOW:
            # More than one message can hold went on in this numbering: the gap is a loss.
            self._join(self.ahead)
            self.ahead = []
        return False

    def _settle_ahead(self, serial: int, stamp: bytes) -> None:
        """An event fits: those that ran ahead and are now behind it are real, and none can be too far before it."""
        if not self.ahead:
            return
        behind = [seen for seen in self.ahead if seen.serial < serial]
        self.ahead = self.ahead[len(behind) :]
        when = milliseconds(stamp) + BACKWARD
        self._join([seen for seen in behind if milliseconds(seen.stamp) <= when])
        for seen in behind:
            if milliseconds(seen.stamp) > when:
                self._mark(seen.text, "its time runs ahead of the records after it")
        self._passed_by(serial)

    def _passed_by(self, serial: int) -> None:
        """A smaller number came after those ahead: in disorder it may, but not where a workload could write them."""
        if not self.ahead or self.ahead[-1].serial < serial:
            return
        self._passed += 1
        if not self.trusted or self._passed > LATE:
            for seen in [seen for seen in self.ahead if seen.serial > serial]:
                self.ahead.remove(seen)
                self._mark(seen.text, _AHEAD)
            self._passed = 0

    def _drop_ahead(self, reason: str) -> None:
        for seen in self.ahead:
            self._mark(seen.text, reason)
        self.ahead, self._passed = [], 0

    def _set_aside(self, serial: int, stamp: bytes, shadow: bool, start: int, text: bytes, reason: str) -> bool:
        """Keep an event that does not fit until the next ones tell whether it or the numbering changed."""
        last = self.off[-1] if self.off else None
        follows = (
            last is not None
            and last.serial < serial <= last.serial + 64
            and milliseconds(stamp) >= milliseconds(last.stamp) - BACKWARD
        )
        if last is not None and not follows:
            self._drop_off("its number and time do not follow those around it")
        self.off.append(Seen(serial, stamp, text, shadow, start))
        self.events += 1
        self._reason = reason
        if not shadow and len(self.off) >= NEW_BOOT:
            self._switch()
        return False

    def begin_torn(self) -> None:
        """The stream starts in the middle of a line, which may have been a message of a process."""
        self.shadow_end, self.trusted, self.torn = USER_MESSAGE_BYTES, False, True

    def _torn_start(self, serial: int) -> bool:
        """Whether a jump right behind the first bytes shows that those are not the kernel's numbering."""
        last = self.probation[-1].serial if self.probation else None
        if last != self.serial:
            return False
        return serial > self.serial + 1

    def _forget_start(self) -> None:
        for seen in (*self.probation, *self.ahead):
            self._mark(seen.text, "it stands behind a cut line that may have been a message of a process")
        self.ahead, self._passed, self.torn = [], 0, False
        self._restart()

    def _drop_off(self, reason: str) -> None:
        for seen in self.off:
            self._mark(seen.text, reason)
        self.off = []

    def _switch(self) -> None:
        """The numbering started anew: another boot."""
        self._drop_ahead("nothing after it confirms its number")
        if self.off[0].serial <= self.serial:
            self.boots.append(self.serials)
            self.serials = Serials()
            self.recent, self.older, self.users = {}, {}, {}
            self.stamp = self.off[0].stamp
        for seen in self.off:
            self.serials.extend(seen.serial, self.stamp, seen.stamp)
            self.recent[seen.serial] = seen.stamp
            self.serial, self.stamp = seen.serial, seen.stamp
        self.off, self.probation = [], []

    def _quote_closed(self, serial: int, stamp: bytes, text: bytes) -> None:
        """A kernel record ends with the quote put after a user message: all since that message is its text."""
        reason = "it stands inside the text of a message of a process"
        if not any(seen.serial == serial and seen.stamp == stamp for seen in (*self.probation, *self.off, *self.ahead)):
            self.events += 1
        behind = [seen for seen in self.probation if seen.start > self._message]
        self._undo([seen for seen in self.probation if seen.start <= self._message], behind, reason)
        self._drop_off(reason)
        for seen in [seen for seen in self.ahead if seen.start > self._message]:
            self.ahead.remove(seen)
            self._mark(seen.text, reason)
        self._mark(text, reason)


def _number(seen: Seen) -> int:
    return seen.serial
