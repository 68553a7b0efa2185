# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much a log can be believed to be the whole story since boot.

The verdict is ``complete`` only when every known way of losing a denial was looked for and none was found. A missing
input is a way of losing one. Reasons carry the ids of the false-negative catalogue (docs/audit-evidence.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..talos.boots import SAME, Look
from .coverage_logs import Logs, read_both
from .coverage_node import NodeChecks
from .log.serials import gaps
from .log.shadow import SYSTEM_DOMAINS
from .log.sources import Source
from .log.summary import Summary

RING_BYTES = 15 * 64 * 1024
"""Below this many bytes the in-memory log never wrapped (Talos runtime/logging/circular.go)."""

EARLY_START = 60.0
"""Seconds after boot within which auditd starts on a healthy node (it starts before the configuration is loaded)."""


@dataclass
class CoverageInput:
    """What was read from one node around its logs. None always means that it is not known.

    ``service_log`` and ``kernel_log``: the bytes (or a path), or a Summary of them. ``services``: ServiceList as dicts
    ``{id, state, events: [{msg, state, ts}]}``. ``looks``: which boot answered before and after. Times are in seconds
    since 1970. ``stream_clean``: the log stream ended by itself (False when it was cut). ``baseline_missing``: how many
    serials per boot the operator documented as explained (record types below 1100 that auditd drops, such as LOGIN).
    ``strict_messages``: any audit message of a workload is a reason, since nothing tells a perfect forgery.
    """

    service_log: Source | Summary | None = None
    kernel_log: Source | Summary | None = None
    services: list[dict[str, Any]] | None = None
    cmdline: str | None = None
    talos_version: str | None = None
    looks: tuple[Look, Look] | None = None
    now: float | None = None
    uptime_seconds: float | None = None
    stage: str | None = None
    mode: str | None = None
    selinux_state: str | None = None
    extensions: list[Any] | None = None
    time_synced: bool | None = None
    stream_clean: bool | None = True
    persisted: bool = False
    baseline_missing: int = 0
    service_bytes: int | None = None
    strict_messages: bool = False


def assess(given: CoverageInput) -> dict[str, Any]:
    """Judge one node's logs.

    Returns ``{verdict: complete|partial|none, since, seconds, first_serial, last_serial, lost_at_least, reasons:
    [{id, text, severity}], notes: [{id, text}]}``. ``reasons`` is empty exactly for ``complete``; then alone ``since``
    is the time of the boot's first record. ``severity`` is ``fatal`` where nothing can be concluded at all (verdict
    ``none``), else ``gap``.
    """
    return _Assessment(given).result()


class _Assessment(NodeChecks):
    def __init__(self, given: CoverageInput) -> None:
        super().__init__(given)
        self.logs = Logs(*read_both(given.service_log, given.kernel_log, 1))
        self.service, self.kernel = self.logs.service, self.logs.kernel
        self.lost = 0

    def result(self) -> dict[str, Any]:
        self._mode()
        self._cmdline()
        self._version_facts()
        self._boot()
        self._services()
        self._service_log()
        self._kernel_log()
        self._contradictions()
        self._numbers()
        seen = self.logs.seen
        verdict = "complete"
        if self.reasons:
            verdict = "none" if any(reason["severity"] == "fatal" for reason in self.reasons) else "partial"
        return {
            "verdict": verdict,
            "since": self._since() if verdict == "complete" else None,
            "seconds": self._seconds(verdict == "complete"),
            "first_serial": seen[0][0] if seen else None,
            "last_serial": seen[-1][1] if seen else None,
            "lost_at_least": self.lost,
            "reasons": self.reasons,
            "notes": self.notes,
        }

    # -- the checks

    def _services(self) -> None:
        services = self.given.services
        if services is None:
            self._gap("F4", "the service list is not known")
            return
        auditd = next((service for service in services if service.get("id") == "auditd"), None)
        if auditd is None:
            self._fatal("F2", "auditd is not among the node's services")
            return
        state = auditd.get("state")
        if state != "Running":
            if str(state).lower() in ("finished", "failed", "stopping"):
                self._gap("F4", f"auditd is {state}: what came after it went to the kernel ring")
            else:
                self._gap("F2", f"auditd is {state}, not Running")
        events = auditd.get("events") or []
        starts = [event for event in events if event.get("state") == "Running"]
        if state == "Running":
            # Each healthy start passes Running once; a health report repeats the state with another message.
            starts = [event for event in starts if "health" not in str(event.get("msg", "")).lower()]
            if len(starts) > 1:
                self._gap("F5", f"auditd started {len(starts)} times: records in between went to the kernel ring")
            elif not starts:
                self._gap("F5", "no start of auditd is in the service's history")
            elif any(str(event.get("state")) in ("Failed", "Finished", "Skipped") for event in events):
                self._gap("F5", "auditd stopped at least once")
            self._start(starts)
        pids = list(dict.fromkeys(pid for _unused, pid in self.logs.sockets()))
        if len(pids) > 1:
            self._gap("F30", f"the audit socket changed hands {len(pids) - 1} times (audit_pid {', '.join(pids)})")

    def _start(self, starts: list[dict[str, Any]]) -> None:
        """Whether the start that the service's history shows is the boot's only one.

        The kernel numbers the record that auditd writes when it takes the audit socket. Where every number up to the
        only one is there, no earlier auditd wrote one, whatever the clocks say; where none tells, they have to.
        """
        taken = sorted({serial for serial, _unused in self.logs.sockets()})
        if len(taken) > 1:
            self._gap("F5", f"auditd took the audit socket {len(taken)} times: records in between went to the ring")
        if len(taken) == 1 and all(low > taken[0] for low, _unused in gaps(self.logs.seen, self.logs.lowest)):
            return
        started = _seconds_of(starts[0].get("ts")) if starts else None
        late = self._seconds_after_boot(started) if started is not None else None
        if late is not None and late > EARLY_START:
            self._gap("F5", f"auditd started {int(late)} seconds after boot: an earlier start is likely")

    def _service_log(self) -> None:
        log = self.service
        if log is None:
            self._fatal("F1", "the auditd log was not read")
            return
        size = self.given.service_bytes if self.given.service_bytes is not None else log.bytes
        if not log.bytes:
            self._fatal("F1", "the auditd log is empty")
        elif not log.counts["events"]:
            self._fatal("F1", "the auditd log holds no record at all, not even auditd's own start")
        if size >= RING_BYTES and not self.given.persisted:
            self._gap("F10", f"the log is {size} bytes long: from {RING_BYTES} on the memory buffer may have wrapped")
        if log.torn_first:
            self._gap("F10", "the first line of the log is cut: what stood before it is gone")
        if log.torn_last:
            self._gap("F33", "the last line of the log is cut")
        if log.broken:
            self._gap("F33", log.broken)
        if self.given.stream_clean is not True:
            self._gap("F33", "the log stream did not end by itself")
        if log.notices:
            # The kernel keeps what it could not deliver for a while, so no count of lost records follows from it.
            self._gap("F8", f"auditd lost records {log.notices} times because its socket was full")
        if log.boots > 1:
            self._gap("F31", f"the log holds the numbering of {log.boots} boots")
        self._quality(log, "auditd log")

    def _quality(self, log: Summary, name: str) -> None:
        counts = log.counts
        if counts["unparsed"]:
            self._gap("F26", f"{counts['unparsed']} lines of the {name} could not be read")
        if log.torn:
            self._gap("F26", f"{log.torn} records of the {name} are cut or run into one another")
        orphans = log.orphans - self.logs.completed(log)
        if orphans:
            rules = "; some may be due to an audit rule without a key" if log.rules else ""
            self._gap("F6", f"{orphans} events of the {name} lack the record they were written for{rules}")
            if not log.rules:
                self.lost = max(self.lost, orphans)
        if counts["doubtful"]:
            self._gap("forged", f"{counts['doubtful']} records of the {name} may have been written by a process")
        elif log.unconfirmed:
            self._gap(
                "forged",
                f"the {name} ends right after a message of a workload: {log.unconfirmed} events are not confirmed",
            )
        workloads = {name: count for name, count in log.user_domains.items() if name.encode() not in SYSTEM_DOMAINS}
        if workloads:
            told = ", ".join(f"{domain} ({count})" for domain, count in workloads.items())
            if self.given.strict_messages:
                self._gap("forged", f"workloads sent audit messages, which can forge records: {told}")
            else:
                self._note("forged", f"audit messages were sent by workloads: {told}")
        if log.clock_steps:
            self._note("F32", f"the clock was set back {log.clock_steps} times; numbers, not times, were followed")

    def _kernel_log(self) -> None:
        log = self.kernel
        if log is None:
            self._gap("F11", "the kernel ring was not read")
            return
        ring = log.ring
        if ring.first_load and not ring.has_head:
            self._note("F11", "the kernel ring lost its beginning, and holds all from the first policy load on")
        elif not ring.has_head:
            self._gap(
                "F11", "the kernel ring does not start with the kernel's first line: its beginning is overwritten"
            )
        if not ring.initialized and (ring.has_head or not ring.first_load):
            text = "the kernel ring has no record with serial 1"
            self._gap("F3" if ring.has_head else "F11", text)
        if log.broken:
            self._gap("F33", log.broken)
        for line in ring.losses:
            self._gap(_loss_id(line), f"the kernel said: {line}")
        self.lost = max(self.lost, ring.audit_lost)
        if ring.auditd_disabled:
            self._fatal("F2", "the kernel ring says that auditd is disabled")
        if ring.selinux_disabled:
            self._fatal("F15", "the kernel ring says that no SELinux policy is loaded")
        if ring.undefined:
            self._note(
                "F22",
                f"{len(ring.undefined)} kernel classes or permissions are not in the policy: denied once enforcing",
            )
        self._quality(log, "kernel ring")
        after = self.logs.after_start()
        if after:
            self._gap("F4", f"{after} events went to the kernel ring after auditd had started")

    def _contradictions(self) -> None:
        serials = self.service.contradicted if self.service is not None else []
        if serials:
            shown = ", ".join(map(str, serials[:5])) + (" and more" if len(serials) > 5 else "")
            self._gap(
                "forged",
                f"the two logs contradict one another under {len(serials)} numbers ({shown}): one of the two was not"
                " written by the kernel, or not in this boot",
            )

    def _numbers(self) -> None:
        """Serials that are in neither log: before the first one, between the two logs, and within."""
        if not self.logs.seen:
            return
        lowest = self.logs.lowest
        missing = gaps(self.logs.seen, lowest)
        self._one_boot()
        # Some may be the numbers of doubtful records, which have a reason of their own.
        count = self.logs.unclaimed(missing)
        if missing and missing[0][0] == lowest:
            id_ = "F10" if self.kernel is not None else "F11"
            self._gap(id_, f"serials {lowest} to {missing[0][1]} are in neither log")
            if self.kernel is None:
                # They stand in a log that nobody looked into.
                count -= self.logs.unclaimed(missing[:1])
            missing = missing[1:]
        if self.service is not None and self.service.first_serial is not None:
            before = [gap for gap in missing if gap[1] == self.service.first_serial - 1]
            if before:
                shown = f"{before[0][0]} to {before[0][1]}"
                self._gap("F10", f"serials {shown}, between the kernel ring's records and the log's first, are missing")
                missing.remove(before[0])
        inner = self._unexplained(missing)
        if inner > self.given.baseline_missing or count != inner:
            self.lost = max(self.lost, count - min(inner, self.given.baseline_missing))

    def _one_boot(self) -> None:
        """Whether the two logs follow on each other as those of one boot do."""
        if self.service is None or self.kernel is None or not self.service.boots == self.kernel.boots == 1:
            return
        first, ms = self.service.first_ms, self.kernel.last_ms
        if (
            first is not None
            and ms is not None
            and self.kernel.last_serial is not None
            and self.service.first_serial is not None
            and self.kernel.last_serial < self.service.first_serial
            and ms - first > 60_000
            and not self.service.clock_steps
            and self.boot != SAME
        ):
            self._gap("F31", "the kernel ring's last record is later than the log's first: they are not of one boot")

    def _unexplained(self, missing: list[tuple[int, int]]) -> int:
        """Judge the gaps within the logs by what the operator documented; how many serials they are."""
        inner = self.logs.unclaimed(missing)
        logins = sum(summary.logins for summary in (self.kernel, self.service) if summary is not None)
        if inner + logins <= self.given.baseline_missing:
            if inner + logins:
                entered = f" and {logins} events are logins" if logins else ""
                baseline = f"the documented baseline is {self.given.baseline_missing}"
                self._note("F6", f"{inner} serials are missing{entered}; {baseline}")
            return inner
        if inner:
            shown = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in missing[:5])
            more = " and more" if len(missing) > 5 else ""
            self._gap(
                "F6",
                f"{inner} serials are missing ({shown}{more}); auditd drops types below 1100, of which LOGIN (1006)"
                " is a real event: unexplained all the same",
            )
        if logins:
            self._gap(
                "F6",
                f"{logins} events have only the system call that sets a login's user; auditd drops LOGIN (1006),"
                " but another record may be lost: unexplained all the same",
            )
        return inner

    # -- what the checks ask

    def _seconds_after_boot(self, moment: float) -> float | None:
        """How long after boot a moment of the node's clock was, at the least that anything says.

        A step of the clock moves the boot time and not the kernel's first record.
        """
        starts = [float(look.boot_time) for look in (self.given.looks or ()) if look.boot_time is not None]
        if not starts and self.given.now is not None and self.given.uptime_seconds is not None:
            starts.append(self.given.now - self.given.uptime_seconds)
        kernel = self.kernel
        if kernel and kernel.first_ms is not None and (kernel.ring.initialized or kernel.ring.first_load):
            starts.append(kernel.first_ms / 1000)
        return min((moment - start for start in starts), default=None)

    def _seconds(self, complete: bool) -> float | None:
        """How long the logs cover: since boot where they are complete, else from the first record to the reading.

        Never longer than the node is up, as a step of the clock may lie between two records' times.
        """
        uptime = self.given.uptime_seconds
        firsts = [log.first_ms for log in (self.kernel, self.service) if log is not None and log.first_ms is not None]
        lasts = [log.last_ms for log in (self.kernel, self.service) if log is not None and log.last_ms is not None]
        if not firsts or not lasts:
            return None
        if complete and uptime is not None:
            return round(uptime, 3)
        end = max(lasts) / 1000
        if self.given.now is not None and self.given.now >= end:
            end = self.given.now
        span = round(max(0.0, end - min(firsts) / 1000), 3)
        return span if uptime is None else min(span, round(max(0.0, uptime), 3))

    def _since(self) -> str | None:
        """The time of the kernel's first record."""
        return self.kernel.first if self.kernel is not None else None


def _loss_id(line: str) -> str:
    if "callbacks suppressed" in line:
        return "F9"
    if "audit_backlog=" in line or "backlog limit exceeded" in line or "out of memory" in line:
        return "F7"
    if "queue overflow" in line:
        return "F8"
    return "F6"


def _seconds_of(moment: Any) -> float | None:
    """A service event's time: a number, or RFC 3339 text."""
    if isinstance(moment, int | float):
        return float(moment)
    if not isinstance(moment, str):
        return None
    text = re.sub(r"(\.\d{1,6})\d*", r"\1", moment).replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
