# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fast way through lines that auditd wrote, as long as they are plain and in order.

One regular expression takes all neighbouring lines of an event at a time, and an AVC record is cut into head, middle
and tail, so that only distinct (permissions, contexts, class) are taken apart. The rest goes the careful way.
"""

from __future__ import annotations

from functools import partial

from .avc import Tail, parse_avc
from .careful import KINDS, SECOND, USER, Careful
from .denials import Group, Sample, group_of, joined
from .numbering import NONE, Seen
from .patterns import AVC_LINE, HEAD, NODE, PLAIN, RUN, Entry, begun, lines_of, next_avc
from .patterns import joined as run_together
from .record_types import UNDERSTOOD
from .records import UNPARSED, read_line
from .shadow import SHADOW, closes_quote, reach_of

# How long one event is waited for: the records of the longest command line (kernel: audit_log_execve_info) fit.
LONGEST_EVENT = 1 << 20
_MOST_KEYS = 20_000
# How far around an event its other records are looked for when they do not stand beside it.
NEAR = 32768
# An event of this size is kept as it is until somebody wants to see it; nearly all are smaller.
_SMALL = 4096


class Fast(Careful):
    """Reads blocks of whole lines."""

    def __init__(self, *, max_samples: int, careful: bool) -> None:
        super().__init__(max_samples=max_samples)
        self._careful = careful
        self._cache: dict[bytes, Entry] = {}
        self._first_stamp: bytes | None = None
        # The block before the one at hand, or several small ones, and how much of it was read.
        self._before = (b"", 0)
        # Whether the stream has come to its end, and with a whole line.
        self._whole = False

    def _block(self, block: bytes, final: bool) -> int:
        """Read whole lines; returns where the last event starts when it may go on in the next block."""
        named = None if self._careful else NODE.match(block)
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
        found = [] if self._careful else PLAIN.findall(block)
        odd = b"".join([one[0] for one in found if not one[1]])
        # Each of the other lines has one head of its own, in whatever form; else some line needs a closer look.
        lines = begun(block) - begun(odd)
        # (CPython counts up to five bytes in a faster way than six.)
        whole = block.count(b"udit(") - odd.count(b"udit(") == lines
        if found and whole and 2 * len(odd) < len(block):
            stop = self._plain(block, found, final)
            self.torn += run_together(odd) - run_together(block[stop:])
            lines += odd.count(b"\n")
        else:
            stop = self._runs(block, 0, len(block), final)
            self.torn += run_together(block[:stop])
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
        """Count what :data:`PLAIN` found as long as it is in perfect order; all else is left to :meth:`_runs`."""
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

    def _sample(self, entry: Entry, text: bytes, stamp: bytes, serial: int, block: bytes, run: int) -> None:
        """Keep a record that :data:`PLAIN` found in the event at ``run``, if more are wanted."""
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
        match = RUN.match(block, start)
        return match.end() if match is not None else block.find(b"\n", start) + 1

    @staticmethod
    def _leave_last(block: bytes, found: list[tuple[bytes, ...]]) -> None:
        """Take the records of the last event, which may go on in the next block, off the end."""
        head = HEAD.match(block, block.rfind(b"\n", 0, len(block) - 1) + 1)
        if head is None:
            return
        key = head[0].partition(b" ")[2]
        while found and key in found[-1][0][:128]:
            found.pop()

    def _runs(self, block: bytes, position: int, until: int, final: bool) -> int:
        """Read event by event from ``position`` until ``until`` is reached; returns where the reading stopped."""
        match_run, match_avc, find = RUN.match, AVC_LINE.match, block.find
        order, cache, most, bare = self.order, self._cache, self._most, self.bare
        kinds, base, size = KINDS, self._base, len(block)
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
            if kind == USER:
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
                and kind != USER
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
                new = order.take(serial, stamp, kind == USER, base + position, text, ended)
                if kind == USER:
                    order.shade(base + position, text, reach)
                serial_now, stamp_now, recent, events = order.serial, order.stamp, order.recent, 0
                shadow_end, orderly = order.shadow_end - base, order.orderly
            if kind:
                if kind == SECOND:
                    if type_ not in UNDERSTOOD:
                        self._special(type_, key, stamp, serial, block, position)
                    if find(b"\ntype=AVC ", position, end) >= 0 or find(b"\ntype=BPF ", position, end) >= 0:
                        bare.pop(key, None)
                    elif new:
                        self._bare(key, block[position:end])
                else:
                    if bare:
                        bare.pop(key, None)
                    self._special(type_, key, stamp, serial, block, position)
            elif type_ != b"AVC":
                self._special(type_, key, stamp, serial, block, position)
            if bare and not new and kind != SECOND:
                bare.pop(key, None)
            at = position if type_ == b"AVC" else next_avc(block, position, end)
            while 0 <= at < end:
                line = match_avc(block, at)
                entry = None
                if line is not None:
                    permissions, comm, path, tail = line.groups()
                    entry = cache.get(permissions + tail) or self._entry(permissions, tail, stamp)
                if entry is None or line is None:
                    after = find(b"\n", at) + 1
                    if kind == USER:
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
                at = next_avc(block, after, end)
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

    def _begin(self, block: bytes) -> None:
        """At the first line: is it cut? A cut one may have been a message of a process."""
        first = block[: block.find(b"\n")]
        self._first_stamp = b""
        line = read_line(first)
        if line.kind == UNPARSED and line.label in ("torn", "text", "kernel", "unknown type") and first:
            self.torn_first = True
            self.order.begin_torn()

    def _entry(self, verdict: bytes, cut: bytes, stamp: bytes) -> Entry | None:
        """The counter of one distinct (verdict and permissions, contexts and class); None when they cannot be read."""
        if len(self._cache) >= _MOST_KEYS:
            self._fold()
        avc = None if b" scontext=" in cut[1:] else parse_avc(verdict + b" for " + cut)
        if avc is None or avc.tail.stray_quote:
            return None
        entry = Entry(group_of(self.groups, avc, False), avc.verdict == b"denied", avc.tail, cut, stamp)
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
                text = b"\n".join(lines_of(block[low:high], key))
        others = text if len(text) <= _SMALL else joined(text)
        group.samples.append(Sample(self._node + raw, raw, stamp, serial, others, False, tail, middle))
