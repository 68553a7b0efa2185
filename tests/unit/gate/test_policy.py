# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies: what an operator may change, and what the verdict says about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import PolicyProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import Policy, load_policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.verdict import judge
from ansible_collections.talosops.selinux.plugins.plugin_utils.operator_files import FileProblem

from .samples import NOW, evidence

BY = {"who": "Ada", "why": "tested on the lab cluster"}
OWN = {
    "id": "our-own",
    "title": "The node is in the lab",
    "severity": "block",
    "assert": "cluster.name == 'lab'",
    "found": "cluster {cluster.name}",
    "reason": "We begin in the lab.",
    "remedy": "Wait for the next phase.",
}


def write(directory: Path, name: str = "our-policy", **document: Any) -> Path:
    path = directory / f"{name}.yml"
    path.write_text(yaml.safe_dump({"schema": 1, "name": name, "extends": "strict", **document}), encoding="utf-8")
    return path


def problem(path: Any, *words: str) -> PolicyProblem:
    with pytest.raises(PolicyProblem) as caught:
        load_policy(path)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.kind == "policy"
    context = caught.value.context
    assert (context["policy"] if "policy" in context else repr(context["expression"])) in caught.value.found
    return caught.value


@pytest.mark.parametrize("name", ["strict", "canary", "observe"])
def test_the_built_in_policies_load_and_differ(name: str) -> None:
    policy = load_policy(name)
    assert policy.name == name
    assert len(policy.sha256) == 64
    assert policy.sha256 == load_policy(name).sha256
    assert len({load_policy(other).sha256 for other in ("strict", "canary", "observe")}) == 3


def test_the_settings_of_strict(strict: Policy) -> None:
    assert strict.facts == {
        "name": "strict",
        "report_only": False,
        "verdict_ttl_seconds": 14400,
        "max_evidence_age_seconds": 14400,
        "soak_seconds": 259200,
        "talos_floor": "v1.10.0",
        "target_floor": "v1.14.0",
        "boot_paths": ["in_place", "hook"],
        "reviewed_extensions": [],
        "allowed_kernel_args": strict.settings["allowed_kernel_args"],
    }
    assert strict.seconds("soak") == 259200


def test_a_policy_that_only_adds_needs_no_word(tmp_path: Path) -> None:
    policy = load_policy(write(tmp_path, checks=[OWN]))
    assert [dict(change) for change in policy.changes] == [
        {
            "id": "our-own",
            "field": "check",
            "from": None,
            "to": "added",
            "weaker": False,
            "in": "our-policy",
            "by": None,
        }
    ]
    assert [check.id for check in policy.checks][-1] == "our-own"
    given = judge(evidence(), policy, now=NOW)
    assert given["decision"] == "eligible"
    assert given["policy"]["changes"][0]["id"] == "our-own"
    given = judge(evidence(cluster__name="production"), policy, now=NOW)
    assert given["decision"] == "refused"
    own = given["checks"][-1]
    assert own == {
        "id": "our-own",
        "title": OWN["title"],
        "severity": "block",
        "result": "fail",
        "found": "cluster production",
        "reason": OWN["reason"],
        "remedy": OWN["remedy"],
        "doc": "docs/policies.md",
    }


def test_the_documented_example_works(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "policies.md").read_text(encoding="utf-8")
    example = text.split("```yaml\n")[1].split("```")[0]
    path = tmp_path / "example.yml"
    path.write_text(example, encoding="utf-8")
    check = example[example.index("  - id:") :].strip().splitlines()
    assert len(check) <= 10
    policy = load_policy(path)
    assert judge(evidence(talos__secure_boot=True), policy, now=NOW)["decision"] == "eligible"
    given = judge(evidence(), policy, now=NOW)
    assert given["decision"] == "refused"
    assert given["checks"][-1]["result"] == "fail"


WEAKER: list[dict[str, Any]] = [
    {"allowed_kernel_args": {k: v for k, v in load_policy("strict").settings["allowed_kernel_args"].items() if v}},
    {"allowed_kernel_args": {**load_policy("strict").settings["allowed_kernel_args"], "lsm": ["selinux"]}},
    {"verdict_ttl": "5h"},
    {"max_evidence_age": "241m"},
    {"soak": "71h"},
    {"talos_floor": "v1.9.0"},
    {"target_floor": "v1.13.7"},
    {"boot_paths": ["in_place", "hook", "usb"]},
    {"reviewed_extensions": ["iscsi-tools"]},
    {"allowed_kernel_args": {"audit": ["1"]}},
    {
        "allowed_kernel_args": {
            "audit": ["1", "on", "0"],
            "talos.auditd.disabled": ["0"],
            "selinux": ["1"],
            "security": ["selinux"],
            "lsm": [],
            "apparmor": ["0"],
        }
    },
    {"waiver_max_days": 91},
    {"waiver_unused_days": 31},
    {"waiver_max_matches": 6},
    *(
        {"checks": [{"id": "no-denials", **change}]}
        for change in (
            {"severity": "warn"},
            {"enabled": False},
            {"assert": "length(denials.open) < `3`"},
            {"applies_when": "node.machine_type == 'worker'"},
            {"waived_when": "denials.benign != `[]`"},
            {"unknown_when": "audit.counts.denied == `7`"},
            {"since": "v1.15.0"},
            {"until": "v1.11.0"},
            {"nullable": ["audit.counts.denied"]},
        )
    ),
    {"checks": [{"id": "not-under-operation", "nullable": []}]},
]


@pytest.mark.parametrize("change", WEAKER, ids=str)
def test_what_weakens_needs_who_and_why(tmp_path: Path, change: dict[str, Any]) -> None:
    refusal = problem(write(tmp_path, **change), "who", "why")
    assert refusal.context["weakened"]
    policy = load_policy(write(tmp_path, weakened_by=BY, **change))
    weaker = [item for item in policy.changes if item["weaker"]]
    assert len(weaker) == 1
    assert weaker[0]["by"] == BY
    assert weaker[0]["in"] == "our-policy"
    assert weaker[0]["from"] != weaker[0]["to"]
    given = judge(evidence(), policy, now=NOW)
    assert given["policy"]["weakened"] is True
    assert given["policy"]["changes"] == [dict(item) for item in policy.changes]


ALLOWED = load_policy("strict").settings["allowed_kernel_args"]
STRONGER: list[dict[str, Any]] = [
    {"allowed_kernel_args": {**ALLOWED, "audit": ["1"]}},
    {"allowed_kernel_args": {**ALLOWED, "quiet": []}},
    {"verdict_ttl": "3h"},
    {"verdict_ttl": "240m"},
    {"max_evidence_age": "10m"},
    {"soak": "73h"},
    {"soak": "3d"},
    {"talos_floor": "v1.10.1"},
    {"target_floor": "1.14.0"},
    {"target_floor": "v1.15.0"},
    {"boot_paths": ["hook"]},
    {"waiver_max_days": 89},
    {"waiver_unused_days": 29},
    {"waiver_max_matches": 4},
    {"report_only": True},
    {"checks": [{"id": "no-read-errors", "severity": "block"}]},
    {"checks": [{"id": "no-read-errors", "enabled": False}]},
    {"checks": [{"id": "no-read-errors", "assert": "length(errors) < `3`"}]},
    {"checks": [{"id": "no-denials", "enabled": True}]},
    {"checks": [{"id": "no-denials", "needs": ["boot.id"]}]},
    {
        "checks": [
            {"id": "no-denials", "title": "t", "found": "f", "reason": "r", "remedy": "do", "doc": "our/runbook.md"}
        ]
    },
]


@pytest.mark.parametrize("change", STRONGER, ids=str)
def test_what_does_not_weaken_needs_no_word(tmp_path: Path, change: dict[str, Any]) -> None:
    policy = load_policy(write(tmp_path, **change))
    assert not any(item["weaker"] for item in policy.changes)
    assert all(item["by"] is None for item in policy.changes)
    expected = sum(len(check) - 1 for check in change["checks"]) if "checks" in change else 1
    assert len(policy.changes) == expected
    assert policy.sha256 != load_policy("strict").sha256


def test_leaving_report_only_is_weaker(tmp_path: Path) -> None:
    problem(write(tmp_path, extends="observe", report_only=False), "setting: report_only")


def test_a_check_without_needs_is_weaker(tmp_path: Path) -> None:
    base = write(tmp_path, "base", checks=[{**OWN, "needs": ["boot.id", "boot.time"]}])
    problem(write(tmp_path, extends=base.name, checks=[{"id": "our-own", "needs": ["boot.id"]}]), "our-own: needs")
    for none in ([], None):
        problem(write(tmp_path, extends=base.name, checks=[{"id": "our-own", "needs": none}]), "our-own: needs")
    load_policy(write(tmp_path, extends=base.name, checks=[{"id": "our-own", "needs": ["boot.time", "boot.id"]}]))


def test_needs_are_needed(tmp_path: Path) -> None:
    policy = load_policy(write(tmp_path, checks=[{**OWN, "needs": ["talos.booted_entry"]}]))
    assert judge(evidence(), policy, now=NOW)["decision"] == "eligible"
    given = judge(evidence(talos__booted_entry=None), policy, now=NOW)
    assert given["checks"][-1]["result"] == "unknown"
    assert "talos.booted_entry is not known" in given["checks"][-1]["found"]


def test_a_weakened_check_that_was_off_or_warned_is_not_weaker_again(tmp_path: Path) -> None:
    base = write(tmp_path, "base", checks=[{"id": "no-denials", "enabled": False}], weakened_by=BY)
    policy = load_policy(write(tmp_path, extends=str(base), checks=[{"id": "no-denials", "assert": "talos.ready"}]))
    assert [item["weaker"] for item in policy.changes] == [True, False]
    assert [item["in"] for item in policy.changes] == ["base", "our-policy"]
    assert "no-denials" not in {check.id for check in policy.checks}


def test_changes_add_up_along_the_chain(tmp_path: Path) -> None:
    policy = load_policy(write(tmp_path, extends="canary", checks=[OWN]))
    assert [item["in"] for item in policy.changes][-1] == "our-policy"
    assert {item["in"] for item in policy.changes} == {"canary", "our-policy"}
    assert {item["id"] for item in policy.changes if item["weaker"]} >= {None, "cni-compatible", "csi-compatible"}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"schema": 2}, "its schema is 2"),
        ({"name": "Not A Word"}, "its name"),
        ({"name": None}, "its name"),
        ({"extends": None}, "does not say which policy it extends"),
        ({"colour": "red", "shape": 1}, "unknown keys: colour, shape"),
        ({"checks": {}}, "not a list of mappings"),
        ({"checks": ["x"]}, "not a list of mappings"),
        ({"checks": [{"title": "x"}]}, "check id None"),
        ({"checks": [{"id": "With Blank"}]}, "check id 'With Blank'"),
        ({"checks": [OWN, OWN]}, "our-own is there twice"),
        ({"checks": [{**OWN, "asert": "x"}]}, "unknown keys: asert"),
        ({"checks": [{"id": "our-own"}]}, "severity of the check our-own"),
        ({"checks": [{**OWN, "severity": "stop"}]}, "neither block nor warn"),
        ({"checks": [{**OWN, "assert": " "}]}, "has no assert"),
        ({"checks": [{**OWN, "assert": True}]}, "has no assert"),
        ({"checks": [{k: v for k, v in OWN.items() if k != "reason"}]}, "has no reason"),
        ({"checks": [{k: v for k, v in OWN.items() if k != "found"}]}, "has no found"),
        ({"checks": [{**OWN, "assert": "a =="}]}, "JMESPath cannot read it"),
        ({"checks": [{**OWN, "assert": "`true`"}]}, "reads nothing from the document"),
        ({"checks": [{**OWN, "assert": "talos.redy"}]}, "did you mean ready"),
        ({"checks": [{**OWN, "assert": "!talos.ready"}]}, "computed value"),
        ({"checks": [{**OWN, "assert": "no_such(talos.ready)"}]}, "there is no function no_such"),
        ({"checks": [{**OWN, "found": "{talos.redy}"}]}, "did you mean ready"),
        ({"checks": [{**OWN, "applies_when": 3}]}, "applies_when of the check our-own is not a text"),
        ({"checks": [{**OWN, "since": "1.14"}]}, "since of the check our-own is not a Talos version"),
        ({"checks": [{**OWN, "until": 1.14}]}, "until of the check our-own is not a Talos version"),
        ({"checks": [{**OWN, "needs": "boot.id"}]}, "needs of the check our-own is not a list"),
        ({"checks": [{**OWN, "needs": ["boot.ids"]}]}, "the document has no boot.ids"),
        ({"checks": [{**OWN, "nullable": ["talos.ready"]}]}, "does not read: talos.ready"),
        ({"checks": [{**OWN, "enabled": "no"}]}, "neither true nor false"),
        ({"weakened_by": {"who": "Ada"}}, "weakened_by"),
        ({"weakened_by": {"who": "Ada", "why": " "}}, "weakened_by"),
        ({"weakened_by": {"who": "Ada", "why": 3}}, "weakened_by"),
        ({"weakened_by": {"who": "a", "why": "b", "when": "c"}}, "weakened_by"),
        ({"weakened_by": "Ada"}, "weakened_by"),
        ({"weakened_by": ["who", "why"]}, "weakened_by does not hold exactly"),
        ({"soak": 72}, "value 72 of soak"),
        ({"soak": "3 days"}, "of soak"),
        ({"talos_floor": "1.14"}, "of talos_floor"),
        ({"boot_paths": 3}, "of boot_paths"),
        ({"boot_paths": []}, None),
        ({"reviewed_extensions": "iscsi", "weakened_by": BY}, "reviewed_extensions is not a list"),
        ({"allowed_kernel_args": [], "weakened_by": BY}, "allowed_kernel_args"),
        ({"allowed_kernel_args": {"audit": 1}, "weakened_by": BY}, "allowed_kernel_args"),
        (
            {"allowed_kernel_args": {**ALLOWED, "apparmor": "0"}, "weakened_by": BY},
            "allowed_kernel_args is not a mapping of parameters to lists",
        ),
        (
            {"allowed_kernel_args": {**ALLOWED, "quiet": [1]}, "weakened_by": BY},
            "allowed_kernel_args is not a mapping of parameters to lists",
        ),
        ({"waiver_max_days": 0}, "waiver_max_days is not a whole number above zero"),
        ({"waiver_max_days": True}, "waiver_max_days is not a whole number above zero"),
        ({"waiver_max_days": 1.5}, "waiver_max_days is not a whole number above zero"),
        ({"report_only": "yes"}, "report_only is neither"),
    ],
    ids=str,
)
def test_a_policy_is_understood_to_the_letter_or_refused(
    tmp_path: Path, document: dict[str, Any], words: str | None
) -> None:
    path = tmp_path / "our-policy.yml"
    whole = {"schema": 1, "name": "our-policy", "extends": "strict", **document}
    path.write_text(yaml.safe_dump({k: v for k, v in whole.items() if v is not None}), encoding="utf-8")
    if words is None:
        load_policy(path)
    else:
        assert problem(path, words).do


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- 1", "not a YAML mapping"),
        ("a: [", "cannot be read"),
        ("schema: 1\nschema: 1", "'schema' is there twice"),
        ("schema: 1\nname: x\nextends: strict\nchecks: [{id: a, id: b}]", "'id' is there twice"),
        ("schema: 1\nname: x\nextends: strict\nweakened_by: {who: a, why: b}\nchecks: []\n? [a]\n: b", ""),
    ],
)
def test_broken_yaml(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "broken.yml"
    path.write_text(text, encoding="utf-8")
    problem(path, words)


def test_a_missing_file_and_a_circle(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yml", write(tmp_path, "orphan", extends="none.yml")):
        with pytest.raises(
            FileProblem,
            match=r"the policy .*none\.yml cannot be read.*none of those built in .strict, canary, observe.",
        ):
            load_policy(path)
    problem(write(tmp_path, "circle", extends="circle.yml"), "is a circle")


def test_a_time_in_a_policy_must_be_quoted(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(
        path.read_text(encoding="utf-8")
        + "checks: [{id: x-y, title: t, severity: warn, assert: talos.ready, found: f, reason: r, remedy: r, "
        + "since: 2026-01-01}]",
        encoding="utf-8",
    )
    problem(path, "since of the check x-y")


def test_since_and_until(tmp_path: Path) -> None:
    policy = load_policy(write(tmp_path, checks=[{**OWN, "since": "v1.14.1", "until": "v1.15.0"}]))

    def result(**change: Any) -> str:
        return str(judge(evidence(**change), policy, now=NOW)["checks"][-1]["result"])

    assert result() == "pass"
    assert result(talos__version="v1.14.0") == "skipped"
    assert result(talos__version="v1.14.9") == "pass"
    assert result(talos__version="v1.15.0") == "skipped"
    assert result(talos__version="v1.15.0-beta.0") == "pass"
    for unknown in (None, "", "new", 3):
        assert result(talos__version=unknown) == "unknown"
    only_since = load_policy(write(tmp_path, checks=[{**OWN, "since": "v1.14.2"}]))
    assert judge(evidence(), only_since, now=NOW)["checks"][-1]["result"] == "skipped"
    only_until = load_policy(write(tmp_path, checks=[{**OWN, "until": "v1.14.1"}]))
    assert judge(evidence(), only_until, now=NOW)["checks"][-1]["result"] == "skipped"


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("talos.ready", "pass"),
        ("talos.secure_boot", "fail"),
        ("talos.version", "unknown"),
        ("talos.extensions", "unknown"),
        ("boot.uptime_seconds", "unknown"),
        ("boot.uptime_seconds > talos.version", "unknown"),
        ("seconds_since(talos.version) > `0`", "unknown"),
        ("version_at_least(boot.time, 'v1.0.0')", "unknown"),
        ("matches(talos.version, '(')", "unknown"),
        ("contains(boot.uptime_seconds, 'x')", "unknown"),
        ("selinux.kernel_args[7]", "unknown"),
        ("length(audit.denials[?known_benign == `false`]) == `0`", "pass"),
    ],
)
def test_only_true_passes(tmp_path: Path, expression: str, result: str) -> None:
    policy = load_policy(write(tmp_path, checks=[{**OWN, "assert": expression}]))
    given = judge(evidence(), policy, now=NOW)
    assert given["checks"][-1]["result"] == result
    assert given["decision"] == {"pass": "eligible", "fail": "refused", "unknown": "inconclusive"}[result]


@pytest.mark.parametrize("field", ["applies_when", "unknown_when", "waived_when"])
@pytest.mark.parametrize("expression", ["talos.version", "talos.booted_entry == 'x'"])
def test_an_unknown_condition_makes_the_check_unknown(tmp_path: Path, field: str, expression: str) -> None:
    policy = load_policy(write(tmp_path, checks=[{**OWN, field: expression}]))
    given = judge(evidence(talos__booted_entry=None), policy, now=NOW)
    assert given["checks"][-1]["result"] == "unknown"


@pytest.mark.parametrize(
    ("field", "expression", "result"),
    [
        ("applies_when", "talos.ready", "pass"),
        ("applies_when", "talos.secure_boot", "skipped"),
        ("unknown_when", "talos.ready", "unknown"),
        ("unknown_when", "talos.secure_boot", "pass"),
        ("waived_when", "talos.ready", "waived"),
        ("waived_when", "talos.secure_boot", "pass"),
    ],
)
def test_conditions(tmp_path: Path, field: str, expression: str, result: str) -> None:
    policy = load_policy(write(tmp_path, checks=[{**OWN, field: expression}]))
    assert judge(evidence(), policy, now=NOW)["checks"][-1]["result"] == result
    # A failure is never waived away or called unknown after the fact by a condition that does not hold.
    failing = judge(evidence(cluster__name="x"), policy, now=NOW)["checks"][-1]["result"]
    assert failing == ("fail" if result in ("pass", "waived") else result)


def test_what_is_said_of_a_policy_that_weakens_without_a_word(tmp_path: Path) -> None:
    path = write(tmp_path, soak="71h", checks=[{"id": "no-denials", "severity": "warn", "enabled": False}])
    assert problem(path).as_dict() == {
        "kind": "policy",
        "policy": str(path),
        "weakened": ["setting: soak", "no-denials: enabled", "no-denials: severity"],
        "found": f"the policy {path} weakens what blocks a node (setting: soak, no-denials: enabled, no-denials:"
        " severity) and does not say who and why",
        "why": "whoever reads the verdict must know on whose word a blocking check was relaxed",
        "do": "add `weakened_by: {who: ..., why: ...}` to the policy, or take the change out",
    }
