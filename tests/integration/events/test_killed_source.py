# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A source that is killed at any moment loses nothing, and repeats only what it was just handing over."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from integration import playbook
from simulator import Simulator

_SCRIPT = """
import asyncio, json, os, runpy, sys
main = runpy.run_path(sys.argv[1])["main"]
class Queue:
    async def put(self, event):
        # What the rule engine took is on its side, whatever becomes of the source.
        with open(sys.argv[3], "a") as file:
            file.write(json.dumps(event["talos"]) + "\\n")
            file.flush()
            os.fsync(file.fileno())
        await asyncio.sleep(0.002)
asyncio.run(main(Queue(), json.loads(sys.argv[2])))
"""


def taken(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_source_that_is_killed_again_and_again_tells_everything(tmp_path: Path) -> None:
    seed = int(os.environ.get("TEST_SEED", time.time_ns() % 1_000_000))
    print(f"seed {seed}")
    chance = random.Random(seed)
    told = tmp_path / "told.jsonl"
    with Simulator({"name": "kill", "uptime": "96h", "nodes": {"worker-1": {}, "worker-2": {}}}, tmp_path / "f") as sim:
        args = {
            "state": str(tmp_path / "state"),
            "talosconfig": str(sim.directory / "talosconfig"),
            "nodes": [node.address for node in sim.nodes.values()],
            "poll_seconds": 0.05,
            "most_per_signature": 1000,
        }
        source = playbook.ROOT / "extensions" / "eda" / "plugins" / "event_source" / "denials.py"
        command = [sys.executable, "-c", _SCRIPT, str(source), json.dumps(args), str(told)]

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, stderr=subprocess.DEVNULL)

        written = 0
        for _round in range(5):
            running = start()
            before = len(taken(told))
            for name in sim.nodes:
                sim.add_denial(name, "csi_unlabeled")
                written += 7
            while len(taken(told)) == before:
                assert running.poll() is None
                time.sleep(0.02)
            time.sleep(chance.random() * 0.1)
            running.send_signal(signal.SIGKILL)
            running.wait()
        last = start()
        while len({event["id"] for event in taken(told) if event["type"] == "denial"}) < written:
            assert last.poll() is None
            time.sleep(0.05)
        last.kill()
        last.wait()
    events = taken(told)
    denials = [event for event in events if event["type"] == "denial"]
    assert len({event["id"] for event in denials}) == written
    assert [event for event in events if event["type"] == "hole"] == []
    # One visit to each node may have been under way at each kill.
    assert len(denials) - written <= 5 * 2 * 14
