# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bytes of one segment."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from .stream import CHUNK, Segment, damaged


class Text:
    """The bytes of one segment, read in parts: a soak's segment may be longer than memory is cheap."""

    def __init__(self, path: Path, segment: Segment) -> None:
        self.size = segment.size
        self.frames = segment.frames
        self._path = path
        self._pieces = segment.pieces

    @cached_property
    def lines(self) -> list[bytes]:
        """The segment line by line, line ends kept."""
        whole = self.part(0, self.size)
        *lines, rest = whole.split(b"\n")
        return [line + b"\n" for line in lines] + ([rest] if rest else [])

    def part(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` to before ``end``, as far as the segment has them.

        Raises:
            StoreError: the file holds less than was committed.
        """
        found = []
        base = 0
        for offset, length, _unused in self._pieces:
            low, high = max(start - base, 0), min(end - base, length)
            if low < high:
                found.append(self._bytes(offset + low, offset + high))
            base += length
        return b"".join(found)

    def find_all(self, needle: bytes, start: int) -> Iterator[int]:
        """Every place of ``needle`` from ``start`` on, ascending; errors as of :meth:`part`."""
        data = self.part(start, self.size)
        at = data.find(needle)
        while at >= 0:
            yield start + at
            at = data.find(needle, at + 1)

    def rfind(self, needle: bytes, end: int) -> int:
        """The last place of ``needle`` that ends before ``end``, or -1; errors as of :meth:`part`."""
        while end >= len(needle):
            start = max(0, end - 4 * CHUNK)
            at = self.part(start, end).rfind(needle)
            if at >= 0:
                return start + at
            if not start:
                break
            # Windows overlap, so that none of them cuts what is looked for.
            end = start + len(needle) - 1
        return -1

    def agrees(self, at: int, data: bytes) -> bool:
        """Whether a read placed at ``at`` equals the segment wherever both have bytes."""
        start, end = max(0, at), min(self.size, at + len(data))
        return start < end and self.part(start, end) == data[start - at : end - at]

    def _bytes(self, start: int, end: int) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(start)
                found = file.read(end - start)
        except FileNotFoundError as error:
            raise damaged(self._path) from error
        if len(found) != end - start:
            raise damaged(self._path)
        return found
