# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a policy file may hold, and what is said of one that is refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import sha256_of
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import policy as policies
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import (
    shape,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.checks import load_checks
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.documents import read_yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import (
    PolicyProblem,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import load_policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.verdict import judge

from .samples import NOW, evidence


def test_a_value_that_is_repeated_is_no_change(tmp_path: Path) -> None:
    strict = load_policy("strict")
    check = next(check for check in strict.checks if check.id == "no-denials")
    path = tmp_path / "our-policy.yml"
    repeated = {"id": check.id, "severity": check.severity, "assert": check.raw["assert"]}
    document = {"schema": 1, "name": "our-policy", "extends": "strict", "soak": "72h", "checks": [repeated]}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert load_policy(path).changes == ()


def test_the_hash_of_a_policy_is_that_of_all_it_decides_by(tmp_path: Path) -> None:
    path = tmp_path / "our-policy.yml"
    document = {"schema": 1, "name": "our-policy", "extends": "strict", "soak": "73h"}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    policy, strict = load_policy(path), read_yaml(Path(shape.__file__).parent / "data" / "strict.yml", "policy")
    assert policy.sha256 == sha256_of(
        {
            "schema": 1,
            "name": "our-policy",
            **policy.settings,
            "checks": strict["checks"],
            "changes": list(policy.changes),
        }
    )


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("soak", "3 days", "'3 days' is not a duration such as 4h (units: s, m, h, d)"),
        ("talos_floor", "new", "not a Talos version"),
    ],
)
def test_a_damaged_built_in_policy_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, words: str
) -> None:
    raw = read_yaml(policies._DATA / "strict.yml", "policy")
    (tmp_path / "strict.yml").write_text(yaml.safe_dump({**raw, setting: value}), encoding="utf-8")
    monkeypatch.setattr(policies, "_DATA", tmp_path)
    with pytest.raises(PolicyProblem) as caught:
        load_policy("strict")
    assert caught.value.found.startswith("the gate policy strict cannot be used: ")
    assert words in caught.value.found
    assert caught.value.context == {"policy": "strict"}


def test_a_damaged_file_of_checks_is_named(tmp_path: Path) -> None:
    path = tmp_path / "checks.yml"
    path.write_text(yaml.safe_dump({"checks": [{"id": "x", "severity": "stop"}]}), encoding="utf-8")
    with pytest.raises(PolicyProblem) as caught:
        load_checks(path, shape.GATE)
    assert caught.value.found == (
        f"the gate policy {path} cannot be used: the severity of the check x is neither block nor warn"
    )
    assert caught.value.context == {"policy": str(path)}


@pytest.mark.parametrize(
    "document",
    [
        {"extends": None},
        {"schema": 2},
        {"weakened_by": "Ada"},
        {"soak": 72},
        {"soak": "3 days", "extends": "observe"},
    ],
    ids=str,
)
def test_a_refused_policy_is_named_by_its_file(tmp_path: Path, document: dict[str, Any]) -> None:
    path = tmp_path / "our-policy.yml"
    whole = {"schema": 1, "name": "our-policy", "extends": "strict", **document}
    path.write_text(yaml.safe_dump({k: v for k, v in whole.items() if v is not None}), encoding="utf-8")
    with pytest.raises(PolicyProblem) as caught:
        load_policy(path)
    assert caught.value.context["policy"] == str(path)
    assert f"the gate policy {path} cannot be used: " in caught.value.found


WORD = "is not a word in lower-case letters, digits and hyphens"
CLOCK: dict[str, Any] = {
    "id": "our-clock",
    "title": "The clock is right or unknown",
    "severity": "block",
    "assert": "time.synced != `false`",
    "nullable": ["time.synced"],
    "found": "synchronised: {time.synced}",
    "reason": "Only a wrong clock stops us.",
    "remedy": "Set the clock.",
}


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"extends": None}, "it does not say which policy it extends; start it with `extends: strict`"),
        ({"schema": 2}, "its schema is 2, and this gate reads schema 1"),
        ({"name": "Our Policy"}, f"its name {WORD}"),
        ({"colour": "red"}, "it has unknown keys: colour"),
        ({"checks": {}}, "its checks are not a list of mappings"),
        ({"checks": [{"id": 3}]}, f"the check id 3 {WORD}"),
        ({"checks": [{"id": "a"}, {"id": "a"}]}, "the check a is there twice"),
        ({"weakened_by": {}}, "weakened_by does not hold exactly `who` and `why`, both with text"),
        ({"soak": 72}, "the value 72 of soak cannot be used"),
        ({"boot_paths": [1], "weakened_by": {"who": "a", "why": "b"}}, "boot_paths is not a list of texts"),
        ({"waiver_max_days": 0}, "waiver_max_days is not a whole number above zero"),
        (
            {"allowed_kernel_args": {"audit": 1}, "extends": "observe"},
            "the value {'audit': 1} of allowed_kernel_args cannot be used",
        ),
        (
            {"allowed_kernel_args": [], "weakened_by": {"who": "a", "why": "b"}},
            "allowed_kernel_args is not a mapping of parameters to lists of quoted values",
        ),
        ({"report_only": 1}, "report_only is neither true nor false"),
        ({"report_only": ""}, "report_only is neither true nor false"),
        (
            {"checks": [{**CLOCK, "nullable": ["talos.version", "boot.id", "time.synced"]}]},
            "nullable of the check our-clock lists what its assert does not read: boot.id, talos.version",
        ),
        ({"checks": [{"id": "a", "enabled": 1}]}, "enabled of the check a is neither true nor false"),
        *(
            ({"checks": [{**CLOCK, field: value}]}, f"{field} of the check our-clock{why}")
            for field, value, why in (
                ("needs", ["boot.ids"], ": the document has no boot.ids; did you mean id"),
                ("nullable", ["lost"], ": the document has no lost; did you mean talos"),
                ("needs", "boot.id", " is not a list of paths"),
                ("nullable", [3], " is not a list of paths"),
                ("unknown_when", 3, " is not a text"),
                ("waived_when", ["a"], " is not a text"),
                ("since", "1.14", " is not a Talos version such as v1.14.1"),
                ("until", 1.14, " is not a Talos version such as v1.14.1"),
            )
        ),
        *(
            ({"checks": [{**CLOCK, field: None}]}, f"the check our-clock has no {field}")
            for field in ("title", "found", "reason", "remedy", "doc", "assert")
        ),
        ({"checks": [{**CLOCK, "severity": "stop"}]}, "the severity of the check our-clock is neither block nor warn"),
        (
            {"checks": [{**CLOCK, "assert": "`true`", "nullable": []}]},
            "the assert of the check our-clock reads nothing from the document",
        ),
        ({"checks": [{**CLOCK, "asert": "x"}]}, "the check our-clock has unknown keys: asert"),
    ],
    ids=str,
)
def test_why_a_policy_is_refused(tmp_path: Path, document: dict[str, Any], why: str) -> None:
    path = tmp_path / "our-policy.yml"
    whole = {"schema": 1, "name": "our-policy", "extends": "strict", **document}
    path.write_text(yaml.safe_dump({k: v for k, v in whole.items() if v is not None}), encoding="utf-8")
    with pytest.raises(PolicyProblem) as caught:
        load_policy(path)
    assert caught.value.found == f"the gate policy {caught.value.context['policy']} cannot be used: {why}"
    assert caught.value.context["policy"] in (str(path), "our-policy")


@pytest.mark.parametrize(
    ("condition", "result"), [("applies_when", "pass"), ("unknown_when", "unknown"), ("waived_when", "waived")]
)
def test_null_may_be_an_answer_in_every_part_of_a_check(tmp_path: Path, condition: str, result: str) -> None:
    path = tmp_path / "our-policy.yml"
    checks = [{**CLOCK, condition: "time.synced == `null`"}]
    document = {"schema": 1, "name": "our-policy", "extends": "strict", "checks": checks}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    given = judge(evidence(time__synced=None), load_policy(path), now=NOW)["checks"][-1]
    assert (given["result"], given["found"]) == (result, "synchronised: null")


def test_what_changed_is_told_with_both_values(tmp_path: Path) -> None:
    path = tmp_path / "our-policy.yml"
    checks = [{"id": "no-denials", "title": "t", "since": "v1.11.0"}, {"id": "no-read-errors", "doc": "our.md"}]
    document = {"schema": 1, "name": "our-policy", "extends": "strict", "soak": "71h", "checks": checks}
    by = {"who": "Ada", "why": "a lab"}
    path.write_text(yaml.safe_dump({**document, "weakened_by": by}), encoding="utf-8")
    strict = {check.id: check for check in load_policy("strict").checks}
    changes = load_policy(path).changes
    assert [{key: change[key] for key in ("id", "field", "from", "to", "by")} for change in changes] == [
        {"id": None, "field": "soak", "from": "72h", "to": "71h", "by": by},
        {"id": "no-denials", "field": "since", "from": None, "to": "v1.11.0", "by": by},
        {"id": "no-denials", "field": "title", "from": strict["no-denials"].text("title"), "to": "t", "by": None},
        {
            "id": "no-read-errors",
            "field": "doc",
            "from": strict["no-read-errors"].text("doc"),
            "to": "our.md",
            "by": None,
        },
    ]


def test_all_that_weakens_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "our-policy.yml"
    document = {"schema": 1, "name": "our-policy", "extends": "strict", "soak": "71h", "waiver_max_days": 91}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(PolicyProblem, match=r"\(setting: soak, setting: waiver_max_days\)"):
        load_policy(path)


def test_all_unknown_keys_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "our-policy.yml"
    checks = [{"id": "no-denials", "asert": "x", "colour": "red"}]
    document = {"schema": 1, "name": "our-policy", "extends": "strict", "checks": checks}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(PolicyProblem, match=r"no-denials has unknown keys: asert, colour\. "):
        load_policy(path)


def test_strict_is_the_policy_when_none_is_named() -> None:
    assert load_policy().name == "strict"


def test_eight_documents_may_extend_each_other(tmp_path: Path) -> None:
    extends = "strict"
    for number in range(1, 10):
        path = tmp_path / f"p{number}.yml"
        path.write_text(yaml.safe_dump({"schema": 1, "name": f"p{number}", "extends": extends}), encoding="utf-8")
        extends = path.name
    assert load_policy(tmp_path / "p8.yml").name == "p8"
    with pytest.raises(PolicyProblem, match="the chain of extends is longer than 8 documents") as caught:
        load_policy(tmp_path / "p9.yml")
    assert caught.value.context["policy"] == "strict"


def test_a_list_in_another_order_is_not_weaker(tmp_path: Path) -> None:
    path = tmp_path / "our-policy.yml"
    paths = list(reversed(load_policy("strict").settings["boot_paths"]))
    document = {"schema": 1, "name": "our-policy", "extends": "strict", "boot_paths": paths}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert [change["weaker"] for change in load_policy(path).changes] == [False]


@pytest.mark.parametrize("setting", ["waiver_max_days", "waiver_unused_days", "waiver_max_matches"])
def test_one_is_enough_of_what_waivers_are_bounded_by(tmp_path: Path, setting: str) -> None:
    path = tmp_path / "our-policy.yml"
    document = {"schema": 1, "name": "our-policy", "extends": "strict", setting: 1}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert load_policy(path).settings[setting] == 1


def test_a_value_that_json_cannot_carry_is_refused(tmp_path: Path) -> None:
    """In a check that is off, whose fields nobody else looks at; the policy's hash could not be computed."""
    path = tmp_path / "our-policy.yml"
    checks = [{"id": "our-own", "enabled": False, "since": dt.date(2026, 1, 1)}]
    document = {"schema": 1, "name": "our-policy", "extends": "strict", "checks": checks}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(PolicyProblem) as caught:
        load_policy(path)
    assert caught.value.found == (
        "the gate policy our-policy cannot be used: it holds a value that JSON cannot carry (write times and dates as"
        " quoted text)"
    )
    assert caught.value.context["policy"] == "our-policy"
