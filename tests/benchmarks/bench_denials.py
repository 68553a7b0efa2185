# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``denials_info`` pays to put the denials of a fleet together, by its nodes and by the kinds of denial on each.

Every node has every kind, with names and paths of its own: the worst that a fleet can be. Printed is the CPU time of
adding up, of the advice and of the table, and what of it falls on one denial of one node; where that stays the same,
the cost is linear. Run by ``make bench``.
"""

from __future__ import annotations

import time
from typing import Any

import compliance_fleets
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit import analysis
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge.advice import advise
from ansible_collections.talosops.selinux.plugins.plugin_utils.report import denials as report

SIZES = ((100, 20), (1000, 20), (5000, 20), (100, 200), (1000, 200))


def denials(nodes: int, kinds: int) -> list[dict[str, Any]]:
    """The denials of all nodes, as ``denials_info`` collects them."""
    return [
        compliance_fleets.samples.denial(
            f"pod{kind}_t:run_t:dir:write",
            comms=[f"agent-{node}"],
            paths=[f"/run/{node}/{number}" for number in range(5)],
        )
        for node in range(nodes)
        for kind in range(kinds)
    ]


def main() -> None:
    """Print the table."""
    print(f"{'nodes':>6} {'kinds':>6} {'CPU s':>8} {'microseconds a denial':>22}")
    for nodes, kinds in SIZES:
        given = denials(nodes, kinds)
        begun = time.process_time()
        merged = analysis.merge(given, 1)
        for denial in merged:
            denial["nodes"] = ["node"]
        advise(merged, talos_version="v1.14.1")
        report.render(merged)
        spent = time.process_time() - begun
        print(f"{nodes:>6} {kinds:>6} {spent:>8.2f} {1e6 * spent / len(given):>22.1f}", flush=True)


if __name__ == "__main__":
    main()
