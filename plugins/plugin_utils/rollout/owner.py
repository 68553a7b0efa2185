# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who runs a rollout: a process that others can tell from every other one, and tell dead from alive."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

_PARTS = 5


@dataclasses.dataclass(frozen=True)
class Owner:
    """A process. Host names repeat and process numbers are given again; the boot, namespace and start time do not.

    As text: ``host:pid:boot:namespace:start``; what is not known is empty.
    """

    host: str
    pid: int
    boot: str
    namespace: str
    start: str

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.boot}:{self.namespace}:{self.start}"


def of_process(pid: int) -> Owner:
    """The owner that stands for a process of this host.

    Source: proc(5): ``sys/kernel/random/boot_id``, ``PID/ns/pid``, field 22 of ``PID/stat`` (start time in clock ticks
    since boot).
    """
    return Owner(socket.gethostname(), pid, _boot(), _namespace(), _start(pid) or "")


def shown(owner: str) -> str:
    """An owner as people name it: host and process."""
    host, *rest = owner.rsplit(":", _PARTS - 1)
    return f"process {rest[0]} of {host}" if len(rest) == _PARTS - 1 else owner


def is_gone(owner: str | None) -> bool:
    """Whether the process that wrote as this owner has surely ended.

    Only the same boot and process namespace can tell; everything else counts as running, and its lock ends by time.
    """
    parts = (owner or "").rsplit(":", _PARTS - 1)
    if len(parts) != _PARTS:
        return False
    _host, pid, boot, namespace, start = parts
    if not (pid.isdecimal() and boot and boot == _boot() and namespace and namespace == _namespace() and start):
        return False
    try:
        return _start(int(pid)) != start
    except OSError:
        return False


def _boot() -> str:
    return _text(Path("/proc/sys/kernel/random/boot_id"))


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink()).removeprefix("pid:[").removesuffix("]")
    except OSError:
        return ""


def _start(pid: int) -> str | None:
    """When a process started; None when there is none of that number."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold blanks and parentheses. A zombie has ended too.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
