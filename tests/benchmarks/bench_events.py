# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long the event source keeps its loop from others, what it costs, and how soon it tells.

    python tests/benchmarks/bench_events.py [nodes] [minutes] [poll_seconds]

The fleet's nodes disconnect, reboot and deny at random, and a minute of theirs takes a second. The source runs in a
process of its own, the simulated fleet in this one. Lag: how much later than asked a task of the source's loop is woken
that sleeps for 10 ms; on a busy machine that tells of the machine. Held: the CPU time that the loop's thread used
meanwhile, which tells of the source alone.
"""

from __future__ import annotations

import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from event_hour import MOST, Hour, repeated, unreported
from simulator import Simulator

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "extensions" / "eda" / "plugins" / "event_source" / "denials.py"
#: Of the looks, so many percent were no longer than what is printed.
SHARES = (50, 99, 99.9, 100)
SCRIPT = """
import asyncio, json, resource, runpy, signal, sys, time
main = runpy.run_path(sys.argv[1])["main"]
lags, held = [], []

class Queue:
    def __init__(self, path):
        self.file = open(path, "a")

    async def put(self, event):
        print(json.dumps({"at": time.time(), **event["talos"]}), file=self.file, flush=True)

async def tick():
    while True:
        before, used = time.monotonic(), time.thread_time()
        await asyncio.sleep(0.01)
        lags.append(time.monotonic() - before - 0.01)
        held.append(time.thread_time() - used)

async def work():
    ticking = asyncio.create_task(tick())
    source = asyncio.create_task(main(Queue(sys.argv[3]), json.loads(sys.argv[2])))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, source.cancel)
    try:
        await source
    except asyncio.CancelledError:
        pass
    ticking.cancel()

asyncio.run(work())
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"lags": lags, "held": held, "cpu": used.ru_utime + used.ru_stime, "rss_mib": used.ru_maxrss / 1024}))
"""


def _told(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> None:
    """Measure once and print what came out."""
    given = [float(argument) for argument in sys.argv[1:]]
    nodes, minutes, poll = [*given, *(100, 60, 2.0)[len(given) :]]
    scenario = {
        "name": "events",
        "uptime": "96h",
        "time_scale": 60,
        "nodes": {"cp-1": {"role": "controlplane"}, "worker-%d": {"count": int(nodes) - 1}},
    }
    with tempfile.TemporaryDirectory() as scratch, Simulator(scenario, Path(scratch) / "fleet") as sim:
        told, state = Path(scratch) / "told.jsonl", Path(scratch) / "state"
        arguments = {
            "state": str(state),
            "talosconfig": str(sim.directory / "talosconfig"),
            "nodes": [node.address for node in sim.nodes.values()],
            "poll_seconds": poll,
            "most_per_signature": MOST,
        }
        command = [sys.executable, "-c", SCRIPT, str(SOURCE), json.dumps(arguments), str(told)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as source:
            while len(list(state.glob("*.json"))) < nodes:
                time.sleep(0.1)
            hour, denied = Hour(sim, random.Random(1)), {}
            for _minute in range(int(minutes)):
                hour.step()
                time.sleep(1)
            hour.end()
            # Alone, so that what is told of it is told of nothing else.
            while unreported(hour.boots, _told(told)):
                time.sleep(0.5)
            for name, node in sim.nodes.items():
                denied[node.uuid.lower()] = time.time()
                sim.add_denial(name, "nfs")
            waiting = time.time() + 10 * poll + 60
            latencies: dict[str, float] = {}
            while len(latencies) < nodes and time.time() < waiting:
                for event in _told(told):
                    if event["at"] > denied.get(event["uuid"], waiting) and event["type"] == "denial":
                        latencies.setdefault(event["uuid"], event["at"] - denied[event["uuid"]])
                time.sleep(0.2)
            source.send_signal(signal.SIGTERM)
            assert source.stdout is not None
            result = json.loads(source.stdout.read())
        visits = sum(1 for call in sim.calls if call.method.endswith("/Version"))
        events = _told(told)
    print(
        f"{int(nodes)} nodes, {int(minutes)} minutes, a visit every {poll:g} s: {visits} visits, {len(events)} events,"
    )
    print(f"{hour.disconnects} disconnects, {hour.reboots} reboots")
    print(f"not reported: {len(unreported(hour.boots, events))}   told twice: {len(repeated(events))}")
    for name in ("lags", "held"):
        found = sorted(result[name])
        places = {share: min(int(len(found) * share / 100), len(found) - 1) for share in SHARES}
        shown = ", ".join(f"{share:g} %: {found[place] * 1e3:.1f}" for share, place in places.items())
        print(f"{name} ms of {len(found)} looks: {shown}")
    print(
        f"CPU s {result['cpu']:.1f}, ms for each visit {result['cpu'] / visits * 1e3:.1f}; MiB {result['rss_mib']:.0f}"
    )
    told_after = sorted(latencies.values())
    print(
        f"told after s: median {statistics.median(told_after):.2f}, most {told_after[-1]:.2f} ({len(told_after)} nodes)"
    )


if __name__ == "__main__":
    main()
