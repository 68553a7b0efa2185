# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was kept of a node's logs is evidence when its memory has lost it: at the gate, its step, its last look."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import files
from integration import playbook
from simulator import Simulator


def test_a_ring_that_lost_its_head_is_joined_with_what_was_kept(tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    nodes = {"cp-1": {"role": "controlplane"}, "worker-1": {}, "worker-2": {}}
    with Simulator({"name": "kept", "time_scale": 120, "uptime": "96h", "nodes": nodes}, tmp_path / "fleet") as sim:
        variables = playbook.settings(sim, evidence, rollout_hosts="worker-1")
        for number in (1, 2):
            kept = playbook.run(sim, tmp_path / f"collect-{number}", "talosops.selinux.collect", variables=variables)
            assert kept.code == 0, kept.output
            # Half of what the kernel's memory holds, so that reads meet although it has lost its beginning.
            sim.run(_fill(sim, 3000))
        alone = {"name": "Alone", "talosops.selinux.evidence": {"directory": str(tmp_path / "alone")}}
        without = playbook.play(sim, tmp_path / "without", [alone], hosts="worker-1")
        (entry,) = without.of("Alone")["nodes"].values()
        assert playbook.document(entry)["audit"]["coverage"]["verdict"] == "partial", "the node still holds everything"

        gate = playbook.run(sim, tmp_path / "gate", "talosops.selinux.gate", variables=variables)
        assert playbook.verdict(gate.of("Judge the evidence")["nodes"]["worker-1"])["decision"] == "eligible"
        run = playbook.run(sim, tmp_path / "run", "talosops.selinux.rollout", variables=variables)
        assert run.code == 0, run.output
    assert playbook.report(evidence)["worker-1"]["outcome"] == "moved"
    facts = {entry["step"]: entry["facts"] for entry in playbook.ledger(evidence) if entry["kind"] == "finish"}
    store = AuditStore(evidence / "audit" / "worker-1")
    boots = {files.load(facts["gate"]["evidence"])["boot"]["id"], facts["prove"]["boot_after"]["id"]}
    assert len(boots) == 2 and set(store.boots()) == boots, "what a soak read is kept too"


async def _fill(sim: Simulator, lines: int) -> None:
    for number in range(lines):
        sim.nodes["worker-1"].log_kernel(f"cni0: port {number % 200}(veth{number:08x}) entered forwarding state")
