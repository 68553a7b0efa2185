# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel ring and auditd ring of one simulated boot.

Everything is generated from the boot's description, so a fault can be switched on or off at run time and the logs
simply become what they would have been. The shape of the records follows logs of a real kernel under the Talos policy.
"""

from __future__ import annotations

import datetime
import gzip
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import versions

BLOCK = 64 * 1024
COMPRESSED_BLOCKS = 15
KERNEL_RING = 256 * 1024

_FACILITIES = ("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv")
_LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
_UNSET = 4294967295


class AuditRing:
    """Text ring of one service: a current block of 64 KiB and up to fifteen finished blocks, lost one by one.

    A ``lossless`` ring keeps everything: a replayed file is what somebody has already read out of a ring.
    """

    def __init__(self, *, lossless: bool = False) -> None:
        self._data = bytearray()
        self._lossless = lossless
        self.written = 0

    def write(self, data: bytes) -> None:
        """Append bytes; the oldest whole block goes when a sixteenth would have to be kept."""
        self._data += data
        self.written += len(data)
        first_kept = max(0, self.written // BLOCK - COMPRESSED_BLOCKS) * BLOCK
        surplus = len(self._data) - (self.written - first_kept)
        if surplus > 0 and not self._lossless:
            del self._data[:surplus]

    def read(self) -> bytes:
        """Everything still held; after a wrap it begins at a block border, usually inside a line."""
        return bytes(self._data)

    def since(self, offset: int) -> bytes:
        """Bytes written from absolute position ``offset`` on, as far as they are still held."""
        return bytes(self._data[max(0, len(self._data) - (self.written - offset)) :])


class KernelRing:
    """Kernel log: whole records, the oldest overwritten first, nothing marking the loss."""

    def __init__(self) -> None:
        self._records: list[bytes] = []
        self._size = 0
        self._head = 0
        self.written = 0

    def write(self, record: bytes) -> None:
        """Append one record as the Dmesg call would send it."""
        self._records.append(record)
        self._size += len(record)
        self.written += 1
        while self._size > KERNEL_RING:
            self._size -= len(self._records[self._head])
            self._head += 1
        if self._head > 4096:
            del self._records[: self._head]
            self._head = 0

    def read(self) -> list[bytes]:
        """All records still held, oldest first."""
        return self._records[self._head :]

    def since(self, count: int) -> list[bytes]:
        """Records written after the first ``count`` ones, as far as they are still held."""
        wanted = self.written - count
        return self.read()[-wanted:] if wanted > 0 else []


def format_kernel(facility: int, level: int, moment: float, message: str | bytes) -> bytes:
    """One kernel record in the text form of the Dmesg call: facility, padded level, RFC 3339 time, message."""
    whole = int(moment // 1)
    stamp = datetime.datetime.fromtimestamp(whole, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{int((moment - whole) * 1e6):06d}000".rstrip("0")
    name = _FACILITIES[facility] if facility < len(_FACILITIES) else str(facility)
    head = f"{name}: {_LEVELS[level]:>7}: [{stamp}{'.' + fraction if fraction else ''}Z]: ".encode()
    return head + (message if isinstance(message, bytes) else message.encode()) + b"\n"


def _denial(scontext: str, tcontext: str, tclass: str, perms: str, **more: Any) -> dict[str, Any]:
    return {"scontext": scontext, "tcontext": tcontext, "tclass": tclass, "perms": perms.split(), **more}


# Known families of denials; the values are one inline denial each (the keys that a scenario may also write itself).
TEMPLATES: dict[str, dict[str, Any]] = {
    "csi_unlabeled": _denial(
        "pod_t",
        "unlabeled_t",
        "dir",
        "write",
        comm="csi-driver",
        name="mount",
        dev="sdb",
        exe="/bin/csi-driver",
        count=7,
    ),
    "cilium_run": _denial(
        "pod_t",
        "run_t",
        "sock_file",
        "create",
        comm="cilium-agent",
        name="cilium.sock",
        dev="tmpfs",
        exe="/usr/bin/cilium-agent",
        count=3,
    ),
    "nsenter": _denial(
        "pod_t",
        "init_exec_t",
        "file",
        "execute",
        comm="nsenter",
        path="/usr/sbin/lvm",
        dev="overlay",
        exe="/usr/bin/nsenter",
        count=2,
    ),
    "bpf_prog_run": _denial(
        "pod_t",
        "init_t",
        "bpf",
        "prog_run",
        target_role="system_r",
        comm="cilium-agent",
        exe="/usr/bin/cilium-agent",
        count=4,
    ),
    "relabelto": _denial(
        "pod_t",
        "ephemeral_t",
        "file",
        "relabelto",
        comm="rsync",
        name="data.db",
        dev="sda6",
        exe="/usr/bin/rsync",
        count=5,
    ),
    "nfs": _denial(
        "pod_t", "network_fs_t", "dir", "write", comm="nginx", name="srv", dev="0:71", exe="/usr/sbin/nginx", count=3
    ),
    "hostpath_run": _denial(
        "pod_t", "run_t", "dir", "write", comm="collector", name="state", dev="tmpfs", exe="/collector", count=6
    ),
    "modprobe_boot": _denial(
        "kernel_t",
        "init_exec_t",
        "file",
        "execute",
        comm="modprobe",
        path="/usr/bin/modprobe",
        dev="rootfs",
        exe="/usr/bin/modprobe",
        count=1,
        phase="boot",
    ),
}


def context(text: str, role: str) -> str:
    """Complete a bare type to a full SELinux context."""
    return text if ":" in text else f"system_u:{role}:{text}:s0"


@dataclass
class BootFacts:
    """What the logs of one boot depend on."""

    seed: str
    version: str
    arguments: list[str]
    started: float
    now: float
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


def start_events(moment: float) -> list[ServiceEvent]:
    """The history of a service that started and became healthy."""
    return [
        ServiceEvent("Starting", "Starting service", moment),
        ServiceEvent("Preparing", "Running pre state", moment),
        ServiceEvent("Preparing", "Creating service runner", moment),
        ServiceEvent("Running", "Service started as goroutine", moment),
        ServiceEvent("Running", "Health check successful", moment + 0.1),
    ]


class _Writer:
    """Builds the two rings of a boot along its time line."""

    def __init__(self, facts: BootFacts) -> None:
        self.facts = facts
        self.random = random.Random(facts.seed)
        self.kernel = KernelRing()
        self.auditd: AuditRing | None = None
        self.serial = 0
        self.pid = 40
        self.audit_on = not versions.audit_off(facts.arguments)
        self.listening = False
        self.selinux = versions.selinux_state(facts.arguments, facts.version, facts.mode)
        # A boot of a few seconds must not contain records of its own future.
        self.pace = min(1.0, max(0.05, (facts.now - facts.started) / 12.0))

    def printk(self, offset: float, message: str, level: int = 6, facility: int = 0) -> None:
        self.kernel.write(format_kernel(facility, level, self.facts.started + offset * self.pace, message))

    def talos(self, offset: float, message: str) -> None:
        self.printk(offset, f"[talos] {message}", level=4, facility=1)

    def emit(self, offset: float, records: list[tuple[str, int, str]], serial: int | None = None) -> None:
        """Write the records of one event to wherever audit records go at this moment."""
        if not self.audit_on:
            return
        if serial is None:
            self.serial += 1
            serial = self.serial
        moment = self.facts.started + offset * self.pace
        stamp = f"audit({int(moment)}.{int(moment * 1000) % 1000:03d}:{serial})"
        for name, number, payload in records:
            if self.listening and self.auditd is not None:
                self.auditd.write(f"type={name} msg={stamp}: {payload}\n".encode())
            elif name not in ("SYSCALL", "PROCTITLE", "EOE"):
                # Without a daemon auditing is off, so the kernel attaches no system call to a denial.
                self.printk(offset, f"audit: type={number} {stamp}: {payload}", level=5)

    def syscall(
        self, comm: str, exe: str, subject: str, number: int = 257, exit_code: int = 5
    ) -> list[tuple[str, int, str]]:
        ok = "yes" if exit_code >= 0 else "no"
        proctitle = exe.encode().hex().upper()
        text = (
            f"arch=c000003e syscall={number} success={ok} exit={exit_code} a0=ffffff9c "
            f"a1=c000{self.random.randrange(1 << 24):06x} a2=80000 a3=0 items=0 ppid={max(1, self.pid - 9)} "
            f"pid={self.pid} auid={_UNSET} uid=0 gid=0 euid=0 suid=0 fsuid=0 "
            f'egid=0 sgid=0 fsgid=0 tty=(none) ses={_UNSET} comm="{comm[:15]}" exe="{exe}" subj={subject} key=(null)'
        )
        return [("SYSCALL", 1300, text), ("PROCTITLE", 1327, f"proctitle={proctitle}"), ("EOE", 1320, "")]

    def benign(self, offset: float) -> None:
        """A program load as container runtimes cause it: a record that is neither a denial nor a setting."""
        if not self.listening:
            return
        self.pid += self.random.randrange(1, 40)
        subject = "system_u:system_r:pod_containerd_t:s0"
        head = [("BPF", 1334, f"prog-id={self.serial % 900 + 1} op=LOAD")]
        self.emit(offset, head + self.syscall("runc", "/usr/bin/runc", subject, number=321, exit_code=7))

    def promiscuous(self, offset: float) -> None:
        """What a bridge plug-in causes for each pod: bulk without any denial."""
        if not self.listening:
            return
        self.pid += 1
        payload = (
            f"dev=veth{self.random.randrange(1 << 32):08x} prom=256 old_prom=0 auid={_UNSET} uid=0 gid=0 ses={_UNSET}"
        )
        subject = "system_u:system_r:pod_containerd_t:s0"
        syscall = self.syscall("bridge", "/opt/cni/bin/bridge", subject, number=44, exit_code=40)
        self.emit(offset, [("ANOM_PROMISCUOUS", 1700, payload), *syscall])

    def denial(self, offset: float, denial: Mapping[str, Any], permissive: int) -> None:
        if "record" in denial:
            self.emit(offset, [(str(denial["record"]), int(denial["number"]), str(denial["text"]))])
            return
        self.pid += self.random.randrange(1, 40)
        subject = context(denial["scontext"], "system_r")
        role = denial.get("target_role") or ("system_r" if denial["tclass"] in ("process", "bpf", "fd") else "object_r")
        target = context(denial["tcontext"], role)
        comm = str(denial.get("comm", "app"))[:15]
        parts = [f"pid={denial.get('pid', self.pid)}", f'comm="{comm}"']
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


def expand(denials: list[Any]) -> list[dict[str, Any]]:
    """Turn template names and inline mappings into complete denials."""
    result = []
    for entry in denials:
        if isinstance(entry, str):
            entry = {"template": entry}
        base = dict(TEMPLATES[entry["template"]]) if "template" in entry else {}
        base.update(entry)
        result.append(base)
    return result


def _early(out: _Writer) -> None:
    facts = out.facts
    line = " ".join(facts.arguments)
    series = "6.18.9" if versions.at_least(facts.version, "1.12") else "6.12.36"
    out.printk(
        0, f"Linux version {series}-talos (root@buildkitsandbox) (gcc (GCC) 15.2.0, GNU ld 2.45) #1 SMP", level=5
    )
    out.printk(0, f"Command line: {line}")
    out.printk(0, "BIOS-provided physical RAM map:")
    out.printk(0, "BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable")
    out.printk(0, f"Kernel command line: {line}", level=5)
    modules = "lockdown,capability,yama,selinux,safesetid,bpf,landlock"
    out.printk(0.02, f"LSM: initializing lsm={modules}")
    out.printk(0.03, "SELinux:  Initializing.")
    if out.audit_on:
        out.printk(0.4, "audit: initializing netlink subsys (disabled)")
        out.serial = 1
        moment = facts.started + 0.41 * out.pace
        stamp = f"audit({int(moment)}.{int(moment * 1000) % 1000:03d}:1)"
        out.printk(0.41, f"audit: type=2000 {stamp}: state=initialized audit_enabled=0 res=1", level=5)
    else:
        out.printk(0.4, "audit: disabled (until reboot)")
    out.printk(0.9, "ACPI: PCI Root Bridge [PCI0] (domain 0000 [bus 00-ff])\n SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A08:00")
    out.printk(1.5, "Run /init as init process")
    if not versions.at_least(facts.version, "1.9") or facts.mode == "container":
        return
    if out.selinux == "disabled":
        out.talos(2.0, "selinux: disabled, not loading policy")
        return
    if out.selinux == "enforcing":
        out.talos(2.0, "selinux: running in enforcing mode, policy will be applied as soon as it's loaded")
    out.talos(2.0, "selinux: loading policy")
    for text in facts.kernel_lines:
        out.printk(2.05, text)
    out.printk(2.1, "SELinux:  policy capability network_peer_controls=1")
    out.printk(2.1, "SELinux:  policy capability open_perms=1")
    out.emit(2.2, [("MAC_POLICY_LOAD", 1403, f"auid={_UNSET} ses={_UNSET} lsm=selinux res=1")])
    out.talos(2.2, "selinux: policy loaded")


def generate(facts: BootFacts) -> Logs:
    """Generate the rings and the auditd service history of one boot up to ``facts.now``."""
    out = _Writer(facts)
    faults = facts.faults
    permissive = 0 if out.selinux == "enforcing" else 1
    denials = expand(facts.enforcing_denials if out.selinux == "enforcing" else facts.denials)
    if out.selinux == "disabled":
        denials = []
    _early(out)
    for denial in denials:
        if denial.get("phase") == "boot":
            for index in range(int(denial.get("count", 1))):
                out.denial(2.5 + index * 0.01, denial, permissive)
    if faults.get("lost_records") == "printk" and out.audit_on:
        # The shared limiter drops records that have their serials already, and counts them nowhere else.
        out.serial += 12
        out.printk(2.9, "kauditd_printk_skb: 12 callbacks suppressed", level=5)
    out.talos(3.0, "initialize sequence: 12 phase(s)")
    if facts.mode == "container":
        return Logs(out.kernel, None)
    disabled = versions.values(facts.arguments, "talos.auditd.disabled")[:1]
    if disabled and disabled[0].lower() in ("1", "t", "true"):
        out.talos(3.2, "auditd is disabled by kernel parameter talos.auditd.disabled")
        events: list[ServiceEvent] = []
    else:
        out.talos(3.2, "service[auditd](Starting): Starting service")
        out.talos(3.2, "service[auditd](Running): Service started as goroutine")
        out.auditd = AuditRing()
        events = start_events(facts.started + 3.2)
        if not out.audit_on:
            error = "failed to get audit status: protocol not supported"
            events = events[:4]
            if versions.auditd_survives_errors(facts.version):
                text = f'Error running Goroutine("auditd"), going to restart forever: {error}'
                events.append(ServiceEvent("Waiting", text, facts.started + 3.3))
            else:
                events.append(ServiceEvent("Failed", f"Failed to run service: {error}", facts.started + 3.3))
            out.talos(3.3, f"service[auditd]({events[-1].state}): {events[-1].message}")
    _run_phase(out, denials, permissive, events)
    if facts.audit_log is not None:
        out.auditd = AuditRing(lossless=True)
        out.auditd.write(read_text(facts.audit_log))
    if facts.dmesg is not None:
        out.kernel = replay_kernel(read_text(facts.dmesg), facts.started)
    if faults.get("lost_records") not in (None, "printk") and facts.dmesg is not None:
        _loss_lines(out, max(30.0, (facts.now - facts.started) / 2), str(faults["lost_records"]))
    return Logs(out.kernel, out.auditd, events, out.serial, out.listening)


def append(logs: Logs, facts: BootFacts, denial: Any) -> None:
    """Write one more denial, at ``facts.now``, behind what the rings hold: what was read before stays true."""
    out = _Writer(facts)
    if out.selinux == "disabled":
        return
    out.kernel, out.auditd, out.serial, out.listening = logs.kernel, logs.auditd, logs.serial, logs.listening
    (whole,) = expand([denial])
    for index in range(int(whole.get("count", 1))):
        offset = (facts.now - facts.started) / out.pace + index * 0.001
        out.denial(offset, whole, 0 if out.selinux == "enforcing" else 1)
    logs.serial = out.serial


def _loss_lines(out: _Writer, offset: float, kind: str) -> None:
    if kind == "backlog":
        out.printk(offset, "audit: audit_backlog=8193 > audit_backlog_limit=8192", level=3)
        out.printk(offset, "audit: audit_lost=391 audit_rate_limit=4096 audit_backlog_limit=8192", level=4)
        out.printk(offset, "audit: backlog limit exceeded", level=3)
    elif kind == "netlink":
        out.printk(offset, "audit: kauditd hold queue overflow", level=3)
    else:
        out.printk(offset, "audit: audit_lost=1734 audit_rate_limit=4096 audit_backlog_limit=8192", level=4)
        out.printk(offset, "audit: rate limit exceeded", level=3)


def _run_phase(out: _Writer, denials: list[dict[str, Any]], permissive: int, events: list[ServiceEvent]) -> None:
    facts, faults = out.facts, out.facts.faults
    uptime = max(10.0, facts.now - facts.started)
    dead_at = 60.0 if "auditd_dead" in faults else None
    if out.auditd is not None and out.audit_on:
        _register(out, 3.3, rate=0, backlog=64)
    for offset, text in ((4.0, "service[apid](Running): Started task apid"), (9.0, "boot sequence: done: 6.1s")):
        if offset < uptime:
            out.talos(offset, text)
    # Every event of the run, ordered by time: (offset, what).
    plan: list[tuple[float, int, dict[str, Any] | str]] = []
    span = max(0.5, uptime - 5.0)
    for index in range(24):
        plan.append((4.0 + span * (index + 1) / 26, 0, "benign"))
    for denial in denials:
        if denial.get("phase") == "boot":
            continue
        count = int(denial.get("count", 1))
        for index in range(count):
            at = float(denial["after"]) if "after" in denial else 5.0 + span * (index + 1) / (count + 1)
            plan.append((min(at, uptime - 0.5), 1, denial))
    if faults.get("wrapped_ring") == "kernel":
        for index in range(4000):
            out.printk(20.0 + index * 0.001, f"cni0: port {index % 200}(veth{index:08x}) entered forwarding state")
    elif "wrapped_ring" in faults:
        size = faults["wrapped_ring"]
        amount = int(size) if isinstance(size, int) and not isinstance(size, bool) else 2400
        template = expand([size])[0] if isinstance(size, str) and size in TEMPLATES else None
        for index in range(amount):
            plan.append((4.5 + span * 0.8 * index / amount, 2, template or "promiscuous"))
    if faults.get("lost_records") not in (None, "printk"):
        plan.append((4.0 + span / 2, 3, "loss"))
    plan.sort(key=lambda entry: (entry[0], entry[1]))
    dead = False
    for offset, _rank, what in plan:
        if dead_at is not None and not dead and offset >= min(dead_at, span / 3):
            dead = _die(out, offset, events, faults["auditd_dead"])
        if what == "benign":
            out.benign(offset)
        elif what == "promiscuous":
            out.promiscuous(offset)
        elif what == "loss":
            _lose(out, offset, str(faults["lost_records"]))
        elif isinstance(what, dict):
            out.denial(offset, what, permissive)
    if "torn_log" in faults and out.auditd is not None:
        out.auditd.write(b"type=BPF msg=audit(17")


def _register(out: _Writer, offset: float, *, rate: int, backlog: int) -> None:
    """auditd takes over: the first setting is recorded before it has registered, so it reaches the kernel log only."""
    subject = "subj=system_u:system_r:init_t:s0" if out.selinux != "disabled" else "subj=kernel"

    def change(text: str) -> None:
        payload = f"op=set {text} auid={_UNSET} ses={_UNSET} {subject} res=1"
        out.emit(offset, [("CONFIG_CHANGE", 1305, payload)])

    change(f"audit_rate_limit=4096 old={rate}")
    out.listening = True
    change(f"audit_backlog_limit=8192 old={backlog}")
    change("audit_pid=1 old=0")


def _lose(out: _Writer, offset: float, kind: str) -> None:
    _loss_lines(out, offset, kind)
    if kind == "backlog":
        return
    out.serial += 137
    if kind == "netlink" and out.auditd is not None and versions.auditd_survives_errors(out.facts.version):
        out.auditd.write(b"audit backlog limit reached, some audit events may have been lost\n")


def _die(out: _Writer, offset: float, events: list[ServiceEvent], value: Any) -> bool:
    """End auditd at ``offset``: for the rest of the boot, or (newer versions) until it has been restarted."""
    if out.auditd is None or not out.audit_on:
        return True
    moment = out.facts.started + offset
    out.listening = False
    error = "failed to receive audit event: no buffer space available"
    if versions.auditd_survives_errors(out.facts.version) and value != "failed":
        text = f'Error running Goroutine("auditd"), going to restart forever: {error}'
        events.append(ServiceEvent("Waiting", text, moment))
        permissive = 0 if out.selinux == "enforcing" else 1
        if out.selinux != "disabled" and out.facts.faults["auditd_dead"] == "denials":
            out.denial(offset + 1, TEMPLATES["hostpath_run"], permissive)
        _register(out, offset + 5, rate=4096, backlog=8192)
        events.append(ServiceEvent("Running", "Service started as goroutine", moment + 5))
        events.append(ServiceEvent("Running", "Health check successful", moment + 5.1))
        return True
    events.append(ServiceEvent("Failed", f"Failed to run service: {error}", moment))
    out.talos(offset, f"service[auditd](Failed): Failed to run service: {error}")
    return True


def read_text(path: Path) -> bytes:
    """Read a log file, compressed or not."""
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


_PRINTK = re.compile(rb"^<(\d+)>\[\s*(\d+\.\d+)\] ?(.*)$", re.DOTALL)
_BOOT_RECORD = re.compile(rb"\[\s*(\d+\.\d+)\][^\n]*audit: type=2000 audit\((\d+\.\d+):")


def replay_kernel(data: bytes, started: float) -> KernelRing:
    """Make a ring from a kernel log: raw ``<prio>[seconds] text`` lines, or lines already in the Talos form."""
    ring = KernelRing()
    for line in data.split(b"\n"):
        match = _PRINTK.match(line)
        if match is not None:
            priority = int(match[1])
            ring.write(format_kernel(priority >> 3, priority & 7, started + float(match[2]), match[3]))
        elif line:
            ring.write(line + b"\n")
    return ring


def boot_time_of(data: bytes) -> float | None:
    """The time of boot that a raw kernel log implies: the clock of its first audit record minus that line's offset."""
    match = _BOOT_RECORD.search(data)
    return float(match[2]) - float(match[1]) if match else None
