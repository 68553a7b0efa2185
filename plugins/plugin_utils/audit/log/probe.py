# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records that an enforcement probe itself caused: which ones can be, and how exactly these are not counted.

A record is known again by its every byte, its time and its serial number included, and is left out once. So nothing
that is logged later, and nothing that only looks alike, can hide behind a probe: at worst a probe is counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .avc import Avc, parse_avc
from .contexts import context_type
from .denials import Group, key_of
from .summary import Summary
from .values import decode, fields

_LINE = re.compile(rb"type=AVC msg=audit\(([0-9]{1,10}\.[0-9]{3}):([0-9]{1,12})\): ([\x20-\x7e]{1,4096})")
#: So many processes a program starts while it tests itself, at most; their numbers follow its own.
_CHILDREN = 8


@dataclass(frozen=True)
class Kind:
    """One kind of record that an attempt causes when it is refused.

    Attributes:
        attempt: the attempt's id.
        children: whether a process that the program started may cause it as well.
        most: so many of them one attempt can cause.
    """

    attempt: str
    comm: bytes
    target: bytes
    tclass: bytes
    permissions: tuple[bytes, ...]
    most: int = 1
    children: bool = False


#: Types and classes: Talos' policy (services/machined.cil, common/files.cil). strace tests on a child, and on itself
#: from one, whether it may trace at all; Talos refuses that too (internal/integration/api/selinux.go).
KINDS = (
    Kind("pid1", b"strace", b"init_t", b"process", (b"ptrace",)),
    Kind("pid1", b"strace", b"pod_t", b"process", (b"ptrace",), most=2, children=True),
    Kind("machined", b"socat", b"machine_socket_t", b"sock_file", (b"write",)),
    Kind("state", b"dd", b"system_state_t", b"file", (b"read",)),
)
SOURCE = b"pod_t"
#: No probe causes more.
MOST = sum(kind.most for kind in KINDS)


@dataclass(frozen=True)
class Caused:
    """A record that can be a probe's.

    Attributes:
        line: as auditd wrote it, without the line break.
        time: seconds since 1970, by the node's clock.
        pid: the process, by the number it has on the node.
    """

    line: bytes
    serial: int
    time: float
    pid: int
    kind: Kind


def caused(line: bytes) -> Caused | None:
    """Read a line of auditd's log; None unless it is a plain record of one of the :data:`KINDS`, enforced."""
    match = _LINE.fullmatch(line)
    avc = parse_avc(match[3]) if match is not None else None
    if match is None or avc is None or avc.verdict != b"denied" or not _is_plain(avc):
        return None
    found = fields(avc.middle)
    pid, comm = found.get(b"pid", b""), decode(found.get(b"comm"))
    for kind in KINDS:
        if (comm, context_type(avc.tail.target), avc.tail.tclass, avc.permissions) == (
            kind.comm,
            kind.target,
            kind.tclass,
            kind.permissions,
        ) and re.fullmatch(rb"[0-9]{1,10}", pid):
            return Caused(line, int(match[2]), float(match[1]), int(pid), kind)
    return None


def may_hold(group: Group) -> bool:
    """Whether records of this signature can be a probe's."""
    signature = (group.target, group.tclass, group.permissions)
    return group.source == SOURCE and any((one.target, one.tclass, one.permissions) == signature for one in KINDS)


def attributed(log: bytes, pids: Mapping[str, int], begin: float, end: float) -> list[Caused]:
    """The records of a log that the attempts of one probe caused.

    Args:
        log: auditd's log.
        pids: the process of each attempt, by the number it has on the node.
        begin, end: when the probe's container ran, by the node's clock.

    Where more records fit than the attempt can have caused, somebody else's are among them, and none is attributed.
    """
    fitting: dict[Kind, dict[bytes, Caused]] = {}
    for line in log.split(b"\n"):
        record = caused(line) if line.startswith(b"type=AVC ") else None
        if record is None or not begin <= record.time < end:
            continue
        pid = pids.get(record.kind.attempt)
        if pid is not None and 0 <= record.pid - pid <= (_CHILDREN if record.kind.children else 0):
            fitting.setdefault(record.kind, {})[line] = record
    return [record for kind, records in fitting.items() if len(records) <= kind.most for record in records.values()]


class Watch:
    """Chunks of a log on their way to the scanner, and which of the given lines stood in them, whole."""

    def __init__(self, chunks: Iterable[bytes], lines: Sequence[bytes]) -> None:
        self._chunks = chunks
        self._lines = [b"\n" + line + b"\n" for line in lines]
        self.present: set[bytes] = set()

    def __iter__(self) -> Iterator[bytes]:
        if not self._lines:
            yield from self._chunks
            return
        # A line may be cut between two chunks; what follows a line break is the beginning of one.
        longest = max(map(len, self._lines))
        before = b"\n"
        for chunk in self._chunks:
            text = before + chunk
            self.present.update(line[1:-1] for line in self._lines if line in text)
            before = text[-longest:]
            yield chunk


def leave_out(summary: Summary, lines: Iterable[bytes]) -> None:
    """Take records out of what was counted, each once, before the denials are decoded.

    Args:
        lines: records that stood in the log, whole. One that is doubtful stays: a process may have written it.
    """
    groups = {group.key: group for group in summary.groups}
    for line in set(lines) - summary.doubt_lines:
        record = caused(line)
        avc = parse_avc(line.partition(b"): ")[2])
        group = groups.get(key_of(avc, False)) if record is not None and avc is not None else None
        if group is None or avc is None or group.count < 1 or group.enforced < 1:
            continue
        group.take(line, avc.tail)
        summary.counts["denied"] -= 1
        summary.counts["probe"] += 1
    summary.groups = [group for group in summary.groups if group.count]


def _is_plain(avc: Avc) -> bool:
    tail = avc.tail
    extra = tail.torn or tail.stray_quote or tail.srawcon is not None or tail.trawcon is not None
    return not extra and tail.permissive is False and context_type(tail.source) == SOURCE
