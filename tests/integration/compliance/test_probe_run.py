# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A compliance run with the enforcement probe: every node has a result of it, and only one that refused passes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.bundle import defects
from integration import playbook
from simulator import Simulator
from simulator.containers import Behaviour

IMAGE = "registry.example/probe@sha256:" + "a" * 64
_NODES = {
    "cp-1": {"role": "controlplane", "kernel_args": ["enforcing=1"]},
    "worker-1": {},
    "worker-2": {"kernel_args": ["enforcing=1"]},
    "worker-3": {"kernel_args": ["enforcing=1"]},
    "worker-4": {"kernel_args": ["enforcing=1"], "faults": {"unreachable": True}},
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    scenario = {"name": "probe-run", "uptime": "96h", "nodes": _NODES}
    with Simulator(scenario, tmp_path_factory.mktemp("fleet")) as sim:
        behaviours = sim.fleet.kubernetes.cluster.behaviours
        behaviours["worker-2"] = Behaviour(answers={"socat": "success"})
        behaviours["worker-3"] = Behaviour(message=b"\x1b]0;owned\x07{{ 7 * 191 }}<script>")
        yield sim


def variables(fleet: Simulator, directory: Path, **more: Any) -> dict[str, Any]:
    return {
        "rollout_directory": str(directory / "kept"),
        "compliance_probe_image": IMAGE,
        "compliance_probe_kubeconfig": str(fleet.directory / "kubeconfig"),
        "compliance_fail_on": "never",
        **more,
    }


@pytest.fixture(scope="module")
def done(fleet: Simulator, tmp_path_factory: pytest.TempPathFactory) -> tuple[playbook.Run, dict[str, Any], Path]:
    directory = tmp_path_factory.mktemp("run")
    run = playbook.run(fleet, directory / "run", "talosops.selinux.compliance", variables=variables(fleet, directory))
    bundle = Path(run.of("Report compliance")["bundle"])
    return run, json.loads((bundle / "report.json").read_bytes()), directory


def results(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        row["node"]: item for row in report["nodes"] for item in row["results"] if item["rule"] == "enforcement-probed"
    }


def test_every_node_has_a_result_and_only_what_refused_passes(done: Any) -> None:
    run, report, _directory = done
    assert run.code == 0, run.output
    found = results(report)
    assert {node: item["status"] for node, item in found.items()} == {
        "cp-1": "pass",
        "worker-1": "unknown",
        "worker-2": "fail",
        "worker-3": "unknown",
        "worker-4": "unknown",
    }
    assert "machined allowed" in found["worker-2"]["observed"]
    assert "pid1 refused" in found["cp-1"]["observed"]


def test_the_bundle_has_the_probes_that_it_cites(done: Any) -> None:
    run, report, _directory = done
    cited = {row["node"]: row["probe"] for row in report["nodes"] if row["probe"]}
    assert sorted(cited) == ["cp-1", "worker-2", "worker-3"]
    bundle = Path(run.of("Report compliance")["bundle"])
    for node, probe in cited.items():
        document = json.loads((bundle / "evidence" / node / f"probe-{probe['id']}.json").read_bytes())
        assert (document["sha256"], document["outcome"]) == (probe["sha256"], probe["outcome"])
    assert defects(bundle) == []


def test_the_probes_records_are_no_denials_in_the_report(done: Any) -> None:
    _run, report, _directory = done
    rows = {row["node"]: row for row in report["nodes"]}
    signatures = {denial["signature"] for node in ("cp-1", "worker-2") for denial in rows[node]["denials"]}
    assert "pod_t:init_t:process:ptrace" not in signatures
    assert "pod_t:system_state_t:file:read" not in signatures


def test_no_node_is_written_to_and_only_enforcing_ones_are_probed(fleet: Simulator, done: Any) -> None:
    _run, _report, _directory = done
    assert playbook.talos_writes(fleet) == []
    made = [call.method for call in fleet.writes() if call.method.startswith("POST /apis/batch")]
    assert len(made) == 3
    names = [item["metadata"]["name"] for item in fleet.fleet.kubernetes.cluster._objects["namespaces"].values()]
    assert [name for name in names if name.startswith("talos-selinux-probe-")] == []


def test_nothing_hostile_reaches_terminal_or_pages_and_no_secret_is_kept(fleet: Simulator, done: Any) -> None:
    run, _report, directory = done
    assert "\x1b" not in run.output
    assert "\x07" not in run.output
    assert "1337" not in run.of("Probe enforcement", "worker-3")["attempts"][0]["observed"]
    kept = [path.read_bytes() for path in directory.rglob("*") if path.is_file()]
    assert not [secret for secret in playbook.secrets(fleet.directory) if any(secret in data for data in kept)]
    (page,) = directory.rglob("report.html")
    assert "<script>{" not in page.read_text()


def test_without_an_image_nothing_is_probed_and_the_rule_does_not_apply(fleet: Simulator, tmp_path: Path) -> None:
    before = len(fleet.writes())
    given = variables(fleet, tmp_path, compliance_probe_image=None, compliance_hosts="cp-1")
    run = playbook.run(fleet, tmp_path / "run", "talosops.selinux.compliance", variables=given)
    report = json.loads((Path(run.of("Report compliance")["bundle"]) / "report.json").read_bytes())
    assert results(report)["cp-1"]["status"] == "not_applicable"
    assert len(fleet.writes()) == before


def test_in_check_mode_nothing_is_tried(fleet: Simulator, tmp_path: Path) -> None:
    before = len(fleet.writes())
    given = variables(fleet, tmp_path, compliance_hosts="cp-1:worker-1")
    run = playbook.run(fleet, tmp_path / "run", "talosops.selinux.compliance", variables=given, arguments=["--check"])
    assert run.of("Probe enforcement", "cp-1")["outcome"] == "not_attempted"
    assert run.of("Probe enforcement", "cp-1")["changed"] is True
    assert run.of("Probe enforcement", "worker-1")["changed"] is False
    # Evidence that is not saved is judged all the same.
    assert run.of("Report compliance")["counts"]["results"]["pass"] > 0
    assert len(fleet.writes()) == before
    assert not (tmp_path / "kept" / "audit").exists()
