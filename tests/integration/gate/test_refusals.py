# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each refused node of the demo is refused for its one fault: its like without the fault is eligible beside it."""

from __future__ import annotations

from collections.abc import Iterator
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


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The verdicts on the demo's fleet, and on each of its faulty nodes once more without the fault."""
    directory = tmp_path_factory.mktemp("refusals")
    scenario = _scenario()
    for name, fault in FAULTY.items():
        scenario["nodes"][_fixed(name)] = {key: value for key, value in scenario["nodes"][name].items() if key != fault}
    with Simulator(scenario, directory / "fleet") as sim:
        run = playbook.run(
            sim, directory / "run", "talosops.selinux.gate", variables=playbook.settings(sim, directory / "evidence")
        )
        assert run.code == 0, run.output
        assert sim.writes() == []
        yield run.of("Judge the evidence")


def test_only_who_has_a_fault_is_refused(judged: dict[str, Any]) -> None:
    assert set(judged["decisions"]["eligible"]) == MUST_MOVE | {_fixed(name) for name in FAULTY}


@pytest.mark.parametrize("name", sorted(FAULTY))
def test_it_is_refused_for_its_fault(judged: dict[str, Any], name: str) -> None:
    assert MUST_STAY[name] in {reason["id"] for reason in judged["nodes"][name]["reasons"]}


def _fixed(name: str) -> str:
    return f"{name}-fixed"


def _scenario() -> dict[str, Any]:
    return yaml.safe_load(SCENARIO.read_text())
