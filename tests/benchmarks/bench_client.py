# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a fleet read costs the control host: CPU milliseconds per node, directly and through endpoints.

Usage: ``python tests/benchmarks/bench_client.py [nodes]`` (default 100); prints one JSON object.

The simulator runs in a process of its own, so that only the client's CPU is counted. Seconds differ between machines;
the ratio of the two routes in one run is the figure to compare.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import connect
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Talosconfig
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import TalosError

RESOURCES = ("security_state", "kernel_cmdline", "machine_status")


def serve(count: int, directory: str, pipe: Connection) -> None:
    """Run a simulated fleet until the pipe closes."""
    from simulator import Simulator

    roles = ["controlplane"] * 3 + ["worker"] * (count - 3)
    nodes = {f"node-{number}": {"role": role} for number, role in enumerate(roles, 1)}
    with Simulator({"name": "bench", "talos": "v1.14.1", "nodes": nodes}, Path(directory)) as simulator:
        pipe.send([str(node.address) for node in simulator.nodes.values()])
        try:
            pipe.recv()
        except EOFError:
            return


def measure(addresses: list[str], directory: str, route: Any) -> dict[str, Any]:
    """Read every node once and count."""
    context = Talosconfig.load(str(Path(directory) / "talosconfig")).context("reader")

    async def ask(node: str) -> int:
        async with connect(context, node, route=route) as client:
            for name in RESOURCES:
                await client.get(name)
            await client.list("extension_statuses")
            await client.version()
            return len(await client.logs("auditd"))

    wall, cpu = time.monotonic(), time.process_time()
    answers = fleet.run(fleet.ask_all(addresses, ask))
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    failed = sorted({str(answer.kind) for answer in answers.values() if isinstance(answer, TalosError)})
    return {
        "cpu_ms_per_node": round(1000 * cpu / len(addresses), 2),
        "wall_seconds": round(wall, 2),
        "log_bytes": sum(answer for answer in answers.values() if isinstance(answer, int)),
        "failed": failed,
    }


def main() -> None:
    """Measure both routes against one fleet."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    process = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as directory:
        ours, theirs = process.Pipe()
        server = process.Process(target=serve, args=(count, directory, theirs), daemon=True)
        server.start()
        theirs.close()
        addresses = ours.recv()
        # The first read pays for imports and message classes; it is thrown away.
        measure(addresses[:3], directory, "direct")
        direct, endpoint = (measure(addresses, directory, route) for route in ("direct", "endpoint"))
        ours.close()
        server.terminate()
        server.join()
    report = {
        "nodes": count,
        "direct": direct,
        "endpoint": endpoint,
        "endpoint_to_direct_cpu": round(endpoint["cpu_ms_per_node"] / direct["cpu_ms_per_node"], 2),
        "max_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    json.dump(report, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
