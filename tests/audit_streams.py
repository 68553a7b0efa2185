# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Synthetic complete streams of one boot, and the healthy node around them."""

from __future__ import annotations

import random
from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.coverage import CoverageInput
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.summary import Summary
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.boots import Look

BOOT = 1_795_000_000
CMDLINE = "console=ttyS0 selinux=1 printk.devkmsg=on talos.platform=metal"
HEAD = b"kern:    info: [2026-11-18T11:06:40.0Z]: Linux version 6.18.1-talos (gcc) #1 SMP\n"


def stamp(serial: int, start: int = BOOT) -> bytes:
    """A time for a serial: four milliseconds apart."""
    millis = (start + 5) * 1000 + serial * 4
    return b"%d.%03d" % (millis // 1000, millis % 1000)


def key(serial: int, start: int = BOOT) -> bytes:
    return b"(%s:%d)" % (stamp(serial, start), serial)


def avc(
    serial: int,
    *,
    source: str = "pod_t",
    target: str = "run_t",
    perms: str = "write",
    tclass: str = "dir",
    comm: str = "sh",
    name: str = "file",
    level: str = "s0",
    when: bytes | None = None,
    permissive: str = "1",
) -> bytes:
    return (
        b"type=AVC msg=audit"
        + (when or key(serial))
        + b": avc:  denied  { "
        + perms.encode()
        + b' } for  pid=77 comm="'
        + comm.encode()
        + b'" name="'
        + name.encode()
        + b'" dev="vda" ino=12 scontext=system_u:system_r:'
        + source.encode()
        + b":"
        + level.encode()
        + b" tcontext=system_u:object_r:"
        + target.encode()
        + b":s0 tclass="
        + tclass.encode()
        + b" permissive="
        + permissive.encode()
        + b"\n"
    )


def event(serial: int, draw: random.Random | None = None, records: int = 1) -> list[bytes]:
    """The lines of one AVC event as the kernel writes them without audit rules."""
    draw = draw or random.Random(serial)
    lines = [
        avc(serial, source=draw.choice(["pod_t", "kubelet_t", "etcd_t"]), target=draw.choice(["run_t", "ephemeral_t"]))
        for _unused in range(records)
    ]
    head = b" msg=audit" + key(serial) + b": "
    lines.append(
        b"type=SYSCALL" + head + b"arch=c000003e syscall=257 success=yes exit=5 ppid=1 pid=77 auid=4294967295 uid=0"
        b' comm="sh" exe="/bin/sh" subj=system_u:system_r:pod_t:s0 key=(null)\n'
    )
    if draw.random() < 0.3:
        lines.append(b"type=CWD" + head + b'cwd="/"\n')
        lines.append(b"type=PATH" + head + b'item=0 name="/var/run/x" inode=5 dev=fd:00 mode=0100644\n')
    lines.append(b"type=PROCTITLE" + head + b"proctitle=2F62696E2F7368002D63\n")
    lines.append(b"type=EOE" + head + b"\n")
    return lines


def config_change(serial: int, text: bytes) -> bytes:
    return (
        b"type=CONFIG_CHANGE msg=audit"
        + key(serial)
        + b": op=set "
        + text
        + b" auid=4294967295 ses=4294967295 subj=system_u:system_r:init_t:s0 res=1\n"
    )


def user(
    serial: int, text: bytes = b"op=login res=failed", domain: bytes = b"pod_t", type_: bytes = b"USER_LOGIN"
) -> bytes:
    return (
        b"type=" + type_ + b" msg=audit" + key(serial) + b": pid=9 uid=0 auid=4294967295 ses=4294967295"
        b" subj=system_u:system_r:" + domain + b":s0 msg='" + text + b"'\n"
    )


def kernel_ring(last: int = 4) -> bytes:
    """A ring whose head is there, with records 1..last from before auditd."""
    lines = [HEAD, b"kern:  notice: [2026-11-18T11:06:40.0Z]: Kernel command line: " + CMDLINE.encode() + b"\n"]
    lines.append(
        b"kern:  notice: [2026-11-18T11:06:41.1Z]: audit: type=2000 audit"
        + key(1)
        + b": state=initialized audit_enabled=0 res=1\n"
    )
    for serial in range(2, last + 1):
        lines.append(
            b"kern:  notice: [2026-11-18T11:06:42.1Z]: audit: type=1403 audit"
            + key(serial)
            + b": auid=4294967295 ses=4294967295 lsm=selinux res=1\n"
        )
    lines.append(b"user: warning: [2026-11-18T11:06:42.2Z]: [talos] selinux: policy loaded\n")
    return b"".join(lines)


def service_events(first: int = 5, count: int = 30, seed: int = 1, users: bool = False) -> list[list[bytes]]:
    """Events as auditd logs them: its own settings, then denials, some with several AVC records."""
    draw = random.Random(seed)
    events = [
        [config_change(first, b"audit_rate_limit=4096 old=0")],
        [config_change(first + 1, b"audit_backlog_limit=8192 old=64")],
        [config_change(first + 2, b"audit_pid=141 old=0")],
    ]
    for serial in range(first + 3, first + count):
        if users and draw.random() < 0.15:
            events.append([user(serial)])
        else:
            events.append(event(serial, draw, draw.choice([1, 1, 1, 2, 3])))
    return events


def service_log(first: int = 5, count: int = 30, seed: int = 1) -> bytes:
    return b"".join(line for one in service_events(first, count, seed) for line in one)


def healthy(**changes: Any) -> CoverageInput:
    """Everything known, nothing wrong."""
    given: dict[str, Any] = {
        "service_log": service_log(),
        "kernel_log": kernel_ring(),
        "services": [
            {
                "id": "auditd",
                "state": "Running",
                "events": [
                    {"msg": "Starting service", "state": "Preparing", "ts": BOOT + 5},
                    {"msg": "Started task", "state": "Running", "ts": BOOT + 5},
                    {"msg": "Health check successful", "state": "Running", "ts": BOOT + 6},
                ],
            }
        ],
        "cmdline": CMDLINE,
        "talos_version": "v1.14.1",
        "looks": (Look("a", BOOT), Look("a", BOOT)),
        "now": BOOT + 86_400.0,
        "uptime_seconds": 86_400.0,
        "stage": "running",
        "mode": "metal",
        "selinux_state": "permissive",
        "extensions": [],
        "time_synced": True,
    }
    given.update(changes)
    return CoverageInput(**given)


def told(summary: Summary) -> dict[str, Any]:
    """All that a summary tells, as plain data that can be compared."""
    found = {**vars(summary), "denials": summary.denials}
    del found["groups"]
    return found
