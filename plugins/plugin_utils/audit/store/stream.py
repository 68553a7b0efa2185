# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One stream of a boot as it is stored: runs of bytes without a hole, and the holes between them."""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ...problem import Problem

CHUNK = 1 << 20

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
"""What a boot may be called: it becomes the name of a directory."""

# Records of a flood arrive late by at most this many serials (measured on real kernels).
LATE = 64

MARK = re.compile(rb"audit\((\d{1,12})\.\d{1,9}:(\d{1,20})\)")


class StoreError(Problem):
    """The store, or data offered to it, cannot be trusted."""

    kind = "store"


class Mark(NamedTuple):
    """A record's serial and its time in whole seconds since 1970."""

    serial: int
    time: int

    @classmethod
    def of(cls, found: re.Match[bytes] | None) -> Mark | None:
        """What :data:`MARK` found."""
        return None if found is None else cls(int(found[2]), int(found[1]))


@dataclass(frozen=True)
class Hole:
    """A place where records may be missing.

    ``kind`` is ``head`` (the first read had already lost the beginning), ``gap`` (a read did not overlap the one
    before) or ``conflict`` (two reads differ in the same serials). Serials and times are those of
    the nearest records on both sides, None where there is none. ``reads`` are the moments of the last read before it
    and of the first one behind it, as ISO text.
    """

    kind: str
    stream: str
    after: Mark | None
    before: Mark | None
    reads: tuple[str, str] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the coverage judgement and for reports."""
        return {
            "kind": self.kind,
            "stream": self.stream,
            "after_serial": self.after.serial if self.after else None,
            "before_serial": self.before.serial if self.before else None,
            "after": iso(self.after.time) if self.after else None,
            "before": iso(self.before.time) if self.before else None,
            "read_before": self.reads[0] if self.reads else None,
            "read_after": self.reads[1] if self.reads else None,
        }


@dataclass
class Segment:
    """A run of bytes without a hole: pieces of the log file in order, and when it was read.

    ``begins`` says whether it starts where the stream started; ``collected`` is the first and the last moment of a
    read that covered its end, as ISO text; ``frames`` the times of boot, in seconds since 1970, that the node gave with
    reads of which something was stored: they follow the clock, and the times of kernel records with them.
    """

    pieces: list[list[int]]
    begins: bool
    first: Mark | None
    last: Mark | None
    collected: list[str]
    frames: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of the segment."""
        return sum(length for _unused, length, _unused in self.pieces)


@dataclass
class Stream:
    """One committed stream of a boot, safe to read while others append."""

    name: str
    path: Path
    segments: list[Segment] = field(default_factory=list)
    committed: int = 0
    reads: int = 0
    history: list[tuple[str, int]] = field(default_factory=list)
    """When it was read, as ISO text, and how much of the node's log was new then; the last reads, one a minute."""

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
                kind = "conflict" if crossed else "gap"
                reads = (previous.collected[1], segment.collected[0])
                found.append(Hole(kind, self.name, previous.last, segment.first, reads))
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
                raise damaged(self.path) from error
            for segment in self.segments:
                if not ends_a_line:
                    yield b"\n"
                for offset, length, checksum in segment.pieces:
                    if file is None:
                        raise AssertionError("a stream with pieces has no file")
                    file.seek(offset)
                    crc = 0
                    while length:
                        data = file.read(min(length, CHUNK))
                        if not data:
                            raise damaged(self.path)
                        crc = zlib.crc32(data, crc)
                        length -= len(data)
                        ends_a_line = data.endswith(b"\n")
                        if not length and crc != checksum:
                            raise damaged(self.path)
                        yield data

    def lines(self) -> Iterator[bytes]:
        """The stream line by line, line ends kept; a line beyond 1 MiB comes in several parts."""
        rest = b""
        for chunk in self.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line + b"\n"
            if len(rest) > CHUNK:
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
                "from": None if s.begins or s.first is None else iso(s.first.time),
                "to": s.collected[1],
                "first_serial": s.first.serial if s.first else None,
                "last_serial": s.last.serial if s.last else None,
                "bytes": s.size,
            }
            for s in self.segments
        ]


def iso(seconds: int) -> str:
    """A moment in seconds since 1970 as text."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        # A forged time may lie outside the calendar.
        return f"{seconds} s after 1970"


def damaged(path: Path) -> StoreError:
    """The error for a file of the store that is not as it was written."""
    return StoreError(
        f"the audit store's file {path} is missing, cut short or was changed by something else",
        "what it holds can no longer be called what the node said",
        "move the boot's directory away and collect again; the evidence of that boot before now is lost",
        file=str(path),
    )
