# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An Image Factory that cannot be trusted stops the rollout, by the name of its trouble, before any node is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from integration import playbook
from simulator import Simulator

#: Fault of the factory, its value, and the kind of failure that the operator is told.
FAULTS: dict[str, tuple[str, Any, str]] = {
    "wrong id": ("wrong_id", True, "wrong_id"),
    "lost schematic": ("lost_schematic", True, "lost_schematic"),
    "server error": ("server_error", True, "unavailable"),
    "wrong command line": ("wrong_cmdline", True, "wrong_cmdline"),
    "no such extension": ("missing_extension", True, "missing_extension"),
    "not JSON": ("bad_json", True, "bad_answer"),
    "rate limited": ("rate_limited", True, "rate_limited"),
}


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """A fleet whose one worker may move."""
    nodes = {"cp-1": {"role": "controlplane"}, "worker-1": {"extensions": ["siderolabs/gvisor"]}}
    directory = tmp_path_factory.mktemp("factory")
    with Simulator({"name": "factory", "uptime": "96h", "nodes": nodes}, directory / "fleet") as simulator:
        yield simulator


@pytest.mark.parametrize("trouble", FAULTS)
def test_stops_before_any_node(sim: Simulator, trouble: str, tmp_path: Path) -> None:
    fault, value, kind = FAULTS[trouble]
    sim.fleet.factory.set_fault(fault, value)
    try:
        run = _rollout(sim, tmp_path)
    finally:
        sim.fleet.factory.clear_fault(fault)
    assert run.code != 0
    assert run.failures()["worker-1"][0]["failure"]["kind"] == kind
    assert sim.writes() == []
    # What was begun is in the ledger; no node was looked at.
    assert list((tmp_path / "evidence").rglob("evidence.json")) == []


def test_a_digest_that_changes_between_judging_and_acting(tmp_path: Path) -> None:
    nodes = {"cp-1": {"role": "controlplane"}, "worker-1": {}}
    with Simulator({"name": "digest", "uptime": "96h", "nodes": nodes}, tmp_path / "fleet") as sim:
        sim.fleet.factory.set_fault("digest_changes")
        run = _rollout(sim, tmp_path)
        assert run.code != 0
        kinds = {record["result"]["failure"]["kind"] for record in run.records if "failure" in record["result"]}
        assert kinds == {"digest_changed"}
        assert playbook.talos_writes(sim) == []
        assert playbook.report(tmp_path / "evidence")["worker-1"]["outcome"] != "moved"


def _rollout(sim: Simulator, directory: Path) -> playbook.Run:
    return playbook.run(
        sim,
        directory / "run",
        "talosops.selinux.rollout",
        variables=playbook.settings(sim, directory / "evidence", rollout_hosts="workers"),
    )
