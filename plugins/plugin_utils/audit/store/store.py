# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Accumulate one node's audit evidence over many reads: one stream per boot and origin, nothing twice, no hidden hole.

Every read of a ring is a part of one true stream. Parts are joined where they overlap: auditd's log byte for byte
(:mod:`service`), the kernel ring record for record (:mod:`kernel`). What cannot be joined is kept apart, and the place
is reported as a hole.

On disk a boot is a directory with, for each stream, ``<stream>.log`` (the bytes, only ever appended to) and
``<stream>.json`` (which of them are committed, and in what order; replaced in one step). Bytes are on the disk before
the list names them, so a kill at any moment leaves the last committed state, and a reader never sees half of anything.
``boot.json`` holds the last look at the boot, by which it is known again on releases without a boot id;
``probe-<id>.json`` what is known of an enforcement probe in it (:mod:`probes`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...private_files import check_private, private_directory
from ...talos.boots import SAME, Look, compare
from ..log import ring
from . import probes
from .boots import split_boots
from .disk import load, load_look, locked, save_look
from .join import Read, Writer, commit
from .kernel import KernelRead
from .service import ServiceRead
from .stream import NAME, Hole, Segment, StoreError, Stream

# Talos keeps a 64 KiB block and up to 15 compressed ones per service, without a mark that it wrapped
# (internal/app/machined/pkg/runtime/logging/circular.go): a read this long may have lost its head.
RING_MAY_HAVE_WRAPPED = 15 * 64 * 1024

# What names of boots without an id begin with.
_WITHOUT_ID = "btime-"

STREAMS = ("service", "kernel")
SOURCES = ("service", "kernel", "persisted")


@dataclass(frozen=True)
class MergeResult:
    """What one merge did: bytes appended, every hole the stream has now, and bytes that belong to other boots."""

    stream: str
    appended: int
    holes: tuple[Hole, ...]
    other_boots: int = 0


@dataclass(frozen=True)
class BootLog:
    """All that is stored of one boot."""

    boot_id: str
    streams: dict[str, Stream]
    probed: tuple[bytes, ...] = ()
    """Records of enforcement probes in auditd's log."""

    @property
    def holes(self) -> list[Hole]:
        """Where records of any stream are missing."""
        return [hole for stream in self.streams.values() for hole in stream.holes]

    @property
    def windows(self) -> list[dict[str, Any]]:
        """What the segments of each stream cover, as :meth:`Stream.windows` gives it."""
        return [window for stream in self.streams.values() for window in stream.windows()]

    @property
    def size(self) -> int:
        """Bytes of all streams."""
        return sum(stream.size for stream in self.streams.values())

    @property
    def first_serial(self) -> int | None:
        """The lowest number that is stored; None without a record."""
        return min((s.first.serial for s in self._segments() if s.first), default=None)

    @property
    def last_serial(self) -> int | None:
        """The highest number that is stored; None without a record."""
        return max((s.last.serial for s in self._segments() if s.last), default=None)

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
        return sorted(path.name for path in self.directory.iterdir() if path.is_dir() and NAME.match(path.name))

    def boot_key(self, look: Look) -> str:
        """The name to store a boot under: its id, or on releases without one a name that holds while the clock moves.

        A stored boot is the one that answers now only where something shows it (``boots.compare``). One of which that
        is not known gets a stream of its own, which is incomplete rather than mixed.
        Raises StoreError when neither id nor boot time is known.
        """
        if look.boot_id:
            return look.boot_id
        if look.boot_time is None:
            raise StoreError(
                "neither the boot id nor the boot time of the node is known",
                "records of two boots would be taken for one stream",
                "collect again once the node answers SystemStat or the BootID resource",
            )
        names = [name for name in self.boots() if name.startswith(_WITHOUT_ID)]
        known = {name: load_look(self.directory / name) for name in names}
        for name in sorted(names, key=lambda name: -(known[name].at or 0)):
            if compare(known[name], look) == SAME:
                return name
        base = f"{_WITHOUT_ID}{look.boot_time}"
        numbered = (f"{base}-{number}" for number in itertools.count(2))
        return base if base not in names else next(name for name in numbered if name not in names)

    def merge(
        self,
        boot_id: str,
        source: str,
        data: bytes,
        *,
        collected_at: datetime | None = None,
        begins: bool | None = None,
        looks: Sequence[Look] = (),
    ) -> MergeResult:
        """Add what is new in one read of a source.

        Args:
            boot_id: the boot the data belongs to (see ``boot_key``).
            source: ``service`` (the log API), ``kernel`` (dmesg, a line a record: ``ring.lines``) or ``persisted``
                (/var/log/auditd.log, oldest generation first; it fills holes of the service stream).
            data: the bytes as read, unchanged.
            collected_at: when the read ended; now by default.
            begins: whether the data starts where the stream started; by default judged by size (service) or by the
                kernel's first records (`ring.begins`).
            looks: what was seen of the boot around the read, oldest first.

        A persisted log is of this boot as far as it joins what the node's memory held, so merge that first.
        Raises StoreError for a bad name, a damaged store, or data of another boot.
        """
        given = {} if begins is None else {source: begins}
        return self.merge_all(boot_id, {source: data}, collected_at=collected_at, begins=given, looks=looks)[source]

    def merge_all(
        self,
        boot_id: str,
        reads: Mapping[str, bytes],
        *,
        collected_at: datetime | None = None,
        begins: Mapping[str, bool] | None = None,
        looks: Sequence[Look] = (),
    ) -> dict[str, MergeResult]:
        """:meth:`merge` for one read of several sources, each of a stream of its own: the disk is waited for once.

        Args:
            reads: the data by source.
            begins: by source, where it is not to be judged.
        """
        unknown = set(reads) - set(SOURCES)
        if unknown or len({_stream_of(source) for source in reads}) < len(reads):
            raise ValueError(f"sources are of {', '.join(SOURCES)}, one for each stream, not {', '.join(reads)}")
        at = (collected_at or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        frames = tuple(look.boot_time for look in looks if look.boot_time is not None)
        directory = self._directory(boot_id)
        private_directory(directory)
        with locked(directory / "lock"):
            writers: list[Writer] = []
            others: list[int] = []
            for source, data in reads.items():
                starts = (begins or {}).get(source)
                starts = _begins(source, data) if starts is None else starts
                writer = Writer(load(directory, _stream_of(source)))
                part = _of_this_boot(writer, data) if source == "persisted" else data
                writer.add(_read(writer.stream.name, part, frames), at, starts)
                writers.append(writer)
                others.append(len(data) - len(part))
            appended = commit(writers)
            if looks:
                save_look(directory, looks[-1])
        return {
            source: MergeResult(writer.stream.name, new, writer.stream.holes, other)
            for source, writer, new, other in zip(reads, writers, appended, others, strict=True)
        }

    def joins(self, boot_id: str, source: str, data: bytes) -> bool:
        """Whether a read would join what is stored without a new hole.

        With it a collector can ask for a log's tail first, and for all of it only where the tail is too short.
        """
        stream = load(self._directory(boot_id), _stream_of(source))
        return bool(stream.segments) and bool(Writer(stream).places(_read(stream.name, data, ())))

    def read(self, boot_id: str) -> BootLog:
        """What is stored of a boot: both streams, empty where nothing was collected."""
        directory = self._directory(boot_id)
        if directory.exists():
            check_private(directory)
        streams = {name: load(directory, name) for name in STREAMS}
        return BootLog(boot_id, streams, probes.records(probes.load(directory)))

    def keep_probe(self, boot_id: str, document: Mapping[str, Any]) -> Path:
        """Keep what is known of an enforcement probe, in the place of what was kept of it before; where it lies."""
        return probes.keep(self._directory(boot_id), document)

    def probes(self, boot_id: str) -> list[dict[str, Any]]:
        """The enforcement probes of a boot, the oldest first."""
        return probes.load(self._directory(boot_id))

    def _directory(self, boot_id: str) -> Path:
        if not NAME.match(boot_id):
            raise StoreError(
                f"the boot id {boot_id!r} is not a plain name",
                "it becomes the name of a directory",
                "use the id or the key that boot_key gives",
            )
        return self.directory / boot_id


def _stream_of(source: str) -> str:
    return "kernel" if source == "kernel" else "service"


def _of_this_boot(writer: Writer, data: bytes) -> bytes:
    """The part of a persisted log that joins what is stored; numbers only grow within a boot, so it is the last one."""
    part = split_boots(data)[-1]
    return part if writer.places(ServiceRead(part)) else b""


def _read(stream: str, data: bytes, frames: tuple[int, ...]) -> Read:
    return KernelRead(data, frames) if stream == "kernel" else ServiceRead(data)


def _begins(source: str, data: bytes) -> bool:
    if source == "service":
        return len(data) < RING_MAY_HAVE_WRAPPED
    return source == "kernel" and ring.begins(data)
