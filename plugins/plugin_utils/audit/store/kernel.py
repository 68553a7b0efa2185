# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A read of the kernel ring, and where it lies on what is stored: record for record, by all but their times.

The times of records waver from read to read and follow every step of the clock. They are compared only where an
overlap holds none of the kernel's own audit stamps, and then as distances from the time of boot read with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ..log import ring
from .stream import MARK, Mark
from .text import Text

# Times of one record in two reads lie less than this apart, in seconds: both waver by one, and so does the boot time.
_WAVER = 3.0
# Places that are looked at, the most likely ones first.
_PLACES = 16
# So many records at the head of a read may be from before the writer overtook the reader.
_NEAREST = 64
_OVERTAKEN = 64


class KernelRead:
    """One read of the kernel ring, a line a record. What it is measured in is records.

    Args:
        data: lines as :func:`ring.lines` makes them.
        frames: the times of boot that the node gave around the read, in seconds since 1970.
    """

    def __init__(self, data: bytes, frames: tuple[int, ...] = ()) -> None:
        self.data = data
        self.lines = [line + b"\n" for line in data.split(b"\n")[:-1]]
        self.keys = [ring.key(line) for line in self.lines]
        self.size = len(self.lines)
        self.frames = frames

    def cut(self, start: int, end: int) -> bytes:
        """A part of the read."""
        return b"".join(self.lines[start:end])

    def length(self, text: Text) -> int:
        """How long a segment is, in what reads are measured in."""
        return len(text.lines)

    def place(self, text: Text) -> int | None:
        """The read's place on a segment (negative: it begins earlier), or None.

        Wherever both have records these are equal, and a record that no other place could have, or the times, prove it.
        """
        stored = [ring.key(line) for line in text.lines]
        found = self._best(text, stored, self._candidates(stored))
        return self._best(text, stored, self._near(text, stored)) if found is None else found

    def _best(self, text: Text, stored: list[bytes], places: Iterable[int]) -> int | None:
        """The place of the longest overlap that is proven; one that ends behind the segment before any other.

        A ring's newest record is in every read, so only a read that was overtaken by another one ends before it.
        """
        best: tuple[bool, int, int] | None = None
        for at in places:
            low, high = max(0, at), min(len(stored), at + self.size)
            if low >= high or stored[low:high] != self.keys[low - at : high - at]:
                continue
            rank = (at + self.size >= len(stored), high - low)
            if (best is None or rank > best[:2]) and self._proven(text, at, low, high):
                best = (*rank, at)
        return None if best is None else best[2]

    def occupied(self, data: bytes) -> int:
        """Bytes of the node's ring that a part takes."""
        return sum(ring.occupied(line) for line in data.split(b"\n")[:-1])

    def first_mark(self, data: bytes) -> Mark | None:
        """The first event of a part that the kernel itself wrote."""
        return _mark(data.split(b"\n"))

    def last_mark(self, data: bytes) -> Mark | None:
        """The last event of a part that the kernel itself wrote."""
        return _mark(reversed(data.split(b"\n")))

    def overtaken(self, text: Text) -> KernelRead | None:
        """The read without its first records, where those are stored and what stood behind them was overwritten.

        /dev/kmsg goes on at the oldest record it has when the writer overtakes the reader, and Talos gives no sign.
        """
        stored = [ring.key(line) for line in text.lines]
        for at in self._candidates(stored)[:1]:
            first = next((n for n in range(max(0, -at), min(_OVERTAKEN, self.size)) if self._agrees(stored, at, n)), 0)
            if first and _in_order(self.keys[:first], stored[max(0, at + first - 4 * _OVERTAKEN) : at + first]):
                return KernelRead(self.cut(first, self.size), self.frames)
        return None

    def _agrees(self, stored: list[bytes], at: int, first: int) -> bool:
        high = min(len(stored), at + self.size)
        return at + first < high and stored[at + first : high] == self.keys[first : high - at]

    def holds(self, text: Text) -> bool:
        """Whether all of a segment stands in the read."""
        at = self.place(text)
        return at is not None and at <= 0 and len(text.lines) <= self.size + at

    def _candidates(self, stored: list[bytes]) -> list[int]:
        once = {key: place for place, key in enumerate(self.keys)}
        if len(once) < len(self.keys):
            counts = Counter(self.keys)
            once = {key: place for key, place in once.items() if counts[key] == 1}
        votes = Counter(place - once[key] for place, key in enumerate(stored) if key in once)
        found = [at for at, _unused in votes.most_common(_PLACES)]
        if self.keys and stored:
            # Where only repeated lines overlap: the ends that could meet, the nearest ones.
            found += [place for place, key in enumerate(stored) if key == self.keys[0]][-_PLACES:]
            found += [-place for place, key in enumerate(self.keys) if key == stored[0]][:_PLACES]
        return list(dict.fromkeys(found))

    def _near(self, text: Text, stored: list[bytes]) -> list[int]:
        """Where the last record that was stored has the time of one that was read, in a ring full of one message."""
        last = ring.time_of(text.lines[-1]) if stored else None
        if last is None or not text.frames:
            return []
        found = []
        for place, key in enumerate(self.keys):
            new = ring.time_of(self.lines[place]) if key == stored[-1] else None
            if new is not None:
                # Stored times are of the clock as it was when something was last stored.
                away = min((abs(new - last - frame + text.frames[-1]) for frame in self.frames), default=_WAVER + 1)
                if away <= _WAVER:
                    found.append((away, len(stored) - 1 - place))
        return [at for _away, at in sorted(found)[:_NEAREST]]

    def _proven(self, text: Text, at: int, low: int, high: int) -> bool:
        if any(_is_stamped(key) for key in self.keys[low - at : high - at]):
            return True
        moved = self._moved(text)
        for place in sorted({low, high - 1}):
            new, old = ring.time_of(self.lines[place - at]), ring.time_of(text.lines[place])
            if new is None or old is None or all(abs(new - old - step) > _WAVER for step in moved):
                return False
        return True

    def _moved(self, text: Text) -> set[int]:
        """By how many seconds the node's clock may have been stepped between a segment and this read."""
        return {new - old for new in self.frames for old in text.frames} or {0}


def _is_stamped(key: bytes) -> bool:
    """Whether the kernel itself wrote an audit record: what a process writes to the ring has another facility."""
    return key.startswith(b"kern:") and b": audit: type=" in key[:32] and MARK.search(key) is not None


def _mark(lines: Iterable[bytes]) -> Mark | None:
    return next((Mark.of(MARK.search(line)) for line in lines if _is_stamped(ring.key(line))), None)


def _in_order(some: list[bytes], all_of: list[bytes]) -> bool:
    """Whether the one list is what is left of the other when parts of it are left out."""
    rest = iter(all_of)
    return all(key in rest for key in some)
