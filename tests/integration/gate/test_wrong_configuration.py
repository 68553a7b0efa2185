# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory gives nodes the machine configurations of others: found by the gate, long before a wipe."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from integration import playbook
from simulator import Simulator

#: Whose configuration each node is given.
GIVEN = {"worker-1": "cp-3", "worker-2": "worker-3", "cp-1": "worker-1", "cp-2": "cp-3"}
#: What has to be said of it.
FOUND = {
    "worker-1": ["the configuration is for a controlplane, the node is a worker", "host name is 'cp-3'"],
    "worker-2": ["the configuration's host name is 'worker-3', the node's is 'worker-2'"],
    "cp-1": ["the configuration is for a worker, the node is a controlplane", "host name is 'worker-1'"],
    "cp-2": ["the configuration's host name is 'cp-3', the node's is 'cp-2'"],
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, dict[str, dict[str, Any]]]]:
    """The report's row of every node, after one run of the gate."""
    directory = tmp_path_factory.mktemp("swapped")
    nodes: dict[str, Any] = {f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}
    nodes |= {f"worker-{number}": {} for number in (1, 2, 3)}
    scenario = {"name": "swapped", "time_scale": 120, "uptime": "96h", "nodes": nodes}
    with Simulator(scenario, directory / "fleet") as sim:
        configs = sim.directory / "configs"
        for path in list(configs.glob("*.yaml")):
            shutil.copy(path, path.with_suffix(".own"))
        for node, other in GIVEN.items():
            shutil.copy(configs / f"{other}.own", configs / f"{node}.yaml")
        run = playbook.run(
            sim, directory / "run", "talosops.selinux.gate", variables=playbook.settings(sim, directory / "evidence")
        )
        assert run.code == 0, run.output
        yield sim, playbook.report(directory / "evidence")


@pytest.mark.parametrize("node", GIVEN)
def test_the_configuration_of_another_is_refused(
    judged: tuple[Simulator, dict[str, dict[str, Any]]], node: str
) -> None:
    row = judged[1][node]
    assert row["decision"] == "refused"
    (reason,) = row["reasons"]
    assert reason["id"] == "machine-config-valid"
    for text in FOUND[node]:
        assert text in reason["found"]


def test_the_others_are_eligible_and_nothing_was_written(
    judged: tuple[Simulator, dict[str, dict[str, Any]]],
) -> None:
    sim, rows = judged
    assert [node for node, row in rows.items() if row["decision"] == "eligible"] == ["cp-3", "worker-3"]
    assert playbook.talos_writes(sim) == []
