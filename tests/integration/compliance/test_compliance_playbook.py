# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook compliance over a simulated fleet: read only, complete, dated, comparable."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.bundle import defects
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import Ledger
from integration import playbook
from simulator import Simulator

GONE = "7f3c9a52-0d41-4b7e-9a35-6c1d2e8f4b60"
_NODES = {
    "cp-1": {"role": "controlplane", "kernel_args": ["enforcing=1"]},
    "worker-1": {"kernel_args": ["enforcing=1"]},
    "worker-2": {},
    "worker-3": {"kernel_args": ["enforcing=1"], "faults": {"unreachable": True}},
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator({"name": "compliance", "uptime": "96h", "nodes": _NODES}, tmp_path_factory.mktemp("fleet")) as sim:
        yield sim


def report_of(
    sim: Simulator, directory: Path, number: int, arguments: Sequence[str] = (), **variables: object
) -> tuple[playbook.Run, dict]:
    run = playbook.run(
        sim,
        directory / f"run-{number}",
        "talosops.selinux.compliance",
        variables={"rollout_directory": str(directory / "kept"), "talos_context": "reader", **variables},
        arguments=list(arguments),
    )
    result = run.of("Report compliance")
    bundle = result.get("bundle")
    return run, json.loads((Path(bundle) / "report.json").read_bytes()) if bundle else result


def test_a_run_reads_only_and_every_node_has_a_row(fleet: Simulator, tmp_path: Path) -> None:
    run, report = report_of(fleet, tmp_path, 1, compliance_fail_on="never", compliance_labels={"ticket": "AUD-7"})
    assert run.code == 0, run.output
    assert playbook.talos_writes(fleet) == []
    assert {call.role for call in fleet.calls} == {"os:reader"}
    rows = {row["node"]: row for row in report["nodes"]}
    assert sorted(rows) == sorted(_NODES)
    assert rows["worker-2"]["mode"] == "permissive"
    assert rows["worker-2"]["status"] == "fail"
    assert rows["worker-3"]["status"] == "unknown"
    assert {item["status"] for item in rows["worker-3"]["results"]} == {"unknown"}
    assert report["labels"] == {"ticket": "AUD-7"}
    assert abs(report["run"]["clock_offset_seconds"]) < 10
    passed = {item["rule"] for item in rows["worker-1"]["results"] if item["status"] == "pass"}
    assert {"mode-enforcing", "kernel-argument", "not-disabled", "policy-loaded", "witnesses-agree"} <= passed
    bundle = Path(run.of("Report compliance")["bundle"])
    assert {path.name for path in bundle.iterdir()} >= {"report.html", "junit.xml", "report.csv", "metrics.prom"}
    found = [data for path in bundle.rglob("*") if path.is_file() for data in [path.read_bytes()]]
    assert not [secret for secret in playbook.secrets(fleet.directory) if any(secret in data for data in found)]


def test_the_run_fails_where_it_was_told_to_and_writes_its_report_all_the_same(
    fleet: Simulator, tmp_path: Path
) -> None:
    run, report = report_of(fleet, tmp_path, 1)
    assert run.code != 0
    assert report["counts"]["nodes"]["fail"] == 1
    assert "of 4 nodes pass" in run.output


def test_the_collectors_file_is_replaced_and_readable_by_its_user(fleet: Simulator, tmp_path: Path) -> None:
    textfile = tmp_path / "collector" / "selinux.prom"
    textfile.parent.mkdir(mode=0o775)
    textfile.write_text("old")
    _run, report = report_of(
        fleet, tmp_path, 1, ["--limit", "worker-1"], compliance_fail_on="never", compliance_textfile=str(textfile)
    )
    # Nor does a run that was limited say anything about the others.
    rows = {row["node"]: (row["status"], row["unread"]) for row in report["nodes"]}
    limited = ("unknown", "this run was limited to other hosts")
    assert {name: row for name, row in rows.items() if row == limited} == dict.fromkeys(
        set(_NODES) - {"worker-1"}, limited
    )
    assert rows["worker-1"][1] is None
    assert "talos_selinux_compliance_results" in textfile.read_text()
    assert textfile.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in textfile.parent.iterdir()] == ["selinux.prom"]


def test_a_second_run_compares_itself_with_the_first(fleet: Simulator, tmp_path: Path) -> None:
    _run, first = report_of(fleet, tmp_path, 1, compliance_fail_on="never")
    ledger = Ledger(tmp_path / "kept" / "ledger.jsonl")
    ledger.begin("long-gone", "verify")
    retired = {"uuid": GONE, "since": "2026-11-01", "ticket": "CHG-77", "reason": "sold"}
    run, second = report_of(fleet, tmp_path, 2, compliance_fail_on="never", compliance_retired=[retired])
    rows = {row["node"]: row["status"] for row in second["nodes"]}
    assert (rows.pop("long-gone"), rows.pop(GONE)) == ("unknown", "not_applicable")
    assert sorted(rows) == sorted(_NODES)
    bundle = Path(run.of("Report compliance")["bundle"])
    assert (bundle / "ledger.jsonl").read_bytes() == ledger.path.read_bytes()
    assert second["ledger"]["entries"] == 1
    assert defects(bundle) == []
    assert second["previous"] == {"generated_at": first["generated_at"], "sha256": first["sha256"]}
    assert second["drift"] == []
    assert [item["counts"] for item in second["history"]] == [first["counts"]["results"]]
    known = [row for row in second["nodes"] if row["node"] in _NODES]
    assert {item["previous_result"] for row in known for item in row["results"]} <= {
        "pass", "fail", "unknown", "not_applicable",
    }  # fmt: skip


def test_a_fleet_of_which_nothing_can_be_read_is_a_report_of_unknown_rows(fleet: Simulator, tmp_path: Path) -> None:
    run, report = report_of(fleet, tmp_path, 1, compliance_hosts="worker-3", compliance_fail_on="fail")
    assert run.code == 0, run.output
    assert report["counts"]["nodes"] == {
        "total": 1, "fail": 0, "unknown": 1, "waived": 0, "not_applicable": 0, "pass": 0,
    }  # fmt: skip


def test_a_bundle_is_checked_by_its_module(fleet: Simulator, tmp_path: Path) -> None:
    run, _report = report_of(fleet, tmp_path, 1, compliance_fail_on="never", compliance_hosts="worker-1")
    bundle = Path(run.of("Report compliance")["bundle"])
    task = {"name": "Check", "talosops.selinux.compliance_bundle_info": {"path": str(bundle)}, "run_once": True}
    assert playbook.play(fleet, tmp_path / "check", [task]).of("Check")["sound"] is True
    (bundle / "report.csv").write_text("changed")
    checked = playbook.play(fleet, tmp_path / "again", [task])
    assert checked.code != 0
    assert "report.csv was changed" in checked.output
