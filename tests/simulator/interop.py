# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``python -m simulator.interop TALOSCTL``: does a real talosctl understand the simulator?

Every command is reported as matching or not. Without a talosctl nothing is compared, and that is said loudly.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import resources, versions
from .simulator import Simulator

SCENARIO: dict[str, Any] = {
    "name": "interop",
    "time_scale": 200,
    "nodes": {
        "cp-1": {"role": "controlplane"},
        "cp-2": {"role": "controlplane"},
        "cp-3": {"role": "controlplane"},
        "worker-1": {"denials": ["csi_unlabeled"]},
        "worker-2": {},
    },
}

# Arguments after the connection options, and what the output must contain.
READS: list[tuple[str, str]] = [
    ("version", r"Tag:\s+v1\.14\.1"),
    ("get securitystate", r"enabled, permissive"),
    ("get securitystate -o yaml", r"selinuxState: enabled, permissive"),
    ("logs auditd", r"type=AVC msg=audit\("),
    ("logs auditd --tail 1", r"type="),
    ("dmesg", r"Linux version"),
    ("service", r"auditd\s+Running"),
    ("service auditd", r"Service started as goroutine"),
    ("processes", r"system_u:system_r:|PID"),
    ("list /var/log", r"auditd\.log"),
    ("read /proc/cmdline", r"selinux=1"),
    ("memory", r"TOTAL"),
    ("mounts", r"/var"),
    ("time", r"NTP|LOCAL"),
    ("apply-config --dry-run -f {config}", r"Dry run summary"),
]
CONTROL_PLANE_READS: list[tuple[str, str]] = [
    ("etcd members", r"cp-2.*false"),
    ("etcd status", r"RAFT TERM|LEADER"),
    ("etcd alarm list", r""),
    ("etcd forfeit-leadership", r""),
    ("etcd snapshot {snapshot}", r""),
]


class Comparison:
    """Runs talosctl and keeps score."""

    def __init__(self, talosctl: str, sim: Simulator, directory: Path) -> None:
        self._talosctl, self._sim, self._directory = talosctl, sim, directory
        self.failed: list[str] = []
        self._config = directory / "worker-1.yaml"
        self._config.write_text(sim.nodes["worker-1"].default_config())

    def run(self, arguments: str, pattern: str, node: str, *, endpoint: str = "cp-1", insecure: bool = False) -> None:
        """Run one command; it matches when it succeeds and its output contains the pattern."""
        address = self._sim.nodes[node].address
        given = arguments.format(config=self._config, snapshot=self._directory / "snapshot").split()
        command = [self._talosctl, "--talosconfig", str(self._sim.directory / "talosconfig")]
        if insecure:
            command += ["-n", address, *given, "--insecure"]
        else:
            command += ["-e", self._sim.nodes[endpoint].address, "-n", address, *given]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
            output, code = done.stdout + done.stderr, done.returncode
        except subprocess.TimeoutExpired:
            output, code = "no end within 60 seconds", -1
        matches = code == 0 and re.search(pattern, output) is not None
        print(f"{'matches ' if matches else 'DIFFERS '} {node}: talosctl {' '.join(given)}", flush=True)
        if not matches:
            self.failed.append(arguments)
            print("    " + "\n    ".join(output.strip().splitlines()[-5:]))

    def wait(self, name: str, state: str, **options: Any) -> None:
        """Wait for a stage of a node."""
        try:
            self._sim.wait_for(name, state, **options)
        except TimeoutError:
            print(f"DIFFERS {name}: never {state}", flush=True)
            self.failed.append(f"wait for {state}")


def compare(talosctl: str, say: Callable[[str], None] = print) -> int:
    """Compare all commands. Returns the number of differences."""
    with tempfile.TemporaryDirectory() as temporary, Simulator(SCENARIO, Path(temporary) / "fleet") as sim:
        comparison = Comparison(talosctl, sim, Path(temporary))
        for arguments, pattern in READS:
            comparison.run(arguments, pattern, "worker-1")
        for arguments, pattern in CONTROL_PLANE_READS:
            comparison.run(arguments, pattern, "cp-1")
        for known in resources.TYPES.values():
            if versions.at_least(sim.nodes["cp-1"].version, known.since):
                comparison.run(f"get {known.type} --namespace {known.namespace}", r"", "cp-1")
        comparison.run("health --server=false", r"", "cp-1")
        comparison.run(
            "reset --system-labels-to-wipe STATE --system-labels-to-wipe EPHEMERAL --reboot --wait=false",
            r"",
            "worker-1",
        )
        comparison.wait("worker-1", "maintenance")
        comparison.run("get machinestatus", r"maintenance", "worker-1", insecure=True)
        comparison.run("apply-config -f {config}", r"", "worker-1", insecure=True)
        comparison.wait("worker-1", "running", ready=True)
        comparison.run("reboot --wait=false", r"", "worker-2")
        say(f"{len(comparison.failed)} commands differ")
        return len(comparison.failed)


def main() -> int:
    """Parse the command line and compare."""
    talosctl = sys.argv[1] if len(sys.argv) > 1 else ""
    if not talosctl or shutil.which(talosctl) is None:
        print(
            "SKIPPED: NOT COMPARED WITH A REAL TALOSCTL. Give one: make interop TALOSCTL=/path/to/talosctl",
            file=sys.stderr,
        )
        return 0
    return 1 if compare(talosctl) else 0


if __name__ == "__main__":
    sys.exit(main())
