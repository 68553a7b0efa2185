# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the reinstall of a node costs a control host: CPU of the whole process tree of the playbook ``rollout``.

One worker is rolled out by itself, then several workers in one run. What each further node of that run adds is the
cost of a node; the rest of a run's cost is paid once, whatever the number of nodes. Usage: ``python
tests/benchmarks/bench_reinstall.py [nodes]``, by default 6 in the second run.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import bench_fleet

#: The simulated machines' clock runs faster, so that waiting for them takes little; a poll costs what it costs.
TIMES = {
    "rollout_consent": "wipe",
    "rollout_batch": 5,
    "rollout_soak_seconds": 1,
    "rollout_poll_seconds": 1,
}


def main() -> None:
    """Measure both runs and print what a node adds."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    with tempfile.TemporaryDirectory() as scratch, bench_fleet.simulated(count + 4, Path(scratch)) as fleet:

        def rolled_out(first: int, last: int) -> tuple[float, float]:
            hosts = ",".join(f"worker-{number:04d}" for number in range(first, last + 1))
            return bench_fleet.measure("rollout", fleet, Path(scratch), more=TIMES, arguments=("--limit", hosts))

        alone, waited = rolled_out(1, 1)
        print(f"{1:>3} node   {alone:6.1f} CPU s, {waited:6.1f} s of wall clock")
        together, waited = rolled_out(2, count + 1)
        print(f"{count:>3} nodes  {together:6.1f} CPU s, {waited:6.1f} s of wall clock")
        print(f"each node adds {(together - alone) / (count - 1):.2f} CPU s")


if __name__ == "__main__":
    main()
