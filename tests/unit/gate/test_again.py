# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A verdict just before the wipe: saved evidence and a live look by the whole policy, and what must have stayed."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.again import judge_again, require_eligible
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import EvidenceRefused, VerdictRefused
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import Policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.waiver import Waiver
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.waivers import Waivers

from .samples import NOW, changed, denial, evidence, healthy_evidence

UNASKED = dict.fromkeys(("joined", "cni", "csi", "addons", "workloads_restarted", "local_data"))


def live(machine_type: str = "worker", **changes: Any) -> dict[str, Any]:
    """A look just now by which nothing changed but what is given; without a Kubernetes API and an operator's part."""
    document = healthy_evidence(machine_type)
    document |= {"collected_at": "2026-11-22T11:59:30Z", "config": None, "operation": {}}
    document["kubernetes"] |= {**UNASKED, "asked": False, "doubts": ["no Kubernetes API was asked"]}
    for path, value in changes.items():
        document = changed(document, path.replace("__", "."), value)
    return sealed(document)


def stops(verdict: dict[str, Any]) -> dict[str, str]:
    """Result by id of the blocking checks that stop the node."""
    return {
        check["id"]: check["result"]
        for check in verdict["checks"]
        if check["severity"] == "block" and check["result"] in ("fail", "unknown")
    }


@pytest.mark.parametrize("machine_type", ["worker", "controlplane"])
def test_a_node_that_did_not_change_is_eligible(strict: Policy, machine_type: str) -> None:
    saved = evidence(machine_type)
    again = judge_again(saved, live(machine_type), strict, None, NOW, node="node-1")
    assert stops(again) == {} and again["decision"] == "eligible"
    assert again["binds"]["evidence_sha256"] == saved["sha256"]
    assert again["binds"]["config_sha256"] == "c" * 64
    require_eligible(again)


# What may happen between the verdict and the wipe, and the check that must see it.
LATE: list[tuple[dict[str, Any], str, str]] = [
    ({"audit__mac_errors": [{"type": "SELINUX_ERR"}], "audit__counts__mac_errors": 1}, "no-mac-errors", "fail"),
    ({"audit__denials": [denial()], "audit__counts__denied": 3}, "no-denials", "fail"),
    ({"audit__coverage__verdict": "partial"}, "evidence-complete", "unknown"),
    ({"audit__services": {"state": "Running", "starts": 2}}, "auditd-trusted", "fail"),
    ({"kubernetes__node_ready": False}, "node-ready", "fail"),
    ({"kubernetes__node_ready": None}, "node-ready", "unknown"),
    ({"kubernetes__unschedulable": True}, "still-not-cordoned", "fail"),
    ({"kubernetes__unschedulable": None}, "still-not-cordoned", "unknown"),
    ({"talos__ready": False}, "stage-running", "fail"),
    ({"talos__stage": "upgrading"}, "stage-running", "fail"),
    ({"talos__staged_upgrade": True}, "new-install-only", "fail"),
    ({"talos__version": "v1.14.2"}, "same-version-as-target", "fail"),
    ({"time__synced": False}, "time-in-sync", "fail"),
    ({"selinux__state": "enforcing"}, "selinux-permissive", "fail"),
    ({"selinux__kernel_args": ["selinux=1", "audit=0"]}, "kernel-args-clean", "fail"),
    ({"user_volumes": ["u-data"]}, "local-data-reviewed", "fail"),
    ({"volumes__META__phase": "waiting"}, "installation-history", "fail"),
    ({"operation": {"locked_by": "run 2"}}, "not-under-operation", "fail"),
    ({"operation": {"boot_path": "upgrade"}}, "boot-path-known", "fail"),
    ({"node__identity": "another"}, "still-this-boot", "fail"),
    ({"node__uuid": "6f1d0a9e-0000-4000-8000-000000000012"}, "still-this-boot", "fail"),
    ({"node__hostname": "node-2"}, "still-this-boot", "fail"),
    ({"node__machine_type": "controlplane"}, "still-this-boot", "fail"),
    ({"boot__id": "0b5e7c1a-0000-4000-8000-000000000002"}, "still-this-boot", "fail"),
    ({"boot__id": None, "boot__look": None}, "still-this-boot", "unknown"),
]


@pytest.mark.parametrize(("changes", "check", "result"), LATE)
def test_what_happened_since_stops_the_wipe(strict: Policy, changes: dict[str, Any], check: str, result: str) -> None:
    again = judge_again(evidence("worker"), live(**changes), strict, None, NOW)
    assert stops(again).get(check) == result
    assert again["decision"] != "eligible"
    with pytest.raises(VerdictRefused) as refused:
        require_eligible(again)
    assert refused.value.context["checks"] == list(stops(again))
    assert f"{check}: " in refused.value.found


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"audit__mac_errors": [{"type": "SELINUX_ERR"}], "audit__counts__mac_errors": 1}, "no-mac-errors"),
        ({"talos__ready": False}, "stage-running"),
        ({"kubernetes__cni": None}, "cni-compatible"),
        ({"kubernetes__joined": False}, "kubernetes-same-node"),
        ({"config": None}, "machine-config-valid"),
    ],
)
def test_what_the_saved_evidence_says_counts_whatever_is_seen_now(
    strict: Policy, changes: dict[str, Any], check: str
) -> None:
    again = judge_again(evidence("worker", **changes), live(), strict, None, NOW)
    assert check in stops(again)


def test_the_rollouts_own_cordon_is_nobody_elses(strict: Policy) -> None:
    seen = live(kubernetes__unschedulable=True)
    assert stops(judge_again(evidence("worker"), seen, strict, None, NOW, own_cordon=True)) == {}


def test_a_node_that_was_cordoned_all_along_is_not_cordoned_since(strict: Policy) -> None:
    saved, seen = evidence("worker", kubernetes__unschedulable=True), live(kubernetes__unschedulable=True)
    assert stops(judge_again(saved, seen, strict, None, NOW)) == {}


def test_what_kubernetes_says_now_counts_where_it_was_asked(strict: Policy) -> None:
    asked = {"kubernetes": {**healthy_evidence()["kubernetes"], "local_data": ["PersistentVolume pv-1"]}}
    assert stops(judge_again(evidence("worker"), live(**asked), strict, None, NOW)) == {"local-data-reviewed": "fail"}
    asked = {"kubernetes": {**healthy_evidence()["kubernetes"], **UNASKED, "joined": False}}
    assert "kubernetes-same-node" in stops(judge_again(evidence("worker"), live(**asked), strict, None, NOW))


def test_saved_evidence_grows_old(strict: Policy) -> None:
    old = evidence("worker", collected_at="2026-11-22T07:59:00Z")
    assert stops(judge_again(old, live(), strict, None, NOW)) == {"evidence-fresh": "fail"}


@pytest.mark.parametrize("which", ["saved", "live"])
def test_altered_or_foreign_documents_are_refused(strict: Policy, which: str) -> None:
    given = {"saved": evidence("worker"), "live": live()}
    given[which] = {**given[which], "user_volumes": None}
    with pytest.raises(EvidenceRefused, match="does not match its own hash"):
        judge_again(given["saved"], given["live"], strict, None, NOW)
    given = {"saved": evidence("worker"), "live": live()}
    with pytest.raises(EvidenceRefused, match="of node node-1, not of node-2"):
        judge_again(given["saved"], given["live"], strict, None, NOW, node="node-2")


def test_what_is_said_of_a_node_that_may_not_go(strict: Policy) -> None:
    again = judge_again(evidence("worker"), live(talos__stage="upgrading"), strict, None, NOW)
    stage, pending = [check for check in again["checks"] if check["result"] == "fail"]
    with pytest.raises(VerdictRefused) as refused:
        require_eligible(again)
    assert refused.value.as_dict() == {
        "kind": "verdict_refused",
        "bound": "decision",
        "checks": ["stage-running", "new-install-only"],
        "found": "node-1 is refused now: stage-running: now: stage upgrading, ready true; new-install-only: now: staged"
        " upgrade pending: false, stage upgrading",
        "why": "a node is wiped only on what is true at that moment, whatever a file says",
        "do": f"{stage['remedy']} {pending['remedy']}",
    }
    twice = {"node": "n", "decision": "refused", "checks": [stage, {**pending, "remedy": stage["remedy"]}]}
    with pytest.raises(VerdictRefused) as refused:
        require_eligible(twice)
    assert refused.value.do == stage["remedy"]
    with pytest.raises(VerdictRefused) as refused:
        require_eligible({"node": "n", "decision": "inconclusive", "checks": []})
    assert refused.value.found == "n is inconclusive now: no check passed"
    assert (refused.value.do, refused.value.context["checks"]) == ("judge the node again", [])


@pytest.mark.parametrize("operation", [None, {}])
def test_the_plan_is_the_saved_one_where_the_look_has_none(strict: Policy, operation: Any) -> None:
    assert stops(judge_again(evidence("worker"), live(operation=operation), strict, None, NOW)) == {}
    # The other way round, what the look knows counts.
    seen = live(operation=healthy_evidence()["operation"], config=healthy_evidence()["config"])
    again = judge_again(evidence("worker", operation=operation), seen, strict, None, NOW)
    planned = {check["id"]: check["found"] for check in again["checks"] if check["id"] in stops(again)}
    assert planned["boot-path-known"].startswith("in the saved evidence: boot path unknown, known are in_place, hook (")
    assert again["binds"]["target"] == healthy_evidence()["operation"]["target"]


def test_waivers_as_they_are_now(strict: Policy) -> None:
    waived = Waiver(
        id="w",
        signature="pod_t:run_t:dir:write",
        match={},
        scope={"nodes": ("node-1",)},
        reason="r",
        owner="ada",
        ticket="t",
        granted=NOW - dt.timedelta(days=1),
        expires=NOW + dt.timedelta(days=1),
    )
    found = {"audit__denials": [denial()], "audit__counts__denied": 3}
    saved, seen = evidence("worker", **found), live(**found)
    again = judge_again(saved, seen, strict, Waivers([waived], strict, NOW), NOW)
    assert again["decision"] == "eligible"
    assert [one["waiver_id"] for one in again["waived"]] == ["w"]
    assert stops(judge_again(saved, seen, strict, None, NOW)) == {"no-denials": "fail"}
    assert next(check["result"] for check in again["checks"] if check["id"] == "no-denials") == "waived"
    # Of a denial that one look has and the other has not, the worse result counts.
    for one, other in ((saved, live()), (evidence("worker"), seen)):
        again = judge_again(one, other, strict, Waivers([waived], strict, NOW), NOW)
        assert next(check["result"] for check in again["checks"] if check["id"] == "no-denials") == "waived"


def test_the_verdict_is_of_now(strict: Policy) -> None:
    again = judge_again(evidence("worker"), live(), strict, None, NOW)
    assert (again["issued_at"], again["expires_at"]) == ("2026-11-22T12:00:00Z", "2026-11-22T16:00:00Z")
    late = NOW + dt.timedelta(hours=3, minutes=59)
    assert stops(judge_again(evidence("worker"), live(), strict, None, late)) == {"evidence-fresh": "fail"}
