# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How fast a node fills its two logs, and how often they have to be collected so that nothing is lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from ..log import ring
from .store import RING_MAY_HAVE_WRAPPED, BootLog
from .stream import Hole, Stream

_SHORTEST = 60.0
"""Seconds between two reads below which what came in between says nothing about a rate."""
_MUCH = 0.5
"""The part of a log that may be new in a read before it is said that the next one may come too late."""
_LONGEST_MINUTES = 24 * 60
"""However slowly a log fills: what fills it in a day nobody has seen is a workload that was not there before."""
_MOST_ROWS = 10
"""Logs that the table names, those that are full first."""
_NAMES = {"service": "auditd's log", "kernel": "the kernel ring"}


@dataclass(frozen=True)
class Rate:
    """One log of a node.

    ``capacity`` is what the node keeps of it, in bytes; ``bytes_per_hour`` the highest rate between two reads, what was
    lost between them included, or the one since boot while all reads lie within a minute; ``longest_pause_seconds`` the
    time in which it fills at that rate, and no longer than half of a pause that lost nobody knows how much;
    ``new_percent`` how much of the capacity the last read found new. None where it is not known.
    """

    capacity: int | None
    bytes_per_hour: int | None
    longest_pause_seconds: int | None
    new_percent: int | None


def rates(log: BootLog, uptime: float | None = None) -> dict[str, Rate]:
    """The rates of both logs of a boot, by stream (``service``, ``kernel``).

    Args:
        uptime: seconds since boot at the last read: the measure after a single read.
    """
    return {
        "service": _rate(log.streams["service"], RING_MAY_HAVE_WRAPPED, uptime),
        "kernel": _rate(log.streams["kernel"], _kernel_capacity(log.streams["kernel"]), uptime),
    }


def as_dicts(found: dict[str, Rate]) -> dict[str, dict[str, Any]]:
    """Rates as plain data."""
    return {name: asdict(rate) for name, rate in found.items()}


def warnings(found: dict[str, Rate]) -> list[str]:
    """What to say before a log overwrites what nobody read, in sentences."""
    return [
        f"{_NAMES[name]} had {rate.new_percent} % of what the node keeps of it new in the last read: collect it at"
        f" least {often(rate)}, or it overwrites what nobody has read"
        for name, rate in found.items()
        if rate.new_percent is not None and rate.new_percent >= 100 * _MUCH
    ]


def often(rate: Rate) -> str:
    """How often to collect a log, in words: twice in the time in which it fills."""
    if rate.longest_pause_seconds is None:
        return "twice as often as until now"
    minutes = max(1, min(rate.longest_pause_seconds // 120, _LONGEST_MINUTES))
    return f"every {minutes} minutes" if minutes < 120 else f"every {minutes // 60} hours"


def table(nodes: Mapping[str, Mapping[str, Any]], unread: Iterable[str] = ()) -> list[str]:
    """Which nodes forget soonest, and how often to collect so that none does, as lines for people.

    Args:
        nodes: by name ``{rates: {stream: a rate as plain data}, holes: [...]}``, as audit_log returns them.
        unread: names of nodes whose logs could not be kept.
    """
    rows = [
        (rate["longest_pause_seconds"], host, _NAMES[name], rate, len(node["holes"]))
        for host, node in nodes.items()
        for name, rate in node["rates"].items()
        if rate["longest_pause_seconds"] is not None
    ]
    rows.sort(key=lambda row: row[:3])
    lines = [f"{host}: not read" for host in sorted(unread)]
    lines += [
        f"{host}: {name} fills by {_per_hour(rate)} KiB an hour, and lasts {_duration(pause)}"
        + (f"; {holes} hole{'s' if holes != 1 else ''}" if holes else "")
        for pause, host, name, rate, holes in rows[:_MOST_ROWS]
    ]
    if len(rows) > _MOST_ROWS:
        lines.append(f"{len(rows) - _MOST_ROWS} more logs last longer")
    return [*lines, advice(nodes.values())]


def advice(nodes: Iterable[Mapping[str, Any]]) -> str:
    """How often to collect a fleet so that none of its logs is overwritten unread, in words; nodes as in `table`."""
    pauses = [rate["longest_pause_seconds"] for node in nodes for rate in node["rates"].values()]
    known = [pause for pause in pauses if pause is not None]
    if not known:
        return "how fast the logs fill is known after a second collection"
    return f"collect all of them {often(Rate(None, None, min(known), None))} or more often"


def shortest(node: Mapping[str, Any]) -> str:
    """Of a node's logs (as in `table`) the one that is overwritten first: in which time it fills, and how fast."""
    known = [rate for rate in node["rates"].values() if rate["longest_pause_seconds"] is not None]
    if not known:
        return "unknown"
    rate = min(known, key=lambda one: int(one["longest_pause_seconds"]))
    return f"{_duration(rate['longest_pause_seconds'])}, {_per_hour(rate)} KiB/h"


def _per_hour(rate: Mapping[str, Any]) -> int:
    return -(-(rate["bytes_per_hour"] or 0) // 1024)


def _duration(seconds: int) -> str:
    if seconds >= 2 * 86_400:
        return f"{seconds // 86_400} days"
    return f"{seconds // 3600} hours" if seconds >= 7200 else f"{seconds // 60} minutes"


def _rate(stream: Stream, capacity: int | None, uptime: float | None) -> Rate:
    lost = _lost(stream)
    reads = [(_seconds(at), new + lost.get(at, 0)) for at, new in stream.history]
    found = [new / (end - start) for (start, _unused), (end, new) in pairwise(reads) if end - start >= _SHORTEST]
    if not found and reads and uptime is not None and uptime >= _SHORTEST:
        # The first read brought all since boot, and others so soon after it tell nothing by themselves.
        found = [sum(new for _unused, new in reads) / uptime]
    per_second = max(found, default=None)
    news = stream.history[-1][1] if len(reads) > 1 else None
    moments = {at for at, _unused in stream.history}
    pauses = [
        (_seconds(end) - _seconds(start)) / 2
        for start, end in (hole.reads for hole in _gaps(stream) if hole.reads)
        if end not in lost or end not in moments
    ]
    if capacity is not None and per_second:
        pauses.append(capacity / per_second)
    return Rate(
        capacity,
        None if per_second is None else round(per_second * 3600),
        int(min(pauses)) if pauses else None,
        None if capacity is None or news is None else round(100 * news / capacity),
    )


def _lost(stream: Stream) -> dict[str, int]:
    """About how many bytes each hole cost, by the moment of the read that found it: by serials of lost events."""
    serials = sum(one.last.serial - one.first.serial + 1 for one in stream.segments if one.first and one.last)
    if stream.name != "service" or serials <= 0:
        # Few records of the kernel ring have a serial.
        return {}
    return {
        hole.reads[1]: (hole.before.serial - hole.after.serial - 1) * stream.size // serials
        for hole in _gaps(stream)
        if hole.reads and hole.after and hole.before
    }


def _gaps(stream: Stream) -> list[Hole]:
    return [hole for hole in stream.holes if hole.kind == "gap"]


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _kernel_capacity(stream: Stream) -> int | None:
    """What the kernel said, or where its first lines were never read, the default of Talos' kernel."""
    head = b"".join(_first(stream.lines(), 400))
    return (ring.capacity(head) or ring.DEFAULT_BYTES) if head else None


def _first(lines: Iterable[bytes], count: int) -> list[bytes]:
    return [line for line, _unused in zip(lines, range(count), strict=False)]
