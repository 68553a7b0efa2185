# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""With the role os:reader everything can be looked at and nothing be changed."""

from __future__ import annotations

from pathlib import Path

from integration import playbook
from simulator import Simulator


def test_a_reader_reads_all_and_changes_nothing(tmp_path: Path) -> None:
    nodes = {**{f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}, "worker-1": {}}
    with Simulator({"name": "reader", "uptime": "96h", "nodes": nodes}, tmp_path / "fleet") as sim:
        as_reader = {"talos_context": "reader"}
        status = playbook.run(sim, tmp_path / "status", "talosops.selinux.status", variables=as_reader)
        assert status.code == 0, status.output
        asked = status.of("Ask all nodes")
        assert set(asked["nodes"]) == set(nodes) and asked["unread"] == {}

        collected = playbook.run(
            sim,
            tmp_path / "collect",
            "talosops.selinux.collect",
            variables={
                **as_reader,
                "collect_directory": str(tmp_path / "kept"),
                "collect_kubeconfig": str(sim.directory / "kubeconfig"),
            },
        )
        assert collected.code == 0, collected.output
        result = collected.of("Collect the evidence")
        assert set(result["nodes"]) == set(nodes) and result["unread"] == {}
        for name, entry in result["nodes"].items():
            assert playbook.document(entry)["audit"]["coverage"]["verdict"] == "complete", name
            assert playbook.document(entry)["selinux"]["state"] == "permissive"
        # What was found is said once: the rates stand in the table of what was collected.
        assert collected.output.count("collect all of them every") == 1 and "fills by" not in collected.output
        assert "log lasts" in result["table"] and result["table"].splitlines()[0] in collected.output
        assert {call.role for call in sim.calls if call.node != "kubernetes"} == {"os:reader"}

        judged = playbook.run(
            sim,
            tmp_path / "gate",
            "talosops.selinux.gate",
            variables=playbook.settings(sim, tmp_path / "evidence", **as_reader),
        ).of("Judge the evidence")["nodes"]["worker-1"]
        assert judged["decision"] == "eligible", judged["summary"]
        reset = playbook.play(
            sim,
            tmp_path / "reset",
            [
                {
                    "name": "reset",
                    "talosops.selinux.machine_reset": playbook.reset_options(judged),
                }
            ],
            hosts="worker-1",
            variables=as_reader,
        )
        refused = reset.of("reset")
        assert refused["failure"]["kind"] == "permission"
        # The text is in the message, and not once more in the data that Ansible prints beside it.
        assert "os:admin" in refused["msg"] and not {"found", "why", "do"} & set(refused["failure"])
        assert [call.code for call in playbook.talos_writes(sim)] == ["PERMISSION_DENIED"]
        assert sim.nodes["worker-1"].state == "running"
