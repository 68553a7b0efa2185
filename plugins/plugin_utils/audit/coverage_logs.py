# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the two logs of a node hold together: auditd's, and the kernel ring."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from .log.both import once
from .log.probe import leave_out
from .log.scanner import summarize
from .log.serials import union, without
from .log.sources import Source
from .log.summary import Summary

_TAKES_SOCKET = re.compile(r"\bop=set audit_pid=([1-9]\d{0,9}) ")


def read_both(
    service: Source | Summary | None,
    kernel: Source | Summary | None,
    max_samples: int = 5,
    probed: Sequence[bytes] = (),
) -> tuple[Summary | None, Summary | None]:
    """Read auditd's log and the kernel ring, unless they were read before; what stands in both is counted once.

    ``probed`` are records of enforcement probes, which are counted as such and as nothing else.
    """
    if kernel is not None and not isinstance(kernel, Summary):
        kernel = summarize(kernel, max_samples=max_samples)
    if service is not None and not isinstance(service, Summary):
        service = summarize(service, max_samples=max_samples, kernel=kernel, probed=probed)
    if service is not None and kernel is not None:
        kernel, service = once(kernel, service)
    if service is not None and service.probed:
        leave_out(service, service.probed)
        service.probed = set()
    return service, kernel


class Logs:
    """The two logs of one node, read; None for one that was not.

    Attributes:
        both: those that were read, the kernel ring first.
        seen: closed intervals of the numbers that stand in either log, ascending.
        lowest: the number from which on a denial is possible; there is none before the first policy load.
        claimed: the numbers that doubtful records give, ascending.
    """

    def __init__(self, service: Summary | None, kernel: Summary | None) -> None:
        self.service = service
        self.kernel = kernel
        self.both = [summary for summary in (kernel, service) if summary is not None]
        self.seen = union([interval for summary in self.both for interval in summary.seen])
        self.lowest = 2 if kernel is not None and kernel.ring.first_load else 1
        self.claimed = sorted({serial for summary in self.both for serial in summary.doubtful_serials})

    def sockets(self) -> list[tuple[int, str]]:
        """Serial and process of each record by which somebody took the audit socket."""
        found = []
        for summary in self.both:
            for change in summary.changes:
                match = _TAKES_SOCKET.search(str(change["text"]) + " ")
                if change["type"] == "CONFIG_CHANGE" and match:
                    found.append((int(change["serial"]), match[1]))
        return found

    def completed(self, log: Summary) -> int:
        """Events of one log without the record they were written for, which stands in the other.

        When auditd's socket is full or closed, the kernel prints what is left of an event.
        """
        other = self.kernel if log is self.service else self.service
        if other is None:
            return 0
        return sum(
            any(low <= serial <= high for low, high in other.seen) and serial not in other.orphan_serials
            for serial in log.orphan_serials
        )

    def after_start(self) -> int:
        """Events in the kernel ring alone, with numbers above the first one auditd wrote: auditd was not there then.

        With ``audit=1`` the kernel prints what it later delivers (kernel/audit.c, kauditd_hold_skb): no loss.
        """
        service, kernel = self.service, self.kernel
        if service is None or kernel is None or service.first_serial is None:
            return 0
        return sum(
            high - max(low, service.first_serial + 1) + 1
            for low, high in without(kernel.seen, service.seen)
            if high > service.first_serial
        )

    def unclaimed(self, missing: list[tuple[int, int]]) -> int:
        """How many numbers of closed intervals no doubtful record gives."""
        total = 0
        for first, last in missing:
            total += last - first + 1 - (bisect_right(self.claimed, last) - bisect_left(self.claimed, first))
        return total
