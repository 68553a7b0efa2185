# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The careful way: a line, or an event out of order, taken apart record by record, and whatever is wrong with it."""

from __future__ import annotations

import re
from collections import Counter, deque
from functools import partial
from typing import Any

from .avc import Avc, parse_avc
from .both import keep
from .denials import Group, Sample, group_of, join, joined
from .forgery import Order
from .notes import NOTED, Notes, is_first_load
from .record_types import NUMBERS, SECONDARY, UNDERSTOOD, is_user
from .records import IGNORED, UNPARSED, Record, read_line
from .summary import Events
from .values import fields, show

_MOST_BARE = 10_000
_MOST_KEPT = 200
# So many records are held for the others of their event, which the kernel writes at about the same time.
_MOST_LATELY = 128
# A process sets the user of its login (x86-64, arm64): the LOGIN record (1006) it is written for is dropped by auditd.
_SETS_LOGIN = re.compile(
    rb"type=SYSCALL msg=audit\([0-9.:]{1,32}\): arch=(?:c000003e syscall=1|c00000b7 syscall=64) success=yes"
    rb" exit=(?:[1-9]|1[01])(?: a[0-3]=[0-9a-f]{1,16}){4} items=0 ppid=[0-9]{1,10} pid=[0-9]{1,10}"
    rb" auid=(?!4294967295 )[0-9]{1,10}(?: [a-z]{3,5}=[0-9]{1,10}){8} tty=[^ \n]{1,64} ses=(?!4294967295 )[0-9]{1,10} "
)
# What an event without a primary record may be.
_BARE, _RULED, _LOGIN = range(3)
PRIMARY, SECOND, OTHER, USER = range(4)
KINDS: dict[bytes, int] = {
    name: USER if is_user(name) else SECOND if name in SECONDARY else PRIMARY if name in UNDERSTOOD else OTHER
    for name in NUMBERS
}


class Careful:
    """Counts what one log says, record by record; the layers above find the records."""

    def __init__(self, *, max_samples: int) -> None:
        self._most = max_samples
        self.lines = 0
        self.unparsed = 0
        self.ignored: Counter[str] = Counter()
        self.order = Order(self._doubt)
        self.groups: dict[tuple[bytes, ...], Group] = {}
        self.denied = 0
        self.granted = 0
        self.notes = Notes()
        # What the kernel printed, for the other log.
        self.printed: Events = {}
        self.doubtful = 0
        self.doubts: Counter[str] = Counter()
        self.doubt_examples: list[dict[str, Any]] = []
        self.doubt_lines: set[bytes] = set()
        self.doubt_keys: set[bytes] = set()
        self.bare: dict[bytes, int] = {}
        # For records that do not stand in one piece of auditd's own form: what their events' other records tell.
        self._sampled: dict[bytes, dict[str, bytes]] = {}
        self._lately: deque[tuple[bytes, bytes]] = deque(maxlen=_MOST_LATELY)
        self.orphans = 0
        self.orphan_serials: list[int] = []
        self.logins = 0
        self.notices = 0
        self.torn = 0
        self.torn_first = False
        self.unparsed_examples: list[str] = []
        self.ring_records = 0
        self.service_records = 0
        # What stands before each line of the block at hand and was taken off.
        self._node = b""
        # Where the block at hand would begin if all before it had been in auditd's own form.
        self._base = 0

    def _odd(self, raw: bytes, start: int) -> None:
        """A line that is not plainly auditd's."""
        line = read_line(raw)
        if line.kind == UNPARSED:
            self._bad_line(raw, line.label)
        elif line.kind == IGNORED:
            self.ignored[line.label] += 1
        if line.joined:
            self.torn += 1
        if line.label == "notice":
            self.notices += 1
        if line.label == "kernel" and line.text and not line.user_written:
            self.notes.kernel_line(line)
        for record in line.records:
            self._record(record, raw, start)
        if not line.records and self.order.shadow_end > start and raw.rstrip(b"\r").endswith(b"'"):
            # The rest of a message with line breaks: what stood between is its text.
            self.order.take(self.order.serial, b"", False, start, raw + b"\n")
        # What a process can write is bounded in bytes of auditd's own form, which has no prefix. How much of other text
        # is prefix is not known: at the least its line break was written.
        if line.records:
            written = sum([len(record.line) + 1 for record in line.records])
        else:
            written = 1 + (len(line.text) if line.label == "kernel" else 0)
        self._base -= len(raw) + 1 - written

    def _record(self, record: Record, raw: bytes, start: int) -> None:
        kind = KINDS.get(record.type, USER if is_user(record.type) else OTHER)
        text = record.line + b"\n"
        ring = b"audit: type=" in raw[:1024] and not raw.startswith(b"type=")
        if ring:
            self.ring_records += 1
            if not record.suspect:
                self._printed(record)
        if record.suspect:
            self.order.events += 1
            self._doubt(text, record.suspect)
            new = False
        else:
            ended = partial(self._ended_lately, record.key)
            new = self.order.take(record.serial, record.stamp, kind == USER, start, text, ended)
            if kind == USER:
                self.order.shade(start, text)
        if kind == SECOND:
            self._join(record)
        if kind == SECOND and new:
            self._bare(record.key, text)
        elif kind != SECOND and self.bare:
            self.bare.pop(record.key, None)
        if record.type in NOTED or kind == USER:
            self.notes.take(record.type, record.stamp, record.serial, record.payload)
        if kind == USER:
            if record.type == b"USER_AVC":
                self._user_avc(raw, record.stamp, record.serial, record.line, record.payload)
        elif record.type == b"AVC":
            self._avc(record, raw)

    def _printed(self, record: Record) -> None:
        """A record that the kernel itself printed."""
        keep(self.printed, record)
        ring = self.notes.ring
        ring.initialized = ring.initialized or (record.type == b"KERNEL" and record.serial == 1)
        ring.first_load = ring.first_load or is_first_load(record)

    def _join(self, record: Record) -> None:
        """A record that goes with others: add what it tells to the samples of its event, those to come included."""
        self._lately.append((record.key, record.line))
        found = self._sampled.get(record.key)
        if found is not None:
            join(found, record.line)

    def _parts(self, key: bytes) -> dict[str, bytes]:
        """What the other records of an event told so far; more is added as they come."""
        found = self._sampled.get(key)
        if found is None:
            found = self._sampled[key] = {}
            for other, line in self._lately:
                if other == key:
                    join(found, line)
            if len(self._sampled) > _MOST_LATELY:
                del self._sampled[next(iter(self._sampled))]
        return found

    def _avc(self, record: Record, raw: bytes, event: bytes | None = None) -> None:
        avc = parse_avc(record.payload)
        if avc is None:
            return
        samples = self._count(avc, record.stamp, userspace=False)
        if avc.tail.torn or (avc.verdict == b"denied" and avc.tail.permissive is None):
            self.torn += 1
        if avc.tail.stray_quote and not self.doubt_lines.intersection((raw, record.line)):
            # Its message began before this log did.
            self._doubt(record.line, "it ends with the quote that closes a message of a process")
        if samples is not None:
            suspect = bool(record.suspect)
            other = self._parts(record.key) if event is None else joined(event)
            line = record.line if event is None else raw
            whole = self._node + raw
            samples.append(Sample(whole, line, record.stamp, record.serial, other, suspect, avc.tail, avc.middle))

    def _count(self, avc: Avc, stamp: bytes, *, userspace: bool) -> list[Sample] | None:
        """Count one decision; where its sample belongs, or None when there are enough."""
        group = group_of(self.groups, avc, userspace)
        group.add(1, stamp, stamp, avc.tail)
        if avc.verdict == b"denied":
            self.denied += 1
        else:
            self.granted += 1
        self._names(group, avc.middle)
        return group.samples if not self._most or len(group.samples) < self._most else None

    def _names(self, group: Group, middle: bytes) -> None:
        found = fields(middle)
        comm = found.get(b"comm")
        if comm is not None:
            group.add_comm(comm)
        path = found.get(b"path", found.get(b"name"))
        if path is not None:
            group.add_path(path)

    def _odd_in_run(self, raw: bytes, start: int, event: bytes) -> None:
        """A line inside an event that speaks of ``avc:`` but is not a plain AVC record."""
        line = read_line(raw)
        if line.kind == UNPARSED:
            self._bad_line(raw, line.label)
        if line.joined:
            self.torn += 1
        for index, record in enumerate(line.records):
            if index == 0:
                if record.type == b"AVC":
                    self._avc(record, raw, event)
            else:
                self._record(record, raw, start)

    def _user_avc(self, raw: bytes, stamp: bytes, serial: int, line: bytes, payload: bytes) -> None:
        """A decision of a program that keeps its own access checks, or what claims to be one."""
        if b"avc:" not in payload:
            return
        avc = parse_avc(payload, user=True)
        if avc is None:
            if raw.startswith(b"type=USER_AVC"):
                self._bad_line(raw, "USER_AVC")
            return
        samples = self._count(avc, stamp, userspace=True)
        if samples is not None:
            samples.append(Sample(self._node + raw, line, stamp, serial, {}, False, avc.tail, avc.middle))

    def _special(self, type_: bytes, key: bytes, stamp: bytes, serial: int, block: bytes, start: int) -> None:
        end = block.find(b"\n", start)
        if type_ not in UNDERSTOOD and block.find(b"avc:", start, end) < 0:
            self.ignored[type_.decode()] += 1
        if type_ in NOTED:
            self.notes.take(type_, stamp, serial, block[start + len(type_) + len(key) + 17 : end])

    def _ended_lately(self, key: bytes) -> bool:
        return any(other == key and line.startswith(b"type=EOE ") for other, line in self._lately)

    # -- what is wrong

    def _bad_line(self, raw: bytes, label: str) -> None:
        self.unparsed += 1
        if len(self.unparsed_examples) < 20:
            self.unparsed_examples.append(f"{label}: {show(raw[:160])}")

    def _doubt(self, text: bytes, reason: str) -> None:
        for raw in text.split(b"\n"):
            if not raw:
                continue
            line = read_line(raw)
            self.doubtful += max(1, len(line.records)) if line.records else 0
            if not line.records:
                continue
            self.doubts[reason] += len(line.records)
            if len(self.doubt_lines) < 10_000:
                self.doubt_lines.add(raw)
                self.doubt_keys.update([record.key for record in line.records])
            if len(self.doubt_examples) < 50:
                self.doubt_examples.append({"reason": reason, "text": show(raw[:400])})
            for record in line.records:
                if record.type in (b"AVC", b"USER_AVC"):
                    avc = parse_avc(record.payload, record.type == b"USER_AVC")
                    if avc is not None:
                        group_of(self.groups, avc, record.type == b"USER_AVC").doubtful += 1

    def _bare(self, key: bytes, text: bytes) -> None:
        """An event without a primary record so far. A record a rule asked for names the rule's key."""
        if b"type=SYSCALL" in text and b" key=" in text and b" key=(null)" not in text:
            self.bare[key] = _RULED
        else:
            self.bare[key] = _LOGIN if _SETS_LOGIN.search(text) else _BARE
        if len(self.bare) > _MOST_BARE:
            self._settle_bare(_MOST_BARE // 2)

    def _settle_bare(self, keep: int) -> None:
        settled = list(self.bare.items())[: len(self.bare) - keep]
        for key, sort in settled:
            del self.bare[key]
            # Where other records of the event are doubtful they may be what it was written for.
            if sort == _RULED or key in self.doubt_keys:
                continue
            if sort == _LOGIN:
                self.logins += 1
                continue
            self.orphans += 1
            if len(self.orphan_serials) < _MOST_KEPT:
                self.orphan_serials.append(serial_of(key))


def serial_of(key: bytes) -> int:
    """The number in a record's key, ``(<seconds>.<milliseconds>:<number>)``."""
    return int(key[key.index(b":") + 1 : -1])
