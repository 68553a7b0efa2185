# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A compliance run with a reader's certificate, and the inventory, for fleets of growing size.

    python tests/benchmarks/bench_compliance.py [nodes ...]

Prints for each size: seconds of CPU and of wall clock of the playbook with all its processes, the CPU that the
simulated fleet took meanwhile on the same machine, and the CPU of ansible-inventory without and with a cache. That no
node was written to is checked.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from integration import playbook
from simulator import Simulator


def _cpu(command: list[str], directory: Path, environment: dict[str, str]) -> float:
    """CPU seconds of a command and of all processes that it waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with (directory / "output.txt").open("w") as output:
        subprocess.run(command, cwd=directory, stdout=output, stderr=subprocess.STDOUT, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(count: int) -> tuple[float, ...]:
    """CPU, wall clock and simulator CPU of a compliance run of ``count`` nodes; CPU of the inventory, cold and warm."""
    nodes = {"cp-%d": {"role": "controlplane", "count": 3}, "worker-%d": {"count": count - 3}}
    with (
        tempfile.TemporaryDirectory() as scratch,
        Simulator({"name": "bench", "uptime": "96h", "nodes": nodes}, Path(scratch) / "fleet") as sim,
    ):
        directory = Path(scratch)
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(playbook.ROOT / "tests" / "demo" / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(playbook.ROOT / ".collections"),
            "ANSIBLE_HOME": str(directory / ".ansible"),
            "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(directory / "cache"),
            "TALOSCONFIG": str(sim.directory / "talosconfig"),
        }
        command = [str(playbook.BIN / "ansible-playbook"), "talosops.selinux.compliance"]
        command += ["-i", str(sim.directory / "inventory.yml"), "-e", f"rollout_directory={directory / 'kept'}"]
        command += ["-e", "compliance_fail_on=never", "-e", "talos_context=reader"]
        started, ours = time.monotonic(), time.process_time()
        run = _cpu(command, directory, environment)
        wall, simulator = time.monotonic() - started, time.process_time() - ours
        if sim.writes():
            sys.exit(f"{len(sim.writes())} calls that write")
        (report,) = (directory / "kept" / "compliance").glob("*/report.json")
        rows = json.loads(report.read_bytes())["nodes"]
        if len(rows) != count or any(row["evidence"] is None for row in rows):
            sys.exit("not every node was read: the machine is too slow or too busy for this size")
        source = directory / "fleet.talos.yml"
        source.write_text(yaml.safe_dump({"plugin": "talosops.selinux.talos", "cache": True}))
        listing = [str(playbook.BIN / "ansible-inventory"), "-i", str(source), "--list"]
        return run, wall, simulator, _cpu(listing, directory, environment), _cpu(listing, directory, environment)


def main() -> None:
    """Print one line for each size."""
    sizes = [int(argument) for argument in sys.argv[1:]] or [50, 200, 1000]
    print(f"{'nodes':>6} {'compliance':>12} {'wall s':>8} {'simulator':>10} {'inventory':>10} {'cached':>8}   CPU s")
    for size in sizes:
        run, wall, simulator, cold, warm = measure(size)
        print(f"{size:>6} {run:>12.1f} {wall:>8.1f} {simulator:>10.1f} {cold:>10.1f} {warm:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
