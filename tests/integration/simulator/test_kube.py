# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The simulated Kubernetes API, asked by the real client library and by the real modules of kubernetes.core."""

from __future__ import annotations

import asyncio
import datetime
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from integration import playbook
from kubernetes import client, config, dynamic
from kubernetes.client.exceptions import ApiException
from simulator.kube import KubernetesApi
from simulator.pki import Pki


class Fleet:
    """Three control planes and three workers, as far as Kubernetes can see them."""

    def __init__(self) -> None:
        self.nodes = {
            name: {
                "name": name,
                "role": "controlplane" if name.startswith("cp") else "worker",
                "zone": "abc"[int(name[-1]) - 1],
                "ready": True,
                "unschedulable": False,
                "boot_id": f"boot-of-{name}",
                "machine_id": f"machine-{name}",
                "address": f"10.0.0.{index}",
            }
            for index, name in enumerate(("cp-1", "cp-2", "cp-3", "worker-1", "worker-2", "worker-3"), 1)
        }
        self.writes: list[tuple[str, str, int]] = []

    def kubernetes_nodes(self) -> list[dict[str, Any]]:
        return [dict(node) for node in self.nodes.values()]

    def set_unschedulable(self, name: str, value: bool) -> None:
        self.nodes[name]["unschedulable"] = value

    def record_kubernetes(self, method: str, path: str, status: int, user: str | None) -> None:
        self.writes.append((method, path, status))


class Served:
    """An API server in a loop and thread of its own, with the real client library connected to it."""

    def __init__(self, directory: Path, scenario: Mapping[str, Any] | None = None) -> None:
        self.fleet = Fleet()
        self.api = KubernetesApi(self.fleet, Pki(), scenario)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.api.start("127.0.0.1", 0), self.loop).result(10)
        self.kubeconfig = directory / "kubeconfig"
        self.api.write_kubeconfig(self.kubeconfig)
        self.core = client.CoreV1Api(self.login(self.kubeconfig))

    def login(self, path: Path) -> client.ApiClient:
        return config.new_client_from_config(str(path))

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.api.stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def pods_on(self, node: str) -> dict[str, Any]:
        found = self.core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={node}")
        return {f"{pod.metadata.namespace}/{pod.metadata.name}": pod for pod in found.items}

    def evictable_on(self, node: str) -> list[str]:
        return [
            name
            for name, pod in self.pods_on(node).items()
            if any(owner.kind in ("ReplicaSet", "StatefulSet") for owner in pod.metadata.owner_references or [])
        ]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    running: list[Served] = []

    def start(**scenario: Any) -> Served:
        running.append(Served(tmp_path, scenario))
        return running[-1]

    yield start
    for one in running:
        one.close()


def module(served: Served, module_name: str, /, **arguments: Any) -> dict[str, Any]:
    """Run one module of kubernetes.core as Ansible runs it; the result it prints."""
    directory = served.kubeconfig.parent
    arguments = {"kubeconfig": str(served.kubeconfig), **arguments}
    # kubernetes.core keeps its discovery cache there, under a name made of the server's address.
    shown = playbook.module(directory, f"kubernetes.core.{module_name}", arguments, TMPDIR=str(directory))
    return {"rc": shown.code, "head": shown.head, **shown.result}


def test_nodes_carry_what_a_rollout_reads(serve: Callable[..., Served]) -> None:
    served = serve()
    nodes = {node.metadata.name: node for node in served.core.list_node().items}
    assert list(nodes) == ["cp-1", "cp-2", "cp-3", "worker-1", "worker-2", "worker-3"]
    worker = nodes["worker-2"]
    assert worker.metadata.labels["topology.kubernetes.io/zone"] == "b"
    assert worker.status.node_info.boot_id == "boot-of-worker-2"
    assert worker.status.node_info.machine_id == "machine-worker-2"
    assert [one.status for one in worker.status.conditions if one.type == "Ready"] == ["True"]
    assert "node-role.kubernetes.io/control-plane" in nodes["cp-1"].metadata.labels
    served.fleet.nodes["worker-2"]["ready"] = False
    lost = served.core.read_node("worker-2")
    assert [one.status for one in lost.status.conditions if one.type == "Ready"] == ["Unknown"]


def test_the_default_workload_is_there(serve: Callable[..., Served]) -> None:
    served = serve()
    apps = client.AppsV1Api(served.core.api_client)
    daemons = {one.metadata.name: one.status for one in apps.list_daemon_set_for_all_namespaces().items}
    assert {name: status.number_ready for name, status in daemons.items()} == {"kube-flannel": 6, "kube-proxy": 6}
    deployments = {
        one.metadata.name: one.status.ready_replicas for one in apps.list_namespaced_deployment("demo").items
    }
    assert deployments == {"web": 3, "cache": 1}
    static = [name for name in served.pods_on("cp-1") if name.endswith("-cp-1")]
    assert len(static) == 3
    web = served.core.list_namespaced_pod("demo", label_selector="app=web").items
    assert len({pod.spec.node_name for pod in web}) == 3 and all(pod.spec.node_name[0] == "w" for pod in web)
    budget = client.PolicyV1Api(served.core.api_client).read_namespaced_pod_disruption_budget("web", "demo")
    assert budget.status.disruptions_allowed == 1


def test_selectors(serve: Callable[..., Served]) -> None:
    served = serve()

    def count(selector: str) -> int:
        return len(served.core.list_pod_for_all_namespaces(label_selector=selector).items)

    assert count("app in (web, cache)") == 4
    assert count("app=web,app!=cache") == 3
    assert count("app notin (web)") + count("app=web") == count("")
    assert count("!app") + count("app") == count("")
    assert len(served.core.list_node(field_selector="metadata.name=cp-2").items) == 1
    assert not served.core.list_pod_for_all_namespaces(field_selector="status.phase!=Running").items


def test_the_dynamic_client_discovers_everything(serve: Callable[..., Served]) -> None:
    served = serve(csi=["driver.longhorn.io"])
    api = dynamic.DynamicClient(served.core.api_client, cache_file=str(served.kubeconfig.with_name("cache")))
    found = {
        kind: len(api.resources.get(api_version=version, kind=kind).get().items)
        for version, kind in (
            ("v1", "Node"),
            ("v1", "Namespace"),
            ("apps/v1", "DaemonSet"),
            ("apps/v1", "ReplicaSet"),
            ("policy/v1", "PodDisruptionBudget"),
            ("storage.k8s.io/v1", "CSIDriver"),
        )
    }
    assert found["Node"] == 6 and found["CSIDriver"] == 1 and all(found.values())


def test_certificates_decide_who_may_do_what(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve()
    served.api.write_kubeconfig(tmp_path / "viewer", user="eve", group="view")
    viewer = client.CoreV1Api(served.login(tmp_path / "viewer"))
    assert len(viewer.list_node().items) == 6
    with pytest.raises(ApiException) as refused:
        viewer.patch_node("worker-1", {"spec": {"unschedulable": True}})
    assert refused.value.status == 403
    assert not served.fleet.nodes["worker-1"]["unschedulable"]
    served.api.write_kubeconfig(tmp_path / "nobody", user="nobody", group="other")
    with pytest.raises(ApiException) as refused:
        client.CoreV1Api(served.login(tmp_path / "nobody")).list_node()
    assert refused.value.status == 403
    anonymous = client.Configuration()
    anonymous.host, anonymous.verify_ssl = served.api.url, True
    anonymous.ssl_ca_cert = served.core.api_client.configuration.ssl_ca_cert
    with pytest.raises(ApiException) as refused:
        client.CoreV1Api(client.ApiClient(anonymous)).list_node()
    assert refused.value.status == 401
    assert (served.kubeconfig.stat().st_mode & 0o777) == 0o600


def test_what_is_written_to_a_node_stays_on_it(serve: Callable[..., Served]) -> None:
    served = serve()
    body = {"metadata": {"labels": {"soak": "yes"}, "annotations": {"run": "7"}}, "spec": {"unschedulable": True}}
    served.core.patch_node("worker-1", body)
    assert served.fleet.nodes["worker-1"]["unschedulable"]
    served.fleet.nodes["worker-1"] |= {"machine_id": "machine-new", "boot_id": "boot-new"}
    node = served.core.read_node("worker-1")
    assert node.metadata.labels["soak"] == "yes" and node.metadata.annotations["run"] == "7"
    assert node.spec.unschedulable and node.spec.taints[0].key == "node.kubernetes.io/unschedulable"
    served.core.patch_node("worker-1", {"metadata": {"labels": {"soak": None}}, "spec": {"unschedulable": None}})
    node = served.core.read_node("worker-1")
    assert "soak" not in node.metadata.labels and not node.spec.unschedulable and node.spec.taints is None
    assert served.fleet.writes == [("PATCH", "/api/v1/nodes/worker-1", 200)] * 2


def test_a_deleted_node_returns_with_its_next_boot(serve: Callable[..., Served]) -> None:
    served = serve()
    served.core.delete_node("worker-1")
    with pytest.raises(ApiException) as missing:
        served.core.read_node("worker-1")
    assert missing.value.status == 404
    served.fleet.nodes["worker-1"]["boot_id"] = "boot-new"
    assert served.core.read_node("worker-1").metadata.name == "worker-1"


def test_pods_of_a_wiped_node_vanish_and_return(serve: Callable[..., Served]) -> None:
    served = serve()
    before = served.pods_on("worker-1")
    served.fleet.nodes["worker-1"]["ready"] = False
    assert served.pods_on("worker-1") == {}
    web = served.core.list_namespaced_pod("demo", label_selector="app=web").items
    assert len(web) == 3 and {pod.spec.node_name for pod in web} == {"worker-2", "worker-3"}
    served.fleet.nodes["worker-1"] |= {"ready": True, "boot_id": "boot-new", "machine_id": "machine-new"}
    after = served.pods_on("worker-1")
    assert {name.rsplit("-", 1)[0] for name in after} == {"kube-system/kube-flannel", "kube-system/kube-proxy"}
    assert not set(after) & set(before)


def test_a_reboot_restarts_the_containers(serve: Callable[..., Served]) -> None:
    served = serve()
    assert {pod.status.container_statuses[0].restart_count for pod in served.pods_on("worker-1").values()} == {0}
    served.fleet.nodes["worker-1"]["boot_id"] = "boot-new"
    assert {pod.status.container_statuses[0].restart_count for pod in served.pods_on("worker-1").values()} == {1}


def test_pods_without_a_node_wait(serve: Callable[..., Served]) -> None:
    served = serve()
    for name in ("worker-1", "worker-2", "worker-3"):
        served.fleet.set_unschedulable(name, True)
    victim = served.core.list_namespaced_pod("demo", label_selector="app=web").items[0]
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name=victim.metadata.name, namespace="demo"))
    served.core.create_namespaced_pod_eviction(victim.metadata.name, "demo", eviction)
    waiting = served.core.list_namespaced_pod("demo", field_selector="status.phase=Pending").items
    assert len(waiting) == 1 and waiting[0].spec.node_name is None
    # One of three is missing now, so the budget of the others is used up.
    other = served.core.list_namespaced_pod("demo", label_selector="app=web", field_selector="status.phase=Running")
    name = other.items[0].metadata.name
    with pytest.raises(ApiException) as refused:
        served.core.create_namespaced_pod_eviction(
            name, "demo", client.V1Eviction(metadata=client.V1ObjectMeta(name=name, namespace="demo"))
        )
    assert refused.value.status == 429
    cause = json.loads(refused.value.body)["details"]["causes"][0]
    assert cause["message"] == "The disruption budget web needs 2 healthy pods and has 2 currently"
    served.fleet.set_unschedulable("worker-1", False)
    assert not served.core.list_namespaced_pod("demo", field_selector="status.phase=Pending").items


def test_a_scenario_describes_the_cluster(serve: Callable[..., Served]) -> None:
    served = serve(
        version="v1.33.6",
        cni={"name": "cilium", "version": "v1.17.9"},
        csi=["rook-ceph.rbd.csi.ceph.com"],
        defaults=False,
        workloads=[
            {"kind": "StatefulSet", "name": "db", "replicas": 1, "volume": "db-data"},
            {"kind": "Pod", "name": "debug", "host_path": "/run", "selinux": {"level": "s0:c1,c2"}, "node": "worker-1"},
            {"kind": "DaemonSet", "name": "laurel", "namespace": "audit", "privileged": True},
        ],
        pdbs=[{"name": "db", "selector": {"app": "db"}, "min_available": 1}],
        local_volumes=[{"name": "db-data", "node": "worker-2"}],
    )
    apps = client.AppsV1Api(served.core.api_client)
    daemons = {one.metadata.name: one for one in apps.list_daemon_set_for_all_namespaces().items}
    assert set(daemons) == {"cilium", "laurel"}
    assert daemons["cilium"].spec.template.spec.containers[0].image == "quay.io/cilium/cilium:v1.17.9"
    assert served.core.read_namespaced_pod("db-0", "default").spec.node_name == "worker-2"
    debug = served.core.read_namespaced_pod("debug", "default")
    assert debug.spec.volumes[0].host_path.path == "/run" and debug.metadata.owner_references is None
    assert debug.spec.security_context.se_linux_options.level == "s0:c1,c2"
    volume = served.core.read_persistent_volume("db-data")
    terms = volume.spec.node_affinity.required.node_selector_terms
    assert terms[0].match_expressions[0].values == ["worker-2"]
    served.core.delete_namespaced_pod("db-0", "default")
    assert served.core.read_namespaced_pod("db-0", "default").spec.node_name == "worker-2"
    served.fleet.set_unschedulable("worker-2", True)
    served.core.delete_namespaced_pod("db-0", "default")
    assert served.core.read_namespaced_pod("db-0", "default").spec.node_name is None


def _lease(holder: str, **spec: Any) -> client.V1Lease:
    now = datetime.datetime.now(datetime.UTC)
    spec = {"lease_duration_seconds": 60, "acquire_time": now, "renew_time": now, **spec}
    return client.V1Lease(
        metadata=client.V1ObjectMeta(name="lock", namespace="kube-system"),
        spec=client.V1LeaseSpec(holder_identity=holder, **spec),
    )


def test_a_lease_is_taken_by_one_and_an_update_must_build_on_what_is_there(serve: Callable[..., Served]) -> None:
    leases = client.CoordinationV1Api(serve().core.api_client)
    with pytest.raises(ApiException) as missing:
        leases.read_namespaced_lease("lock", "kube-system")
    assert missing.value.status == 404
    taken = leases.create_namespaced_lease("kube-system", _lease("first"))
    with pytest.raises(ApiException) as second:
        leases.create_namespaced_lease("kube-system", _lease("second"))
    assert (second.value.status, json.loads(second.value.body)["reason"]) == (409, "AlreadyExists")
    renewed = leases.read_namespaced_lease("lock", "kube-system")
    assert renewed.metadata.resource_version == taken.metadata.resource_version
    renewed.spec.renew_time = datetime.datetime.now(datetime.UTC)
    renewed = leases.replace_namespaced_lease("lock", "kube-system", renewed)
    assert renewed.metadata.resource_version != taken.metadata.resource_version
    # The stale copy may neither replace, nor patch, nor delete what is there now.
    taken.spec.holder_identity = "thief"
    stale = {"metadata": {"resourceVersion": taken.metadata.resource_version}}
    gone = client.V1DeleteOptions(
        preconditions=client.V1Preconditions(resource_version=taken.metadata.resource_version)
    )
    for attempt in (
        lambda: leases.replace_namespaced_lease("lock", "kube-system", taken),
        lambda: leases.patch_namespaced_lease("lock", "kube-system", {**stale, "spec": {"holderIdentity": "thief"}}),
        lambda: leases.delete_namespaced_lease("lock", "kube-system", body=gone),
    ):
        with pytest.raises(ApiException) as conflict:
            attempt()
        assert (conflict.value.status, json.loads(conflict.value.body)["reason"]) == (409, "Conflict")
    assert leases.read_namespaced_lease("lock", "kube-system").spec.holder_identity == "first"
    fresh = client.V1Preconditions(resource_version=renewed.metadata.resource_version, uid=renewed.metadata.uid)
    leases.delete_namespaced_lease("lock", "kube-system", body=client.V1DeleteOptions(preconditions=fresh))
    again = leases.create_namespaced_lease("kube-system", _lease("second"))
    assert again.metadata.uid != taken.metadata.uid


def test_what_is_no_lease_is_refused(serve: Callable[..., Served]) -> None:
    leases = client.CoordinationV1Api(serve().core.api_client)
    for lease in (_lease("a", lease_duration_seconds=0), _lease("a", lease_transitions=-1), _lease("")):
        with pytest.raises(ApiException) as invalid:
            leases.create_namespaced_lease("kube-system", lease)
        assert invalid.value.status == 422
    with pytest.raises(ApiException) as nowhere:
        leases.create_namespaced_lease("nowhere", _lease("a"))
    assert nowhere.value.status == 404
    held = leases.create_namespaced_lease("kube-system", _lease("a"))
    held.metadata.resource_version = None
    with pytest.raises(ApiException) as blind:
        leases.replace_namespaced_lease("lock", "kube-system", held)
    assert "must be specified for an update" in json.loads(blind.value.body)["message"]


def test_two_clusters_share_no_uid(serve: Callable[..., Served]) -> None:
    one, other = serve().core, serve().core
    assert one.read_namespace("kube-system").metadata.uid != other.read_namespace("kube-system").metadata.uid
    assert one.read_node("cp-1").metadata.uid != other.read_node("cp-1").metadata.uid


def test_a_cordon_on_a_stale_node_conflicts(serve: Callable[..., Served]) -> None:
    core = serve().core
    stale = core.read_node("worker-1")
    assert core.read_node("worker-1").metadata.resource_version == stale.metadata.resource_version
    core.patch_node("worker-1", {"metadata": {"annotations": {"a": "b"}}})
    stale.spec.unschedulable = True
    with pytest.raises(ApiException) as conflict:
        core.replace_node("worker-1", stale)
    assert conflict.value.status == 409
    assert not core.read_node("worker-1").spec.unschedulable


def test_k8s_drain_cordons_drains_and_uncordons(serve: Callable[..., Served]) -> None:
    served = serve()
    assert module(served, "k8s_drain", name="worker-1", state="cordon")["changed"]
    assert served.fleet.nodes["worker-1"]["unschedulable"]
    assert not module(served, "k8s_drain", name="worker-1", state="cordon")["changed"]
    assert served.evictable_on("worker-1")
    options = {"ignore_daemonsets": True, "delete_emptydir_data": True, "wait_timeout": 30, "wait_sleep": 1}
    drained = module(served, "k8s_drain", name="worker-1", state="drain", delete_options=options)
    assert drained["changed"] and drained["rc"] == 0
    assert served.evictable_on("worker-1") == []
    assert len(served.pods_on("worker-1")) == 2
    web = served.core.list_namespaced_pod("demo", label_selector="app=web").items
    assert len(web) == 3 and all(pod.status.phase == "Running" for pod in web)
    assert module(served, "k8s_drain", name="worker-1", state="uncordon")["changed"]
    assert not served.fleet.nodes["worker-1"]["unschedulable"]
    assert {method for method, _unused, _unused in served.fleet.writes} == {"PATCH", "POST"}


def test_k8s_drain_meets_a_budget_that_blocks(serve: Callable[..., Served]) -> None:
    served = serve()
    victim = next(name for name in ("worker-1", "worker-2", "worker-3") if served.evictable_on(name))
    before = served.evictable_on(victim)
    served.api.set_fault("drain_blocked", victim)
    options = {"ignore_daemonsets": True, "delete_emptydir_data": True}
    refused = module(served, "k8s_drain", name=victim, state="drain", delete_options=options)
    assert refused["rc"] != 0 and "disruption budget" in refused["msg"]
    assert served.evictable_on(victim) == before
    budgets = client.PolicyV1Api(served.core.api_client).list_pod_disruption_budget_for_all_namespaces().items
    assert f"blocks-{victim}" in {budget.metadata.name for budget in budgets}
    served.api.clear_fault("drain_blocked", victim)
    assert module(served, "k8s_drain", name=victim, state="drain", delete_options=options)["changed"]
    assert served.evictable_on(victim) == []


def test_k8s_info_and_k8s_read_and_write(serve: Callable[..., Served]) -> None:
    served = serve()
    info = module(served, "k8s_info", kind="Node", name="worker-3")
    assert info["api_found"] and info["resources"][0]["metadata"]["name"] == "worker-3"
    selector = module(
        served, "k8s_info", kind="Pod", label_selectors=["app=web"], field_selectors=["status.phase=Running"]
    )
    assert len(selector["resources"]) == 3
    daemons = module(served, "k8s_info", api_version="apps/v1", kind="DaemonSet", namespace="kube-system")
    assert {one["metadata"]["name"] for one in daemons["resources"]} == {"kube-flannel", "kube-proxy"}
    definition = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-3", "labels": {"wave": "one"}}}
    assert module(served, "k8s", state="patched", definition=definition)["changed"]
    assert served.core.read_node("worker-3").metadata.labels["wave"] == "one"
