# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one stream says: counts, denials, numbers, and every reason to doubt it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .denials import Group


@dataclass
class Ring:
    """What the kernel ring says besides records."""

    has_head: bool = False
    first_line_seen: bool = False
    head: str | None = None
    cmdline: str | None = None
    initialized: bool = False
    """The type=2000 record with serial 1 was seen."""
    first_load: bool = False
    """The policy load with serial 2 was seen: before it there is serial 1 alone, and nothing to be denied."""
    losses: list[str] = field(default_factory=list)
    loss_lines: int = 0
    audit_lost: int = 0
    suppressed: int = 0
    auditd_disabled: bool = False
    policy_loaded: bool = False
    selinux_disabled: bool = False
    undefined: list[str] = field(default_factory=list)


@dataclass
class Event:
    """What a log says under one number: its times, and the records that are counted, as auditd writes them."""

    stamps: set[bytes] = field(default_factory=set)
    lines: list[bytes] = field(default_factory=list)


Events = dict[int, Event]
Line = bytes


@dataclass
class Summary:
    """Everything one stream tells; see :func:`scanner.summarize`."""

    counts: dict[str, int]
    groups: list[Group]
    """The denials as they were counted, not yet decoded."""
    doubt_lines: set[bytes]
    mac_errors: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    ignored_types: dict[str, int]
    seen: list[tuple[int, int]]
    """Serials of the last boot in the stream, as ascending closed intervals."""
    first_serial: int | None
    last_serial: int | None
    first: str | None
    last: str | None
    first_ms: int | None
    last_ms: int | None
    missing: int
    boots: int
    orphans: int
    orphan_serials: list[int]
    logins: int
    """Events with no more than the system call that sets a login's user: their record is of a type auditd drops."""
    notices: int
    torn_first: bool
    torn_last: bool
    torn: int
    doubtful: list[dict[str, Any]]
    doubtful_serials: set[int]
    """Numbers that doubtful records give: it is not certain that their events are lost."""
    doubt_reasons: dict[str, int]
    unconfirmed: int
    user_domains: dict[str, int]
    clock_steps: int
    late: int
    rules: bool
    unparsed_examples: list[str]
    bytes: int
    broken: str | None
    """Why the input could not be read to its end (a torn gzip), or None."""
    ring: Ring
    ring_records: int
    service_records: int
    printed: Events
    """What the kernel printed, by number."""
    beside: Events
    """What auditd's log says under the numbers of the kernel ring beside which it was read."""
    contradicted: list[int] = field(default_factory=list)
    """Numbers under which the two say different things."""
    probed: set[Line] = field(default_factory=set)
    """Records of enforcement probes that stand in it and are still counted with the others."""

    @cached_property
    def denials(self) -> list[dict[str, Any]]:
        """The denials as plain data (contract version 1), the most frequent first; decoded when first asked for."""
        found = [group.as_dict(self.doubt_lines) for group in self.groups]
        return sorted(found, key=lambda denial: (-int(denial["count"]), str(denial["signature"])))
