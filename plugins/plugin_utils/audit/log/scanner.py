# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a whole log: every line accounted for, every denial counted, every number followed.

The common line is one auditd wrote. One regular expression takes all neighbouring lines of an event at a time, and an
AVC record is cut into head, middle and tail, so that only distinct (permissions, contexts, class) are taken apart.
Whatever does not look like that, or whose numbers are out of order, takes the careful way through :mod:`records`.
"""

from __future__ import annotations

import gc
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from .both import Beside, keep
from .denials import Group, Sample, group_of, join, joined
from .forgery import NONE, SHADOW, Order, Seen, closes_quote, reach_of
from .notes import NOTED, Notes, is_first_load
from .probe import Watch
from .records import (
    IGNORED,
    NUMBERS,
    SECONDARY,
    UNDERSTOOD,
    UNPARSED,
    Avc,
    Record,
    Tail,
    fields,
    is_user,
    moment,
    parse_avc,
    read_line,
    show,
)
from .sources import Source, chunks
from .summary import Events, Summary

# How long one event is waited for: the records of the longest command line (kernel: audit_log_execve_info) fit.
LONGEST_EVENT = 1 << 20
# A line longer than this is cut: no record of auditd is longer than 9 KiB, and memory has to stay flat.
LONGEST_LINE = 4 << 20
_MOST_KEYS = 20_000
_MOST_BARE = 10_000
# How far around an event its other records are looked for when they do not stand beside it.
NEAR = 32768
_MOST_KEPT = 200
# An event of this size is kept as it is until somebody wants to see it; nearly all are smaller.
_SMALL = 4096
# So many records are held for the others of their event, which the kernel writes at about the same time.
_MOST_LATELY = 128

# What the kernel writes after the first record of an event, the most frequent ones.
_FOLLOWING = rb"type=(?:SYSCALL|PROCTITLE|EOE|PATH|CWD|EXECVE|SOCKADDR|KERN_MODULE|BPF|FD_PAIR|BPRM_FCAPS|MMAP|OBJ_PID)"
_RUN = re.compile(
    rb"type=([A-Z0-9_]{1,48}|UNKNOWN\[[0-9]{1,5}\]) msg=audit(\(([0-9]{1,12}\.[0-9]{3}):([0-9]{1,12})\)): .*\n"
    rb"(?:(?:" + _FOLLOWING + rb"|type=AVC) msg=audit\2: .*\n)*"
)

# An AVC line: permissions, comm, path or name, and the tail. The kernel writes names with blanks in hex, so
# a blank and ``scontext=`` begin the record's own contexts; a line with a second ``scontext=`` goes the careful way.
# Every part ends where the next must begin, so nothing is tried at every length; and nothing is possessive, as Python
# 3.11.0 to 3.11.4 match that wrongly (cpython issue 106052). The kernel writes less than 64 fields.
_AVC_BODY = (
    rb"(avc:  (?:denied|granted)  \{[^}\n]*\}) for  pid=[0-9]+ comm=(\S+)"
    rb"(?: (?:path|name)=(\S+))?(?: (?!scontext=)[^ \n]*){0,64}( scontext=.*)\n"
)
_AVC_LINE = re.compile(rb"type=AVC msg=audit\([0-9.:]+\): " + _AVC_BODY)

# A whole block at once: an AVC line with what follows of its event, or else any one line. Every byte of the block is in
# exactly one match, so the lengths of the matches give the positions.
_PLAIN = re.compile(
    rb"(type=AVC msg=audit\((?P<stamp>[0-9]{10}\.[0-9]{3}):(?P<serial>[0-9]{1,12})\): "
    + _AVC_BODY
    + rb"(?:"
    + _FOLLOWING
    + rb" msg=audit\((?P=stamp):(?P=serial)\): .*\n)*|.*\n)"
)
# What talosctl puts before a line, and that line's first bytes.
_NODE = re.compile(rb"([A-Za-z0-9\[][-A-Za-z0-9_.:%\[\]]{0,199}: )type=(?=[A-Z])")
_HEAD = re.compile(rb"type=[^ \n]{1,64} msg=audit\([0-9.:]{1,32}\): ")

# A process sets the user of its login (x86-64, arm64): the LOGIN record (1006) it is written for is dropped by auditd.
_SETS_LOGIN = re.compile(
    rb"type=SYSCALL msg=audit\([0-9.:]{1,32}\): arch=(?:c000003e syscall=1|c00000b7 syscall=64) success=yes"
    rb" exit=(?:[1-9]|1[01])(?: a[0-3]=[0-9a-f]{1,16}){4} items=0 ppid=[0-9]{1,10} pid=[0-9]{1,10}"
    rb" auid=(?!4294967295 )[0-9]{1,10}(?: [a-z]{3,5}=[0-9]{1,10}){8} tty=[^ \n]{1,64} ses=(?!4294967295 )[0-9]{1,10} "
)
# What an event without a primary record may be.
_BARE, _RULED, _LOGIN = range(3)

_PRIMARY, _SECOND, _OTHER, _USER = range(4)
_KINDS: dict[bytes, int] = {
    name: _USER if is_user(name) else _SECOND if name in SECONDARY else _PRIMARY if name in UNDERSTOOD else _OTHER
    for name in NUMBERS
}


def summarize(
    source: Source, *, max_samples: int = 5, kernel: Summary | None = None, probed: Sequence[bytes] = ()
) -> Summary:
    """Read a log in any of the accepted forms and tell all that is in it.

    Args:
        source: bytes (the log itself), a path (text or str), a binary file, or chunks of bytes; plain or gzip.
        max_samples: records kept per denial; 0 keeps all.
        kernel: for auditd's log, the kernel ring's summary: what stands in both is found (see :mod:`both`).
        probed: records that are looked for, see ``Summary.probed``.

    Never raises on content. ``counts["parsed"] + counts["ignored"] + counts["unparsed"] == counts["lines"]`` always.
    """
    scanner = Scanner(max_samples=max_samples, kernel=kernel)
    with _no_collection():
        watch = Watch(chunks(source, scanner), probed)
        for chunk in watch:
            scanner.feed(chunk)
        summary = scanner.close()
    summary.probed = watch.present
    return summary


@contextmanager
def _no_collection() -> Iterator[None]:
    """Reading makes many objects and no cycles; looking for cycles among them all the time costs a tenth of it."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class Scanner:
    """The reader behind :func:`summarize`, for callers that have the log in pieces: ``feed`` bytes, then ``close``."""

    def __init__(self, *, max_samples: int = 5, careful: bool = False, kernel: Summary | None = None) -> None:
        self._most = max_samples
        self._careful = careful
        self._rest: list[bytes] = []
        self._held = 0
        self._skipping = False
        self.size = 0
        self.lines = 0
        self.unparsed = 0
        self.ignored: Counter[str] = Counter()
        self.order = Order(self._doubt)
        self.groups: dict[tuple[bytes, ...], Group] = {}
        self._cache: dict[bytes, _Entry] = {}
        self.denied = 0
        self.granted = 0
        self.notes = Notes()
        # What the kernel printed, for the other log.
        self.printed: Events = {}
        self._beside = Beside(kernel.printed if kernel is not None else {})
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
        self.torn_last = False
        self.unparsed_examples: list[str] = []
        self.broken: str | None = None
        self.ring_records = 0
        self.service_records = 0
        # What stands before each line of the block at hand and was taken off.
        self._node = b""
        # Where the block at hand would begin if all before it had been in auditd's own form.
        self._base = 0
        self._first_stamp: bytes | None = None
        # The block before the one at hand, or several small ones, and how much of it was read.
        self._before = (b"", 0)
        # Whether the stream has come to its end, and with a whole line.
        self._whole = False

    # -- input

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the log, in pieces of any size."""
        self.size += len(chunk)
        self._beside.feed(chunk)
        if self._skipping:
            cut = chunk.find(b"\n")
            if cut < 0:
                return
            chunk = chunk[cut + 1 :]
            self._skipping = False
        cut = chunk.rfind(b"\n") + 1
        if not cut:
            self._rest.append(chunk)
            self._held += len(chunk)
            if self._held > LONGEST_LINE:
                self._overlong()
            return
        block = b"".join((*self._rest, memoryview(chunk)[:cut]))
        rest = chunk[cut:]
        kept = self._block(block, False)
        tail = block[kept:] + rest if kept < len(block) else rest
        self._rest = [tail] if tail else []
        self._held = len(tail)

    def close(self) -> Summary:
        """The log ended: settle what is open and sum up."""
        rest = b"".join(self._rest)
        if rest:
            if not rest.endswith(b"\n"):
                before = self.unparsed, self.torn
                self._block(rest + b"\n", True)
                self.torn_last = (self.unparsed, self.torn) != before
            else:
                self._whole = self.broken is None
                self._block(rest, True)
        self.order.close()
        self._settle_bare(0)
        return self._sum()

    def _overlong(self) -> None:
        """A line without end: look at its start only, count it once."""
        line = b"".join(self._rest)
        self._rest, self._held, self._skipping = [], 0, True
        whole, _unused, last = line.rpartition(b"\n")
        if whole:
            self._block(whole + b"\n", True)
        self.lines += 1
        self._bad_line(last[:200], "a line longer than any record")

    # -- the fast way

    def _block(self, block: bytes, final: bool) -> int:
        """Read whole lines; returns where the last event starts when it may go on in the next block."""
        named = None if self._careful else _NODE.match(block)
        # talosctl puts the node before each line: taken off at once, the rest is read as auditd wrote it.
        if named is None or block.count(b"\n" + named[1]) != block.count(b"\n") - 1:
            return self._lines(block, final)
        self._node = named[1]
        plain = block.replace(b"\n" + self._node, b"\n")[len(self._node) :]
        stop = self._lines(plain, final)
        stop += len(self._node) * plain.count(b"\n", 0, stop)
        self._node = b""
        return stop

    def _lines(self, block: bytes, final: bool) -> int:
        if self._first_stamp is None:
            self._begin(block)
        found = [] if self._careful else _PLAIN.findall(block)
        odd = b"".join([one[0] for one in found if not one[1]])
        # Each of the other lines has one head of its own, in whatever form; else some line needs a closer look.
        lines = _begun(block) - _begun(odd)
        # (CPython counts up to five bytes in a faster way than six.)
        whole = block.count(b"udit(") - odd.count(b"udit(") == lines
        if found and whole and 2 * len(odd) < len(block):
            stop = self._plain(block, found, final)
            self.torn += _joined(odd) - _joined(block[stop:])
            lines += odd.count(b"\n")
        else:
            stop = self._runs(block, 0, len(block), final)
            self.torn += _joined(block[:stop])
            lines = block.count(b"\n")
        if stop >= NEAR:
            self._before = (block, stop)
        elif stop:
            text, until = self._before
            near = text[max(0, until - NEAR) : until] + block[:stop]
            self._before = (near, len(near))
        self.order.rotate()
        self.lines += lines - block.count(b"\n", stop)
        self._base += stop
        return stop

    def _plain(self, block: bytes, found: list[tuple[bytes, ...]], final: bool) -> int:
        """Count what :data:`_PLAIN` found as long as it is in perfect order; all else is left to :meth:`_runs`."""
        order, known, base = self.order, self._cache.get, self._base
        if not final:
            self._leave_last(block, found)
        before = serial = order.serial
        stamp, recent, number = order.stamp, order.recent, b""
        position, run = 0, order.last_offset - base
        # A number that no record has, while some wait for later ones to be judged.
        expected = serial + 1 if order.orderly else NONE
        shadow_end, in_shadow = order.shadow_end - base, False
        records = iter(found)
        for text, time, digits, verdict, comm, path, tail in records:
            entry = (known(verdict + tail) or self._entry(verdict, tail, time)) if time else None
            if entry is not None:
                if digits != number or time != stamp:
                    if int(digits) != expected or time < stamp:
                        entry = None
                    else:
                        in_shadow = position < shadow_end
                        if in_shadow:
                            if (b"'" in text or b"type=EOE " not in text) and closes_quote(
                                block[position : self._end_of(block, position)]
                            ):
                                entry = None
                            else:
                                order.probation.append(Seen(expected, time, text, True, base + position))
                        if entry is not None:
                            recent[expected] = time
                            serial, stamp, number, run = expected, time, digits, position
                            expected += 1
                elif in_shadow:
                    if b"'" in text:
                        entry = None
                    else:
                        order.probation[-1].text += text
            if entry is None:
                order.went_on(serial, stamp, serial - before, base + run)
                end = position + len(text)
                reached = self._runs(block, position, end, final)
                if reached < end:
                    return reached
                while end < reached:
                    following = next(records, None)
                    end += len(following[0]) if following is not None else len(block)
                if end != reached:
                    # The event went on into what was left for the next block, or ended inside a match.
                    return self._runs(block, reached, len(block), final)
                before = serial = order.serial
                stamp, recent, number = order.stamp, order.recent, b""
                expected = serial + 1 if order.orderly else NONE
                base = self._base
                shadow_end, run = order.shadow_end - base, order.last_offset - base
                position = end
                continue
            entry.count += 1
            entry.last = time
            if entry.comms is not None and comm not in entry.comms:
                entry.add_comm(comm)
            if path and entry.paths is not None and path not in entry.paths:
                entry.add_path(path)
            if entry.sampled:
                self._sample(entry, text, time, serial, block, run)
            position += len(text)
        order.went_on(serial, stamp, serial - before, base + run)
        return self._runs(block, position, len(block), final)

    def _sample(self, entry: _Entry, text: bytes, stamp: bytes, serial: int, block: bytes, run: int) -> None:
        """Keep a record that :data:`_PLAIN` found in the event at ``run``, if more are wanted."""
        samples = entry.group.samples
        if self._most and len(samples) >= self._most:
            entry.sampled = False
            return
        raw = text[: text.index(b"\n")]
        middle = raw[raw.index(b"} for ") + 6 : -len(entry.cut)]
        self._keep(entry.group, raw, stamp, serial, entry.tail, middle, block, run, self._end_of(block, run))

    @staticmethod
    def _end_of(block: bytes, start: int) -> int:
        """Where the records of the event at ``start`` end."""
        match = _RUN.match(block, start)
        return match.end() if match is not None else block.find(b"\n", start) + 1

    @staticmethod
    def _leave_last(block: bytes, found: list[tuple[bytes, ...]]) -> None:
        """Take the records of the last event, which may go on in the next block, off the end."""
        head = _HEAD.match(block, block.rfind(b"\n", 0, len(block) - 1) + 1)
        if head is None:
            return
        key = head[0].partition(b" ")[2]
        while found and key in found[-1][0][:128]:
            found.pop()

    def _runs(self, block: bytes, position: int, until: int, final: bool) -> int:
        """Read event by event from ``position`` until ``until`` is reached; returns where the reading stopped."""
        match_run, match_avc, find = _RUN.match, _AVC_LINE.match, block.find
        order, cache, most, bare = self.order, self._cache, self._most, self.bare
        kinds, base, size = _KINDS, self._base, len(block)
        # The order's state is kept in locals while everything is in order, and handed over for the careful judgement.
        serial_now, stamp_now, recent, events = order.serial, order.stamp, order.recent, 0
        shadow_end, orderly = order.shadow_end - base, order.orderly
        last = order.last_offset - base
        while position < until:
            match = match_run(block, position)
            kind = -1
            if match is not None:
                type_, key, stamp, number = match.groups()
                kind = kinds.get(type_, -1)
                end = match.end()
            if kind < 0:
                order.went_on(serial_now, stamp_now, events, base + last)
                end = find(b"\n", position) + 1
                self._odd(block[position : end - 1], base + position)
                serial_now, stamp_now, recent, events = order.serial, order.stamp, order.recent, 0
                base, orderly = self._base, order.orderly
                shadow_end, last = order.shadow_end - base, order.last_offset - base
                position = end
                continue
            if kind == _USER:
                # One line at a time: what follows may be its text.
                end = find(b"\n", position) + 1
                reach = reach_of(block, position, final and self._whole)
                if reach < 0:
                    if not final:
                        break
                    reach = SHADOW
            if end == size and not final and size - position < LONGEST_EVENT:
                break
            serial = int(number)
            last = position
            if (
                serial == serial_now + 1
                and stamp >= stamp_now
                and position >= shadow_end
                and orderly
                and kind != _USER
                and len(stamp) == 14
            ):
                serial_now = serial
                stamp_now = stamp
                events += 1
                recent[serial] = stamp
                new = True
            else:
                order.went_on(serial_now, stamp_now, events, base + last)
                text = block[position:end]
                ended = partial(self._ended, block, key, position)
                new = order.take(serial, stamp, kind == _USER, base + position, text, ended)
                if kind == _USER:
                    order.shade(base + position, text, reach)
                serial_now, stamp_now, recent, events = order.serial, order.stamp, order.recent, 0
                shadow_end, orderly = order.shadow_end - base, order.orderly
            if kind:
                if kind == _SECOND:
                    if type_ not in UNDERSTOOD:
                        self._special(type_, key, stamp, serial, kind, block, position)
                    if find(b"\ntype=AVC ", position, end) >= 0 or find(b"\ntype=BPF ", position, end) >= 0:
                        bare.pop(key, None)
                    elif new:
                        self._bare(key, block[position:end])
                else:
                    if bare:
                        bare.pop(key, None)
                    self._special(type_, key, stamp, serial, kind, block, position)
            elif type_ != b"AVC":
                self._special(type_, key, stamp, serial, kind, block, position)
            if bare and not new and kind != _SECOND:
                bare.pop(key, None)
            at = position if type_ == b"AVC" else _next_avc(block, position, end)
            while 0 <= at < end:
                line = match_avc(block, at)
                entry = None
                if line is not None:
                    permissions, comm, path, tail = line.groups()
                    entry = cache.get(permissions + tail) or self._entry(permissions, tail, stamp)
                if entry is None or line is None:
                    after = find(b"\n", at) + 1
                    if kind == _USER:
                        if type_ == b"USER_AVC":
                            raw = block[at : after - 1]
                            self._user_avc(raw, stamp, serial, raw, raw.partition(b"): ")[2])
                    else:
                        order.went_on(serial_now, stamp_now, events, base + last)
                        self._odd_in_run(block[at : after - 1], base + at, block[position:end])
                        serial_now, stamp_now, recent, events = order.serial, order.stamp, order.recent, 0
                        shadow_end, orderly = order.shadow_end - base, order.orderly
                else:
                    after = line.end()
                    entry.count += 1
                    entry.last = stamp
                    group = entry.group
                    group.add_comm(comm)
                    if path is not None:
                        group.add_path(path)
                    if len(group.samples) < most or not most:
                        middle = block[line.end(1) + 5 : line.start(4)]
                        raw = block[at : after - 1]
                        self._keep(group, raw, stamp, serial, entry.tail, middle, block, position, end)
                at = _next_avc(block, after, end)
            position = end
        order.went_on(serial_now, stamp_now, events, base + last)
        return position

    def _ended(self, block: bytes, key: bytes, position: int) -> bool:
        """Whether the event's last record stands near before ``position``, and what stands there is no copy."""
        last, low = b"type=EOE msg=audit%b: " % key, position - NEAR
        near = [(block, max(0, low), position)]
        if low < 0:
            text, until = self._before
            near.append((text, max(0, until + low), until))
        if all(text.find(last, start, until) < 0 for text, start, until in near):
            return False
        line = block[position : block.find(b"\n", position) + 1]
        return all(text.find(line, start, until) < 0 for text, start, until in near)

    def _ended_lately(self, key: bytes) -> bool:
        return any(other == key and line.startswith(b"type=EOE ") for other, line in self._lately)

    def _begin(self, block: bytes) -> None:
        """At the first line: is it cut? A cut one may have been a message of a process."""
        first = block[: block.find(b"\n")]
        self._first_stamp = b""
        line = read_line(first)
        if line.kind == UNPARSED and line.label in ("torn", "text", "kernel", "unknown type") and first:
            self.torn_first = True
            self.order.begin_torn()

    def _entry(self, verdict: bytes, cut: bytes, stamp: bytes) -> _Entry | None:
        """The counter of one distinct (verdict and permissions, contexts and class); None when they cannot be read."""
        if len(self._cache) >= _MOST_KEYS:
            self._fold()
        avc = None if b" scontext=" in cut[1:] else parse_avc(verdict + b" for " + cut)
        if avc is None or avc.tail.stray_quote:
            return None
        entry = _Entry(group_of(self.groups, avc, False), avc.verdict == b"denied", avc.tail, cut, stamp)
        if avc.tail.torn or (entry.denied and avc.tail.permissive is None):
            self.torn += 1
        # The verdict ends at its first brace, so that no two pairs make one key.
        self._cache[verdict + cut] = entry
        return entry

    def _fold(self) -> None:
        """Add the counters of distinct tails to their groups."""
        for entry in self._cache.values():
            entry.group.add(entry.count, entry.first, entry.last, entry.tail)
            if entry.denied:
                self.denied += entry.count
            else:
                self.granted += entry.count
        self._cache.clear()

    def _keep(
        self,
        group: Group,
        raw: bytes,
        stamp: bytes,
        serial: int,
        tail: Tail,
        middle: bytes,
        block: bytes,
        run: int,
        end: int,
    ) -> None:
        """Keep a sample of one record, with what the event's other records add: those at ``run``, or near it."""
        text = block[run:end]
        if b"type=SYSCALL " not in text or b"type=EOE " not in text:
            key = b" msg=audit(%b:%d): " % (stamp, serial)
            low, high = max(0, run - NEAR), end + NEAR
            if block.find(key, low, run) >= 0 or block.find(key, end, high) >= 0:
                text = b"\n".join(_lines_of(block[low:high], key))
        others = text if len(text) <= _SMALL else joined(text)
        group.samples.append(Sample(self._node + raw, raw, stamp, serial, others, False, tail, middle))

    # -- the careful way

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
        kind = _KINDS.get(record.type, _USER if is_user(record.type) else _OTHER)
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
            new = self.order.take(record.serial, record.stamp, kind == _USER, start, text, ended)
            if kind == _USER:
                self.order.shade(start, text)
        if kind == _SECOND:
            self._join(record)
        if kind == _SECOND and new:
            self._bare(record.key, text)
        elif kind != _SECOND and self.bare:
            self.bare.pop(record.key, None)
        if record.type in NOTED or kind == _USER:
            self.notes.take(record.type, record.stamp, record.serial, record.payload)
        if kind == _USER:
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

    def _special(
        self, type_: bytes, key: bytes, stamp: bytes, serial: int, kind: int, block: bytes, start: int
    ) -> None:
        end = block.find(b"\n", start)
        if type_ not in UNDERSTOOD and block.find(b"avc:", start, end) < 0:
            self.ignored[type_.decode()] += 1
        if type_ in NOTED:
            self.notes.take(type_, stamp, serial, block[start + len(type_) + len(key) + 17 : end])

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
                self.orphan_serials.append(_serial(key))

    def _sum(self) -> Summary:
        self._fold()
        order = self.order
        serials = order.serials
        ignored = sum(self.ignored.values())
        stamps = [stamp for stamp in (order.first_stamp, order.stamp) if stamp]
        first, last = (stamps[0], stamps[-1]) if stamps else (None, None)
        return Summary(
            counts={
                "lines": self.lines,
                "parsed": self.lines - ignored - self.unparsed,
                "ignored": ignored,
                "unparsed": self.unparsed,
                "denied": self.denied,
                "granted": self.granted,
                "doubtful": self.doubtful,
                "mac_errors": self.notes.error_lines,
                "events": order.events,
                "probe": 0,
            },
            groups=[group for group in self.groups.values() if group.verdict == b"denied" and group.count],
            doubt_lines=self.doubt_lines,
            mac_errors=sorted(self.notes.errors.values(), key=lambda error: int(error["serial"])),
            changes=self.notes.changes,
            ignored_types=dict(sorted(self.ignored.items())),
            seen=serials.intervals(),
            first_serial=serials.first,
            last_serial=serials.last,
            first=moment(first) if first else None,
            last=moment(last) if last else None,
            first_ms=_ms(first),
            last_ms=_ms(last),
            missing=serials.missing,
            boots=1 + len(order.boots),
            orphans=self.orphans,
            orphan_serials=self.orphan_serials,
            logins=self.logins,
            notices=self.notices,
            torn_first=self.torn_first,
            torn_last=self.torn_last,
            torn=self.torn,
            doubtful=self.doubt_examples,
            doubtful_serials={_serial(key) for key in self.doubt_keys},
            doubt_reasons=dict(self.doubts),
            unconfirmed=order.unconfirmed,
            user_domains={show(name) or "": count for name, count in sorted(order.user_domains.items())},
            clock_steps=order.clock_steps,
            late=order.late,
            rules=self.notes.rules,
            unparsed_examples=self.unparsed_examples,
            bytes=self.size,
            broken=self.broken,
            ring=self.notes.ring,
            printed=self.printed,
            beside=self._beside.close(),
            ring_records=self.ring_records,
            service_records=order.events - self.ring_records,
        )


def _next_avc(block: bytes, start: int, end: int) -> int:
    """Where, from a line's ``start``, the next line begins that is an AVC record or speaks of one; else -1."""
    if block.startswith(b"type=AVC ", start, end):
        return start
    named = block.find(b"\ntype=AVC ", start, end) + 1
    said = block.find(b"avc:", start, named or end)
    return max(start, block.rfind(b"\n", start, said) + 1) if said >= 0 else named or -1


def _begun(text: bytes) -> int:
    """How many lines begin as a record of auditd does: several times as fast as to count line breaks."""
    return text.startswith(b"type") + text.count(b"\ntype")


def _joined(text: bytes) -> int:
    """How many lines hold a second head, in a message of a process behind its closing quote: they lost a line break."""
    count = 0
    for line in text.split(b"\n"):
        if line.startswith(b"type=") and line.count(b" msg=audit(") > 1:
            type_ = line[5 : line.find(b" ", 5)]
            if type_ != b"AVC" and type_ in NUMBERS and (not is_user(type_) or b"'type=" in line):
                count += 1
    return count


class _Entry:
    """The counter behind one distinct AVC tail."""

    __slots__ = ("comms", "count", "cut", "denied", "first", "group", "last", "paths", "sampled", "tail")

    def __init__(self, group: Group, denied: bool, tail: Tail, cut: bytes, first: bytes) -> None:
        self.group = group
        # None once the group has enough: what nobody looks at need not be fetched from memory.
        self.comms: dict[bytes, None] | None = group.comms
        self.paths: dict[bytes, None] | None = group.paths
        self.sampled = True
        self.denied = denied
        self.tail = tail
        self.cut = cut
        """The bytes that ``tail`` was read from."""
        self.count = 0
        self.first = first
        self.last = first

    def add_comm(self, comm: bytes) -> None:
        """Take a command not seen in the group, unless it has enough."""
        if not self.group.add_comm(comm):
            self.comms = None

    def add_path(self, path: bytes) -> None:
        """Take a path not seen in the group, unless it has enough."""
        if not self.group.add_path(path):
            self.paths = None


def _serial(key: bytes) -> int:
    return int(key[key.index(b":") + 1 : -1])


def _ms(stamp: bytes | None) -> int | None:
    if not stamp:
        return None
    seconds, _unused, millis = stamp.partition(b".")
    return int(seconds) * 1000 + int(millis)


def _lines_of(text: bytes, mark: bytes) -> Iterator[bytes]:
    """The lines that hold ``mark``."""
    position = text.find(mark)
    while position >= 0:
        start, end = text.rfind(b"\n", 0, position) + 1, text.find(b"\n", position)
        end = len(text) if end < 0 else end
        yield text[start:end]
        position = text.find(mark, end)
