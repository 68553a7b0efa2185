# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reset decides for itself: what a file says of a decision is nothing, what the node says now is everything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import canonical_json, sha256_of
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.signing import OUTSIDE
from integration import playbook
from simulator import Simulator

ERROR = (
    'op=security_compute_sid invalid_context="x" scontext=system_u:system_r:pod_t:s0'
    " tcontext=system_u:object_r:run_t:s0 tclass=process"
)
#: Nodes that the gate refused, each with the check that stopped it, whose verdicts are then made to say eligible.
FORGED = {
    "denials": ({"denials": ["csi_unlabeled"]}, "no-denials"),
    "extension": ({"extensions": ["siderolabs/iscsi-tools"]}, "extensions-reviewed"),
    "short-soak": ({"uptime": "2h"}, "soak-reached"),
}
#: What changes on an eligible node between the verdict and the wipe, and the check or bound value that must notice.
LATE: dict[str, tuple[Callable[[Simulator, str], Any], str]] = {
    "mac-error": (
        lambda sim, name: sim.add_denial(name, {"record": "SELINUX_ERR", "number": 1401, "text": ERROR}),
        "no-mac-errors",
    ),
    "not-ready": (lambda sim, name: setattr(sim.nodes[name], "ready", False), "node-ready"),
    "cordoned": (lambda sim, name: setattr(sim.nodes[name], "unschedulable", True), "still-not-cordoned"),
    "clock": (lambda sim, name: sim.set_fault(name, "clock_skew"), "denials"),
}


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, playbook.Run]]:
    directory = tmp_path_factory.mktemp("again")
    nodes: dict[str, Any] = {f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}
    nodes |= {name: given for name, (given, _unused) in FORGED.items()}
    nodes |= {name: {} for name in (*LATE, "unchanged")}
    scenario = {"name": "again", "time_scale": 120, "uptime": "96h", "nodes": nodes}
    with Simulator(scenario, directory / "fleet") as sim:
        variables = playbook.settings(sim, directory / "evidence", rollout_hosts="workers")
        gate = playbook.run(sim, directory / "gate", "talosops.selinux.gate", variables=variables)
        judged = gate.of("Judge the evidence")
        assert judged["decisions"]["eligible"] == sorted([*LATE, "unchanged"]), gate.output
        given = {name: playbook.reset_options(entry) for name, entry in judged["nodes"].items()}
        for name in FORGED:
            _pass_all(Path(given[name]["verdict"]))
        for name, (change, _unused) in LATE.items():
            change(sim, name)
        task = {key: "{{ given[inventory_hostname]." + key + " }}" for key in given["unchanged"]}
        tasks = [{"name": "wipe", "talosops.selinux.machine_reset": task, "ignore_errors": True}]
        run = playbook.play(sim, directory / "reset", tasks, hosts="workers", variables={"given": given})
        yield sim, run


def _pass_all(path: Path) -> None:
    """Make a verdict say eligible, with nothing against it, and seal it again."""
    verdict = json.loads(path.read_bytes())
    verdict["decision"] = "eligible"
    for check in verdict["checks"]:
        if check["result"] in ("fail", "unknown"):
            check["result"] = "pass"
    verdict["denials"]["benign"] += verdict["denials"]["open"]
    verdict["denials"]["open"] = []
    verdict["sha256"] = sha256_of(verdict, without=OUTSIDE)
    path.write_bytes(canonical_json(verdict))


def test_only_the_node_of_which_all_is_true_is_wiped(tried: tuple[Simulator, playbook.Run]) -> None:
    sim, run = tried
    assert playbook.resets(sim) == ["unchanged"], run.output


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_decision_decides_nothing(tried: tuple[Simulator, playbook.Run], name: str) -> None:
    failure = tried[1].of("wipe", name)["failure"]
    assert failure["kind"] == "verdict_refused" and FORGED[name][1] in failure["checks"], failure


@pytest.mark.parametrize("name", LATE)
def test_what_changed_since_is_noticed(tried: tuple[Simulator, playbook.Run], name: str) -> None:
    failure = tried[1].of("wipe", name)["failure"]
    assert failure["kind"] == "verdict_refused"
    assert LATE[name][1] in [*failure.get("checks", []), failure["bound"]], failure
