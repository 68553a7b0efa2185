# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a log tells besides denials: errors of the module, changes of its settings, and the kernel's own lines."""

from __future__ import annotations

import re
from typing import Any

from .record_types import MAC_ERRORS
from .records import Line, Record
from .summary import Ring
from .values import decode, fields, moment, show

#: Records that are noted.
NOTED = MAC_ERRORS | {b"MAC_STATUS", b"MAC_POLICY_LOAD", b"CONFIG_CHANGE", b"KERNEL"}

_MOST_KEPT = 200
_LOSS = re.compile(
    rb"audit_lost=|audit_backlog=|rate limit exceeded|backlog limit exceeded|callbacks suppressed|queue overflow"
    rb"|out of memory in audit_log_start|audit: no memory"
)
_LOST = re.compile(rb"audit_lost=([0-9]{1,18})")
_SUPPRESSED = re.compile(rb"([0-9]{1,12}) callbacks suppressed")
_UNKNOWN_PERMISSION = re.compile(
    rb"SELinux: +(?:Permission ([a-z0-9_]{1,64}) in )?[Cc]lass ([a-z0-9_]{1,64}) not defined in policy"
)

ErrorKey = tuple[str, str, str, str]


def error_key(type_: bytes, payload: bytes) -> ErrorKey:
    """By what errors of the module are counted: type, operation, source and target."""
    found = fields(payload[:16384])
    return (
        type_.decode(),
        show(found.get(b"op")) or "",
        show(found.get(b"oldcontext", found.get(b"scontext"))) or "",
        show(found.get(b"newcontext", found.get(b"tcontext", decode(found.get(b"invalid_context"))))) or "",
    )


def is_first_load(record: Record) -> bool:
    """Whether a record is the load of the boot's first policy: on a real node the first one after serial 1."""
    return record.type == b"MAC_POLICY_LOAD" and record.serial == 2 and b"lsm=selinux res=1" in record.payload


class Notes:
    """What was noted of one log, in the words of `Summary`."""

    def __init__(self) -> None:
        self.error_lines = 0
        self.errors: dict[ErrorKey, dict[str, Any]] = {}
        self.changes: list[dict[str, Any]] = []
        self.rules = False
        self.ring = Ring()

    def take(self, type_: bytes, stamp: bytes, serial: int, payload: bytes) -> None:
        """Note a record, if it is one of :data:`NOTED`."""
        if type_ in MAC_ERRORS:
            self.error_lines += 1
            self._error(type_, stamp, serial, payload)
            return
        if type_ == b"CONFIG_CHANGE" and b"op=add_rule" in payload:
            self.rules = True
        if type_ in NOTED and len(self.changes) < _MOST_KEPT:
            self.changes.append(
                {
                    "type": type_.decode(),
                    "timestamp": moment(stamp),
                    "serial": serial,
                    "text": show(payload[:512].strip()),
                }
            )

    def _error(self, type_: bytes, stamp: bytes, serial: int, payload: bytes) -> None:
        key = error_key(type_, payload)
        known = self.errors.get(key)
        if known is not None:
            known["count"] += 1
            known["last"] = moment(stamp)
        elif len(self.errors) < _MOST_KEPT:
            self.errors[key] = {
                "type": key[0],
                "op": key[1],
                "source": key[2],
                "target": key[3],
                "count": 1,
                "first": moment(stamp),
                "last": moment(stamp),
                "serial": serial,
                "text": show(payload[:2048].strip()),
            }

    def kernel_line(self, line: Line) -> None:
        """Note a line of the kernel's ring that is no record."""
        ring, text = self.ring, line.text
        if text.startswith(b"Linux version ") and not ring.has_head:
            ring.has_head, ring.head = not ring.first_line_seen, show(text[:200])
        ring.first_line_seen = True
        if text.startswith((b"Command line: ", b"Kernel command line: ")) and ring.cmdline is None:
            ring.cmdline = show(text.partition(b": ")[2][:8192])
        if _LOSS.search(text, 0, 400):
            ring.loss_lines += 1
            if len(ring.losses) < 50:
                ring.losses.append(show(text[:200]) or "")
            lost, quiet = _LOST.search(text, 0, 400), _SUPPRESSED.search(text, 0, 400)
            if lost:
                ring.audit_lost = max(ring.audit_lost, int(lost[1]))
            if quiet:
                ring.suppressed += int(quiet[1])
        if b"SELinux" in text:
            undefined = _UNKNOWN_PERMISSION.search(text, 0, 400)
            if undefined and len(ring.undefined) < 500:
                ring.undefined.append(show(undefined[2] + b":" + undefined[1] if undefined[1] else undefined[2]) or "")
        if b"selinux: " in text:
            ring.policy_loaded = ring.policy_loaded or b"selinux: policy loaded" in text
            ring.selinux_disabled = ring.selinux_disabled or b"selinux: disabled, not loading policy" in text
        if b"auditd" in text and b"disabled" in text:
            ring.auditd_disabled = True
