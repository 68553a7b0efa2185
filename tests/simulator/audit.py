# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel ring and auditd ring of one simulated boot.

Everything is generated from the boot's description, so a fault can be switched on or off at run time and the logs
simply become what they would have been. The shape of the records follows logs of a real kernel under the Talos policy.
"""

from __future__ import annotations

from typing import Any

from . import noise, versions
from .audit_writer import UNSET, BootFacts, Logs, ServiceEvent, Writer, start_events
from .denials import TEMPLATES, expand
from .rings import AuditRing, read_text, replay_kernel

# As a real 1.14 node lists them at the policy load.
_CAPABILITIES = (
    ("network_peer_controls", 0),
    ("open_perms", 1),
    ("extended_socket_class", 1),
    ("always_check_network", 0),
    ("cgroup_seclabel", 1),
    ("nnp_nosuid_transition", 1),
    ("genfs_seclabel_symlinks", 1),
    ("ioctl_skip_cloexec", 1),
    ("userspace_initial_context", 1),
    ("netlink_xperm", 0),
    ("netif_wildcard", 0),
    ("genfs_seclabel_wildcard", 0),
    ("functionfs_seclabel", 0),
)


def _undefined(facts: BootFacts) -> list[tuple[str, str]]:
    """What the kernel of 1.14.0 knows and its policy does not: (permission, class). Later policies have them."""
    if not versions.at_least(facts.version, "1.14") or versions.at_least(facts.version, "1.14.1"):
        return []
    files = ("file", "dir", "lnk_file", "chr_file", "blk_file", "sock_file", "fifo_file")
    sockets = ("netlink_route_socket", "netlink_tcpdiag_socket", "netlink_xfrm_socket", "netlink_audit_socket")
    found = [("policy_load", "system"), ("x509_certificate_load", "system")]
    found += [("watch_mountns", name) for name in files] + [("nlmsg", name) for name in sockets]
    return [*found, ("watch_mountns", "anon_inode"), ("allowed", "io_uring")]


def _early(out: Writer) -> None:
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
        out.printk(0.4, f"audit: initializing netlink subsys ({'enabled' if out.early else 'disabled'})")
        out.emit(0.41, [("KERNEL", 2000, f"state=initialized audit_enabled={int(out.early)} res=1")])
    else:
        out.printk(0.4, "audit: disabled (until reboot)")
    out.printk(0.7, "tsc: Marking TSC unstable due to check_tsc_sync_source failed.\nThis may slow things down.", 4)
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
    unknown = [
        f"SELinux:  Permission {name} in class {where} not defined in policy." for name, where in _undefined(facts)
    ]
    for text in [*unknown, *facts.kernel_lines]:
        out.printk(2.05, text)
    if unknown:
        out.printk(2.06, "SELinux: the above unknown classes and permissions will be denied")
    for name, value in _CAPABILITIES:
        out.printk(2.1, f"SELinux:  policy capability {name}={value}")
    out.emit(2.2, [("MAC_POLICY_LOAD", 1403, f"auid={UNSET} ses={UNSET} lsm=selinux res=1")])
    out.talos(2.2, "selinux: policy loaded")


def generate(facts: BootFacts) -> Logs:
    """Generate the rings and the auditd service history of one boot up to ``facts.now``."""
    out = Writer(facts)
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
        events = start_events(facts.wall(facts.started + 3.2))
        if not out.audit_on:
            error = "failed to get audit status: protocol not supported"
            events = events[:4]
            if versions.auditd_survives_errors(facts.version):
                text = f'Error running Goroutine("auditd"), going to restart forever: {error}'
                events.append(ServiceEvent("Waiting", text, facts.wall(facts.started + 3.3)))
            else:
                events.append(
                    ServiceEvent("Failed", f"Failed to run service: {error}", facts.wall(facts.started + 3.3))
                )
            out.talos(3.3, f"service[auditd]({events[-1].state}): {events[-1].message}")
    _run_phase(out, denials, permissive, events)
    if facts.audit_log is not None:
        out.auditd = AuditRing(lossless=True)
        out.auditd.write(read_text(facts.audit_log))
    if facts.dmesg is not None:
        out.kernel = replay_kernel(read_text(facts.dmesg), facts.wall(facts.started))
    if faults.get("lost_records") not in (None, "printk") and facts.dmesg is not None:
        _loss_lines(out, max(30.0, (facts.now - facts.started) / 2), str(faults["lost_records"]))
    return Logs(out.kernel, out.auditd, events, out.serial, out.listening, out.held)


def _resume(logs: Logs, facts: BootFacts) -> Writer:
    """A writer that goes on behind what the rings hold: what was read before stays true."""
    out = Writer(facts)
    out.kernel, out.auditd, out.serial, out.listening = logs.kernel, logs.auditd, logs.serial, logs.listening
    out.held = logs.held
    return out


def append(logs: Logs, facts: BootFacts, denial: Any) -> None:
    """Write one more denial, at ``facts.now``."""
    out = _resume(logs, facts)
    if out.selinux == "disabled":
        return
    (whole,) = expand([denial])
    for index in range(int(whole.get("count", 1))):
        offset = (facts.now - facts.started) / out.pace + index * 0.001
        out.denial(offset, whole, 0 if out.selinux == "enforcing" else 1)
    logs.serial = out.serial


def go_on(logs: Logs, facts: BootFacts, since: float) -> None:
    """Write what a healthy node logged from the moment ``since`` to ``facts.now``."""
    out = _resume(logs, facts)
    out.random.seed(f"{facts.seed} {since}")
    for offset, what, number in noise.between(since - facts.started, facts.now - facts.started, facts.pods_per_hour):
        noise.write(out, offset / out.pace, what, number)
    logs.serial = out.serial


def lose(logs: Logs, facts: BootFacts, kind: str) -> None:
    """Lose records at ``facts.now``."""
    out = _resume(logs, facts)
    _lose(out, (facts.now - facts.started) / out.pace, kind)
    logs.serial = out.serial


def _loss_lines(out: Writer, offset: float, kind: str) -> None:
    if kind == "backlog":
        out.printk(offset, "audit: audit_backlog=8193 > audit_backlog_limit=8192", level=3)
        out.printk(offset, "audit: audit_lost=391 audit_rate_limit=4096 audit_backlog_limit=8192", level=4)
        out.printk(offset, "audit: backlog limit exceeded", level=3)
    elif kind == "netlink":
        out.printk(offset, "audit: kauditd hold queue overflow", level=3)
    else:
        out.printk(offset, "audit: audit_lost=1734 audit_rate_limit=4096 audit_backlog_limit=8192", level=4)
        out.printk(offset, "audit: rate limit exceeded", level=3)


def _run_phase(out: Writer, denials: list[dict[str, Any]], permissive: int, events: list[ServiceEvent]) -> None:
    facts, faults = out.facts, out.facts.faults
    uptime = max(10.0, facts.now - facts.started)
    dead_at = 60.0 if "auditd_dead" in faults else None
    if out.auditd is not None and out.audit_on:
        _register(out, 3.3, rate=0, backlog=64)
    for offset, text in ((4.0, "service[apid](Running): Started task apid"), (9.0, "boot sequence: done: 6.1s")):
        if offset < uptime:
            out.talos(offset, text)
    # Every event of the run, ordered by time: (offset, what).
    plan: list[tuple[float, int, dict[str, Any] | tuple[str, int] | str]] = []
    span = max(0.5, uptime - 5.0)
    _start_containers(out)
    for index in range(12):
        plan.append((9.0 + (span - 5.0) * (index + 1) / 14, 0, "container"))
    for offset, word, number in noise.between(10.0, uptime - 0.5, facts.pods_per_hour):
        plan.append((offset, 0, (word, number)))
    for denial in denials:
        if denial.get("phase") == "boot":
            continue
        count = int(denial.get("count", 1))
        for index in range(count):
            at = float(denial["after"]) if "after" in denial else 5.0 + span * (index + 1) / (count + 1)
            plan.append((min(at, uptime - 0.5), 1, denial))
    if faults.get("wrapped_ring") == "kernel":
        for index in range(6000):
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
        if isinstance(what, tuple):
            noise.write(out, offset, *what)
        elif what == "container":
            noise.container(out, offset)
        elif what == "promiscuous":
            noise.promiscuous(out, offset)
        elif what == "loss":
            _lose(out, offset, str(faults["lost_records"]))
        elif isinstance(what, dict):
            out.denial(offset, what, permissive)
    if "torn_log" in faults and out.auditd is not None:
        out.auditd.write(b"type=BPF msg=audit(17")


def _start_containers(out: Writer) -> None:
    """Talos' own containers, and the pods that every node runs."""
    own = [("apid", True)] + ([("trustd", True), ("etcd", False)] if out.facts.control_plane else [])
    for index, (name, system) in enumerate([*own, ("kubelet", False)]):
        noise.service(out, 4.1 + index * 0.2, name, system=system)
    for index in range(3):
        noise.pod(out, 6.0 + index, index)


def _register(out: Writer, offset: float, *, rate: int, backlog: int) -> None:
    """auditd takes over: how many of its settings still reach the kernel log only, is a race in a real node."""
    subject = "subj=system_u:system_r:init_t:s0" if out.selinux != "disabled" else "subj=kernel"
    early = out.random.randrange(3)
    settings = (f"audit_rate_limit=4096 old={rate}", f"audit_backlog_limit=8192 old={backlog}", "audit_pid=1 old=0")
    for index, text in enumerate(settings):
        out.listening = index >= early
        payload = f"op=set {text} auid={UNSET} ses={UNSET} {subject} res=1"
        out.emit(offset, [("CONFIG_CHANGE", 1305, payload)])


def _lose(out: Writer, offset: float, kind: str) -> None:
    _loss_lines(out, offset, kind)
    if kind == "backlog":
        return
    out.serial += 137
    if kind == "netlink" and out.auditd is not None and versions.auditd_survives_errors(out.facts.version):
        out.auditd.write(b"audit backlog limit reached, some audit events may have been lost\n")


def _die(out: Writer, offset: float, events: list[ServiceEvent], value: Any) -> bool:
    """End auditd at ``offset``: for the rest of the boot, or (newer versions) until it has been restarted."""
    if out.auditd is None or not out.audit_on:
        return True
    moment = out.facts.wall(out.facts.started + offset)
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
