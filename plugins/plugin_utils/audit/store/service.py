# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A read of auditd's log, and where it lies on what is stored: byte for byte, around ``audit(time:serial)`` marks.

No two events share a mark. Sets of lines would lose the notices and the torn lines that carry none.
"""

from __future__ import annotations

import re
from collections import deque

from .stream import CHUNK, MARK, Mark
from .text import Text


class ServiceRead:
    """One read of auditd's log. What it is measured in is bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.frames: tuple[int, ...] = ()

    def cut(self, start: int, end: int) -> bytes:
        """A part of the read."""
        return self.data[start:end]

    def length(self, text: Text) -> int:
        """How long a segment is, in what reads are measured in."""
        return text.size

    def place(self, text: Text) -> int | None:
        """The read's place on a segment (negative: it begins earlier), or None.

        The overlap starts where the read or the segment starts, so the first mark of one of them lies in it.
        """
        data = self.data
        mark = MARK.search(data)
        if mark is not None:
            recent = max(0, text.size - len(data) - CHUNK)
            for at in text.find_all(mark[0], recent):
                if text.agrees(at - mark.start(), data):
                    return at - mark.start()
            at = text.rfind(mark[0], recent)
            if at >= 0 and text.agrees(at - mark.start(), data):
                return at - mark.start()
        first = MARK.search(text.part(0, min(text.size, CHUNK)))
        if first is not None:
            cursor = data.find(first[0])
            while cursor >= 0:
                if text.agrees(first.start() - cursor, data):
                    return first.start() - cursor
                cursor = data.find(first[0], cursor + 1)
        return _continues(text, data, mark)

    def occupied(self, data: bytes) -> int:
        """Bytes of the node's log that a part takes."""
        return len(data)

    def first_mark(self, data: bytes) -> Mark | None:
        """The first event of a part."""
        return Mark.of(MARK.search(data))

    def last_mark(self, data: bytes) -> Mark | None:
        """The last event of a part."""
        return Mark.of(last_mark(data))

    def overtaken(self, text: Text) -> ServiceRead | None:
        """A read of this log is one piece: Talos ends it with an error when the writer overtakes it."""
        del text
        return None

    def holds(self, text: Text) -> bool:
        """Whether all of a segment stands in the read."""
        if text.size > self.size:
            return False
        content = text.part(0, text.size)
        return content in self.data and MARK.search(content) is not None


def _continues(text: Text, data: bytes, mark: re.Match[bytes] | None) -> int | None:
    """A read that shares no mark but begins in the last line, or right after it, as the serials prove."""
    tail = text.part(max(0, text.size - CHUNK), text.size)
    last = last_mark(tail)
    if mark is None or last is None:
        # Notices only, on one side at least: an equal beginning is the same beginning.
        if text.agrees(0, data):
            return 0
        return text.size - overlap if (overlap := _overlap(tail, data)) else None
    if int(mark[2]) - int(last[2]) not in (0, 1):
        return None
    overlap = _overlap(tail, data[: mark.end() - 1])
    if not overlap and not (tail.endswith(b"\n") and data.startswith(b"type=")):
        return None
    return text.size - overlap


def last_mark(data: bytes) -> re.Match[bytes] | None:
    """The last mark of some data."""
    found = deque(MARK.finditer(data, max(0, len(data) - CHUNK)), maxlen=1)
    return found[0] if found else None


def _overlap(stored: bytes, data: bytes) -> int:
    """Length of the longest beginning of ``data`` that ends ``stored``, in linear time (Knuth, Morris, Pratt)."""
    data, stored = data[:CHUNK], stored[-min(len(data), CHUNK) :] if data else b""
    borders = [0] * len(data)
    k = 0
    for index in range(1, len(data)):
        while k and data[index] != data[k]:
            k = borders[k - 1]
        k += data[index] == data[k]
        borders[index] = k
    k = 0
    for byte in stored:
        while k and byte != data[k]:
            k = borders[k - 1]
        k += byte == data[k]
    return k
