# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Probes of simulated nodes over the wire: what is tried, on whom, what it comes to, and that nothing remains."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.gather import _newest_probe
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.results import Subject
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.joined import NotThisNode
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe import pod
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe.cluster import ProbeRunning
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe.pod import ImageProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import TalosError
from integration.probe.world import IMAGE, SCENARIO, World, outcomes
from kubernetes import client, config
from simulator import Simulator


def test_an_enforcing_node_refuses_and_nothing_remains(world: World) -> None:
    result = world.probe()
    assert (result["outcome"], outcomes(result)) == ("refused", ["refused"] * 3)
    assert [row["records"] for row in result["attempts"]] == [2, 1, 1]
    assert result["changed"] is True
    assert world.remains() == []
    assert [write.split()[0] for write in world.writes()] == ["POST", "POST", "POST", "DELETE"]


def test_the_pod_is_what_the_documentation_says(world: World) -> None:
    world.cluster.jobs.trouble.hangs.add("worker-1")
    with ThreadPoolExecutor() as pool:
        running = pool.submit(world.probe)
        while not (pods := [item for item in world.all("pods") if pod.LABEL in item["metadata"]["labels"]]):
            assert not running.done()
        (job,) = world.all("jobs")
        (space,) = [item for item in world.all("namespaces") if pod.LABEL in item["metadata"].get("labels", {})]
        (policy,) = world.all("networkpolicies")
        spec = pods[0]["spec"]
        world.cluster.jobs.trouble.hangs.clear()
        assert running.result()["outcome"] == "refused"
    assert spec["nodeName"] == "worker-1"
    assert (spec["hostPID"], spec["hostNetwork"], spec["restartPolicy"]) == (True, False, "Never")
    assert spec["automountServiceAccountToken"] is False
    assert (spec["dnsPolicy"], spec["dnsConfig"]) == ("None", {"nameservers": ["127.0.0.1"]})
    assert spec["activeDeadlineSeconds"] == job["spec"]["activeDeadlineSeconds"] == 60
    assert (job["spec"]["backoffLimit"], job["spec"]["ttlSecondsAfterFinished"]) == (0, 300)
    (container,) = spec["containers"]
    assert (container["image"], container["imagePullPolicy"]) == (IMAGE, "IfNotPresent")
    assert container["securityContext"]["privileged"] is True
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    # No secret of the operator, and no credential of the cluster, is in what others may read.
    text = json.dumps([spec, job, space])
    assert "PRIVATE" not in text
    assert str(world.directory) not in text


@pytest.mark.parametrize(("node", "mode"), [("worker-2", "permissive"), ("worker-3", "disabled")])
def test_on_a_node_that_does_not_enforce_nothing_is_made(world: World, node: str, mode: str) -> None:
    result = world.probe(node)
    assert (result["outcome"], result["selinux"], result["changed"]) == ("not_attempted", mode, False)
    assert mode in result["why"]
    assert world.writes() == []
    assert not world.store(node).directory.exists()


@pytest.mark.parametrize(
    ("fault", "value", "words"),
    [
        ("garbage_yaml", "securitystate", "whose content is not YAML"),
        ("permission_denied", True, "does not allow Get"),
        ("unreachable", True, "cannot be connected"),
    ],
)
def test_a_node_whose_mode_is_not_known_is_not_touched(world: World, fault: str, value: str | bool, words: str) -> None:
    world.sim.set_fault("worker-1", fault, value)
    try:
        with pytest.raises(TalosError, match=words):
            world.probe()
    finally:
        world.sim.clear_fault("worker-1", fault)
    assert world.writes() == []


def test_in_check_mode_nothing_is_made(world: World) -> None:
    result = world.probe(check=True)
    assert (result["outcome"], result["changed"]) == ("not_attempted", True)
    assert IMAGE in result["why"]
    assert world.writes() == []
    assert world.probe("worker-2", check=True)["changed"] is False


@pytest.mark.parametrize(
    "image",
    ["busybox", "busybox:1.36", "r/x:1@sha256:" + "a" * 63, "r/x@sha512:" + "a" * 64, IMAGE + "x", IMAGE.upper(), ""],
)
def test_an_image_that_is_not_pinned_is_refused(world: World, image: str) -> None:
    with pytest.raises(ImageProblem, match="is not named by its digest alone"):
        world.probe(image=image)
    assert world.writes() == []


def test_a_kubeconfig_of_another_cluster_with_nodes_of_the_same_names(world: World, tmp_path: Path) -> None:
    with Simulator(SCENARIO, tmp_path / "other") as other:
        for node in ("worker-1", "worker-2"):
            with pytest.raises(NotThisNode) as caught:
                world.probe(node, kubeconfig=str(other.directory / "kubeconfig"))
            assert "bootID is" in caught.value.found
        assert other.writes() == []
    assert world.writes() == []


@pytest.mark.parametrize("key", ["system_uuid", "machine_id", "boot_id"])
@pytest.mark.parametrize("value", ["00000000-1111-4222-8333-444444444444", ""])
def test_a_node_object_of_another_machine_or_boot(world: World, key: str, value: str) -> None:
    extra = world.sim.nodes["worker-1"].spec.extra
    extra["node_info"] = {key: value}
    try:
        with pytest.raises(NotThisNode, match="is not known to be the machine that Talos describes"):
            world.probe()
    finally:
        del extra["node_info"]
    assert world.writes() == []


def test_a_pod_that_ran_in_another_boot_says_nothing(world: World) -> None:
    world.behave("worker-1", status={"boot": "00000000-1111-4222-8333-444444444444"})
    result = world.probe()
    assert outcomes(result) == ["inconclusive"] * 3
    assert "boot of this machine" in result["attempts"][0]["observed"]
    assert world.remains() == []


def test_two_probes_of_one_machine_at_once_are_one(world: World) -> None:
    world.cluster.jobs.trouble.hangs.add("worker-1")
    with ThreadPoolExecutor() as pool:
        first = pool.submit(world.probe)
        while not world.all("jobs"):
            assert not first.done()
        with pytest.raises(ProbeRunning) as caught:
            world.probe()
        assert "process" in caught.value.found
        # Another machine's probe is none of its business.
        assert world.probe("worker-4")["outcome"] == "refused"
        world.cluster.jobs.trouble.hangs.clear()
        assert first.result()["outcome"] == "refused"
    assert world.remains() == []


def test_many_at_the_same_moment(world: World) -> None:
    def one(_number: int) -> str:
        try:
            return str(world.probe()["outcome"])
        except ProbeRunning:
            return "running"

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(one, range(4)))
    assert "refused" in found
    assert set(found) <= {"refused", "running"}
    assert world.remains() == []


def test_what_others_have_under_like_names_is_never_removed(world: World) -> None:
    marked = {pod.LABEL: "x"}
    notes = {pod.OWNER: "gone", pod.EXPIRES: "2020-01-01T00:00:00+00:00"}
    given = {
        "production": (marked, notes),
        "talos-selinux-probe-mine": ({}, notes),
        "talos-selinux-probe-yours": (marked, {}),
        "talos-selinux-probe-odd": (marked, {pod.OWNER: "gone", pod.EXPIRES: "yesterday"}),
    }
    with config.new_client_from_config(world.kubeconfig) as api:
        core = client.CoreV1Api(api)
        for name, (labels, annotations) in given.items():
            core.create_namespace({"metadata": {"name": name, "labels": labels, "annotations": annotations}})
        assert world.probe()["leftovers"] == []
        assert {item["metadata"]["name"] for item in world.all("namespaces")} >= set(given)
        core.delete_namespace("production")


def test_machines_that_share_a_uuid_are_probed_each_by_itself(tmp_path: Path) -> None:
    shared = {"kernel_args": ["enforcing=1"], "extra": {"uuid": "03000200-0400-0500-0006-000700080009"}}
    with Simulator(
        {"name": "twins", "uptime": "96h", "nodes": {"w-1": shared, "w-2": shared}}, tmp_path / "sim"
    ) as sim:
        twins = World(sim, tmp_path)
        twins.cluster.jobs.trouble.hangs.add("w-1")
        with ThreadPoolExecutor() as pool:
            first = pool.submit(twins.probe, "w-1")
            while not twins.all("jobs"):
                assert not first.done()
            assert twins.probe("w-2")["outcome"] == "refused"
            twins.cluster.jobs.trouble.hangs.clear()
            assert first.result()["outcome"] == "refused"


def test_a_reader_is_enough_where_talos_tells_the_boot(fleet: Simulator, tmp_path: Path) -> None:
    reader = World(fleet, tmp_path, "reader")
    assert reader.probe("cp-1")["outcome"] == "refused"
    assert reader.remains() == []


def test_a_release_that_does_not_tell_its_boot_is_known_by_the_kernels_own_id(tmp_path: Path) -> None:
    old = {"talos": "v1.13.2", "kernel_args": ["enforcing=1"]}
    with Simulator({"name": "old", "uptime": "96h", "nodes": {"w-1": old}}, tmp_path / "sim") as sim:
        world = World(sim, tmp_path)
        before = world.evidence("w-1")
        result = world.probe("w-1")
        assert (result["outcome"], [row["records"] for row in result["attempts"]]) == ("refused", [2, 1, 1])
        document = world.evidence("w-1")
        assert document["boot"]["id"] is None
        assert document["audit"]["counts"]["denied"] == before["audit"]["counts"]["denied"]
        assert document["audit"]["counts"]["probe"] == 4
        subject = Subject("w-1", evidence=document)
        found = _newest_probe(subject, world.directory / "audit")
        assert found is not None
        assert found["outcome"] == "refused"
        # Whoever may not read the kernel's id does not know the node in Kubernetes.
        with pytest.raises(NotThisNode, match="bootID is not known to Talos"):
            World(sim, tmp_path, "reader").probe("w-1")


def test_a_probe_of_another_machine_or_boot_is_not_the_nodes(world: World) -> None:
    world.probe()
    document = world.evidence("worker-1")
    stores = world.directory / "audit"
    assert _newest_probe(Subject("worker-1", evidence=document), stores) is not None
    for part, key in (("node", "uuid"), ("node", "identity"), ("boot", "id")):
        changed = {**document, part: {**document[part], key: "other"}}
        assert _newest_probe(Subject("worker-1", evidence=changed), stores) is None
    assert _newest_probe(Subject("worker-1"), stores) is None
