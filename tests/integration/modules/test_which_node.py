# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One way to find out which node a task is for, and how it is reached, whatever the module and wherever it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from integration import playbook
from simulator import Simulator

NODES: dict[str, Any] = {"cp-1": {"role": "controlplane"}, "worker-1": {}, "worker-2": {}}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("which-node")
    with Simulator({"name": "which", "uptime": "96h", "nodes": NODES}, directory / "fleet") as sim:
        # Nodes are named by their addresses, and none has ansible_host; a bastion and a local host stand beside them.
        nodes = {sim.nodes[name].address: {} for name in NODES}
        configs = {
            node.address: {"talos_machine_config": str(directory / "fleet" / "configs" / f"{name}.yaml")}
            for name, node in sim.nodes.items()
        }
        hosts = {address: {**nodes[address], **configs[address]} for address in nodes}
        inventory = {
            "talos": {"hosts": hosts},
            "others": {
                "hosts": {
                    "bastion": {"ansible_host": "127.0.0.1"},
                    "here": {"ansible_connection": "local"},
                }
            },
        }
        (sim.directory / "inventory.yml").write_text(yaml.safe_dump(inventory))
        yield sim


TASKS: dict[str, dict[str, Any]] = {
    "security_state_info": {},
    "machine_status_info": {},
    "denials_info": {},
    "enforcement_info": {},
    "audit_log": {"directory": "{{ store }}"},
    "machine_config_info": {
        "installer": "factory.talos.dev/metal-installer/{{ 'a' * 64 }}:v1.14.1",
        "version": "v1.14.1",
        "kernel_args": ["enforcing=1"],
    },
}


@pytest.mark.parametrize("delegate", [None, "localhost", "bastion", "here", "worker"])
def test_every_module_means_the_same_node(fleet: Simulator, tmp_path: Path, delegate: str | None) -> None:
    own, other = fleet.nodes["worker-1"].address, fleet.nodes["worker-2"].address
    tasks = []
    for name, arguments in TASKS.items():
        task: dict[str, Any] = {"name": name, f"talosops.selinux.{name}": arguments, "ignore_errors": True}
        if delegate is not None:
            task["delegate_to"] = other if delegate == "worker" else delegate
        tasks.append(task)
    before = len(fleet.calls)
    run = playbook.play(fleet, tmp_path / "run", tasks, hosts=own, variables={"store": str(tmp_path / "store")})
    meant = "worker-2" if delegate == "worker" else "worker-1"
    asked = {call.node for call in fleet.calls[before:]}
    assert asked == {meant}, run.output
    for name in ("security_state_info", "denials_info"):
        assert list(run.of(name)["nodes"]) == [fleet.nodes[meant].address], run.output
    assert run.of("machine_status_info")["stage"] == "running"
    assert [path.name for path in (tmp_path / "store").iterdir()] == [fleet.nodes[meant].address]


def test_a_fleet_task_is_for_the_play_wherever_it_runs(fleet: Simulator, tmp_path: Path) -> None:
    task = {
        "name": "All",
        "talosops.selinux.security_state_info": {},
        "run_once": True,
        "delegate_to": "localhost",
    }
    run = playbook.play(fleet, tmp_path / "run", [task])
    assert set(run.of("All")["nodes"]) == {node.address for node in fleet.nodes.values()}
