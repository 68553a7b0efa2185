# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing the records of one simulated boot: where each goes at that moment of the boot, and in which form."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import versions
from .denials import context
from .rings import AuditRing, KernelRecord, KernelRing

UNSET = 4294967295
#: Records that the kernel keeps for auditd until auditd sets its own limit.
BACKLOG = 64


@dataclass
class BootFacts:
    """What the logs of one boot depend on."""

    seed: str
    version: str
    arguments: list[str]
    #: The moments (see `clock.Clock`) of the boot and of the end of the logs, and the wall clock's time at a moment.
    started: float
    now: float
    wall: Callable[[float], float]
    control_plane: bool = False
    pods_per_hour: float = 0.0
    mode: str = "metal"
    denials: list[Any] = field(default_factory=list)
    enforcing_denials: list[Any] = field(default_factory=list)
    kernel_lines: list[str] = field(default_factory=list)
    faults: Mapping[str, Any] = field(default_factory=dict)
    audit_log: Path | None = None
    dmesg: Path | None = None


@dataclass
class ServiceEvent:
    """One entry of a service's history as ServiceList shows it."""

    state: str
    message: str
    time: float


@dataclass
class Logs:
    """The rings of one boot; ``auditd`` is None when the service never wrote (and so never registered) a log."""

    kernel: KernelRing
    auditd: AuditRing | None
    events: list[ServiceEvent] = field(default_factory=list)
    serial: int = 0
    listening: bool = False
    held: list[bytes] = field(default_factory=list)


def start_events(moment: float) -> list[ServiceEvent]:
    """The history of a service that started and became healthy."""
    return [
        ServiceEvent("Starting", "Starting service", moment),
        ServiceEvent("Preparing", "Running pre state", moment),
        ServiceEvent("Preparing", "Creating service runner", moment),
        ServiceEvent("Running", "Service started as goroutine", moment),
        ServiceEvent("Running", "Health check successful", moment + 0.1),
    ]


class Writer:
    """Builds the two rings of a boot along its time line."""

    def __init__(self, facts: BootFacts) -> None:
        self.facts = facts
        self.random = random.Random(facts.seed)
        self.kernel = KernelRing()
        self.auditd: AuditRing | None = None
        self.serial = 0
        self.held: list[bytes] = []
        self.lost = 0
        self.pid = 40
        self.audit_on = not versions.audit_off(facts.arguments)
        self.early = versions.audit_early(facts.arguments)
        self.listening = False
        self.selinux = versions.selinux_state(facts.arguments, facts.version, facts.mode)
        # A boot of a few seconds must not contain records of its own future.
        self.pace = min(1.0, max(0.05, (facts.now - facts.started) / 12.0))

    def printk(self, offset: float, message: str, level: int = 6, facility: int = 0) -> None:
        """Write one kernel record, ``offset`` seconds after the boot began."""
        self.kernel.write(KernelRecord(facility, level, offset * self.pace, message.encode()))

    def talos(self, offset: float, message: str) -> None:
        """Write what machined logs, which goes through the kernel's log."""
        self.printk(offset, f"[talos] {message}", level=4, facility=1)

    def emit(self, offset: float, records: list[tuple[str, int, str]], serial: int | None = None) -> None:
        """Write the records of one event to wherever audit records go at this moment."""
        if not self.audit_on:
            return
        if serial is None:
            self.serial += 1
            serial = self.serial
        moment = self.facts.wall(self.facts.started + offset * self.pace)
        stamp = f"audit({int(moment)}.{int(moment * 1000) % 1000:03d}:{serial})"
        for name, number, payload in records:
            line = f"type={name} msg={stamp}: {payload}\n".encode()
            if self.listening and self.auditd is not None:
                for kept in self.held:
                    self.auditd.write(kept)
                self.held.clear()
                self.auditd.write(line)
            elif self.early or name not in ("SYSCALL", "PROCTITLE", "EOE"):
                # Without a daemon auditing is off unless the command line says otherwise, and then the kernel attaches
                # no system call to a denial.
                if name != "EOE":
                    self.printk(offset, f"audit: type={number} {stamp}: {payload}", level=5)
                self._hold(offset, line)

    def _hold(self, offset: float, line: bytes) -> None:
        """What was printed is kept for the daemon to come (kernel/audit.c, kauditd_hold_skb)."""
        if not self.early:
            return
        given = versions.values(self.facts.arguments, "audit_backlog_limit")[-1:]
        limit = int(given[0]) if given else BACKLOG
        if len(self.held) < limit:
            self.held.append(line)
            return
        self.lost += 1
        rates = f"audit_rate_limit=0 audit_backlog_limit={limit}"
        self.printk(offset, f"audit: audit_lost={self.lost} {rates}", level=4)
        self.printk(offset, "audit: kauditd hold queue overflow", level=3)

    def syscall(
        self, comm: str, exe: str, subject: str, number: int = 257, exit_code: int = 5, command: str = ""
    ) -> list[tuple[str, int, str]]:
        """The records that the kernel adds to an event when auditing is on."""
        ok = "yes" if exit_code >= 0 else "no"
        # The kernel keeps the first 128 bytes of the command line.
        proctitle = (command or exe).encode()[:128].hex().upper()
        text = (
            f"arch=c000003e syscall={number} success={ok} exit={exit_code} a0=ffffff9c "
            f"a1=c000{self.random.randrange(1 << 24):06x} a2=80000 a3=0 items=0 ppid={max(1, self.pid - 9)} "
            f"pid={self.pid} auid={UNSET} uid=0 gid=0 euid=0 suid=0 fsuid=0 "
            f'egid=0 sgid=0 fsgid=0 tty=(none) ses={UNSET} comm="{comm[:15]}" exe="{exe}" subj={subject} key=(null)'
        )
        return [("SYSCALL", 1300, text), ("PROCTITLE", 1327, f"proctitle={proctitle}"), ("EOE", 1320, "")]

    def denial(self, offset: float, denial: Mapping[str, Any], permissive: int) -> None:
        """Write one denial, or the one record of any type that a scenario wrote out."""
        if "record" in denial:
            self.emit(offset, [(str(denial["record"]), int(denial["number"]), str(denial["text"]))])
            return
        self.pid = int(denial.get("pid", self.pid + self.random.randrange(1, 40)))
        subject = context(denial["scontext"], "system_r")
        role = denial.get("target_role") or ("system_r" if denial["tclass"] in ("process", "bpf", "fd") else "object_r")
        target = context(denial["tcontext"], role)
        comm = str(denial.get("comm", "app"))[:15]
        parts = [f"pid={self.pid}", f'comm="{comm}"']
        for key in ("path", "name"):
            if denial.get(key):
                parts.append(f'{key}="{denial[key]}"')
        if denial.get("dev"):
            parts += [f'dev="{denial["dev"]}"', f"ino={self.random.randrange(10, 900000)}"]
        perms = denial["perms"]
        perms = " ".join([perms] if isinstance(perms, str) else perms)
        payload = (
            f"avc:  denied  {{ {perms} }} for  {' '.join(parts)} scontext={subject} tcontext={target} "
            f"tclass={denial['tclass']} permissive={permissive}"
        )
        exe = str(denial.get("exe", "/app"))
        exit_code = 5 if permissive else -13
        self.emit(offset, [("AVC", 1400, payload), *self.syscall(comm, exe, subject, exit_code=exit_code)])
