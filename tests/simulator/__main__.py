# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``python -m simulator SCENARIO DIR``: run a fleet in the foreground until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

from . import scenario as scenarios
from .fleet import Fleet


async def _run(scenario: Path, directory: Path) -> None:
    fleet = Fleet(scenarios.load(scenario), directory)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        await fleet.start()
        print(f"fleet {fleet.scenario.name}: {len(fleet.nodes)} nodes")
        for node in fleet.nodes.values():
            faults = f"  faults: {', '.join(node.faults)}" if node.faults else ""
            print(f"  {node.name:20} {node.address:16} {node.role:13} {node.version:10} {node.state}{faults}")
        for name in ("talosconfig", "kubeconfig", "inventory.yml", "connection.json"):
            print(f"{name}: {directory / name}")
        for name, url in fleet.connection.items():
            print(f"{name}: {url}")
        print("ready; stop with Ctrl-C", flush=True)
        await stop.wait()
    finally:
        await fleet.stop()
        print("stopped", flush=True)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="simulator", description="Run a fleet of simulated Talos nodes.")
    parser.add_argument("scenario", type=Path, help="scenario file (YAML)")
    parser.add_argument(
        "directory", type=Path, help="where talosconfig, kubeconfig, inventory.yml and connection.json go"
    )
    arguments = parser.parse_args()
    asyncio.run(_run(arguments.scenario, arguments.directory))


if __name__ == "__main__":
    main()
