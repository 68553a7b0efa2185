# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CPU of a compliance run and of the inventory, for fleets of growing size; the simulator's own is not counted.

    python tests/benchmarks/bench_compliance.py [nodes ...]

Prints for each size: seconds of CPU of the whole playbook process tree, and of ansible-inventory from a warm cache.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
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


def measure(count: int) -> tuple[float, float]:
    """CPU seconds of the compliance playbook and of the inventory from the cache, for a fleet of ``count`` nodes."""
    nodes = {"cp-%d": {"role": "controlplane", "count": 3}, "worker-%d": {"count": count - 3}}
    with (
        tempfile.TemporaryDirectory() as scratch,
        Simulator({"name": "bench", "uptime": "96h", "nodes": nodes}, Path(scratch) / "fleet") as sim,
    ):
        directory = Path(scratch)
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(playbook.ROOT / ".collections"),
            "ANSIBLE_HOME": str(directory / ".ansible"),
            "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(directory / "cache"),
            "TALOSCONFIG": str(sim.directory / "talosconfig"),
        }
        run = _cpu(
            [
                str(playbook.BIN / "ansible-playbook"),
                "talosops.selinux.compliance",
                "-i",
                str(sim.directory / "inventory.yml"),
                "-e",
                f"rollout_directory={directory / 'kept'}",
                "-e",
                "compliance_fail_on=never",
            ],
            directory,
            environment,
        )
        source = directory / "fleet.talos.yml"
        source.write_text(yaml.safe_dump({"plugin": "talosops.selinux.talos", "cache": True}))
        listing = [str(playbook.BIN / "ansible-inventory"), "-i", str(source), "--list"]
        _cpu(listing, directory, environment)
        return run, _cpu(listing, directory, environment)


def main() -> None:
    """Print one line for each size."""
    sizes = [int(argument) for argument in sys.argv[1:]] or [50, 200, 1000]
    print(f"{'nodes':>6} {'compliance':>12} {'inventory, warm':>16}   CPU s")
    for size in sizes:
        run, listed = measure(size)
        print(f"{size:>6} {run:>12.1f} {listed:>16.1f}")


if __name__ == "__main__":
    main()
