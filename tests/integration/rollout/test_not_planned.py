# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rollout that cannot be planned releases its locks and names what an earlier one left, which goes on by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger_file import verify
from integration import playbook
from kubernetes import client, config
from simulator import Simulator

NODES: dict[str, Any] = {"cp-1": {"role": "controlplane"}, "worker-1": {}, "worker-2": {}}


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Simulator]:
    # Without the demo workloads no disruption budget keeps a worker from being drained.
    scenario = {"name": "unplanned", "time_scale": 120, "uptime": "96h", "kubernetes": {"defaults": False}}
    with Simulator({**scenario, "nodes": NODES}, tmp_path / "fleet") as it:
        yield it


@pytest.fixture
def run(sim: Simulator, tmp_path: Path) -> Callable[..., playbook.Run]:
    def rollout(place: str, *arguments: str, environment: Any = None, **more: Any) -> playbook.Run:
        variables = playbook.settings(sim, tmp_path / "evidence", **{"rollout_hosts": "workers", **more})
        return playbook.run(
            sim,
            tmp_path / place,
            "talosops.selinux.rollout",
            variables=variables,
            arguments=arguments,
            environment=environment,
        )

    return rollout


def leases(sim: Simulator) -> list[str]:
    with config.new_client_from_config(str(sim.directory / "kubeconfig")) as api:
        return [
            lease.metadata.name for lease in client.CoordinationV1Api(api).list_namespaced_lease("kube-system").items
        ]


def test_nothing_is_held_when_nothing_can_be_read_or_built(sim: Simulator, run: Any, tmp_path: Path) -> None:
    unbuilt = run("unbuilt", rollout_version="v1.14.99")
    for name in NODES:
        sim.set_fault(name, "unreachable")
    unread = run("unread")
    for ended in (unbuilt, unread):
        assert ended.code != 0
        assert "The rollout stopped before its first wave" in " ".join(ended.output.split()), ended.output
    page = tmp_path / "evidence" / "report.html"
    page.unlink()
    page.mkdir()
    unwritten = run("unwritten")
    assert "the report cannot be written" in " ".join(unwritten.output.split()), unwritten.output
    assert "none of the 2 nodes could be read" in " ".join(unread.output.split()), unread.output
    assert verify(tmp_path / "evidence" / "ledger.jsonl").locks == {}
    assert leases(sim) == [] and playbook.talos_writes(sim) == []


def test_what_an_earlier_run_left_is_named_and_goes_on_alone(sim: Simulator, run: Any, tmp_path: Path) -> None:
    ledger = tmp_path / "evidence" / "ledger.jsonl"
    killed = run("killed", rollout_hosts="worker-1", environment={"TEST_CRASH": "step:identify:0"})
    assert killed.code != 0 and playbook.resets(sim) == ["worker-1"], killed.output
    for name in ("cp-1", "worker-2"):
        sim.set_fault(name, "unreachable")
    unread = run("unread")
    assert unread.code != 0
    told = " ".join(unread.output.split())
    assert "An earlier run left worker-1 unfinished: --limit worker-1 goes on" in told, unread.output
    state = verify(ledger)
    assert state.locks == {} and state.nodes["worker-1"].may_be_wiped and leases(sim) == []
    alone = run("alone", "--limit", "worker-1")
    assert alone.code == 0, alone.output
    assert playbook.report(tmp_path / "evidence")["worker-1"]["outcome"] == "moved"


def test_a_start_that_fails_holds_nothing(sim: Simulator, run: Any, tmp_path: Path) -> None:
    killed = run("killed", rollout_hosts="worker-1", environment={"TEST_CRASH": "step:drain:0"})
    assert killed.code != 0
    broken = tmp_path / "broken"
    broken.write_text((sim.directory / "kubeconfig").read_text().replace("server: https://", "server: https://no."))
    failed = run("failed", rollout_kubeconfig=str(broken))
    assert failed.code != 0 and "Kubernetes API" in failed.output, failed.output
    locks = verify(tmp_path / "evidence" / "ledger.jsonl").locks
    # The one in the cluster was left by the controller that was killed.
    assert "rollout" not in locks
