# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The factory, the Kubernetes API and the control API as parts of a whole simulated fleet."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from simulator import Simulator, interop

SCENARIO: dict[str, Any] = {
    "name": "companions",
    "time_scale": 600,
    "kubernetes": {"csi": ["driver.longhorn.io"]},
    "nodes": {
        "cp-1": {"role": "controlplane", "zone": "a"},
        "worker-1": {"role": "worker", "zone": "a", "faults": {"drain_blocked": True}},
        "worker-2": {"role": "worker", "zone": "b"},
    },
}


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    with Simulator(SCENARIO, tmp_path) as running:
        yield running


def core(simulator: Simulator) -> client.CoreV1Api:
    return client.CoreV1Api(config.new_client_from_config(str(simulator.directory / "kubeconfig")))


def ask(url: str, method: str = "GET", value: Any = None) -> Any:
    data = None if value is None else json.dumps(value).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=data, method=method), timeout=10) as answer:
        return json.load(answer)


def ready(api: client.CoreV1Api, name: str) -> str:
    conditions = api.read_node(name).status.conditions
    return next(str(one.status) for one in conditions if one.type == "Ready")


def test_kubernetes_follows_the_machines(simulator: Simulator) -> None:
    api = core(simulator)
    assert {node.metadata.name for node in api.list_node().items} == set(SCENARIO["nodes"])
    before = api.read_node("worker-2").status.node_info
    assert before.boot_id == simulator.nodes["worker-2"].boot_id and ready(api, "worker-2") == "True"
    simulator.power_off("worker-2")
    simulator.wait_for("worker-2", "off")
    assert ready(api, "worker-2") == "Unknown"
    assert not api.list_pod_for_all_namespaces(field_selector="spec.nodeName=worker-2").items
    simulator.power_on("worker-2")
    simulator.wait_for("worker-2", "running", ready=True)
    after = api.read_node("worker-2").status.node_info
    assert ready(api, "worker-2") == "True"
    assert after.boot_id != before.boot_id and after.machine_id == before.machine_id
    assert api.list_pod_for_all_namespaces(field_selector="spec.nodeName=worker-2").items


def test_a_cordon_and_a_refused_eviction_are_on_record(simulator: Simulator) -> None:
    api = core(simulator)
    api.patch_node("worker-1", {"spec": {"unschedulable": True}})
    assert simulator.nodes["worker-1"].unschedulable
    web = api.list_namespaced_pod("demo", field_selector="spec.nodeName=worker-1").items[0].metadata
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name=web.name, namespace="demo"))
    with pytest.raises(client.ApiException) as refused:
        api.create_namespaced_pod_eviction(web.name, "demo", eviction)
    assert refused.value.status == 429
    simulator.clear_fault("worker-1", "drain_blocked")
    api.create_namespaced_pod_eviction(web.name, "demo", eviction)
    assert [call.method for call in simulator.writes()] == [
        "PATCH /api/v1/nodes/worker-1",
        f"POST /api/v1/namespaces/demo/pods/{web.name}/eviction",
        f"POST /api/v1/namespaces/demo/pods/{web.name}/eviction",
    ]
    assert simulator.upgrades() == []


def test_another_process_boots_a_medium_and_switches_faults(simulator: Simulator) -> None:
    url = simulator.control_url
    assert {node["name"]: node["state"] for node in ask(f"{url}/nodes")} == dict.fromkeys(SCENARIO["nodes"], "running")
    ask(f"{url}/nodes/worker-2/power", "POST", {"state": "off"})
    simulator.wait_for("worker-2", "off")
    schematic = simulator.fleet.factory.put("customization: {extraKernelArgs: [audit=1]}")
    ask(f"{url}/nodes/worker-2/boot", "POST", {"schematic": schematic, "version": "v1.14.1"})
    # The disk is still configured, so the machine runs from the medium with the configuration it has.
    simulator.wait_for("worker-2", "running", ready=True)
    assert "audit=1" in simulator.nodes["worker-2"].arguments
    ask(f"{url}/nodes/worker-2/faults/slow", "POST", 2)
    assert simulator.nodes["worker-2"].faults == {"slow": 2}
    ask(f"{url}/nodes/worker-2/faults/slow", "DELETE")
    assert simulator.nodes["worker-2"].faults == {}
    ask(f"{url}/factory/faults/wrong_id", "POST")
    posted = urllib.request.Request(f"{simulator.factory_url}/schematics", data=b"{}", method="POST")
    with urllib.request.urlopen(posted, timeout=10) as answer:
        assert json.load(answer)["id"] != "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"
    assert [one["path"] for one in ask(f"{url}/factory/requests")] == ["/schematics"]


def test_the_interoperability_judge_is_loud_when_it_is_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    assert interop.main([]) == 0
    assert interop.main([""]) == 0
    assert capsys.readouterr().out.count("NOT run") == 2
    assert interop.main(["/nonexistent/talosctl"]) == 2
