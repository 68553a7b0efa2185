# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the playbooks status and gate cost a control host, by size of the fleet: CPU of the whole process tree.

The simulated fleet runs in a process of its own and is not counted. Run: ``python tests/benchmarks/bench_fleet.py
[sizes...]``, by default 50, 200 and 1000 nodes.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

TESTS = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
#: Three control planes among the nodes; the control host's work does not depend on how fast the machines are.
SCENARIO = {"name": "fleet", "time_scale": 1000, "uptime": "96h", "talos": "v1.14.1"}


@contextmanager
def simulated(size: int, directory: Path) -> Iterator[Path]:
    """A fleet of ``size`` nodes in a process of its own; gives the directory with its files."""
    nodes = {f"cp-{index}": {"role": "controlplane"} for index in (1, 2, 3)}
    nodes["worker-%04d"] = {"count": size - len(nodes)}
    (directory / "scenario.yml").write_text(yaml.safe_dump({**SCENARIO, "nodes": nodes}))
    command = [sys.executable, "-m", "simulator", str(directory / "scenario.yml"), str(directory / "fleet")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("ready"):
                    break
            yield directory / "fleet"
        finally:
            process.terminate()
            process.communicate()


def measure(
    playbook: str,
    fleet: Path,
    directory: Path,
    *,
    more: Mapping[str, object] | None = None,
    arguments: Sequence[str] = (),
) -> tuple[float, float]:
    """CPU and wall-clock seconds of one run of a playbook; the process tree's CPU is what its children leave behind.

    Args:
        playbook: the collection's playbook to run.
        fleet: the directory of the simulated fleet's files.
        directory: where the run keeps its own.
        more: variables beside those that lead to the fleet.
        arguments: of ``ansible-playbook``.
    """
    connection = json.loads((fleet / "connection.json").read_text())
    variables = {
        "rollout_directory": str(directory / "rollout"),
        "rollout_kubeconfig": str(fleet / "kubeconfig"),
        "rollout_factory_url": connection["factory_url"],
        "rollout_allow_plain_http": True,
        "rollout_version": "v1.14.1",
        **(more or {}),
    }
    (directory / "variables.json").write_text(json.dumps(variables))
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(TESTS / "demo" / "ansible.cfg"),
        "ANSIBLE_HOME": str(directory / ".ansible"),
        "TALOSCONFIG": str(fleet / "talosconfig"),
    }
    command = [str(BIN / "ansible-playbook"), f"talosops.selinux.{playbook}", "-i", str(fleet / "inventory.yml")]
    command += ["-e", f"@{directory / 'variables.json'}", *arguments]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with (directory / f"{playbook}.txt").open("wb") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(
            "\n".join(
                line for line in (directory / f"{playbook}.txt").read_text().splitlines() if " : ok=" not in line
            )[-4000:]
        )
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    """Measure every size given on the command line and print a table."""
    sizes = [int(text) for text in sys.argv[1:]] or [50, 200, 1000]
    print(f"{'nodes':>6}  {'playbook':8}  {'CPU s':>7}  {'ms/node':>8}  {'wall s':>7}")
    for size in sizes:
        with tempfile.TemporaryDirectory() as scratch, simulated(size, Path(scratch)) as fleet:
            for playbook in ("status", "gate"):
                cpu, wall = measure(playbook, fleet, Path(scratch))
                print(f"{size:>6}  {playbook:8}  {cpu:>7.1f}  {cpu / size * 1000:>8.1f}  {wall:>7.1f}", flush=True)


if __name__ == "__main__":
    main()
