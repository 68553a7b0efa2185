# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether two looks at a node found the same boot: ``compare(earlier, later)``.

BootID (Talos 1.14) decides where both looks have it, unless what the kernel counted contradicts it. Before 1.14 the
boot time is all that names a boot, and it moves with every step of the node's clock (seen on real Talos: 4,379 s within
one boot), so a step is told from a reboot by what a step does not move: the ``audit(SECONDS.MILLIS:SERIAL)`` stamps
that the kernel wrote, and the counters of SystemStat. Two answers need a positive sign. Without one the answer is
UNKNOWN, which is neither "it rebooted" nor "it did not".

Who uses it: the audit store (the key of a boot), evidence and coverage (one boot while the node was read), the gate
(the boot a verdict is bound to), the reinstall (waiting for a reboot).
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .answers import SystemStat
from .client import NodeClient
from .errors import NotFound, Unsupported

Answer = Literal["same", "another", "unknown"]
SAME: Answer = "same"
ANOTHER: Answer = "another"
UNKNOWN: Answer = "unknown"

BOOT_TIME_TOLERANCE = 2
"""Seconds by which two readings of the boot time of one boot differ while nobody sets the clock."""

MARKS = 16
"""So many of the kernel's audit stamps are remembered of a look."""

# The facility ``kern`` is the kernel's own: what a process writes to /dev/kmsg gets another one.
_KERNEL_AUDIT = re.compile(
    rb"kern: +[a-z]+: \[[^\]]{1,64}\]: audit: type=\d{1,5} audit\((\d{1,12}\.\d{3}):(\d{1,12})\)"
)


@dataclass(frozen=True)
class Look:
    """What one look at a node says about its boot; None where it does not say.

    ``boot_time`` is in seconds since 1970 by the node's clock. ``cpu_seconds`` is the CPU time of one processor since
    boot, idle time included, and with ``processes`` (created since boot) and ``context_switches`` independent of any
    clock. ``marks`` are audit events of the kernel ring, serial to ``"SECONDS.MILLIS"``. ``at`` is when the node was
    asked, in seconds since 1970 by the control host's clock.
    """

    boot_id: str | None = None
    boot_time: int | None = None
    cpu_seconds: float | None = None
    processes: int | None = None
    context_switches: int | None = None
    marks: Mapping[int, str] = field(default_factory=dict)
    at: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The look as plain data, for evidence and for the store; :meth:`of` reads it back."""
        return {
            "boot_id": self.boot_id,
            "boot_time": self.boot_time,
            "cpu_seconds": self.cpu_seconds,
            "processes": self.processes,
            "context_switches": self.context_switches,
            "marks": {str(serial): stamp for serial, stamp in self.marks.items()},
            "at": self.at,
        }

    @classmethod
    def of(cls, data: Any) -> Look:
        """A look from :meth:`as_dict`'s plain data; what is missing or of another form is not known."""
        if not isinstance(data, Mapping):
            return cls()
        marks = data.get("marks")
        return cls(
            boot_id=identifier(data.get("boot_id")),
            boot_time=_whole(data.get("boot_time")),
            cpu_seconds=_number(data.get("cpu_seconds")),
            processes=_whole(data.get("processes")),
            context_switches=_whole(data.get("context_switches")),
            marks={
                int(serial): stamp
                for serial, stamp in (marks.items() if isinstance(marks, Mapping) else ())
                if str(serial).isdecimal() and isinstance(stamp, str)
            },
            at=_number(data.get("at")),
        )


def of_evidence(boot: Mapping[str, Any]) -> Look:
    """The look behind the ``boot`` of an evidence document: ``{id, time, uptime_seconds, look}``."""
    seen_then = boot.get("look")
    return Look.of({**(seen_then if isinstance(seen_then, Mapping) else {}), "boot_id": boot.get("id")})


async def look(client: NodeClient, *, clock: Callable[[], float] = time.time) -> Look:
    """Ask a node which boot it is in, without its logs.

    Raises:
        TalosError: the node did not answer. A release without BootID is an answer.
    """
    try:
        boot_id = (await client.get("boot_id")).spec
    except (NotFound, Unsupported):
        boot_id = None
    stat = await client.system_stat()
    return seen(boot_id.get("bootID") if isinstance(boot_id, Mapping) else None, stat, clock())


def seen(boot_id: Any, stat: SystemStat | None, at: float, kernel: Iterable[bytes] = ()) -> Look:
    """A look made of answers: the BootID resource's id, SystemStat, and the records of the kernel ring."""
    return Look(
        boot_id=identifier(boot_id),
        boot_time=stat.boot_time if stat else None,
        cpu_seconds=stat.cpu_seconds if stat else None,
        processes=stat.processes if stat else None,
        context_switches=stat.context_switches if stat else None,
        marks=marks_of(kernel),
        at=at,
    )


def marks_of(records: Iterable[bytes]) -> dict[int, str]:
    """The first audit stamps of a kernel ring, serial to ``"SECONDS.MILLIS"``; only the kernel's own records count.

    Args:
        records: as ``NodeClient.dmesg`` gives them, one item a record.
    """
    found: dict[int, str] = {}
    for record in records:
        match = _KERNEL_AUDIT.match(record)
        if match is not None:
            found.setdefault(int(match[2]), match[1].decode("ascii"))
            if len(found) >= MARKS:
                break
    return found


def compare(earlier: Look, later: Look) -> Answer:
    """Whether two looks at one machine, in this order, were at one boot.

    SAME and ANOTHER each rest on a positive sign: equal or different boot ids; an audit event with one serial and the
    same time, or two times; counters that went on as long as the control host's clock, or that fell. A boot time that
    stayed counts where counters did not fall, since a machine without a battery-backed clock starts each boot at the
    same moment. Whatever contradicts itself is UNKNOWN.
    """
    shared = earlier.marks.keys() & later.marks.keys()
    kept = {serial for serial in shared if earlier.marks[serial] == later.marks[serial]}
    if earlier.boot_id is not None and later.boot_id is not None:
        if earlier.boot_id != later.boot_id:
            return ANOTHER
        # Firmware and hypervisors that bring a machine back from a snapshot bring its boot id back too.
        return SAME if kept == shared and not _counted_less(earlier, later) else UNKNOWN
    fell = _fell(earlier, later)
    if kept:
        return SAME if kept == shared and not fell else UNKNOWN
    if shared or fell:
        return ANOTHER
    went_on = _went_on(earlier, later)
    if went_on is not None:
        return SAME if went_on else UNKNOWN
    return SAME if _counted(earlier, later) and _stayed(earlier, later) else UNKNOWN


def uptime(look: Look, now: float) -> int | None:
    """For how many seconds the node is up; None when it does not say.

    Args:
        now: the moment of the look, in seconds since 1970 by the control host's clock.

    Where the clocks claim clearly more than the CPU time that was counted meanwhile, a clock is wrong and that counts.
    """
    if look.boot_time is None:
        return None
    by_clocks = now - look.boot_time
    if look.cpu_seconds is not None and look.cpu_seconds < by_clocks * 0.9 - 60:
        return int(look.cpu_seconds)
    return int(by_clocks)


def _fell(earlier: Look, later: Look) -> bool:
    """Whether something that only grows within a boot is lower than before."""
    if _counted_less(earlier, later):
        return True
    before, after = earlier.cpu_seconds, later.cpu_seconds
    # The kernel's idle time may step back by a little when processors go off and on.
    return before is not None and after is not None and after < before - max(5.0, before * 0.01)


def _counted_less(earlier: Look, later: Look) -> bool:
    counters = ((earlier.processes, later.processes), (earlier.context_switches, later.context_switches))
    return any(one is not None and other is not None and other < one for one, other in counters)


def _went_on(earlier: Look, later: Look) -> bool | None:
    """Whether the CPU time grew as the control host's clock did; False where it grew by less, None where unclear.

    Had the node rebooted in between, the CPU time would have grown by less than the time between the looks, by what
    the earlier look had seen at least; so that has to be more than the tolerance.
    """
    before, after = earlier.cpu_seconds, later.cpu_seconds
    if before is None or after is None or earlier.at is None or later.at is None or later.at < earlier.at:
        return None
    elapsed = later.at - earlier.at
    tolerance = 10.0 + 0.05 * elapsed
    if after - before < elapsed - tolerance:
        return False
    return True if before > tolerance and after - before <= elapsed + tolerance else None


def _counted(earlier: Look, later: Look) -> bool:
    pairs = (
        (earlier.processes, later.processes),
        (earlier.context_switches, later.context_switches),
        (earlier.cpu_seconds, later.cpu_seconds),
    )
    return any(one is not None and other is not None for one, other in pairs)


def _stayed(earlier: Look, later: Look) -> bool:
    one, other = earlier.boot_time, later.boot_time
    return one is not None and other is not None and abs(one - other) <= BOOT_TIME_TOLERANCE


def identifier(value: Any) -> str | None:
    """A boot id; None for what identifies nothing: no text, and zeros, which stand for an id that was never made."""
    return value if isinstance(value, str) and value.strip(" 0-") else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
