# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who runs a rollout: a process that others can tell from every other one, and tell dead from alive."""

from __future__ import annotations

import dataclasses
import functools
import os
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
    return Owner(socket.gethostname(), pid, this_boot(), _namespace(), _started(_stat(pid) or ["X"]) or "")


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
    if not (pid.isdecimal() and boot and boot == this_boot() and namespace and namespace == _namespace() and start):
        return False
    try:
        fields = _stat(int(pid))
        if fields is None:
            # Where /proc is mounted with hidepid, it shows nobody else's processes; signals still tell.
            os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return fields is not None and _started(fields) != start


@functools.cache
def this_boot() -> str:
    """The id of the boot that this machine is in, which no process outlives; empty where it is not known."""
    return _text(Path("/proc/sys/kernel/random/boot_id"))


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink()).removeprefix("pid:[").removesuffix("]")
    except OSError:
        return ""


def _stat(pid: int) -> list[str] | None:
    """What /proc shows of a process, from its state on; None when it shows none of that number."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold blanks and parentheses.
    return text.rpartition(")")[2].split()


def _started(fields: list[str]) -> str | None:
    """When a process started; None for one that has ended, and whose parent has not noticed yet."""
    return None if fields[0] in ("Z", "X") else fields[19]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
