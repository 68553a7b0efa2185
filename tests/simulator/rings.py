# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rings that logs live in, and the text form of the Dmesg call."""

from __future__ import annotations

import dataclasses
import datetime
import gzip
import re
from dataclasses import dataclass
from pathlib import Path

BLOCK = 64 * 1024
COMPRESSED_BLOCKS = 15
# Talos boots with log_buf_len=262144; the kernel then has a descriptor for each 32 bytes of it.
KERNEL_RING = 256 * 1024
KERNEL_RECORDS = KERNEL_RING // 32

_FACILITIES = ("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv")
_LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")


class AuditRing:
    """Text ring of one service: a current block of 64 KiB and up to fifteen finished blocks, lost one by one.

    A ``lossless`` ring keeps everything: a replayed file is what somebody has already read out of a ring.
    """

    def __init__(self, *, lossless: bool = False) -> None:
        self._data = bytearray()
        self._lossless = lossless
        self.written = 0

    def write(self, data: bytes) -> None:
        """Append bytes; the oldest whole block goes when a sixteenth would have to be kept."""
        self._data += data
        self.written += len(data)
        first_kept = max(0, self.written // BLOCK - COMPRESSED_BLOCKS) * BLOCK
        surplus = len(self._data) - (self.written - first_kept)
        if surplus > 0 and not self._lossless:
            del self._data[:surplus]

    def read(self) -> bytes:
        """Everything still held; after a wrap it begins at a block border, usually inside a line."""
        return bytes(self._data)

    def since(self, offset: int) -> bytes:
        """Bytes written from absolute position ``offset`` on, as far as they are still held."""
        return bytes(self._data[max(0, len(self._data) - (self.written - offset)) :])


@dataclass(frozen=True)
class KernelRecord:
    """One record: its priority, the seconds since boot that the kernel stamped it with, and its text.

    ``text`` may hold line breaks: a message of several lines, or the ``SUBSYSTEM=`` and ``DEVICE=`` that follow.
    """

    facility: int
    level: int
    offset: float
    text: bytes

    def shown(self, boot_time: float) -> bytes:
        """The record as the Dmesg call sends it."""
        return format_kernel(self.facility, self.level, boot_time + self.offset, self.text)


class KernelRing:
    """Kernel log: whole records, the oldest overwritten first, nothing marking the loss."""

    def __init__(self) -> None:
        self._records: list[KernelRecord] = []
        self._size = 0
        self._head = 0
        self.written = 0

    def write(self, record: KernelRecord) -> None:
        """Append one record."""
        self._records.append(record)
        self._size += _room(record)
        self.written += 1
        while self._size > KERNEL_RING or len(self._records) - self._head > KERNEL_RECORDS:
            self._size -= _room(self._records[self._head])
            self._head += 1
        if self._head > 4096:
            del self._records[: self._head]
            self._head = 0

    def read(self) -> list[KernelRecord]:
        """All records still held, oldest first."""
        return self._records[self._head :]

    def since(self, count: int) -> list[KernelRecord]:
        """Records written after the first ``count`` ones, as far as they are still held."""
        wanted = self.written - count
        return self.read()[-wanted:] if wanted > 0 else []


def _room(record: KernelRecord) -> int:
    # An id of eight bytes and the text, aligned; prefixes and times are no part of it.
    return (8 + len(record.text) + 7) // 8 * 8


def format_kernel(facility: int, level: int, moment: float, text: bytes) -> bytes:
    """One kernel record in the text form of the Dmesg call: facility, padded level, RFC 3339 time, message."""
    whole, nanoseconds = divmod(round(moment * 1e6) * 1000, 1_000_000_000)
    stamp = datetime.datetime.fromtimestamp(whole, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{nanoseconds:09d}".rstrip("0")
    name = _FACILITIES[facility] if facility < len(_FACILITIES) else str(facility)
    head = f"{name}: {_LEVELS[level]:>7}: [{stamp}{'.' + fraction if fraction else ''}Z]: ".encode()
    return head + text + b"\n"


def read_text(path: Path) -> bytes:
    """Read a log file, compressed or not."""
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


_PRINTK = re.compile(rb"<(\d+)>\[\s*(\d+\.\d+)\] ?(.*)\Z", re.DOTALL)
_SHOWN = re.compile(rb"(\w+): +(\w+): \[(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z\]: (.*)\Z", re.DOTALL)
_BOOT_RECORD = re.compile(rb"\[\s*(\d+\.\d+)\][^\n]*audit: type=2000 audit\((\d+\.\d+):")


def replay_kernel(data: bytes, started: float) -> KernelRing:
    """Make a ring from a kernel log: raw ``<prio>[seconds] text`` lines, or lines in the form of the Dmesg call.

    Args:
        started: the time of boot (seconds since 1970) that the lines of the second form count from.
    """
    records: list[KernelRecord] = []
    for line in data.split(b"\n"):
        if raw := _PRINTK.match(line):
            priority = int(raw[1])
            records.append(KernelRecord(priority >> 3, priority & 7, float(raw[2]), raw[3]))
        elif shown := _SHOWN.match(line):
            moment = datetime.datetime.fromisoformat(shown[3].decode() + "+00:00").timestamp() + float(shown[4] or 0)
            facility, level = shown[1].decode(), shown[2].decode()
            place = _place(facility, _FACILITIES), _place(level, _LEVELS)
            records.append(KernelRecord(*place, moment - started, shown[5]))
        elif line and records:
            # A record of several lines, or a device that follows its message.
            last = records.pop()
            records.append(dataclasses.replace(last, text=last.text + b"\n" + line))
    ring = KernelRing()
    for record in records:
        ring.write(record)
    return ring


def _place(name: str, names: tuple[str, ...]) -> int:
    return names.index(name) if name in names else int(name)


def boot_time_of(data: bytes) -> float | None:
    """The time of boot that a raw kernel log implies: the clock of its first audit record minus that line's offset."""
    match = _BOOT_RECORD.search(data)
    return float(match[2]) - float(match[1]) if match else None
