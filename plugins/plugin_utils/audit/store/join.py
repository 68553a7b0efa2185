# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Join reads to a stream, and commit them in one step."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...talos.boots import BOOT_TIME_TOLERANCE
from .boots import typical
from .disk import write, write_states
from .kernel import KernelRead
from .service import ServiceRead
from .stream import LATE, Segment, StoreError, Stream, iso
from .text import Text

Read = ServiceRead | KernelRead

# Steps of the clock that are remembered of a run.
_MOST_FRAMES = 64
# Reads whose time and news are remembered.
_MOST_READS = 200


class Place(NamedTuple):
    """Where a read lies on a segment: it begins at the segment's byte or record ``at`` (negative: before it)."""

    segment: int
    at: int


class Writer:
    """Joins reads to a stream; :func:`commit` puts them there."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.new: list[bytes] = []
        self.end = stream.committed
        self.at = ""
        self.read: Read | None = None

    def add(self, read: Read, at: str, begins: bool) -> None:
        """Store what is new in a read that ended at ``at``; ``begins``: it starts where the stream started."""
        self.stream.reads += 1
        self.at, self.read = at, read
        if not read.size:
            return
        segments = self.stream.segments
        places = self.places(read)
        if not places and (rest := self._overtaken(read)) is not None:
            read, begins = rest, False
            places = self.places(read)
        if not places:
            self._refuse_other_boot(read.data)
            segment = Segment([self._store(read.data)], begins, None, None, [at, at])
            segments.insert(self._position(read.data), segment)
            self._label(segment, read, read.data, read.data)
            return
        kept = segments[places[0].segment]
        lengths = {place.segment: self._measured(read, segments[place.segment]) for place in places}
        # A run whose serials did not tell where it belongs may stand elsewhere in the list, and be in this read.
        placed = range(places[0].segment, places[-1].segment + 1)
        gone = {i for i, s in enumerate(segments) if i not in placed and read.holds(self._text(s))}
        # What of the read stands before `done` is stored, what stands from there on is news up to the next segment.
        done = lengths[places[0].segment] - places[0].at
        if places[0].at < 0:
            kept.pieces.insert(0, self._store(read.cut(0, -places[0].at)))
            kept.begins = begins
            self._label(kept, read, read.data, b"")
        elif places[0].at == 0:
            kept.begins = kept.begins or begins
        for place in places[1:]:
            following = segments[place.segment]
            if done < -place.at:
                kept.pieces.append(self._store(read.cut(done, -place.at)))
                kept.frames = _frames(kept.frames, read.frames)
            kept.pieces.extend(following.pieces)
            kept.last = following.last
            kept.frames = _frames(kept.frames, following.frames)
            kept.collected[1] = max(kept.collected[1], following.collected[1])
            done = lengths[place.segment] - place.at
        segments[:] = [s for i, s in enumerate(segments) if i == placed[0] or not (i in placed or i in gone)]
        if done < read.size:
            kept.pieces.append(self._store(read.cut(done, read.size)))
            self._label(kept, read, b"", read.data)
        if done <= read.size:
            kept.collected[1] = max(kept.collected[1], at)
        self._coalesce(kept)

    def append(self) -> int:
        """Put the new bytes behind those that are there; nothing names them yet. Returns how many there are."""
        stream = self.stream
        new = b"".join(self.new)
        if new:
            descriptor = os.open(stream.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                # What a killed collector wrote and never committed.
                os.ftruncate(descriptor, stream.committed)
                write(descriptor, new, stream.committed)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            stream.committed += len(new)
        if self.read is not None:
            stream.history = _remembered(stream.history, self.at, self.read.occupied(new))
        return len(new)

    def places(self, read: Read) -> list[Place]:
        """The neighbouring segments that a read overlaps or continues, in order."""
        found: list[Place] = []
        done = 0
        for index, segment in enumerate(self.stream.segments):
            at = read.place(self._text(segment))
            if at is None or (found and -at < done):
                if found:
                    break
                continue
            found.append(Place(index, at))
            done = self._measured(read, segment) - at
            if done >= read.size:
                break
        return found

    def _text(self, segment: Segment) -> Text:
        return Text(self.stream.path, segment)

    def _measured(self, read: Read, segment: Segment) -> int:
        return read.length(self._text(segment))

    def _overtaken(self, read: Read) -> Read | None:
        """The read without its first records, where the node overwrote what stood behind them while it was read."""
        for segment in reversed(self.stream.segments):
            rest = read.overtaken(self._text(segment))
            if rest is not None:
                return rest
        return None

    def _store(self, data: bytes) -> list[int]:
        self.new.append(data)
        piece = [self.end, len(data), zlib.crc32(data)]
        self.end += len(data)
        return piece

    def _label(self, segment: Segment, read: Read, head: bytes, tail: bytes) -> None:
        first, last = read.first_mark(head) if head else None, read.last_mark(tail)
        segment.first = first or segment.first
        segment.last = last or segment.last
        if segment.first is None:
            segment.first = read.first_mark(tail)
        if segment.last is None:
            segment.last = segment.first
        segment.frames = _frames(segment.frames, read.frames)

    def _coalesce(self, segment: Segment) -> None:
        pieces: list[list[int]] = []
        for piece in segment.pieces:
            if pieces and pieces[-1][0] + pieces[-1][1] == piece[0]:
                # A checksum of joined pieces needs the bytes of the later one, which are at hand when they are new.
                data = self._bytes_of(piece)
                if data is not None:
                    pieces[-1] = [pieces[-1][0], pieces[-1][1] + piece[1], zlib.crc32(data, pieces[-1][2])]
                    continue
            pieces.append(piece)
        segment.pieces = pieces

    def _bytes_of(self, piece: list[int]) -> bytes | None:
        offset = self.stream.committed
        for data in self.new:
            if offset == piece[0] and len(data) == piece[1]:
                return data
            offset += len(data)
        return None

    def _position(self, data: bytes) -> int:
        first = typical(data)
        if first is None:
            return len(self.stream.segments)
        for index, segment in enumerate(self.stream.segments):
            if segment.first and segment.first.serial > first.serial:
                return index
        return len(self.stream.segments)

    def _refuse_other_boot(self, data: bytes) -> None:
        first = typical(data)
        stored = [segment.last for segment in self.stream.segments if segment.last]
        if first is None or not stored:
            return
        last = max(stored)
        if first.serial < last.serial - LATE and first.time > last.time + BOOT_TIME_TOLERANCE:
            raise StoreError(
                f"the {self.stream.name} log offered for this boot counts from serial {first.serial} at"
                f" {iso(first.time)}, but {last.serial} was reached at {iso(last.time)}",
                "serials only grow within a boot, so these records belong to another one",
                "ask the node for its boot id again and collect into that boot",
                stream=self.stream.name,
            )


def commit(writers: Sequence[Writer]) -> list[int]:
    """Commit what was added to streams of one boot: the bytes first, then the lists of them.

    That order makes a kill harmless. Returns the bytes appended to each.
    """
    streams = [writer.stream for writer in writers]
    # From here on bytes without a list are damage, not a first collector that was killed.
    write_states([Stream(one.name, one.path) for one in streams if not one.path.with_suffix(".json").exists()])
    appended = [writer.append() for writer in writers]
    write_states(streams)
    return appended


def _remembered(history: list[tuple[str, int]], at: str, new: int) -> list[tuple[str, int]]:
    """The last reads with one more; reads of one minute are one."""
    if history and history[-1][0][:16] == at[:16]:
        return [*history[:-1], (history[-1][0], history[-1][1] + new)]
    return [*history, (at, new)][-_MOST_READS:]


def _frames(known: list[int], more: Iterable[int]) -> list[int]:
    """Times of boot by which records were stored, the newest ones last, each once within what they waver."""
    found = list(known)
    for frame in more:
        found = [other for other in found if abs(frame - other) > 1]
        found.append(frame)
    return found[-_MOST_FRAMES:]
