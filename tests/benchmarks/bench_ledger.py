# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a step pays for its ledger, by the number of entries that other nodes left before it.

Each figure is the median CPU time of a new process's part: open the ledger, read the node, write an entry. Run by
``make bench``.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / ".collections")]
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout import index, ledger  # noqa: E402  (found by the line above)
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES  # noqa: E402  (likewise)

ROUNDS = 40
FACTS = {"evidence": "/srv/rollout/worker/20261129T131500Z-0123456789ab/evidence.json", "filler": "x" * 400}


def fill(path: Path, nodes: int) -> None:
    """A ledger of whole reinstalls, 24 entries each, made without an index to be quick."""
    writer = ledger.Ledger(path)

    def nothing(*_unused: object) -> None:
        pass

    with mock.patch.object(index.Index, "save", nothing), mock.patch.object(os, "fsync", nothing):
        for number in range(nodes):
            for step in STEP_NAMES:
                writer.begin(f"worker-{number}", step, machine_type="worker")
                writer.finish(f"worker-{number}", step, "done", **FACTS)
    ledger.Ledger(path).close("nobody", "makes the index")


def cost(path: Path) -> float:
    """Milliseconds of CPU of one step's two entries."""
    spent = []
    for number in range(ROUNDS):
        node = f"new-{number}"
        begun = time.process_time()
        ledger.Ledger(path).node(node)
        ledger.Ledger(path).begin(node, "verify", machine_type="worker")
        ledger.Ledger(path).finish(node, "verify", "done", **FACTS)
        spent.append(time.process_time() - begun)
    return statistics.median(spent) * 1000


def main() -> None:
    """Print the table."""
    print(f"{'entries':>8} {'MiB':>6} {'ms of CPU a step':>17}")
    for nodes in (0, 40, 200, 1042):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "ledger.jsonl"
            fill(path, nodes)
            size = path.stat().st_size / 2**20
            print(f"{nodes * 24 + 1:>8} {size:>6.1f} {cost(path):>17.1f}")


if __name__ == "__main__":
    main()
