# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a whole log: every line accounted for, every denial counted, every number followed.

The common line is one auditd wrote, and goes the fast way (:mod:`fast`). Whatever does not look like that, or whose
numbers are out of order, takes the careful way (:mod:`careful`).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .both import Beside
from .careful import serial_of
from .fast import Fast
from .probe import Watch
from .sources import Source, chunks
from .summary import Summary
from .values import moment, show

# A line longer than this is cut: no record of auditd is longer than 9 KiB, and memory has to stay flat.
LONGEST_LINE = 4 << 20


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


class Scanner(Fast):
    """The reader behind :func:`summarize`, for callers that have the log in pieces: ``feed`` bytes, then ``close``."""

    def __init__(self, *, max_samples: int = 5, careful: bool = False, kernel: Summary | None = None) -> None:
        super().__init__(max_samples=max_samples, careful=careful)
        self._rest: list[bytes] = []
        self._held = 0
        self._skipping = False
        self.size = 0
        self.broken: str | None = None
        self.torn_last = False
        self._beside = Beside(kernel.printed if kernel is not None else {})

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
            doubtful_serials={serial_of(key) for key in self.doubt_keys},
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


def _ms(stamp: bytes | None) -> int | None:
    if not stamp:
        return None
    seconds, _unused, millis = stamp.partition(b".")
    return int(seconds) * 1000 + int(millis)
