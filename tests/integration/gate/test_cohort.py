# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines that were never installed, in the gate playbook: judged by the nodes that stand for them, or not at all."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import quick_yaml
from integration import playbook
from simulator import Simulator

PLACE = {"talos_pool": "storage", "talos_workload": "databases"}
NODES: dict[str, Any] = {
    **{f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)},
    "worker-1": {"extra": {"vars": PLACE}},
    "worker-2": {"extra": {"vars": PLACE}, "denials": ["csi_unlabeled"]},
    "worker-3": {"extra": {"vars": {**PLACE, "talos_pool": "web"}}},
}
#: The cohort of each machine (None: none was named) and the checks that stop it.
MACHINES: dict[str, tuple[list[str] | None, set[str]]] = {
    "new-good": (["worker-1"], set()),
    "new-old": (["worker-1"], set()),
    "new-denied": (["worker-1", "worker-2"], {"cohort-eligible"}),
    "new-elsewhere": (["worker-3"], {"cohort-alike"}),
    "new-empty": ([], {"cohort-named", "target-pinned", "factory-overlay-floor", "machine-config-valid"}),
    "new-alone": (None, {"cohort-named", "cohort-eligible"}),
    "new-stranger": (["worker-1"], {"tls"}),
    "new-taken": (["worker-1"], {"not-omni-managed"}),
    "new-foreign": (["worker-1"], {"config-same-cluster"}),
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, playbook.Run, Path]]:
    """The gate playbook over nodes and machines."""
    directory = tmp_path_factory.mktemp("cohort")
    nodes = {**NODES, **{name: {"state": "maintenance", "extra": {"vars": PLACE}} for name in MACHINES}}
    nodes["new-old"]["talos"] = "v1.12.4"
    nodes["new-taken"]["kernel_args"] = ["siderolink.api=https://omni.example.org"]
    with Simulator({"name": "cohort", "uptime": "96h", "nodes": nodes}, directory / "fleet") as sim:
        (sim.directory / "host_vars").mkdir()
        for name, (cohort, _stops) in MACHINES.items():
            shown = sim.nodes["new-good" if name == "new-stranger" else name].gateway.certificate.fingerprint
            variables = {"talos_maintenance_fingerprint": shown, "talos_cohort": cohort}
            text = quick_yaml.dump({key: value for key, value in variables.items() if value is not None})
            (sim.directory / "host_vars" / f"{name}.yml").write_text(text)
        # As if it were to become a node of another cluster.
        config = sim.directory / "configs" / "new-foreign.yaml"
        present = re.search(r"clusterID: (\S+)", config.read_text())
        assert present is not None
        other = base64.b64encode(bytes(32)).decode()
        config.write_text(config.read_text().replace(present[1], other))
        settings = playbook.settings(sim, directory / "evidence")
        run = playbook.run(sim, directory / "run", "talosops.selinux.gate", variables=settings)
        assert playbook.talos_writes(sim) == []
        yield sim, run, directory / "evidence"


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_is_judged_by_its_cohort(name: str, judged: tuple[Simulator, playbook.Run, Path]) -> None:
    result = judged[1].of("Judge the evidence")["nodes"][name]
    stops = {reason["id"] for reason in result["reasons"]}
    if MACHINES[name][0]:
        assert stops == MACHINES[name][1], result["reasons"]
    else:
        assert stops >= MACHINES[name][1], result["reasons"]
    assert (result["decision"] == "eligible") == (not stops)


def test_the_verdict_is_bound_to_the_machine_and_names_its_cohort(
    judged: tuple[Simulator, playbook.Run, Path],
) -> None:
    sim, run, evidence = judged
    nodes = run.of("Judge the evidence")["nodes"]
    verdict = json.loads((evidence / "new-good" / "verdict.json").read_text())
    assert verdict == playbook.verdict(nodes["new-good"])
    assert verdict["binds"]["uuid"] == sim.nodes["new-good"].uuid
    assert verdict["binds"]["fingerprint"] == sim.nodes["new-good"].gateway.certificate.fingerprint
    member = playbook.verdict(nodes["worker-1"])
    assert verdict["cohort"] == [
        {
            "node": "worker-1",
            "verdict_sha256": member["sha256"],
            "evidence_sha256": member["binds"]["evidence_sha256"],
        }
    ]


def test_no_rollout_wipes_a_machine(judged: tuple[Simulator, playbook.Run, Path]) -> None:
    planned = judged[1].of("Order the rollout")["order"]
    assert set(planned) == {"cp-1", "cp-2", "cp-3", "worker-1", "worker-3"}
