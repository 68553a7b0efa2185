# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rollout ends the same whatever an operator's inventory, paths, strategy and waivers look like.

Hosts are named by their addresses, the directory is below ``~``, Ansible's strategy is ``free``, one control plane of
three is in the run, and an old waiver is used on one of the nodes only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import quick_yaml
import waiver_file
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger_file import verify
from integration import playbook
from integration.judging import day
from simulator import Simulator

AGENT = {"scontext": "pod_t", "tcontext": "run_t", "tclass": "sock_file", "perms": ["write"], "comm": "app"}
NODES: dict[str, Any] = {
    **{f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)},
    "worker-1": {"denials": [AGENT]},
    "worker-2": {},
}
GOING = ("worker-1", "worker-2", "cp-2")


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Simulator]:
    # Without the demo workloads no disruption budget keeps a worker from being drained.
    scenario = {"name": "settings", "time_scale": 120, "uptime": "96h", "kubernetes": {"defaults": False}}
    with Simulator({**scenario, "nodes": NODES}, tmp_path / "fleet") as it:
        configs = {name: str(it.directory / "configs" / f"{name}.yaml") for name in NODES}
        hosts = {node.address: {"talos_machine_config": configs[name]} for name, node in it.nodes.items()}
        (it.directory / "inventory.yml").write_text(quick_yaml.dump({"talos": {"hosts": hosts}}))
        yield it


def waivers(directory: Path) -> str:
    now = dt.datetime.now(dt.UTC)
    waiver = waiver_file.waiver("pod_t:run_t:sock_file:write", granted=day(now, -40), expires=day(now, 30))
    return str(waiver_file.write(directory, waiver))


def test_it_ends_the_same(sim: Simulator, tmp_path: Path) -> None:
    home, evidence = tmp_path / "home", tmp_path / "home" / "roll"
    home.mkdir()
    addresses = {name: node.address for name, node in sim.nodes.items()}
    variables = playbook.settings(sim, evidence, rollout_directory="~/roll")
    variables["rollout_waivers"] = waivers(tmp_path)
    plain = {"HOME": str(home), "ANSIBLE_STRATEGY": "free"}

    def run(place: str, hosts: list[str], crash: str = "", **more: Any) -> playbook.Run:
        return playbook.run(
            sim,
            tmp_path / place,
            "talosops.selinux.rollout",
            variables={**variables, "rollout_hosts": ",".join(hosts), **more},
            environment={**plain, **({"TEST_CRASH": crash} if crash else {})},
        )

    going = [addresses[name] for name in GOING]
    killed = run("killed", [addresses["worker-2"]], "step:reset:0", rollout_waivers=None)
    assert killed.code != 0 and sim.nodes["worker-2"].unschedulable, killed.output
    assert not (tmp_path / "killed" / "~").exists()
    # Without consent nothing goes on, and what the earlier run began is released.
    unwilling = run("unwilling", [addresses["worker-2"]], rollout_consent="", rollout_waivers=None)
    assert unwilling.code != 0 and "nobody agreed to wipe" in unwilling.output
    assert not sim.nodes["worker-2"].unschedulable and playbook.talos_writes(sim) == []
    ended = run("ended", going)
    assert ended.code == 0, ended.output
    assert {host: row["outcome"] for host, row in playbook.report(evidence).items()} == dict.fromkeys(going, "moved")
    assert len([record for record in ended.records if record["task"] == "Collect the evidence"]) == 1
    assert sorted(playbook.resets(sim)) == sorted(GOING)
    assert not any(node.unschedulable for node in sim.nodes.values())
    assert len(sim.fleet.etcd.voters()) == 3
    assert verify(evidence / "ledger.jsonl").locks == {}
