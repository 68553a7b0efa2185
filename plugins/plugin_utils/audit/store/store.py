# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Accumulate one node's audit evidence over many reads: one stream per boot and origin, nothing twice, no hidden hole.

Every read of a ring is a part of one true stream of bytes. Parts are joined where they overlap, byte for byte, around
a record's ``audit(time:serial)`` mark, which no two events share; sets of lines would lose the notices and the torn
lines that carry no mark. What cannot be joined is kept apart, and the place is reported as a hole.

On disk a boot is a directory with, for each stream, ``<stream>.log`` (the bytes, only ever appended to) and
``<stream>.json`` (which of them are committed, and in what order; replaced in one step). Bytes are on the disk before
the list names them, so a kill at any moment leaves the last committed state, and a reader never sees half of anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import statistics
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ...problem import Problem

# Talos keeps a 64 KiB block and up to 15 compressed ones per service, without a mark that it wrapped
# (internal/app/machined/pkg/runtime/logging/circular.go): a read this long may have lost its head.
RING_MAY_HAVE_WRAPPED = 15 * 64 * 1024

STREAMS = ("service", "kernel")
SOURCES = ("service", "kernel", "persisted")

# boot_time of the Talos API drifts with steps of the clock.
BOOT_TIME_TOLERANCE = 2

# Records of a flood arrive late by at most this many serials (measured on real kernels).
LATE = 64

_CHUNK = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_MARK = re.compile(rb"audit\((\d{1,12})\.\d{1,9}:(\d{1,20})\)")
# Kernel lines without an audit record are told apart by their bracketed time.
_KERNEL_MARK = re.compile(rb"audit\(\d{1,12}\.\d{1,9}:\d{1,20}\)|\[ *\d+\.\d+\]|\[\d{4}-\d\d-\d\dT[^\]\s]{5,40}\]")
_KERNEL_RECORD = re.compile(rb"audit: type=\d+ audit\((\d{1,12}\.\d{1,9}:\d{1,20})\): (.*)", re.DOTALL)
_SERVICE_RECORD = re.compile(rb"type=\S+ msg=audit\((\d{1,12}\.\d{1,9}:\d{1,20})\): (.*)", re.DOTALL)


class StoreError(Problem):
    """The store, or data offered to it, cannot be trusted."""

    kind = "store"


class Mark(NamedTuple):
    """A record's serial and its time in whole seconds since 1970."""

    serial: int
    time: int


@dataclass(frozen=True)
class Hole:
    """A place where records may be missing.

    ``kind`` is ``head`` (the first read had already lost the beginning), ``gap`` (a read did not overlap the one
    before) or ``conflict`` (two reads tell different stories about the same serials). Serials and times are those of
    the nearest records on both sides, None where there is none.
    """

    kind: str
    stream: str
    after: Mark | None
    before: Mark | None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the coverage judgement and for reports."""
        return {
            "kind": self.kind,
            "stream": self.stream,
            "after_serial": self.after.serial if self.after else None,
            "before_serial": self.before.serial if self.before else None,
            "after": _iso(self.after.time) if self.after else None,
            "before": _iso(self.before.time) if self.before else None,
        }


@dataclass(frozen=True)
class MergeResult:
    """What one merge did: bytes appended, every hole the stream has now, and bytes that belong to other boots."""

    stream: str
    appended: int
    holes: tuple[Hole, ...]
    other_boots: int = 0


@dataclass
class Segment:
    """A run of bytes without a hole: pieces of the log file in order, and when it was read.

    ``begins`` says whether it starts where the stream started; ``collected`` is the first and the last moment of a
    read that covered its end, as ISO text.
    """

    pieces: list[list[int]]
    begins: bool
    first: Mark | None
    last: Mark | None
    collected: list[str]

    @property
    def size(self) -> int:
        return sum(length for _unused, length, _unused in self.pieces)


@dataclass
class Stream:
    """One committed stream of a boot, safe to read while others append."""

    name: str
    path: Path
    segments: list[Segment] = field(default_factory=list)
    committed: int = 0
    reads: int = 0

    @property
    def size(self) -> int:
        """Bytes stored, without the line ends that ``chunks`` puts between segments."""
        return sum(segment.size for segment in self.segments)

    @property
    def holes(self) -> tuple[Hole, ...]:
        """Every place where something may be missing, in order."""
        found: list[Hole] = []
        previous: Segment | None = None
        for segment in self.segments:
            if previous is None:
                if not segment.begins:
                    found.append(Hole("head", self.name, None, segment.first))
            else:
                crossed = previous.last and segment.first and segment.first.serial <= previous.last.serial
                found.append(Hole("conflict" if crossed else "gap", self.name, previous.last, segment.first))
            previous = segment
        return tuple(found)

    def chunks(self) -> Iterator[bytes]:
        """The stream's bytes, at most 1 MiB at a time, each piece checked against its checksum.

        A line that a hole cut is ended, so that it is not read as one with what follows the hole.
        Raises StoreError when the file was changed behind the store's back.
        """
        ends_a_line = True
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(self.path.open("rb")) if self.segments else None
            except FileNotFoundError as error:
                raise _damaged(self.path) from error
            for segment in self.segments:
                if not ends_a_line:
                    yield b"\n"
                for offset, length, checksum in segment.pieces:
                    if file is None:
                        raise AssertionError("a stream with pieces has no file")
                    file.seek(offset)
                    crc = 0
                    while length:
                        data = file.read(min(length, _CHUNK))
                        if not data:
                            raise _damaged(self.path)
                        crc = zlib.crc32(data, crc)
                        length -= len(data)
                        ends_a_line = data.endswith(b"\n")
                        if not length and crc != checksum:
                            raise _damaged(self.path)
                        yield data

    def lines(self) -> Iterator[bytes]:
        """The stream line by line, line ends kept; a line beyond 1 MiB comes in several parts."""
        rest = b""
        for chunk in self.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line + b"\n"
            if len(rest) > _CHUNK:
                yield rest
                rest = b""
        if rest:
            yield rest

    def windows(self) -> list[dict[str, Any]]:
        """What each hole-free run covers: serials, bytes, and time from its first record to its last read.

        ``from`` is None for a run that starts where the stream started.
        """
        return [
            {
                "stream": self.name,
                "from": None if s.begins or s.first is None else _iso(s.first.time),
                "to": s.collected[1],
                "first_serial": s.first.serial if s.first else None,
                "last_serial": s.last.serial if s.last else None,
                "bytes": s.size,
            }
            for s in self.segments
        ]


@dataclass(frozen=True)
class BootLog:
    """All that is stored of one boot."""

    boot_id: str
    streams: dict[str, Stream]

    @property
    def holes(self) -> list[Hole]:
        return [hole for stream in self.streams.values() for hole in stream.holes]

    @property
    def windows(self) -> list[dict[str, Any]]:
        return [window for stream in self.streams.values() for window in stream.windows()]

    @property
    def size(self) -> int:
        return sum(stream.size for stream in self.streams.values())

    @property
    def first_serial(self) -> int | None:
        return min((s.first.serial for s in self._segments() if s.first), default=None)

    @property
    def last_serial(self) -> int | None:
        return max((s.last.serial for s in self._segments() if s.last), default=None)

    def merged(self) -> Iterator[bytes]:
        """Audit records of the whole boot as lines, each once, kernel records in their place by serial.

        A record that the kernel both printed and delivered to auditd comes once, as auditd wrote it; the kernel's
        copy may be shorter, as printk cuts long lines.
        """
        kernel = [found for line in self.streams["kernel"].lines() if (found := _KERNEL_RECORD.search(line))]
        delivered: dict[bytes, list[bytes]] = {found[1]: [] for found in kernel}
        for line in self.streams["service"].lines():
            record = _SERVICE_RECORD.match(line)
            if record and record[1] in delivered:
                delivered[record[1]].append(record[2].rstrip())
        own = [
            (int(found[1].rpartition(b":")[2]), found[0])
            for found in kernel
            if not any(text.startswith(found[2].rstrip()) for text in delivered[found[1]])
        ]
        own.reverse()
        for line in self.streams["service"].lines():
            record = _SERVICE_RECORD.match(line)
            while own and record and own[-1][0] < int(record[1].rpartition(b":")[2]):
                yield own.pop()[1]
            yield line
        while own:
            yield own.pop()[1]

    def _segments(self) -> Iterator[Segment]:
        for stream in self.streams.values():
            yield from stream.segments


class AuditStore:
    """The accumulated evidence of one node, in a directory of its own.

    Several processes may collect into it at once; each merge holds the boot's lock.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    def boots(self) -> list[str]:
        """The boots that something is stored of, in no particular order."""
        if not self.directory.is_dir():
            return []
        return sorted(path.name for path in self.directory.iterdir() if path.is_dir() and _NAME.match(path.name))

    def boot_key(self, boot_id: str | None, boot_time: int | None) -> str:
        """The name to store a boot under: its id, or on releases without one its start in seconds since 1970.

        A start within two seconds of a stored one is the same boot, as the API's value drifts.
        Raises StoreError when neither is known: evidence of an unknown boot cannot be told from another's.
        """
        if boot_id:
            return boot_id
        if boot_time is None:
            raise StoreError(
                "neither the boot id nor the boot time of the node is known",
                "records of two boots would be taken for one stream",
                "collect again once the node answers SystemStat or the BootID resource",
            )
        for name in self.boots():
            known = name.removeprefix("btime-")
            if known != name and known.isdigit() and abs(int(known) - boot_time) <= BOOT_TIME_TOLERANCE:
                return name
        return f"btime-{boot_time}"

    def merge(
        self,
        boot_id: str,
        source: str,
        data: bytes,
        *,
        collected_at: datetime | None = None,
        begins: bool | None = None,
        boot_time: int | None = None,
    ) -> MergeResult:
        """Add what is new in one read of a source.

        Args:
            boot_id: the boot the data belongs to (see ``boot_key``).
            source: ``service`` (the log API), ``kernel`` (dmesg) or ``persisted`` (/var/log/auditd.log, oldest
                generation first; it fills holes of the service stream).
            data: the bytes as read, unchanged.
            collected_at: when the read ended; now by default.
            begins: whether the data starts where the stream started; by default judged by size (service) or by the
                kernel's first line.
            boot_time: for ``persisted``, seconds since 1970: parts of earlier boots are left out. Without it only
                the file's last boot is taken.

        Raises StoreError for a bad name, a damaged store, or data of another boot.
        """
        if source not in SOURCES:
            raise ValueError(f"source is one of {', '.join(SOURCES)}, not {source!r}")
        at = (collected_at or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if begins is None:
            begins = _begins(source, data)
        name = "kernel" if source == "kernel" else "service"
        other_boots = 0
        parts = [data]
        if source == "persisted":
            parts = split_boots(data)
            parts = [part for part in parts if _of_boot(part, boot_time)] if boot_time is not None else parts[-1:]
            other_boots = len(data) - sum(map(len, parts))
        directory = self._directory(boot_id)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(directory / "lock"):
            stream = _load(directory, name)
            writer = _Writer(stream)
            for part in parts:
                writer.add(part, at, begins)
            appended = writer.commit()
        return MergeResult(name, appended, stream.holes, other_boots)

    def joins(self, boot_id: str, source: str, data: bytes) -> bool:
        """Whether a read would join what is stored without a new hole.

        With it a collector can ask for a log's tail first, and for all of it only where the tail is too short.
        """
        name = "kernel" if source == "kernel" else "service"
        stream = _load(self._directory(boot_id), name)
        return bool(stream.segments) and bool(_Writer(stream).places(data))

    def read(self, boot_id: str) -> BootLog:
        """What is stored of a boot: both streams, empty where nothing was collected."""
        directory = self._directory(boot_id)
        return BootLog(boot_id, {name: _load(directory, name) for name in STREAMS})

    def _directory(self, boot_id: str) -> Path:
        if not _NAME.match(boot_id):
            raise StoreError(
                f"the boot id {boot_id!r} is not a plain name",
                "it becomes the name of a directory",
                "use the id or the key that boot_key gives",
            )
        return self.directory / boot_id


def split_boots(data: bytes) -> list[bytes]:
    """Cut a log that Talos appended to over several boots into one part per boot, oldest first.

    A boot begins where serials fall back and stay low; a forged low serial among high ones does not cut.
    """
    marks = list(_MARK.finditer(data))
    serials = [int(mark[2]) for mark in marks]
    cuts = [0]
    for index in range(1, len(serials)):
        before, after = serials[max(0, index - 5) : index], serials[index : index + 5]
        if serials[index] < serials[index - 1] - LATE and max(after) < min(before) - LATE:
            cut = data.rfind(b"\n", 0, marks[index].start()) + 1
            if cut > cuts[-1]:
                cuts.append(cut)
    return [data[start:end] for start, end in zip(cuts, [*cuts[1:], len(data)], strict=True)]


class _Place(NamedTuple):
    """Where a read lies on a segment: its first byte is the segment's byte ``at`` (negative: it begins earlier)."""

    segment: int
    at: int


class _Writer:
    """Joins reads to a stream and commits them in one step."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.mark = _KERNEL_MARK if stream.name == "kernel" else _MARK
        self.new: list[bytes] = []
        self.end = stream.committed

    def add(self, data: bytes, at: str, begins: bool) -> None:
        self.stream.reads += 1
        if not data:
            return
        segments = self.stream.segments
        places = self.places(data)
        if not places:
            self._refuse_other_boot(data)
            segment = Segment([self._store(data)], begins, None, None, [at, at])
            position = self._position(data)
            segments.insert(position, segment)
            self._label(segment, data, data)
            return
        kept = segments[places[0].segment]
        # The read's bytes before `done` are stored, those from there on are news up to the next segment.
        done = kept.size - places[0].at
        if places[0].at < 0:
            kept.pieces.insert(0, self._store(data[: -places[0].at]))
            kept.begins = begins
            self._label(kept, data, b"")
        elif places[0].at == 0:
            kept.begins = kept.begins or begins
        for place in places[1:]:
            following = segments[place.segment]
            if done < -place.at:
                kept.pieces.append(self._store(data[done : -place.at]))
            kept.pieces.extend(following.pieces)
            kept.last = following.last
            kept.collected[1] = max(kept.collected[1], following.collected[1])
            done = following.size - place.at
        # A run whose serials did not tell where it belongs may stand elsewhere in the list, and be in this read.
        placed = range(places[0].segment, places[-1].segment + 1)
        gone = {i for i in range(len(segments)) if i not in placed and self._holds(data, segments[i])}
        segments[:] = [s for i, s in enumerate(segments) if i == placed[0] or not (i in placed or i in gone)]
        if done < len(data):
            kept.pieces.append(self._store(data[done:]))
            self._label(kept, b"", data)
        if done <= len(data):
            kept.collected[1] = max(kept.collected[1], at)
        self._coalesce(kept)

    def commit(self) -> int:
        """Bytes first, then the list of them: the order that makes a kill harmless. Returns the bytes appended."""
        stream = self.stream
        if not stream.path.with_suffix(".json").exists():
            # From here on bytes without a list are damage, not a first collector that was killed.
            _write_state(Stream(stream.name, stream.path))
        new = b"".join(self.new)
        if new:
            descriptor = os.open(stream.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                # What a killed collector wrote and never committed.
                os.ftruncate(descriptor, stream.committed)
                _write(descriptor, new, stream.committed)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            stream.committed += len(new)
        _write_state(stream)
        return len(new)

    def places(self, data: bytes) -> list[_Place]:
        """The neighbouring segments that a read overlaps or continues, in order."""
        found: list[_Place] = []
        done = 0
        for index, segment in enumerate(self.stream.segments):
            text = _Text(self.stream.path, segment, self.new, self.stream.committed)
            try:
                at = self._align(text, data)
            finally:
                text.close()
            if at is None or (found and -at < done):
                if found:
                    break
                continue
            found.append(_Place(index, at))
            done = segment.size - at
            if done >= len(data):
                break
        return found

    def _align(self, text: _Text, data: bytes) -> int | None:
        """The read's place on a segment's text, or None.

        The overlap starts where the read or the segment starts, so the first mark of one of them lies in it.
        """
        mark = self.mark.search(data)
        if mark is not None:
            recent = max(0, text.size - len(data) - _CHUNK)
            for at in text.find_all(mark[0], recent):
                if text.agrees(at - mark.start(), data):
                    return at - mark.start()
            at = text.rfind(mark[0], recent)
            if at >= 0 and text.agrees(at - mark.start(), data):
                return at - mark.start()
        first = self.mark.search(text.part(0, min(text.size, _CHUNK)))
        if first is not None:
            cursor = data.find(first[0])
            while cursor >= 0:
                if text.agrees(first.start() - cursor, data):
                    return first.start() - cursor
                cursor = data.find(first[0], cursor + 1)
        return self._continues(text, data, mark)

    def _continues(self, text: _Text, data: bytes, mark: re.Match[bytes] | None) -> int | None:
        """A read that shares no mark but begins in the last line, or right after it, as the serials prove."""
        tail = text.part(max(0, text.size - _CHUNK), text.size)
        last = _last(_MARK, tail)
        if mark is None or last is None:
            # Notices only, on one side at least: an equal beginning is the same beginning.
            if text.agrees(0, data):
                return 0
            return text.size - overlap if (overlap := _overlap(tail, data)) else None
        if self.mark is not _MARK or int(mark[2]) - int(last[2]) not in (0, 1):
            return None
        overlap = _overlap(tail, data[: mark.end() - 1])
        if not overlap and not (tail.endswith(b"\n") and data.startswith(b"type=")):
            return None
        return text.size - overlap

    def _holds(self, data: bytes, segment: Segment) -> bool:
        if segment.size > len(data):
            return False
        text = _Text(self.stream.path, segment, self.new, self.stream.committed)
        try:
            content = text.part(0, text.size)
        finally:
            text.close()
        return content in data and self.mark.search(content) is not None

    def _store(self, data: bytes) -> list[int]:
        self.new.append(data)
        piece = [self.end, len(data), zlib.crc32(data)]
        self.end += len(data)
        return piece

    def _label(self, segment: Segment, head: bytes, tail: bytes) -> None:
        first = _MARK.search(head) if head else None
        if first:
            segment.first = _as_mark(first)
        last = _last(_MARK, tail)
        if last:
            segment.last = _as_mark(last)
        if segment.first is None and (first := _MARK.search(tail)):
            segment.first = _as_mark(first)
        if segment.last is None:
            segment.last = segment.first

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
        typical = _typical(data)
        if typical is None:
            return len(self.stream.segments)
        for index, segment in enumerate(self.stream.segments):
            if segment.first and segment.first.serial > typical.serial:
                return index
        return len(self.stream.segments)

    def _refuse_other_boot(self, data: bytes) -> None:
        typical = _typical(data)
        stored = [segment.last for segment in self.stream.segments if segment.last]
        if typical is None or not stored:
            return
        last = max(stored)
        if typical.serial < last.serial - LATE and typical.time > last.time + BOOT_TIME_TOLERANCE:
            raise StoreError(
                f"the {self.stream.name} log offered for this boot counts from serial {typical.serial} at"
                f" {_iso(typical.time)}, but {last.serial} was reached at {_iso(last.time)}",
                "serials only grow within a boot, so these records belong to another one",
                "ask the node for its boot id again and collect into that boot",
                stream=self.stream.name,
            )


class _Text:
    """The bytes of one segment, read in parts: a soak's segment may be longer than memory is cheap."""

    def __init__(self, path: Path, segment: Segment, new: list[bytes], committed: int) -> None:
        self.size = segment.size
        self._path = path
        self._pieces = segment.pieces
        self._new = new
        self._committed = committed
        self._descriptor: int | None = None
        if any(piece[0] < committed for piece in self._pieces):
            try:
                self._descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError as error:
                raise _damaged(path) from error

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def part(self, start: int, end: int) -> bytes:
        found = []
        base = 0
        for offset, length, _unused in self._pieces:
            low, high = max(start - base, 0), min(end - base, length)
            if low < high:
                found.append(self._bytes(offset + low, offset + high))
            base += length
        return b"".join(found)

    def find_all(self, needle: bytes, start: int) -> Iterator[int]:
        data = self.part(start, self.size)
        at = data.find(needle)
        while at >= 0:
            yield start + at
            at = data.find(needle, at + 1)

    def rfind(self, needle: bytes, end: int) -> int:
        while end >= len(needle):
            start = max(0, end - 4 * _CHUNK)
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
        """Bytes of the log file; from ``committed`` on those that are about to be written."""
        old = b""
        if start < self._committed:
            if self._descriptor is None:
                raise AssertionError("committed bytes have no file")
            wanted = min(end, self._committed) - start
            old = os.pread(self._descriptor, wanted, start)
            if len(old) != wanted:
                raise _damaged(self._path)
        if end <= self._committed:
            return old
        fresh = b"".join(self._new)
        return old + fresh[max(0, start - self._committed) : end - self._committed]


def _begins(source: str, data: bytes) -> bool:
    if source == "service":
        return len(data) < RING_MAY_HAVE_WRAPPED
    if source == "kernel":
        return b"Linux version" in data[:4096]
    return False


def _of_boot(part: bytes, boot_time: int) -> bool:
    typical = _typical(part)
    return typical is not None and typical.time >= boot_time - BOOT_TIME_TOLERANCE


def _typical(data: bytes) -> Mark | None:
    """Serial and time at the head of some data: the middle of the first marks, so that a forged one decides nothing."""
    marks = []
    for found in _MARK.finditer(data):
        marks.append(found)
        if len(marks) == 21:
            break
    if not marks:
        return None
    return Mark(
        statistics.median_low(int(found[2]) for found in marks), statistics.median_low(int(found[1]) for found in marks)
    )


def _as_mark(found: re.Match[bytes]) -> Mark:
    return Mark(int(found[2]), int(found[1]))


def _last(pattern: re.Pattern[bytes], data: bytes) -> re.Match[bytes] | None:
    found = deque(pattern.finditer(data, max(0, len(data) - _CHUNK)), maxlen=1)
    return found[0] if found else None


def _overlap(stored: bytes, data: bytes) -> int:
    """Length of the longest beginning of ``data`` that ends ``stored``, in linear time (Knuth, Morris, Pratt)."""
    data, stored = data[:_CHUNK], stored[-min(len(data), _CHUNK) :] if data else b""
    borders = [0] * len(data)
    k = 0
    for index in range(1, len(data)):
        while k and data[index] != data[k]:
            k = borders[k - 1]
        k += data[index] == data[k]
        borders[index] = k
    k = 0
    for byte in stored:
        if k == len(data):
            k = borders[k - 1]
        while k and byte != data[k]:
            k = borders[k - 1]
        k += byte == data[k]
    return k


def _iso(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        # A forged time may lie outside the calendar.
        return f"{seconds} s after 1970"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written


def _write_state(stream: Stream) -> None:
    state = {
        "schema": 1,
        "committed": stream.committed,
        "reads": stream.reads,
        "segments": [
            {
                "pieces": segment.pieces,
                "begins": segment.begins,
                "first": segment.first,
                "last": segment.last,
                "collected": segment.collected,
            }
            for segment in stream.segments
        ],
    }
    path = stream.path.with_suffix(".json")
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _write(descriptor, json.dumps(state).encode(), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _load(directory: Path, name: str) -> Stream:
    stream = Stream(name, directory / f"{name}.log")
    path = directory / f"{name}.json"
    try:
        state = json.loads(path.read_bytes())
        if state["schema"] != 1:
            raise ValueError(f"schema {state['schema']}")
        stream.committed = int(state["committed"])
        stream.reads = int(state["reads"])
        stream.segments = [
            Segment(
                [[int(number) for number in piece] for piece in data["pieces"]],
                bool(data["begins"]),
                Mark(*data["first"]) if data["first"] else None,
                Mark(*data["last"]) if data["last"] else None,
                [str(moment) for moment in data["collected"]],
            )
            for data in state["segments"]
        ]
    except FileNotFoundError:
        if stream.path.exists() and stream.path.stat().st_size:
            raise _damaged(path) from None
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error
    return stream


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"the audit store's file {path} is missing, cut short or was changed by something else",
        "what it holds can no longer be called what the node said",
        "move the boot's directory away and collect again; the evidence of that boot before now is lost",
        file=str(path),
    )
