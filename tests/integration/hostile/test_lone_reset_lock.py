# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock that machine_reset takes for a control plane, used alone: held while that machine is away, and no longer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.work import control_plane_lease
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.cluster_lock import ClusterLock
from integration import playbook
from simulator import Simulator


@dataclasses.dataclass(frozen=True)
class Fleet:
    """Three control planes, one of which, cp-1, may be reset with ``options``."""

    sim: Simulator
    directory: Path
    options: dict[str, Any]

    def lock(self, holder: str) -> ClusterLock:
        return control_plane_lease(str(self.sim.directory / "kubeconfig"), None, holder)

    def reset(self, place: str, *arguments: str) -> dict[str, Any]:
        """The result of a reset of cp-1."""
        task = {"name": "wipe", "talosops.selinux.machine_reset": self.options, "ignore_errors": True}
        run = playbook.play(self.sim, self.directory / place, [task], hosts="cp-1", arguments=arguments)
        return run.of("wipe", "cp-1")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("lone")
    nodes: dict[str, Any] = {f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}
    scenario = {"name": "lone", "time_scale": 60, "uptime": "96h", "nodes": {**nodes, "worker-1": {}}}
    with Simulator(scenario, directory / "fleet") as sim:
        variables = playbook.settings(sim, directory / "evidence", rollout_hosts="controlplanes")
        gate = playbook.run(sim, directory / "gate", "talosops.selinux.gate", variables=variables)
        entry = gate.of("Judge the evidence")["nodes"]["cp-1"]
        assert entry["decision"] == "eligible", gate.output
        options = {
            **playbook.reset_options(entry),
            "route": "endpoint",
            "endpoints": [sim.nodes["cp-2"].address],
            "kubeconfig": str(sim.directory / "kubeconfig"),
        }
        yield Fleet(sim, directory, options)


@pytest.mark.parametrize(("refused", "kind"), [("Reset", "permission"), ("EtcdStatus", "verdict_refused")])
def test_a_reset_that_was_certainly_not_done_leaves_no_lock(fleet: Fleet, refused: str, kind: str) -> None:
    fleet.sim.set_fault("cp-1", "permission_denied", [refused])
    try:
        result = fleet.reset(f"refused-{refused}")
    finally:
        fleet.sim.clear_fault("cp-1", "permission_denied")
    assert result["failure"]["kind"] == kind, result
    fleet.lock("somebody else").check()


def test_the_lock_of_a_machine_that_is_back_is_over(fleet: Fleet) -> None:
    lock = fleet.lock(f"cp-2 ({fleet.sim.nodes['cp-2'].uuid})")
    lock.acquire(None, identity="the one before its reset")
    try:
        assert fleet.reset("back", "--check")["changed"] is True
    finally:
        lock.release()


@pytest.mark.parametrize("why", ["the old installation", "no identity", "no machine", "not ready", "silent"])
def test_the_lock_of_a_machine_that_is_not_known_to_be_back_holds(fleet: Fleet, why: str) -> None:
    node = fleet.sim.nodes["cp-3"]
    lock = fleet.lock(f"cp-3 ({node.uuid})" if why != "no machine" else "cp-3")
    identities = {"the old installation": node.node_id, "no identity": None}
    lock.acquire(None, identity=identities.get(why, "the one before its reset"))
    try:
        node.ready = why != "not ready"
        if why == "silent":
            fleet.sim.set_fault("cp-3", "unreachable")
        result = fleet.reset(f"held-{why.replace(' ', '-')}")
    finally:
        node.ready = True
        fleet.sim.clear_fault("cp-3", "unreachable")
        lock.release()
    assert result["failure"]["kind"] == "lock_held" and "cp-3" in result["msg"], result
    assert fleet.sim.nodes["cp-1"].state == "running"
