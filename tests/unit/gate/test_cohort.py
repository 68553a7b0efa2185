# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cohort of a machine that was never installed."""

from __future__ import annotations

import copy
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import is_sealed, sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import (
    cohort,
    signing,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.cohort import judge_cohort
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import Policy, load_policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.verdict import judge
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .samples import DELETED, NOW, TARGET, changed, evidence, healthy_evidence, stops

AT_NOW = "seconds_since('2026-11-22T12:00:00Z') == `0`"
MACHINE = {
    "name": "new-1",
    "uuid": "6f1d0a9e-0000-4000-8000-000000000099",
    "fingerprint": "q2hlY2tzdW0=",
    "stage": "maintenance",
    "installed": False,
    "pool": "workers",
    "workload": "web",
}
PLAN = {"locked_by": None, "boot_path": "in_place", "approved_local_data": ""}


def member(policy: Policy, name: str = "node-1", **changes: Any) -> dict[str, Any]:
    document = evidence("worker", node__name=name, **changes)
    verdict = judge(document, policy, target=TARGET, now=NOW)
    return {"verdict": verdict, "pool": "workers", "workload": "web", "cluster": document["cluster"]["id"]}


def ask(cohort: Any, policy: Policy, machine: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "target": TARGET,
        "now": NOW,
        "config": healthy_evidence()["config"],
        "operation": PLAN,
        "cluster": {"name": "lab", "omni": False},
    }
    return judge_cohort(machine or MACHINE, cohort, policy, **{**given, **arguments})


def test_the_truth_table_of_cohorts(strict: Policy) -> None:
    good, other = member(strict), member(strict, "node-2")
    failing = member(strict, "node-3", talos__ready=False)
    unknown = member(strict, "node-4", talos__ready=None)
    mixed = copy.deepcopy(other)
    mixed["verdict"] = sealed(changed(other["verdict"], "binds.talos_version", "v1.14.0"))
    table = [
        (None, "inconclusive", {"cohort-named"}),
        ([], "refused", {"cohort-named", "config-same-cluster"}),
        ([good], "eligible", set()),
        ([good, other], "eligible", set()),
        ([good, mixed], "refused", {"cohort-same-version"}),
        ([good, failing], "refused", {"cohort-eligible"}),
        ([failing], "refused", {"cohort-eligible"}),
        ([good, unknown], "inconclusive", {"cohort-eligible"}),
        ([failing, unknown], "refused", {"cohort-eligible"}),
        ([good, {**other, "pool": "storage"}], "refused", {"cohort-alike"}),
        ([good, {**other, "workload": "db"}], "refused", {"cohort-alike"}),
        ([good, {**other, "pool": None}], "inconclusive", {"cohort-alike"}),
        ([{**good, "cluster": "f" * 64}], "refused", {"config-same-cluster"}),
        ([{**good, "cluster": "f" * 64}, {**other, "cluster": "f" * 64}], "refused", {"config-same-cluster"}),
        ([good, {**other, "cluster": "f" * 64}], "inconclusive", {"config-same-cluster"}),
        ([{**good, "cluster": None}], "inconclusive", {"config-same-cluster"}),
        ([good, {**other, "cluster": None}], "inconclusive", {"config-same-cluster"}),
        ([good, {"pool": "workers", "workload": "web"}], "inconclusive", None),
        ([good, {"verdict": "text"}], "inconclusive", None),
    ]
    for members, decision, named in table:
        given = ask(members, strict)
        assert given["decision"] == decision, (decision, stops(given))
        if named is not None:
            assert set(stops(given)) >= named
            if members is not None:
                assert set(stops(given)) == named


def test_the_verdict_of_a_cohort(strict: Policy) -> None:
    good = member(strict)
    given = ask([good], strict)
    assert is_sealed(given)
    assert given["node"] == "new-1"
    assert given["binds"] == {
        "identity": None,
        "uuid": MACHINE["uuid"],
        "fingerprint": MACHINE["fingerprint"],
        "boot_id": None,
        "boot_time": None,
        "talos_version": "v1.14.1",
        "evidence_sha256": None,
        "policy_sha256": strict.sha256,
        "target": TARGET,
        "config_sha256": "c" * 64,
    }
    assert given["cohort"] == [
        {
            "node": "node-1",
            "verdict_sha256": good["verdict"]["sha256"],
            "evidence_sha256": good["verdict"]["binds"]["evidence_sha256"],
        }
    ]
    assert given["policy"]["name"] == "strict"
    assert (given["issued_at"], given["expires_at"]) == ("2026-11-22T12:00:00Z", "2026-11-22T16:00:00Z")
    assert given["schema"] == 1


@pytest.mark.parametrize(
    ("change", "identifier", "result"),
    [
        ({"stage": "running"}, "never-installed", "fail"),
        ({"installed": True}, "never-installed", "fail"),
        ({"installed": None}, "never-installed", "unknown"),
        ({"stage": None}, "never-installed", "unknown"),
        ({"uuid": ""}, "machine-known", "fail"),
        ({"fingerprint": ""}, "machine-known", "fail"),
        ({"fingerprint": None}, "machine-known", "unknown"),
        ({"pool": None}, "cohort-alike", "unknown"),
        ({"workload": "db"}, "cohort-alike", "fail"),
    ],
)
def test_the_machine_itself(strict: Policy, change: dict[str, Any], identifier: str, result: str) -> None:
    given = ask([member(strict)], strict, {**MACHINE, **change})
    assert stops(given) == {identifier: result}
    assert given["decision"] == {"fail": "refused", "unknown": "inconclusive"}[result]


def test_unsound_verdicts(strict: Policy) -> None:
    good = member(strict)
    verdict = good["verdict"]
    other_target = {**TARGET, "installer_digest": "sha256:" + "e" * 64}
    cases = [
        {**verdict, "node": "forged"},
        sealed(changed(verdict, "binds.policy_sha256", "0" * 64)),
        sealed(changed(verdict, "binds.evidence_sha256", None)),
        sealed({**verdict, "binds": None}),
        sealed({**verdict, "expires_at": "2026-11-22T12:00:00Z"}),
        sealed({**verdict, "issued_at": "2026-11-22T12:00:01Z"}),
        sealed({**verdict, "schema": 2}),
        judge(evidence("worker"), strict, target=other_target, now=NOW),
        judge(evidence("worker"), load_policy("canary"), target=TARGET, now=NOW),
    ]
    for case in cases:
        given = ask([{**good, "verdict": case}], strict)
        assert stops(given).get("cohort-verdicts-sound") == "fail", case
        assert given["decision"] == "refused"
    lie = sealed({**member(strict, talos__ready=False)["verdict"], "decision": "eligible"})
    assert ask([{**good, "verdict": lie}], strict)["decision"] == "refused"
    # One cohort cannot stand for the next: its verdict rests on no evidence.
    second = {**good, "verdict": ask([good], strict)}
    assert "cohort-verdicts-sound" in stops(ask([second], strict))
    late = ask([good], strict, now=NOW + dt.timedelta(hours=4))
    assert stops(late) == {"cohort-verdicts-sound": "fail"}


def test_an_inconclusive_member_is_unsound_when_it_was_changed(strict: Policy) -> None:
    unknown = member(strict, talos__ready=None)
    altered = {**unknown, "verdict": {**unknown["verdict"], "node": "forged"}}
    assert stops(ask([altered], strict)) == {"cohort-verdicts-sound": "fail", "cohort-eligible": "unknown"}


def test_members_signed_by_the_required_key(strict: Policy) -> None:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    good = member(strict)
    signed = {**good, "verdict": signing.sign(good["verdict"], private)}
    assert ask([signed], strict, required_key=public)["decision"] == "eligible"
    assert stops(ask([good], strict, required_key=public)) == {"cohort-verdicts-sound": "fail"}


@pytest.mark.parametrize(
    ("arguments", "identifier", "result"),
    [
        ({"config": None}, "machine-config-valid", "unknown"),
        ({"cluster": {"name": "lab", "omni": True}}, "not-omni-managed", "fail"),
        ({"operation": {**PLAN, "locked_by": "bob"}}, "not-under-operation", "fail"),
    ],
)
def test_the_plan_for_the_machine(strict: Policy, arguments: dict[str, Any], identifier: str, result: str) -> None:
    given = ask([member(strict)], strict, **arguments)
    assert stops(given)[identifier] == result
    assert given["decision"] != "eligible"


def test_the_policy_must_decide_for_cohorts_too() -> None:
    observe = load_policy("observe")
    assert stops(ask([member(observe)], observe))["policy-decides"] == "fail"


def test_an_old_target_is_refused_for_new_machines_too(strict: Policy) -> None:
    old = {**TARGET, "version": "v1.13.9"}
    assert stops(ask([member(strict)], strict, target=old))["factory-overlay-floor"] == "fail"
    loose = {**TARGET, "installer_digest": "latest"}
    assert stops(ask([member(strict)], strict, target=loose))["target-pinned"] == "fail"
    config = {**healthy_evidence()["config"], "install": {"image": "other"}}
    assert stops(ask([member(strict)], strict, config=config)) == {"config-target-image": "fail"}


def found_of(verdict: dict[str, Any], identifier: str) -> str:
    return str(next(check["found"] for check in verdict["checks"] if check["id"] == identifier))


def test_a_cohort_verdict_carries_no_denials(strict: Policy) -> None:
    given = ask([member(strict)], strict)
    assert (given["denials"], given["waived"]) == (None, [])


def test_the_members_are_named(strict: Policy) -> None:
    given = ask([member(strict), member(strict, "node-2"), {"verdict": None}], strict)
    assert found_of(given, "cohort-named") == "members: node-1, node-2, unnamed"


def test_what_is_unsound_is_told(strict: Policy) -> None:
    good = member(strict)
    verdict = good["verdict"]
    for case, words in (
        (changed(verdict, "binds.policy_sha256", "0" * 64), "it was judged by another policy"),
        (changed(verdict, "binds.target.version", "v1.15.0"), "it was judged for another target"),
        (changed(verdict, "binds.evidence_sha256", None), "it rests on no evidence"),
    ):
        given = ask([{**good, "verdict": sealed(case)}], strict)
        assert found_of(given, "cohort-verdicts-sound") == f"unsound: {words}"


def test_a_signed_member_that_is_not_eligible_is_sound(strict: Policy) -> None:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    refused = member(strict, talos__ready=False)
    signed = {**refused, "verdict": signing.sign(refused["verdict"], private)}
    assert stops(ask([signed], strict)) == {"cohort-eligible": "fail"}


def test_checks_of_a_cohort_know_the_time(strict: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "timed.yml"
    by = {"who": "Ada", "why": "a test of the clock"}
    own = {"id": "target-pinned", "assert": f"now == '2026-11-22T12:00:00Z' && {AT_NOW}"}
    path.write_text(
        yaml.safe_dump({"schema": 1, "name": "timed", "extends": "strict", "weakened_by": by, "checks": [own]}),
        encoding="utf-8",
    )
    timed = load_policy(path)
    checks = yaml.safe_load(cohort._CHECKS.read_text(encoding="utf-8"))
    checks["checks"][0]["assert"] += f" && {AT_NOW}"
    (tmp_path / "cohort.yml").write_text(yaml.safe_dump(checks), encoding="utf-8")
    monkeypatch.setattr(cohort, "_CHECKS", tmp_path / "cohort.yml")
    given = ask([{**member(strict), "verdict": judge(evidence("worker"), timed, target=TARGET, now=NOW)}], timed)
    assert stops(given) == {}


def test_a_member_of_which_its_verdict_tells_nothing(strict: Policy) -> None:
    """What is missing or of another kind in a member's verdict is unsound, and never an error."""
    good = member(strict)
    for key in ("checks", "binds", "policy", "issued_at", "decision", "node"):
        for value in (None, DELETED):
            given = ask([{**good, "verdict": sealed(changed(good["verdict"], key, value))}], strict)
            assert given["decision"] != "eligible" or key == "policy", (key, value)
    bare = ask([{"verdict": {}}], strict)
    assert bare["cohort"] == [{"node": None, "verdict_sha256": None, "evidence_sha256": None}]
    assert found_of(bare, "cohort-verdicts-sound") == "unsound: it was judged by another policy"
    assert {check["id"]: check["result"] for check in bare["checks"]}["cohort-eligible"] == "unknown"
    assert found_of(bare, "cohort-eligible") == "not eligible: unknown"


@pytest.mark.parametrize("decision", ["refused", "inconclusive", "maybe", None])
def test_a_member_that_contradicts_itself_is_unsound_whoever_sealed_it(strict: Policy, decision: Any) -> None:
    """Else an old verdict, or one that nobody signed, would count again once it calls itself refused."""
    good = member(strict)
    odd = sealed({**good["verdict"], "decision": decision, "expires_at": "2026-11-22T11:00:00Z"})
    given = ask([{**good, "verdict": odd}], strict)
    assert stops(given) == {"cohort-verdicts-sound": "fail"}
    assert found_of(given, "cohort-verdicts-sound") == "unsound: its decision is not the one that its checks give"
