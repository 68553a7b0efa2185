# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The judge of the simulator: a real talosctl talks to it, and every answer is compared with what is true.

Run it as ``python -m simulator.interop /path/to/talosctl`` with ``tests`` on the Python path. One line per
command: matching, or what was expected and what came. The exit status is 1 when anything does not match.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import resources
from .interop_judge import Answer, Judge, fails, has_lines, has_rows, has_spec, lists, succeeds
from .simulator import Simulator

VERSION = "v1.14.1"
OLD = "v1.10.4"
SCENARIO: dict[str, Any] = {
    "name": "interop",
    "cluster": {"name": "interop"},
    "talos": VERSION,
    "time_scale": 120,
    "nodes": {
        "cp-1": {"role": "controlplane", "zone": "a"},
        "cp-2": {"role": "controlplane", "zone": "b"},
        "cp-3": {"role": "controlplane", "zone": "c"},
        "worker-1": {"role": "worker", "zone": "a", "extensions": ["siderolabs/iscsi-tools"]},
        "worker-2": {"role": "worker", "zone": "b"},
        "worker-3": {"role": "worker", "zone": "c"},
        "new-1": {"role": "worker", "zone": "c", "state": "maintenance"},
    },
}
OLD_SCENARIO: dict[str, Any] = {
    "name": "interop-old",
    "talos": OLD,
    "nodes": {"cp-1": {"role": "controlplane"}, "worker-1": {"role": "worker"}},
}


def judge_resources(judge: Judge, name: str) -> None:
    """``get`` of every resource type the simulator serves in this node's version."""
    node = judge.simulator.nodes[name]
    for kind in sorted(resources.TYPES):
        served = resources.find(node, kind)
        if served is None:
            judge.expect(name, "get", kind, "-o", "json", then=fails("is not registered"))
            continue
        names = {str(one) for one in served.produce(node)}
        judge.expect(
            name, "get", kind, "-o", "json", then=lists(served.type, served.namespace, names, judge.address(name))
        )
        if served.sensitive:
            denied = judge.run(name, "get", kind, "-o", "json", context="reader")
            judge.judge(denied, fails("PermissionDenied"))


def judge_reading(judge: Judge) -> None:
    """Everything that only reads."""
    control_planes, worker = ("cp-1", "cp-2", "cp-3"), judge.address("worker-1")
    judge.expect("worker-1", "version", then=succeeds(f"Tag:         {VERSION}", f"NODE:        {worker}", "RBAC"))
    judge.expect("worker-1", "version", via="cp-2", then=succeeds(f"NODE:        {worker}"))
    both = succeeds(f"NODE:        {worker}", f"NODE:        {judge.address('cp-3')}")
    judge.expect("worker-1,cp-3", "version", via="cp-1", then=both)
    judge.expect("cp-1", "version", via="worker-1", then=fails("PermissionDenied", "no request forwarding"))
    permissive = has_spec(secureBoot=False, selinuxState="enabled, permissive", bootedWithUKI=True)
    judge.expect("worker-1", "get", "securitystate", "-o", "json", then=permissive)
    judge.expect("worker-1", "get", "securitystate", "-o", "json", via="cp-3", then=permissive)
    judge.expect("worker-1", "get", "securitystate", "-o", "json", context="reader", then=permissive)
    judge.expect(
        "worker-1", "get", "securitystate", "securitystate", "-o", "yaml", then=succeeds("selinuxState: enabled")
    )
    judge.expect("worker-1", "get", "securitystate", then=has_rows(1, "NAMESPACE", "TYPE", "ID", "VERSION"))
    judge.expect("worker-1", "get", "securitystate", "nothere", then=fails("NotFound"))
    judge.expect("worker-1", "get", "nosuchresource", then=fails('resource "nosuchresource" is not registered'))
    judge.expect("worker-1", "get", "extensions", "-o", "json", then=succeeds("iscsi-tools", "schematic"))
    judge.expect("worker-1", "get", "rd", then=succeeds("securitystates.talos.dev"))
    judge.expect("worker-1", "logs", "auditd", then=succeeds("type=", "audit("))
    judge.expect("worker-1", "logs", "auditd", "--tail", "3", then=has_lines(3))
    judge.expect("worker-1", "logs", "nosuchservice", then=fails("nosuchservice"))
    judge.expect("worker-1", "dmesg", then=succeeds("selinux: policy loaded", "Linux version"))
    judge.expect("worker-1", "service", then=succeeds("auditd", "Running", "OK", "HEALTH", "LAST EVENT"))
    judge.expect("worker-1", "service", "auditd", then=succeeds("ID", "auditd", "STATE", "Running", "EVENTS"))
    judge.expect("worker-1", "services", "nosuchservice", then=fails("not registered"))
    judge.expect("worker-1", "processes", then=succeeds("init_t", "LABEL", "apid"))
    judge.expect("worker-1", "mounts", then=succeeds("/var", "FILESYSTEM"))
    judge.expect("worker-1", "memory", then=succeeds("TOTAL"))
    judge.expect("worker-1", "read", "/proc/cmdline", then=succeeds("talos.platform=metal", "selinux=1"))
    judge.expect(
        "worker-1", "read", "/proc/sys/kernel/random/boot_id", then=succeeds(judge.simulator.nodes["worker-1"].boot_id)
    )
    judge.expect("worker-1", "read", "/nosuchfile", then=fails("no such file"))
    judge.expect("worker-1", "list", "/var/log", then=succeeds("auditd.log"))
    # Of a single node talosctl prints the names alone, without a head.
    judge.expect("worker-1", "list", "/", then=succeeds("proc", "system", "usr", "var"))
    judge.expect("worker-1", "list", "-l", "/", then=succeeds("NODE", "MODE", "UID", "LABEL", "NAME"))
    config = judge.simulator.directory / "interop-same.yaml"
    config.write_text(judge.simulator.nodes["worker-1"].default_config(), encoding="utf-8")
    judge.expect("worker-1", "apply-config", "--dry-run", "-f", str(config), then=succeeds("Dry run summary"))
    judge.expect("worker-1", "time", then=succeeds("NTP-SERVER", "NODE-TIME"))
    for name in control_planes:
        columns = ("ID", "HOSTNAME", "PEER URLS", "CLIENT URLS", "LEARNER", *control_planes)
        judge.expect(name, "etcd", "members", then=has_rows(3, *columns))
        judge.expect(name, "etcd", "status", then=has_rows(1, "MEMBER", "LEADER", "RAFT TERM", "ERRORS"))
        judge.expect(name, "etcd", "alarm", "list", then=succeeds())
    judge.expect("worker-1", "etcd", "members", then=fails("Unimplemented"))
    snapshot = judge.simulator.directory / "etcd.snapshot"
    # The bytes come, but they are no database: talosctl looks into it and says so.
    judge.expect("cp-1", "etcd", "snapshot", str(snapshot), then=fails("invalid database"))
    judge.expect("cp-1", "etcd", "members", context="reader", then=has_rows(3, "LEARNER"))
    judge.expect("cp-1", "etcd", "snapshot", str(snapshot), context="reader", then=fails("PermissionDenied"))
    members = ",".join(judge.address(name) for name in control_planes)
    workers = ",".join(judge.address(f"worker-{index}") for index in (1, 2, 3))
    server_side = ("health", "--wait-timeout", "20s", "--control-plane-nodes", members, "--worker-nodes", workers)
    judge.expect("cp-1", *server_side, then=succeeds("OK"))


def judge_permissions(judge: Judge) -> None:
    """What a certificate's role must not do, and what an expired one must not reach."""
    labels = "META,STATE,EPHEMERAL"
    reset = ("reset", "--system-labels-to-wipe", labels, "--reboot", "--wait=false")
    before = len(judge.simulator.writes())
    for context in ("reader", "operator"):
        judge.expect("worker-1", *reset, context=context, then=fails("PermissionDenied", "not authorized"))
    for context in ("reader", "operator"):
        judge.expect("worker-1", "read", "/proc/cmdline", context=context, then=fails("PermissionDenied"))
    judge.expect("worker-1", "reboot", "--wait=false", context="reader", then=fails("PermissionDenied"))
    # With TLS 1.3 a client may write before it reads the alert, so the words differ from run to run.
    judge.expect("worker-1", "version", context="expired", then=fails("Unavailable"))
    running = judge.simulator.nodes["worker-1"].state
    refused = [call for call in judge.simulator.writes()[before:] if str(call.code).upper() in ("0", "OK", "STATUS.OK")]
    line = "(no refused command changed anything)"
    complaint = (
        None if running == "running" and not refused else f"worker-1 is {running}, {len(refused)} accepted writes"
    )
    judge.judge(Answer(line, 0, "", ""), lambda _unused: complaint)


def judge_life_cycle(judge: Judge) -> None:
    """Reset, maintenance, apply, install, and the proof of enforcing after it."""
    simulator = judge.simulator
    judge.expect("worker-1", "reset", "--system-labels-to-wipe", "BOOT", "--wait=false", then=fails("BOOT"))
    judge.expect("worker-1", "reset", "--user-disks-to-wipe", "/dev/nosuch", "--wait=false", then=fails("/dev/nosuch"))
    old = simulator.nodes["worker-2"].boot_id
    waiting = ("reset", "--system-labels-to-wipe", "EPHEMERAL", "--reboot", "--wait", "--timeout", "80s")
    judge.expect("worker-2", *waiting, then=succeeds("post check passed"))
    new = simulator.nodes["worker-2"].boot_id
    judge.judge(
        Answer("(worker-2 booted again)", 0, "", ""), lambda _unused: None if new != old else "same boot id as before"
    )

    labels = "META,STATE,EPHEMERAL"
    reset = ("reset", "--system-labels-to-wipe", labels, "--reboot", "--graceful", "--wait=false")
    judge.expect("worker-1", *reset, then=succeeds())
    arrived = _reaches(simulator, "worker-1", "maintenance")
    judge.judge(Answer("(worker-1 reaches maintenance mode)", 0, "", ""), lambda _unused: arrived)
    for name in ("worker-1", "new-1"):
        judge.expect(name, "get", "machinestatus", "--insecure", "-o", "json", then=has_spec(stage="maintenance"))
        judge.expect(name, "get", "securitystate", "--insecure", "-o", "json", then=succeeds("selinuxState"))
        judge.expect(name, "get", "disks", "--insecure", then=succeeds("TRANSPORT"))
        judge.expect(name, "version", "--insecure", then=succeeds("Tag:", VERSION))
        judge.expect(name, "get", "machineconfig", "--insecure", then=fails("PermissionDenied"))
        judge.expect(name, "version", then=fails("x509"))
        install(judge, name)


def judge_control_plane(judge: Judge) -> None:
    """One control plane leaves etcd with a graceful reset and joins again."""
    simulator = judge.simulator
    judge.expect("cp-1", "etcd", "remove-member", "1234567890abcdef", then=fails("not found"))
    for name in ("cp-1", "cp-2", "cp-3"):
        judge.expect(name, "etcd", "forfeit-leadership", then=succeeds())
    labels = "META,STATE,EPHEMERAL"
    reset = ("reset", "--system-labels-to-wipe", labels, "--reboot", "--graceful", "--wait=false")
    judge.expect("cp-3", *reset, via="cp-1", then=succeeds())
    arrived = _reaches(simulator, "cp-3", "maintenance")
    judge.judge(Answer("(cp-3 reaches maintenance mode)", 0, "", ""), lambda _unused: arrived)
    judge.expect("cp-1", "etcd", "members", then=has_rows(2, "cp-1", "cp-2"))
    judge.expect("cp-3", "version", via="cp-1", then=fails("Unavailable"))
    install(judge, "cp-3")
    judge.expect("cp-1", "etcd", "members", then=has_rows(3, "cp-3"))
    judge.expect("cp-3", "etcd", "status", then=has_rows(1, "MEMBER", "LEADER"))


def install(judge: Judge, name: str) -> None:
    """Apply a configuration with an enforcing installer image and wait for the result."""
    simulator = judge.simulator
    schematic = simulator.fleet.factory.put("customization: {extraKernelArgs: [enforcing=1]}")
    installer = f"{simulator.fleet.factory.host}/metal-installer/{schematic}:{VERSION}"
    config = re.sub(r"\S+/metal-installer/\S+", installer, simulator.nodes[name].default_config())
    path = simulator.directory / f"interop-{name}.yaml"
    path.write_text(config, encoding="utf-8")
    broken = simulator.directory / "interop-broken.yaml"
    broken.write_text("machine: [this is no configuration\n", encoding="utf-8")
    judge.expect(name, "apply-config", "--insecure", "-f", str(broken), then=fails())
    fingerprint = ("--cert-fingerprint", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    judge.expect(name, "apply-config", "--insecure", "-f", str(path), *fingerprint, then=fails("fingerprint"))
    judge.expect(name, "apply-config", "--insecure", "-f", str(path), "--dry-run", then=succeeds())
    judge.expect(name, "apply-config", "--insecure", "-f", str(path), then=succeeds())
    complaint = _reaches(simulator, name, "running")
    judge.judge(Answer(f"({name} installs and runs)", 0, "", ""), lambda _unused: complaint)
    judge.expect(name, "version", then=succeeds(f"Tag:         {VERSION}"))
    enforcing = has_spec(selinuxState="enabled, enforcing")
    judge.expect(name, "get", "securitystate", "-o", "json", via="cp-1", then=enforcing)
    judge.expect(name, "get", "cmdline", "-o", "json", then=succeeds("enforcing=1"))
    judge.expect(name, "get", "extensions", "-o", "json", then=succeeds(schematic))


def judge_old_release(judge: Judge) -> None:
    """A release that lacks what later ones have."""
    judge.expect("worker-1", "version", then=succeeds(OLD))
    judge.expect("worker-1", "get", "kernelcmdline", then=fails("is not registered"))
    judge.expect("worker-1", "get", "bootid", then=fails("is not registered"))
    permissive = has_spec(selinuxState="enabled, permissive", moduleSignatureEnforced=None)
    judge.expect("worker-1", "get", "securitystate", "-o", "json", then=permissive)


def _reaches(simulator: Simulator, name: str, state: str) -> str | None:
    try:
        simulator.wait_for(name, state, ready=True if state == "running" else None, timeout=60)
    except TimeoutError:
        return f"expected {name} to be in {state}, it is in {simulator.nodes[name].state}"
    return None


def judges(talosctl: Path, directory: Path) -> Iterator[Judge]:
    """Run everything; yields each judge when its simulator is done."""
    with Simulator(SCENARIO, directory / "current") as simulator:
        judge = Judge(talosctl, simulator)
        judge_reading(judge)
        judge_resources(judge, "cp-1")
        judge_resources(judge, "worker-1")
        judge_permissions(judge)
        judge_life_cycle(judge)
        judge_control_plane(judge)
    yield judge
    with Simulator(OLD_SCENARIO, directory / "old") as simulator:
        judge = Judge(talosctl, simulator)
        judge_old_release(judge)
        judge_resources(judge, "worker-1")
    yield judge


def main(arguments: list[str]) -> int:
    """Judge the simulator with the talosctl named on the command line; the exit status."""
    if not arguments or not arguments[0]:
        print(
            "SKIPPED: the interoperability test was NOT run, because no talosctl was given.\n"
            "SKIPPED: give it one with: make interop TALOSCTL=/path/to/talosctl"
        )
        return 0
    talosctl = Path(arguments[0]).resolve()
    if not os.access(talosctl, os.X_OK):
        print(f"{arguments[0]} is no program that can be run", file=sys.stderr)
        return 2
    matching, mismatches = 0, []
    with tempfile.TemporaryDirectory(prefix="interop-") as directory:
        for judge in judges(talosctl, Path(directory)):
            matching += judge.matching
            mismatches += judge.mismatches
    print(f"\n{matching} matching, {len(mismatches)} not matching")
    return 1 if mismatches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
