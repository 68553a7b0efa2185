# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The boot path ``hook``: the whole disk is wiped, and a command of the operator boots the machine from a medium."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger_file import verify
from integration import playbook
from integration.rollout.undisturbed import of_node, words
from simulator import Simulator

#: What a script for a BMC does, against the simulator's door for such things.
HOOK = """
import json, os, sys, urllib.request
medium = {"schematic": os.environ["TALOS_SCHEMATIC"], "version": os.environ["TALOS_VERSION"]}
request = urllib.request.Request(
    f"{sys.argv[1]}/nodes/{os.environ['TALOS_NODE']}/boot", data=json.dumps(medium).encode(), method="POST"
)
urllib.request.urlopen(request, timeout=10).close()
"""


HOOKED = {"extra": {"vars": {"talos_boot_path": "hook"}}}
#: It stays, and takes the pods of the other one.
DENYING = {"denials": ["csi_unlabeled"]}


def test_a_hooked_worker_ends_enforcing(tmp_path: Path) -> None:
    nodes = {"cp-1": {"role": "controlplane"}, "worker-1": HOOKED, "worker-2": DENYING}
    hook = tmp_path / "hook.py"
    hook.write_text(HOOK)
    with Simulator({"name": "hook", "time_scale": 120, "uptime": "96h", "nodes": nodes}, tmp_path / "fleet") as sim:
        before = sim.nodes["worker-1"].node_id
        run = playbook.run(
            sim,
            tmp_path / "run",
            "talosops.selinux.rollout",
            variables=playbook.settings(
                sim,
                tmp_path / "evidence",
                rollout_hosts="workers",
                rollout_boot_hook=[sys.executable, str(hook), sim.control_url],
            ),
        )
        assert run.code == 0, run.output
        node = sim.nodes["worker-1"]
        assert (node.selinux, node.ready, node.unschedulable) == ("enforcing", True, False)
        assert node.node_id != before
        assert playbook.report(tmp_path / "evidence")["worker-1"]["outcome"] == "moved"
        assert playbook.resets(sim) == ["worker-1"]
        assert sim.upgrades() == []
        written = [entry for entry in playbook.ledger(tmp_path / "evidence") if entry["node"] == "worker-1"]
        assert words(written) == of_node("worker", "hook")


def test_a_hooked_control_plane_is_heard_through_an_endpoint(tmp_path: Path) -> None:
    nodes: dict[str, Any] = {f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}
    nodes |= {"cp-1": {"role": "controlplane", **HOOKED}, "worker-1": {}}
    hook = tmp_path / "hook.py"
    hook.write_text(HOOK)
    with Simulator({"name": "heard", "time_scale": 120, "uptime": "96h", "nodes": nodes}, tmp_path / "fleet") as sim:
        variables = playbook.settings(
            sim,
            tmp_path / "evidence",
            rollout_hosts="cp-1",
            rollout_boot_hook=[sys.executable, str(hook), sim.control_url],
            talos_route="endpoint",
            talos_endpoints=[sim.nodes[name].address for name in ("cp-2", "cp-3")],
        )
        run = playbook.run(sim, tmp_path / "run", "talosops.selinux.rollout", variables=variables)
        assert run.code == 0, run.output
        (gone,) = [
            entry["facts"]["gone"]
            for entry in playbook.ledger(tmp_path / "evidence")
            if (entry["kind"], entry.get("step")) == ("finish", "reset")
        ]
        assert "its reset stopped all services" in gone
        assert len(sim.fleet.etcd.voters()) == 3


def test_a_machine_that_goes_silent_unheard_is_booted_only_on_a_persons_word(tmp_path: Path) -> None:
    """One was not wiped at all, the other was; nobody heard either of them stop."""
    names = ["worker-1", "worker-2"]
    nodes = {"cp-1": {"role": "controlplane"}, **dict.fromkeys(names, HOOKED), "worker-3": DENYING}
    hook = tmp_path / "hook.py"
    hook.write_text(HOOK)
    evidence = tmp_path / "evidence"
    with Simulator({"name": "silent", "time_scale": 120, "uptime": "96h", "nodes": nodes}, tmp_path / "fleet") as sim:
        sim.set_fault("worker-1", "reset_ignored")
        variables = playbook.settings(
            sim,
            evidence,
            rollout_hosts=",".join(names),
            rollout_canary=2,
            rollout_boot_hook=[sys.executable, str(hook), sim.control_url],
        )
        process = playbook.start(
            sim,
            tmp_path / "silent",
            "talosops.selinux.rollout",
            variables={**variables, "rollout_wipe_timeout": 15},
        )
        cut: set[str] = set()
        while cut != set(names):
            assert process.poll() is None, (tmp_path / "silent" / "output.txt").read_text()
            for name in set(playbook.resets(sim)) - cut:
                sim.set_fault(name, "unreachable")
                cut.add(name)
            time.sleep(0.002)
        silent = playbook.finish(process, tmp_path / "silent")
        assert silent.code != 0
        assert "generated_at" not in silent.output, "the report is shown as a table, and not once more as data"
        for name in names:
            (reason,) = playbook.report(evidence)[name]["reasons"]
            assert reason["id"] == "rollout.not_known", silent.output
            assert "confirm with rollout_confirm_wiped" in reason["remedy"]
            assert verify(evidence / "ledger.jsonl").nodes[name].open == "reset"
        assert not any(entry.get("step") == "boot" for entry in playbook.ledger(evidence))
        sim.clear_fault("worker-1", "reset_ignored")
        for name in names:
            sim.clear_fault(name, "unreachable")
        seen = "its console finds nothing to boot"
        # It is no word against the old installation of worker-1, which answers again: that one is begun anew.
        variables["rollout_confirm_wiped"] = dict.fromkeys(names, seen)
        ended = playbook.run(sim, tmp_path / "ended", "talosops.selinux.rollout", variables=variables)
        assert ended.code == 0, ended.output
        assert {name: row["outcome"] for name, row in playbook.report(evidence).items()} == dict.fromkeys(
            names, "moved"
        )
        assert playbook.resets(sim).count("worker-1") == 2 and playbook.resets(sim).count("worker-2") == 1
        looks = [
            entry for entry in playbook.ledger(evidence) if entry["kind"] == "look" and "because" in entry["facts"]
        ]
        assert [(look["node"], look["facts"]["because"]) for look in looks] == [("worker-2", seen)]


@pytest.mark.parametrize(
    ("path", "told", "planned"),
    [("hook", "there is no hook", True), ("redfish", "boot path redfish, known are", False)],
)
def test_without_a_way_to_boot_it_is_not_begun(path: str, told: str, planned: bool, tmp_path: Path) -> None:
    way = {"extra": {"vars": {"talos_boot_path": path}}}
    nodes = {"cp-1": {"role": "controlplane"}, "worker-1": way, "worker-2": DENYING}
    with Simulator({"name": "no-hook", "uptime": "96h", "nodes": nodes}, tmp_path / "fleet") as sim:
        run = playbook.run(
            sim,
            tmp_path / "run",
            "talosops.selinux.rollout",
            variables=playbook.settings(sim, tmp_path / "evidence", rollout_hosts="workers"),
        )
        assert bool(run.code) == planned
        assert told in " ".join(run.output.split())
        assert playbook.talos_writes(sim) == []
        assert not any(node.unschedulable for node in sim.nodes.values())


@pytest.mark.parametrize("boot", ["uki", "grub"])
def test_the_gate_judges_the_configuration_for_the_way_it_will_boot(boot: str, tmp_path: Path) -> None:
    nodes = {"cp-1": {"role": "controlplane"}, "worker-1": {}}
    with Simulator({"name": boot, "uptime": "96h", "nodes": nodes}, tmp_path / "fleet") as sim:
        path = sim.directory / "configs" / "worker-1.yaml"
        # The older form of an installation; the newer one has no arguments of its own.
        documents = list(yaml.safe_load_all(path.read_text()))
        (unattended,) = [item for item in documents if item.get("kind") == "UnattendedInstallConfig"]
        documents.remove(unattended)
        documents[0]["machine"]["install"] = {
            "disk": "/dev/sda",
            "image": unattended["installer"]["image"],
            "extraKernelArgs": ["audit=0"],
            "grubUseUKICmdline": False,
        }
        path.write_text(yaml.safe_dump_all(documents))
        settings = playbook.settings(sim, tmp_path / "evidence", rollout_hosts="workers", rollout_boot=boot)
        run = playbook.run(sim, tmp_path / "run", "talosops.selinux.gate", variables=settings)
        judged = run.of("Judge the evidence")["nodes"]["worker-1"]
        install = playbook.document(run.of("Collect the evidence")["nodes"]["worker-1"])["config"]["install"]
    if boot == "grub":
        # With the arguments of the image in force, the list has to go.
        assert judged["decision"] == "eligible"
        assert (install["grub_use_uki_cmdline"], install["extra_kernel_args"]) == (True, None)
    else:
        assert [reason["id"] for reason in judged["reasons"]][:1] == ["machine-config-valid"]
        assert "a UKI ignores machine.install.extraKernelArgs" in judged["summary"]
