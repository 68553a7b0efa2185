# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drains against the simulated Kubernetes API, over TLS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.kube import ClusterProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.operator_files import FileProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout import drain as rollout_drain
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout import drain_api
from integration import playbook
from kubernetes import client, config
from simulator import Simulator
from simulator.httpd import Response, json_response

ROOT = Path(__file__).resolve().parents[3]
SCENARIO: dict[str, Any] = {
    "name": "drains",
    "time_scale": 400,
    "nodes": {"cp-1": {"role": "controlplane"}, "worker-1": {}, "worker-2": {}, "worker-3": {}},
    "kubernetes": {
        "workloads": [
            {"kind": "Pod", "name": "debug", "namespace": "demo", "node": "worker-1"},
            {"kind": "StatefulSet", "name": "db", "namespace": "data", "replicas": 3, "empty_dir": True},
            {"kind": "Deployment", "name": "pair", "namespace": "twice", "replicas": 3},
        ],
        "pdbs": [{"name": "db", "namespace": "data", "selector": {"app": "db"}, "max_unavailable": 1}],
    },
}


class World:
    """One fleet, and a client of its Kubernetes API to look with."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.kubeconfig = str(sim.directory / "kubeconfig")
        self.api = config.new_client_from_config(self.kubeconfig)
        self.core = client.CoreV1Api(self.api)
        self.policy = client.PolicyV1Api(self.api)

    def pods(self, node: str) -> set[str]:
        found = self.core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={node}").items
        return {f"{pod.metadata.namespace}/{pod.metadata.name}" for pod in found}

    def unschedulable(self, node: str) -> bool:
        return bool(self.core.read_node(node).spec.unschedulable)

    def writes(self) -> list[tuple[str, str]]:
        return [(call.method, call.code) for call in self.sim.writes()]

    def drain(self, node: str, *, timeout: float = 30, check: bool = False) -> dict[str, Any]:
        return rollout_drain.drain(self.kubeconfig, None, node, timeout=timeout, poll=0.05, check=check)

    def ansible(self, *options: str, **arguments: Any) -> dict[str, Any]:
        arguments = {"kubeconfig": self.kubeconfig, "wait_sleep": 0.05, **arguments}
        shown = playbook.module(self.sim.directory / "ansible", "talosops.selinux.node_drain", arguments, *options)
        assert "WARNING" not in shown.errors and "DEPRECATION" not in shown.errors, shown.errors
        return {"shown": shown.head, **shown.result}


@contextmanager
def evictions_answered(world: World, *refusals: tuple[int, str]) -> Iterator[list[str]]:
    """Let the server answer the first evictions like this; yields the pods it refused."""
    server = world.sim.fleet.kubernetes
    usual, left, refused = server._evict, list(refusals), []

    def answer(kind: Any, namespace: str, name: str) -> Response:
        if not left:
            return usual(kind, namespace, name)
        code, message = left.pop(0)
        refused.append(f"{namespace}/{name}")
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
        return json_response(status, code)

    server._evict = answer
    yield refused
    server._evict = usual


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Simulator(SCENARIO, tmp_path / "fleet") as simulator:
        one = World(simulator)
        with one.api:
            yield one


def test_a_drain_moves_the_pods_and_says_which(world: World) -> None:
    before = world.pods("worker-1")
    result = world.drain("worker-1")
    stay = {name for name in before if name.startswith(("kube-system/kube-flannel-", "kube-system/kube-proxy-"))}
    assert len(stay) == 2
    assert world.pods("worker-1") == stay == set(result["staying"])
    assert set(result["pods"]) == before - stay
    assert result["unmanaged"] == ["demo/debug"]
    assert {"data/db-0", "data/db-1", "data/db-2"} & set(result["pods"]) <= set(result["empty_dirs"])
    assert any(name.startswith("data/db-") for name in result["empty_dirs"])
    assert result["cordoned"] and world.unschedulable("worker-1")
    # All replicas run, on the other nodes.
    running = world.core.list_namespaced_pod("data", field_selector="status.phase=Running").items
    assert len(running) == 3 and "worker-1" not in {pod.spec.node_name for pod in running}
    again = world.drain("worker-1")
    assert again["pods"] == [] and not again["cordoned"]


def test_static_pods_stay(world: World) -> None:
    before = world.pods("cp-1")
    result = world.drain("cp-1")
    static = {f"kube-system/kube-{part}-cp-1" for part in ("apiserver", "controller-manager", "scheduler")}
    assert static <= set(result["staying"]) == world.pods("cp-1")
    assert before - set(result["staying"]) == set(result["pods"])


def test_cordon_and_uncordon_change_what_is_not_so_yet(world: World) -> None:
    where = (world.kubeconfig, None, "worker-2")
    assert rollout_drain.cordon(*where, check=True) and not world.unschedulable("worker-2")
    assert rollout_drain.cordon(*where) and world.unschedulable("worker-2")
    assert not rollout_drain.cordon(*where)
    assert rollout_drain.uncordon(*where, check=True) and world.unschedulable("worker-2")
    assert rollout_drain.uncordon(*where) and not world.unschedulable("worker-2")
    assert not rollout_drain.uncordon(*where)
    assert world.writes() == [("PATCH /api/v1/nodes/worker-2", "200")] * 2


def test_none_but_a_marked_cordon_is_taken_back(world: World) -> None:
    where = (world.kubeconfig, None, "worker-2")
    assert rollout_drain.cordon(*where, mark=True)
    assert drain_api.is_ours(rollout_drain.look(*where))
    assert rollout_drain.uncordon(*where, mark=True) and not world.unschedulable("worker-2")
    assert not (world.core.read_node("worker-2").metadata.annotations or {}).get(drain_api._OURS)
    assert rollout_drain.cordon(*where)
    assert not drain_api.is_ours(rollout_drain.look(*where))
    assert not rollout_drain.uncordon(*where, mark=True) and world.unschedulable("worker-2")
    # Another's cordon is not marked as ours, and one that was taken back is nobody's.
    assert not rollout_drain.cordon(*where, mark=True) and not drain_api.is_ours(rollout_drain.look(*where))


def test_a_node_object_that_changed_since_the_look_is_looked_at_again(world: World) -> None:
    looks: list[str] = []

    def require(found: Any) -> None:
        looks.append(found[0]["metadata"]["uid"])
        if len(looks) == 1:
            world.core.patch_node("worker-2", {"metadata": {"labels": {"changed": "1"}}})

    where = (world.kubeconfig, None, "worker-2")
    assert rollout_drain.cordon(*where, poll=0.05, require=require) and world.unschedulable("worker-2")
    assert len(looks) == 2
    assert [code for method, code in world.writes() if method.endswith("/nodes/worker-2")] == ["200", "409", "200"]


def test_a_name_that_another_machine_took_since_the_look_is_not_cordoned(world: World) -> None:
    def require(found: Any) -> None:
        if found[0]["metadata"]["labels"].get("machine") == "another":
            raise PermissionError("another machine")
        world.core.patch_node("worker-2", {"metadata": {"labels": {"machine": "another"}}})

    for change in (rollout_drain.cordon, rollout_drain.drain):
        with pytest.raises(PermissionError, match="another machine"):
            change(world.kubeconfig, None, "worker-2", poll=0.05, require=require)
        assert not world.unschedulable("worker-2")
        world.core.patch_node("worker-2", {"metadata": {"labels": {"machine": None}}})


def test_a_budget_that_lets_go_is_waited_for(world: World) -> None:
    world.sim.set_fault("worker-1", "drain_blocked")
    with ThreadPoolExecutor(1) as pool:
        drained = pool.submit(world.drain, "worker-1", timeout=60)
        while not any(method.endswith("/eviction") and code == "429" for method, code in world.writes()):
            assert not drained.done(), drained.result()
            time.sleep(0.02)
        world.sim.clear_fault("worker-1", "drain_blocked")
        result = drained.result(60)
    assert world.pods("worker-1") == set(result["staying"])
    assert {block["budget"].partition("/")[2] for block in result["blocked"]} >= {"blocks-worker-1"}


def test_a_budget_that_holds_is_named(world: World) -> None:
    db = client.V1PodDisruptionBudget(
        metadata=client.V1ObjectMeta(name="pair", namespace="twice"),
        spec=client.V1PodDisruptionBudgetSpec(
            min_available=3, selector=client.V1LabelSelector(match_labels={"app": "pair"})
        ),
    )
    world.policy.create_namespaced_pod_disruption_budget("twice", db)
    held = next(name for name in world.pods("worker-1") if name.startswith("twice/pair-"))
    with pytest.raises(drain_api.DrainProblem) as refused:
        world.drain("worker-1", timeout=5)
    problem = refused.value
    assert f"{held} is held by the PodDisruptionBudget twice/pair, which allows 0 disruptions" in problem.found
    assert problem.context["cordoned"] is True and problem.context["node"] == "worker-1"
    assert problem.context["remaining"] == [held]
    assert [(block["pod"], block["budget"], block["disruptions_allowed"]) for block in problem.context["blocked"]] == [
        (held, "twice/pair", 0)
    ]
    # What the budgets allow has left all the same.
    assert "demo/debug" in problem.context["evicted"] and "demo/debug" not in world.pods("worker-1")
    assert held in world.pods("worker-1")
    assert world.unschedulable("worker-1")


def test_a_pod_of_two_budgets_is_not_waited_for(world: World) -> None:
    for name in ("one", "two"):
        selector = client.V1LabelSelector(match_labels={"app": "pair"})
        budget = client.V1PodDisruptionBudget(
            metadata=client.V1ObjectMeta(name=name, namespace="twice"),
            spec=client.V1PodDisruptionBudgetSpec(max_unavailable=1, selector=selector),
        )
        world.policy.create_namespaced_pod_disruption_budget("twice", budget)
    held = sorted(name for name in world.pods("worker-1") if name.startswith("twice/pair-"))
    # As kube-apiserver words it; pods go in order of name, so those of other namespaces left before.
    words = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    rollout_drain.cordon(world.kubeconfig, None, "worker-1")
    for name in world.pods("worker-1") - set(held):
        if not name.startswith("kube-system/kube-"):
            world.core.delete_namespaced_pod(name.partition("/")[2], name.partition("/")[0])
    with evictions_answered(world, (500, words)), pytest.raises(drain_api.DrainProblem) as refused:
        world.drain("worker-1", timeout=600)
    assert f"{held[0]} cannot be evicted" in refused.value.found and words in refused.value.found
    assert "twice/one, twice/two" in refused.value.found
    assert refused.value.context["remaining"] == held[:1] and refused.value.context["cordoned"]


def test_what_passes_is_tried_again(world: World) -> None:
    passing = [(429, "slow down"), (500, "etcd is electing"), (503, "apiserver is starting")]
    with evictions_answered(world, *passing) as refused:
        result = world.drain("worker-1")
    # A pod of that name was evicted later, by its precondition the same one.
    assert len(refused) == 3 and set(refused) <= set(result["pods"])
    assert world.pods("worker-1") == set(result["staying"])


def test_what_does_not_pass_ends_the_drain(world: World) -> None:
    with evictions_answered(world, (403, "not for you")), pytest.raises(drain_api.DrainProblem) as refused:
        world.drain("worker-1", timeout=600)
    assert refused.value.context["cordoned"] is True and refused.value.context["evicted"] == []
    assert "not for you" in refused.value.found


def test_check_mode_tells_and_writes_nothing(world: World) -> None:
    world.sim.set_fault("worker-1", "drain_blocked")
    before = world.pods("worker-1")
    result = world.drain("worker-1", check=True)
    assert result["cordoned"] and set(result["pods"]) == before - set(result["staying"])
    assert result["blocked"] and all(block["pod"] in before for block in result["blocked"])
    assert world.pods("worker-1") == before and not world.unschedulable("worker-1")
    assert world.writes() == []


def test_what_cannot_be_reached_is_a_problem_at_once(world: World, tmp_path: Path) -> None:
    with pytest.raises(drain_api.DrainProblem, match="no node named worker-9"):
        world.drain("worker-9")
    with pytest.raises(FileProblem, match="none cannot be read"):
        rollout_drain.drain(str(tmp_path / "none"), None, "worker-1")
    with pytest.raises(ClusterProblem, match=r"cannot be read: .* object with name no-such-context in .*contexts"):
        rollout_drain.drain(world.kubeconfig, "no-such-context", "worker-1")
    closed = tmp_path / "closed"
    closed.write_text(Path(world.kubeconfig).read_text().replace(":6443", ":6444"))
    with pytest.raises(ClusterProblem, match="Failed to establish a new connection"):
        rollout_drain.drain(str(closed), None, "worker-1")
    assert world.writes() == []


def test_the_action(world: World) -> None:
    assert world.ansible("--check", "--diff", name="worker-1")["changed"]
    assert world.writes() == []
    drained = world.ansible("--diff", name="worker-1")
    assert drained["changed"] and "demo/debug" in drained["pods"]
    assert '-    "unschedulable": false' in drained["shown"] and '+    "unschedulable": true' in drained["shown"]
    assert not world.ansible(name="worker-1")["changed"]
    assert world.ansible(name="worker-1", state="uncordoned")["changed"]
    assert not world.ansible(name="worker-1", state="uncordoned")["changed"]
    world.sim.set_fault("worker-2", "drain_blocked")
    failed = world.ansible(name="worker-2", wait_timeout=5)
    assert "FAILED!" in failed["shown"] and "blocks-worker-2" in failed["msg"]
    assert failed["failure"]["kind"] == "drain" and failed["failure"]["cordoned"] is True
