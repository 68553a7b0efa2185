# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The compliance report: rows, statuses, what was before, and that the same input gives the same bytes."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt

import compliance_fleets as fleets
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import canonical_json, is_sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.model import is_report
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.results import Subject, judge_fleet


def row(report, name):
    (found,) = [item for item in report["nodes"] if item["node"] == name]
    return found


def status(report, name, rule):
    (found,) = [item["status"] for item in row(report, name)["results"] if item["rule"] == rule]
    return found


def test_a_node_that_enforces_passes_every_rule():
    report = fleets.report([fleets.subject("n", 1)])
    # Nobody asked for a probe, and nobody retired a machine.
    assert status(report, "n", "not-retired") == "not_applicable"
    assert status(report, "n", "enforcement-probed") == "not_applicable"
    assert row(report, "n")["status"] == "pass"
    assert report["counts"]["results"] == {
        "total": 11, "fail": 0, "unknown": 0, "waived": 0, "not_applicable": 2, "pass": 9,
    }  # fmt: skip
    assert is_sealed(report)
    assert is_report(report)


@pytest.mark.parametrize(
    ("change", "rule", "expected"),
    [
        ({"selinux__state": "permissive"}, "mode-enforcing", "fail"),
        ({"selinux__state": None}, "mode-enforcing", "unknown"),
        ({"selinux__state": "disabled"}, "not-disabled", "fail"),
        ({"selinux__kernel_args": ["enforcing=1", "enforcing=0", "selinux=1"]}, "kernel-argument", "fail"),
        ({"selinux__kernel_args": ["enforcing=1", "selinux=0"]}, "not-disabled", "fail"),
        ({"selinux__kernel_args": ["enforcing=1", "lsm=apparmor"]}, "not-disabled", "fail"),
        ({"selinux__kernel_args": None}, "kernel-argument", "unknown"),
        ({"selinux__policy_loaded": None}, "policy-loaded", "unknown"),
        ({"selinux__policy_loaded": False}, "policy-loaded", "fail"),
        ({"selinux__disagreements": ["x"]}, "witnesses-agree", "fail"),
        ({"selinux__pid1_label": None}, "witnesses-agree", "unknown"),
        ({"audit__coverage__verdict": "partial"}, "audit-complete", "fail"),
        ({"audit__coverage__verdict": None}, "audit-complete", "unknown"),
        ({"audit__denials": None}, "no-open-denials", "unknown"),
        ({"audit__mac_errors": [{"x": 1}]}, "no-mac-errors", "fail"),
    ],
)
def test_a_rule_notices(change, rule, expected):
    assert status(fleets.report([fleets.subject("n", 1, **change)]), "n", rule) == expected


def probed(outcome: str, *, ago: dt.timedelta = dt.timedelta(minutes=5)) -> dict:
    at = (fleets.NOW - ago).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows = [{"id": "pid1", "outcome": outcome, "observed": "attach ended with 1: \x1b[31mred"}]
    return {"id": "a" * 16, "outcome": outcome, "finished_at": at, "attempts": rows}


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        (probed("refused"), "pass"),
        (probed("allowed"), "fail"),
        (probed("inconclusive"), "unknown"),
        (probed("not_attempted"), "unknown"),
        (probed("Refused"), "unknown"),
        (probed("refused", ago=dt.timedelta(hours=25)), "unknown"),
        (probed("refused", ago=dt.timedelta(hours=-1)), "unknown"),
        (None, "unknown"),
    ],
)
def test_a_probe_that_was_asked_for_passes_only_where_everything_was_refused(probe, expected):
    subject = fleets.subject("n", 1)
    subject.probe_asked, subject.probe = True, probe
    report = fleets.report([subject])
    assert status(report, "n", "enforcement-probed") == expected
    (result,) = [item for item in row(report, "n")["results"] if item["rule"] == "enforcement-probed"]
    assert result["observed"].isprintable()


def test_a_denial_is_open_until_it_is_waived_and_a_waiver_is_quoted():
    fleet = [fleets.subject("n", 1, audit__denials=[fleets.samples.denial("pod_t:run_t:dir:write")])]
    assert status(fleets.report(fleet), "n", "no-open-denials") == "fail"
    report = fleets.report(fleet, fleets.WAIVER)
    assert status(report, "n", "no-open-denials") == "waived"
    (item,) = [item for item in row(report, "n")["results"] if item["status"] == "waived"]
    assert [waiver["ticket"] for waiver in item["waivers"]] == ["OPS-1"]
    assert report["families"][0]["waiver_id"] == "w-1"


@pytest.mark.parametrize(
    ("change", "in_force", "unsound"),
    [
        ({}, True, None),
        ({"owner": ""}, True, "it has no owner"),
        (
            {"expires": fleets.NOW + dt.timedelta(days=999)},
            True,
            "it holds for longer than the 90 days the policy allows",
        ),
        ({"expires": fleets.NOW}, False, "it expired at 2026-11-22T12:00:00Z"),
        ({"granted": fleets.NOW + dt.timedelta(days=1)}, False, "it was granted at 2026-11-23T12:00:00Z"),
    ],
)
def test_a_waiver_that_is_not_applied_says_why(change, in_force, unsound):
    waiver = dataclasses.replace(fleets.WAIVER, **change)
    fleet = [fleets.subject("n", 1, audit__denials=[fleets.samples.denial("pod_t:run_t:dir:write")])]
    report = fleets.report(fleet, waiver)
    (told,) = report["waivers"]
    assert told["in_force"] is in_force
    assert told["unsound"] is None if unsound is None else told["unsound"].startswith(unsound)
    assert status(report, "n", "no-open-denials") == ("waived" if unsound is None else "fail")


def test_a_new_installation_is_unknown_without_a_proof_and_failed_with_a_failed_one():
    fleet = [fleets.subject("n", 1), fleets.subject("m", 2)]
    fleet[0].proof = None
    fleet[1].proof = {**fleets.PROOF, "proven": False}
    report = fleets.report(fleet)
    assert status(report, "n", "new-install") == "unknown"
    assert status(report, "m", "new-install") == "fail"


@pytest.mark.parametrize("when", ["2026-11-20T00:00:00Z", "2026-11-23T12:00:00Z", "soon", None])
def test_what_old_or_future_evidence_says_is_not_known(when):
    report = fleets.report([fleets.subject("n", 1, collected_at=when)])
    assert {item["status"] for item in row(report, "n")["results"]} == {"unknown"}


def test_a_row_says_what_the_gate_decided_and_what_stops_the_node():
    one = fleets.subject("n", 1)
    assert fleets.report([one])["nodes"][0]["gate"] is None
    check = {"id": "c", "severity": "block", "result": "fail", "found": "f", "remedy": "r", "doc": "d"}
    others = [{**check, "result": "pass"}, {**check, "severity": "warn"}]
    bound = {"decision": "refused", "issued_at": "i", "expires_at": "e", "sha256": "a" * 64, "path": "/v"}
    one.verdict = {**bound, "checks": [check, *others]}
    stops = {key: check[key] for key in ("id", "result", "found", "remedy", "doc")}
    assert fleets.report([one])["nodes"][0]["gate"] == {**bound, "reasons": [stops]}


def test_every_node_that_any_source_names_has_a_row():
    fleet = [fleets.subject("n", 1), Subject("only-in-the-ledger", {"ledger"})]
    report = fleets.report(fleet)
    assert [item["node"] for item in report["nodes"]] == ["n", "only-in-the-ledger"]
    assert row(report, "only-in-the-ledger")["status"] == "unknown"
    assert report["population"] == {
        "nodes": 2, "sources": {"evidence": 1, "inventory": 1, "ledger": 1}, "with_evidence": 1,
    }  # fmt: skip


@pytest.mark.parametrize("missing", [1, 3, 10])
def test_removed_answers_are_unknown_rows_and_no_row_is_lost(missing):
    fleet = [fleets.subject(f"n-{number}", number) for number in range(10)]
    for one in fleet[:missing]:
        one.evidence, one.evidence_path = None, None
    report = fleets.report(fleet)
    assert report["counts"]["nodes"]["total"] == 10
    assert report["counts"]["nodes"]["unknown"] == missing
    assert report["counts"]["nodes"]["pass"] == 10 - missing


@pytest.mark.parametrize("key", ["uuid", "identity"])
def test_two_rows_of_one_machine_are_both_unknown(key):
    fleet = [fleets.subject("a", 1), fleets.subject("b", 2), fleets.subject("c", 3)]
    fleet[1] = fleets.subject("b", 2, **{f"node__{key}": fleet[0].evidence["node"][key]})
    report = fleets.report(fleet)
    assert [item["status"] for item in report["nodes"]] == ["unknown", "unknown", "pass"]
    assert "a, b are one machine" in row(report, "a")["unread"]


def test_a_fleet_that_differs_is_inconsistent_with_the_common_state_and_the_outliers():
    fleet = [fleets.subject(f"n-{number}", number) for number in range(4)]
    fleet.append(fleets.subject("odd", 9, selinux__state="permissive"))
    report = fleets.report(fleet)
    (item,) = [item for item in report["fleet"] if item["rule"] == "mode-enforcing"]
    assert item == {
        "rule": "mode-enforcing", "status": "inconsistent", "common": "pass",
        "outliers": [{"node": "odd", "status": "fail"}],
    }  # fmt: skip


def test_of_equally_frequent_states_the_worst_is_the_common_one():
    assert judge_fleet("r", {"a": "pass", "b": "fail"})["common"] == "fail"
    assert judge_fleet("r", {"a": "pass", "b": "unknown"})["common"] == "unknown"
    assert judge_fleet("r", {})["status"] == "unknown"
    assert judge_fleet("r", {"a": "not_applicable"})["status"] == "not_applicable"
    assert judge_fleet("r", {"a": "not_applicable", "b": "pass"})["status"] == "pass"


def test_since_and_previous_result_follow_the_machine_through_reports():
    later = fleets.NOW + dt.timedelta(hours=1)
    first = fleets.report([fleets.subject("n", 1)])
    renamed = [fleets.subject("other-name", 1, collected_at="2026-11-22T12:55:00Z", selinux__state="permissive")]
    second = fleets.report(renamed, now=later, previous=first)
    results = {item["rule"]: item for item in second["nodes"][0]["results"]}
    assert results["mode-enforcing"]["previous_result"] == "pass"
    assert results["mode-enforcing"]["since"] == "2026-11-22T13:00:00Z"
    assert results["policy-loaded"]["since"] == "2026-11-22T12:00:00Z"


def test_another_machine_under_an_old_name_has_no_past():
    first = fleets.report([fleets.subject("n", 1)])
    second = fleets.report([fleets.subject("n", 2)], previous=first)
    assert {item["previous_result"] for item in second["nodes"][0]["results"]} == {None}


def test_the_same_input_gives_the_same_bytes_in_any_order():
    fleet = fleets.every_state(30)
    one = canonical_json(fleets.report(copy.deepcopy(fleet), fleets.WAIVER))
    other = canonical_json(fleets.report(copy.deepcopy(fleet[::-1]), fleets.WAIVER))
    assert one == other


def test_denials_are_families_with_their_spread():
    enforced = fleets.samples.denial("a_t:b_t:file:read", 4, permissive=False)
    logged = fleets.samples.denial("a_t:b_t:file:read", 2)
    fleet = [
        fleets.subject("n", 1, audit__denials=[enforced, logged]),
        fleets.subject("m", 2, audit__denials=[logged]),
    ]
    (family,) = fleets.report(fleet)["families"]
    assert (family["nodes"], family["records"], family["enforced"]) == (["m", "n"], 8, 4)


def test_labels_of_run_and_profile_are_in_the_report():
    report = fleets.report([fleets.subject("n", 1)], labels={"ticket": "AUD-7"})
    assert report["labels"] == {"ticket": "AUD-7"}
