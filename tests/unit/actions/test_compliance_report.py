# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The compliance report's action: when it fails, what it writes, and what it takes for collected."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import compliance_fleets as fleets
import pytest
from ansible_collections.talosops.selinux.plugins.action import compliance_report
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.formats import prometheus
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.files import EvidenceProblem

from .made import made

FORMATS = {
    "html": "report.html",
    "junit": "junit.xml",
    "csv": "report.csv",
    "prometheus": "metrics.prom",
    "oscal": "oscal-assessment-results.json",
    "sarif": "report.sarif",
}


@pytest.mark.parametrize(
    ("fail", "unknown", "total", "stops"),
    [
        (0, 0, 9, []),
        (1, 0, 9, ["fail", "unknown"]),
        (0, 1, 9, ["unknown"]),
        (2, 3, 9, ["fail", "unknown"]),
        # A fleet of nobody is not known to be anything.
        (0, 0, 0, ["unknown"]),
    ],
)
def test_when_it_fails(fail: int, unknown: int, total: int, stops: list[str]) -> None:
    results = {"fail": fail, "unknown": unknown, "total": total}
    wishes = ("never", "fail", "unknown")
    assert [one for one in wishes if made(compliance_report, fail_on=one)._stops(results)] == stops


def test_each_format_has_its_file(tmp_path: Path) -> None:
    report = fleets.report([fleets.subject("n-1", 1, selinux__state="permissive"), fleets.subject("n-2", 2)])
    for name, file in FORMATS.items():
        assert list(made(compliance_report, formats=[name])._formats(report)) == [file]
    options = {"sarif_root": "configs", "sarif_fallback": "fallback.yml", "namespace": "audits"}
    both = made(compliance_report, formats=["sarif", "openreports"], **options)._formats(report)
    assert len(both) == 3
    (run,) = json.loads(both.pop("report.sarif"))["runs"]
    (place,) = {one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in run["results"]}
    assert place == "n-1.yaml"
    for name, data in both.items():
        assert name.startswith("openreports/n-")
        assert json.loads(data)["metadata"]["namespace"] == "audits"
    rootless = made(compliance_report, formats=["sarif"], sarif_root="/elsewhere", sarif_fallback="fallback.yml")
    assert b'"uri": "fallback.yml"' in rootless._formats(report)["report.sarif"]


def test_the_collectors_file_is_replaced_in_one_step_and_readable_by_all(tmp_path: Path) -> None:
    report = fleets.report([fleets.subject("n-1", 1)])
    place = tmp_path / "selinux.prom"
    made(compliance_report, textfile=None)._textfile(report)
    assert list(tmp_path.iterdir()) == []
    place.write_text("old")
    place.chmod(0o600)
    made(compliance_report, textfile=str(place))._textfile(report)
    assert list(tmp_path.iterdir()) == [place]
    assert place.read_bytes() == prometheus.render(report)
    assert place.stat().st_mode & 0o777 == 0o644


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(EvidenceProblem, match=r"the metrics cannot be written to .*No such file"):
        made(compliance_report, textfile=str(tmp_path / "none" / "x.prom"))._textfile(fleets.report([]))


def test_who_ran_it_is_a_name_or_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compliance_report.getpass, "getuser", lambda: "me")
    assert compliance_report._user() == "me"
    for error in (KeyError("none"), OSError("none")):

        def unnamed(error: Exception = error) -> str:
            raise error

        monkeypatch.setattr(compliance_report.getpass, "getuser", unnamed)
        assert compliance_report._user() == f"uid {os.getuid()}"


@pytest.mark.parametrize("failure", [None, {}, {"kind": "inventory"}])
def test_a_collection_that_failed_for_another_reason_is_none(failure: dict[str, Any] | None) -> None:
    evidence = {"failed": True, "msg": "no inventory", "failure": failure, "nodes": {"n": {}}}
    with pytest.raises(EvidenceProblem, match="the evidence was not collected: no inventory"):
        compliance_report._collected(evidence)


@pytest.mark.parametrize(
    ("evidence", "collected"),
    [
        (
            {"nodes": {"n": {"path": "p"}}, "unread": {"m": {"found": "f"}}},
            ({"n": {"path": "p"}}, {"m": {"found": "f"}}),
        ),
        ({"failed": False, "nodes": {}, "unread": {}}, ({}, {})),
        (
            {"failed": True, "failure": {"kind": "fleet_unread", "unread": [{"hosts": ["m", "n"]}, {"hosts": ["o"]}]}},
            ({}, {"m": {"hosts": ["m", "n"]}, "n": {"hosts": ["m", "n"]}, "o": {"hosts": ["o"]}}),
        ),
    ],
)
def test_what_was_collected(evidence: dict[str, Any], collected: tuple[Any, Any]) -> None:
    assert compliance_report._collected(evidence) == collected


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("limited", [True, False])
def test_a_report_of_the_whole_population(
    check: bool, limited: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    fleet = [fleets.subject("n-1", 1), fleets.subject("n-2", 2)]
    output, key = tmp_path / "out", tmp_path / "key.pem"
    key.write_text("a key")
    report = fleets.report(fleet)

    def keep(name: str, answer: Any) -> Any:
        def called(*given: Any, **how: Any) -> Any:
            asked[name] = (given, how)
            return answer

        return called

    found = SimpleNamespace(subjects=fleet, waves=["a wave"], cited={"entries": 3}, ledger=b"the ledger")
    monkeypatch.setattr(compliance_report.history, "earlier_reports", keep("earlier", ("previous", "line")))
    monkeypatch.setattr(compliance_report.gather, "gather", keep("gather", found))
    monkeypatch.setattr(compliance_report, "build_report", keep("report", report))
    monkeypatch.setattr(compliance_report.bundle, "write_bundle", keep("bundle", output / "written"))
    monkeypatch.setattr(compliance_report, "read_retirements", keep("retired", ["retired"]))
    monkeypatch.setattr(compliance_report, "in_force", keep("in_force", ["in force"]))
    monkeypatch.setattr(compliance_report, "_user", lambda: "me")
    shown: list[str] = []
    monkeypatch.setattr(compliance_report, "Display", lambda: SimpleNamespace(display=shown.append))
    hosts = {"n-1": {"talos_zone": "z", "talos_machine_config": "n-1.yaml"}, "n-2": {}}
    action = made(
        compliance_report,
        hosts,
        check=check,
        run_once=True,
        variables={"ansible_play_batch": ["n-1"] if limited else ["n-1", "n-2"]},
        evidence={"nodes": {"n-1": {"path": "p"}}, "unread": {}},
        population=["n-2", "gone"],
        directory="d",
        output=str(output),
        ledger="l",
        probes="p",
        retired=[{"uuid": "u"}],
        labels={1: 2},
        formats=["csv"],
        signing_key=str(key),
        textfile=str(tmp_path / "metrics.prom"),
        fail_on="never",
    )
    result = action.act()
    name = compliance_report.history.directory_name(report["generated_at"])
    lines = result["table"].splitlines()
    assert result == {
        "counts": report["counts"],
        "drift": report["drift"],
        "nodes": {row["node"]: row["status"] for row in report["nodes"]},
        "sha256": report["sha256"],
        "bundle": None if check else str(output / "written"),
        "table": "\n".join(lines),
        "changed": not check,
        "failed": False,
        "msg": lines[-1] + ("" if check else f"; the report is in {output / 'written'}"),
    }
    assert shown == [f"\n{result['table']}\n"]
    # Of a run that fails Ansible prints all that it returns.
    monkeypatch.setattr(action, "_stops", lambda _results: True)
    failed = action.act()
    assert failed == {key: value for key, value in result.items() if key != "table"} | {"failed": True}
    assert shown == [f"\n{result['table']}\n"] * 2
    (population, nodes, unread), how = asked["gather"]
    # Whoever the run was limited away from is in the report, as not read; a host that nobody knows is none.
    assert population == ["n-1", "n-2"]
    assert (nodes, unread) == (
        {"n-1": {"path": "p"}},
        {"n-2": {"found": "this run was limited to other hosts"}} if limited else {},
    )
    assert how == {
        "directory": Path("d"),
        "zones": {"n-1": "z", "n-2": None},
        "configs": {"n-1": "n-1.yaml", "n-2": None},
        "ledger": Path("l"),
        "previous": "previous",
        "probes": Path("p"),
        "retired": ["in force"],
    }
    assert asked["retired"] == (([{"uuid": "u"}],), {})
    (subjects, _ground), made_of = asked["report"]
    assert subjects is fleet
    run = {
        "by": "me",
        "controller": socket.gethostname(),
        "clock_offset_seconds": made_of["run"]["clock_offset_seconds"],
    }
    assert made_of.pop("versions").keys() >= {"tool", "catalogue"}
    assert made_of == {
        "previous": "previous",
        "history": "line",
        "run": run,
        "waves": ["a wave"],
        "labels": {"1": "2"},
        "ledger": {"entries": 3},
        "retired": ["retired"],
    }
    profile = compliance_report.load_profile("talos-selinux-enforcing").name
    assert asked["earlier"][0][:2] == (output, profile)
    if check:
        assert "bundle" not in asked and not (tmp_path / "metrics.prom").exists()
        return
    (place, files, cited), how = asked["bundle"]
    assert place == output / name
    assert list(files) == ["report.json", "report.csv"]
    assert json.loads(files["report.json"]) == report
    about = {key: report[key] for key in ("generated_at", "run", "versions", "profile", "policy", "labels")}
    assert how == {"about": about, "signing_key": b"a key"}
    assert list(cited) == list(compliance_report.cited.citations(report))
    assert (tmp_path / "metrics.prom").exists()
