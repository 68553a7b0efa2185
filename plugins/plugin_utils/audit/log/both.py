# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records that stand in the kernel ring and in auditd's log: counted once, and doubtful where the two contradict.

While no auditd listens the kernel prints every record, and with ``audit=1`` on its command line it also keeps it for
the auditd to come (kernel/audit.c, kauditd_hold_skb). Both times it is the same text, so two that differ under one
number are not both the kernel's.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from .avc import parse_avc
from .denials import Group, key_of
from .notes import error_key
from .record_types import MAC_ERRORS
from .records import Record, read_line
from .serials import common
from .summary import Event, Events, Summary
from .values import show

#: What is counted, record for record.
COUNTED = MAC_ERRORS | {b"AVC", b"USER_AVC"}
#: So many numbers of the ring are kept. Records beyond are counted in both logs, which is the safe side.
_MOST = 20_000
#: From this length on the kernel may have cut a record when it printed it (kernel/printk: 1 KiB with what is in front).
_CUT = 960
#: A chunk whose first numbers are all above the ring's holds nothing of it.
_FIRST = 8
_LONGEST_LINE = 4 << 20
_MARK = re.compile(rb"audit\([0-9]{1,12}\.[0-9]{3}:([0-9]{1,12})\)")


def keep(events: Events, record: Record) -> None:
    """Remember a record that the kernel printed."""
    event = events.get(record.serial)
    if event is None:
        if len(events) >= _MOST:
            return
        event = events[record.serial] = Event()
    event.stamps.add(record.stamp)
    if record.type in COUNTED and len(record.payload) < _CUT:
        event.lines.append(record.line)


class Beside:
    """What auditd's log says under numbers that the kernel printed too, found while the log is read."""

    def __init__(self, printed: Mapping[int, Event]) -> None:
        self._printed = printed
        self._highest = max(printed, default=0)
        self._rest = b""
        self.events: Events = {}

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the log."""
        if not self._printed:
            return
        if self._is_above(chunk):
            # Most of a log is, and is not copied.
            self._look(self._rest + chunk[: chunk.find(b"\n") + 1] if self._rest else b"")
            self._rest = b""
            return
        whole, end, rest = (self._rest + chunk).rpartition(b"\n")
        self._look(whole + end)
        self._rest = rest if len(rest) < _LONGEST_LINE else b""

    def close(self) -> Events:
        """The log ended."""
        self._look(self._rest)
        return self.events

    def _is_above(self, chunk: bytes) -> bool:
        first = [int(mark[1]) for mark, _unused in zip(_MARK.finditer(chunk), range(_FIRST), strict=False)]
        return bool(first) and min(first) > self._highest

    def _look(self, text: bytes) -> None:
        for raw in text.split(b"\n"):
            if any(int(mark) in self._printed for mark in _MARK.findall(raw)):
                for record in read_line(raw).records:
                    if record.serial in self._printed:
                        keep(self.events, record)


def once(kernel: Summary, service: Summary) -> tuple[Summary, Summary]:
    """Both summaries, with what stands in both counted in auditd's log alone and contradictions doubted in both.

    ``service`` was read beside ``kernel`` (`scanner.summarize`). Taking what came out once more changes nothing.
    """
    if not kernel.printed:
        return kernel, service
    equal: list[bytes] = []
    ours: list[bytes] = []
    theirs: list[bytes] = []
    contradicted = []
    for serial in sorted(kernel.printed.keys() & service.beside.keys()):
        printed, kept = kernel.printed[serial], service.beside[serial]
        left, right = Counter(printed.lines), Counter(kept.lines)
        same = left & right
        one, other = list((left - same).elements()), list((right - same).elements())
        if printed.stamps != kept.stamps:
            # Not of one event: nothing says which of the two is the kernel's.
            one, other, same = printed.lines, kept.lines, Counter()
            contradicted.append(serial)
        elif {_type(line) for line in one} & {_type(line) for line in other}:
            contradicted.append(serial)
        else:
            one, other = [], []
        equal += [line for line in same.elements() if line not in service.doubt_lines]
        ours += one
        theirs += other
    overlap = common(kernel.seen, service.seen) if kernel.boots == service.boots == 1 else 0
    kernel = _without(kernel, equal, overlap)
    changes = [change for change in kernel.changes if change not in service.changes]
    return (
        replace(_doubted(kernel, ours, contradicted), changes=changes, printed={}),
        replace(_doubted(service, theirs, contradicted), contradicted=contradicted, beside={}),
    )


def _without(summary: Summary, lines: Iterable[bytes], events: int) -> Summary:
    """The summary without records that are counted elsewhere, each of ``lines`` once."""
    counts = dict(summary.counts)
    counts["events"] -= events
    groups = {group.key: _copy(group) for group in summary.groups}
    errors = [dict(error) for error in summary.mac_errors]
    for line in lines:
        (record,) = read_line(line).records
        if record.type in MAC_ERRORS:
            _take_error(errors, record)
            counts["mac_errors"] -= 1
            continue
        avc = parse_avc(record.payload, record.type == b"USER_AVC")
        if avc is None:
            continue
        counts["denied" if avc.verdict == b"denied" else "granted"] -= 1
        group = groups.get(key_of(avc, record.type == b"USER_AVC"))
        if group is not None:
            group.take(line, avc.tail)
    return replace(
        summary,
        counts=counts,
        groups=[group for group in groups.values() if group.count],
        mac_errors=[error for error in errors if error["count"]],
    )


def _take_error(errors: list[dict[str, Any]], record: Record) -> None:
    key = error_key(record.type, record.payload)
    for error in errors:
        if (error["type"], error["op"], error["source"], error["target"]) == key:
            error["count"] -= 1


def _doubted(summary: Summary, lines: list[bytes], serials: list[int]) -> Summary:
    """The summary with records of its own doubted, as the other log says otherwise under their numbers."""
    if not lines:
        return summary
    reason = "the other log says otherwise under its number"
    groups = {group.key: _copy(group) for group in summary.groups}
    for line in lines:
        (record,) = read_line(line).records
        avc = parse_avc(record.payload, record.type == b"USER_AVC") if record.type not in MAC_ERRORS else None
        group = groups.get(key_of(avc, record.type == b"USER_AVC")) if avc is not None else None
        if group is not None:
            group.doubtful += 1
    return replace(
        summary,
        counts={**summary.counts, "doubtful": summary.counts["doubtful"] + len(lines)},
        groups=list(groups.values()),
        doubt_lines=summary.doubt_lines | set(lines),
        doubtful_serials=summary.doubtful_serials | set(serials),
        doubtful=[*summary.doubtful, *({"reason": reason, "text": show(line[:400])} for line in lines)][:50],
        doubt_reasons={**summary.doubt_reasons, reason: len(lines)},
    )


def _copy(group: Group) -> Group:
    made = copy.copy(group)
    made.samples = list(group.samples)
    return made


def _type(line: bytes) -> bytes:
    return line.partition(b" ")[0]
