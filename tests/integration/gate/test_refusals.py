# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each refused node of the demo is refused for its one fault: without it that node, and only it, becomes eligible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from demo.run import MUST_MOVE, MUST_STAY, SCENARIO
from integration import playbook
from simulator import Simulator

#: What makes each node stay; see tests/demo/scenario.yml.
FAULTY = {
    "worker-3": "denials",
    "worker-4": "faults",
    "worker-5": "extensions",
    "worker-6": "talos",
    "worker-7": "faults",
}


def test_every_refused_node_has_its_fault() -> None:
    nodes = _scenario()["nodes"]
    assert set(FAULTY) == set(MUST_STAY)
    assert {name: (set(node) - {"role", "zone"}).pop() for name, node in nodes.items() if name in FAULTY} == FAULTY


@pytest.mark.parametrize("name", sorted(FAULTY))
def test_without_its_fault_it_is_eligible_and_only_it(name: str, tmp_path: Path) -> None:
    scenario = _scenario()
    del scenario["nodes"][name][FAULTY[name]]
    with Simulator(scenario, tmp_path / "fleet") as sim:
        run = playbook.run(
            sim, tmp_path / "run", "talosops.selinux.gate", variables=playbook.settings(sim, tmp_path / "evidence")
        )
        assert run.code == 0, run.output
        judged = run.of("Judge the evidence")
        assert set(judged["decisions"]["eligible"]) == MUST_MOVE | {name}
        for other in set(FAULTY) - {name}:
            assert MUST_STAY[other] in {reason["id"] for reason in judged["nodes"][other]["reasons"]}
        assert sim.writes() == []


def _scenario() -> dict[str, Any]:
    return yaml.safe_load(SCENARIO.read_text())
