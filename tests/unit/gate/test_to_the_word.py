# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the gate writes down, to the word: tests that the mutation test asked for."""

from __future__ import annotations

import dataclasses
import datetime as dt
import locale
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge import catalogue as known_denials
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import sealed, sha256_of
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import (
    cohort,
    compat,
    expression,
    functions,
    shape,
    signing,
    waivers,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import policy as policies
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import request as requests
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import (
    EvidenceRefused,
    PolicyProblem,
    RequestRefused,
    SignatureProblem,
    WaiverProblem,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import Policy, load_policy, read_yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.verdict import check_evidence, decide, judge
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import MissingLibrary
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .samples import NOW, TARGET, changed, denial, evidence, healthy_evidence
from .test_request_and_cohort import ask, member, stops

AT_NOW = "seconds_since('2026-11-22T12:00:00Z') == `0`"


def found_of(verdict: dict[str, Any], identifier: str) -> str:
    return str(next(check["found"] for check in verdict["checks"] if check["id"] == identifier))


# ---------------------------------------------------------------- the cohort


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


# ---------------------------------------------------------------- requests and the past


@pytest.fixture
def timed_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks of requests and of the past that ask how long ago the evidence was collected."""
    texts = {"found": "collected some time ago", "reason": "Time passes.", "remedy": "Collect it again."}
    own = {"id": "fresh", "title": "The evidence is fresh", "severity": "block", **texts}
    for name, part in (("request", ""), ("history", "after.")):
        checks = [{**own, "assert": f"seconds_since({part}collected_at) < `600`"}]
        (tmp_path / f"{name}.yml").write_text(yaml.safe_dump({"checks": checks}), encoding="utf-8")
    monkeypatch.setattr(requests, "_DATA", tmp_path)


@pytest.mark.usefixtures("timed_checks")
def test_requests_and_the_past_are_judged_at_the_given_time() -> None:
    now, later = evidence(selinux__state="enforcing"), NOW + dt.timedelta(hours=1)
    for when, result in ((NOW, "pass"), (later, "fail")):
        assert [check["result"] for check in requests.request_checks({}, now, when)] == [result]
        assert [check["result"] for check in requests.judge_history(now, now, when)] == [result]
        assert [check["result"] for check in requests.judge_past(now, [now], when)] == [result]
    assert requests.judge_request({}, now, NOW)
    with pytest.raises(RequestRefused):
        requests.judge_request({}, now, later)


@pytest.mark.usefixtures("timed_checks")
def test_requests_and_the_past_are_judged_now_when_no_time_is_given() -> None:
    fresh = evidence(selinux__state="enforcing", collected_at=functions.iso(dt.datetime.now(dt.UTC)))
    assert [check["result"] for check in requests.request_checks({}, fresh)] == ["pass"]
    assert [check["result"] for check in requests.judge_history(fresh, fresh)] == ["pass"]
    assert [check["result"] for check in requests.judge_past(fresh, [fresh])] == ["pass"]
    with pytest.raises(RequestRefused):
        requests.judge_request({}, evidence())


def test_all_that_stops_a_request_is_told() -> None:
    node = evidence(talos__staged_upgrade=True)
    request = {"api": "Reset", "path": "in_place", "mode": "SYSTEM_DISK", "labels": []}
    with pytest.raises(RequestRefused) as caught:
        requests.judge_request(request, node, NOW)
    results = {check["id"]: check for check in requests.request_checks(request, node, NOW)}
    stops = [results["wipe-fits-boot-path"], results["staged-upgrade-pending"]]
    assert caught.value.context == {"checks": [check["id"] for check in stops]}
    one, other = stops
    assert caught.value.found == f"{one['id']}: {one['found']}; {other['id']}: {other['found']}"
    assert caught.value.why == f"{one['reason']} {other['reason']}"
    assert caught.value.do == f"{one['remedy']} {other['remedy']}"


# ---------------------------------------------------------------- signatures


@pytest.mark.parametrize("kind", ["private", "public"])
def test_what_is_said_of_a_key_that_cannot_be_used(strict: Policy, kind: str) -> None:
    with pytest.raises(SignatureProblem) as caught:
        (signing.sign if kind == "private" else signing.verify)(judge(evidence(), strict, now=NOW), b"no key")
    assert caught.value.as_dict() == {
        "kind": "signature",
        "found": f"the {kind} key for verdicts is not an Ed25519 key in PEM, or its password is wrong",
        "why": "verdicts are signed and verified with Ed25519 only",
        "do": "give a key made with `openssl genpkey -algorithm ed25519`",
    }


# ---------------------------------------------------------------- the compatibility table


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"verdict": "fine"}, "a row of cni x has no verdict of works, breaks, unknown, or keys that are not known"),
        ({"source": None}, "a row of cni x has no source or no date"),
        ({"since": "1.14"}, "since of a row of cni x is not a version"),
    ],
)
def test_a_wrong_row_is_told_with_its_file(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    path = tmp_path / "table.yml"
    whole = {"verdict": "works", "source": "s", "date": dt.date(2026, 1, 1), **row}
    entry = {"kind": "cni", "name": "x", "title": "X", "rows": [whole]}
    path.write_text(yaml.safe_dump({"schema": 1, "find_out": "Try it.", "entries": [entry]}), encoding="utf-8")
    with pytest.raises(PolicyProblem) as caught:
        compat.load(path)
    assert caught.value.found == f"the compatibility table {path} cannot be used: {words}"
    assert caught.value.context == {"table": str(path)}


@pytest.mark.parametrize("field", ["since", "until", "versions_since", "versions_until"])
def test_each_version_of_a_row_is_read(tmp_path: Path, field: str) -> None:
    row = {"verdict": "works", "source": "s", "date": dt.date(2026, 1, 1), field: "new"}
    entry = {"kind": "cni", "name": "x", "title": "X", "rows": [row]}
    path = tmp_path / "table.yml"
    path.write_text(yaml.safe_dump({"schema": 1, "find_out": "Try it.", "entries": [entry]}), encoding="utf-8")
    with pytest.raises(PolicyProblem) as caught:
        compat.load(path)
    assert f"cannot be used: {field} of a row of cni x is not a version" in caught.value.found


@pytest.mark.parametrize("change", [{"kind": "pet"}, {"more": 1}], ids=str)
def test_an_entry_that_is_not_known_is_told(tmp_path: Path, change: dict[str, Any]) -> None:
    row = {"verdict": "works", "source": "s", "date": dt.date(2026, 1, 1)}
    entry = {"kind": "cni", "name": "x", "title": "X", "rows": [row], **change}
    path = tmp_path / "table.yml"
    path.write_text(yaml.safe_dump({"schema": 1, "find_out": "Try it.", "entries": [entry]}), encoding="utf-8")
    with pytest.raises(PolicyProblem) as caught:
        compat.load(path)
    assert caught.value.found == (
        f"the compatibility table {path} cannot be used: an entry has no kind of cni, csi, addons, extensions, no rows,"
        " or keys that are not known"
    )


# ---------------------------------------------------------------- functions and shapes


def test_what_evidence_says_of_a_denial_has_the_type_that_the_shape_gives_it() -> None:
    whole = denial(waiver_id="agent", catalogue_id="agent", constraint="mls")
    document = evidence(audit__denials=[whole])
    assert "permissive" in shape.GATE["audit"]["denials"][0]
    for key in shape.GATE["audit"]["denials"][0]:
        assert list(shape.defects(document, ("audit", "denials", "[]", key), frozenset(), shape.GATE)) == [], key


def test_a_time_is_written_in_utc_wherever_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert functions.iso(NOW) == "2026-11-22T12:00:00Z"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_time_without_a_zone_is_told() -> None:
    with pytest.raises(ValueError, match=r"^'2026-11-22T12:00:00' has no time zone$"):
        functions.moment("2026-11-22T12:00:00")
    with pytest.raises(ValueError, match=r"^'4w' is not a duration such as 4h"):
        functions.duration("4w")


def test_only_quotes_are_taken_off_and_only_hyphens_are_read_as_underscores() -> None:
    assert functions.args_outside(["a=X1X", 'a="1"', "a=1"], {"a": ["1"]}) == ["a=X1X"]
    assert functions.args_outside(["Xa=2", "a-b=2", "aXb=2"], {"a": ["1"], "a_b": ["1"]}) == ["a-b=2"]
    assert functions.arg_values([" a=1", '"a=2"', "a=3"], "a") == ['2"', "3"]
    assert functions.arg_values(["a-b-c=1", "a_b_c=2", "abc=3"], "a_b-c") == ["1", "2"]


def test_the_shape_at_a_path() -> None:
    kinds: dict[str, Any] = {"free": "any", "list": ["string"], "map": {"k": {"x": "number"}}, "text": "string"}
    assert shape.at(kinds, ("free", "whatever", "[]")) == "any"
    assert shape.at(kinds, ("list", "[]")) == "string"
    assert shape.at(kinds, ("map", "*", "x")) == "number"
    assert shape.at(kinds, ()) is kinds
    for path, words in (
        (("list", "name"), "the document has no list.name"),
        (("map", "[]"), "the document has no map[]"),
        (("text", "*"), "the document has no text.*"),
        (("text", "a", "b"), "the document has no text.a"),
        (("list", "*"), "the document has no list.*"),
        (("lost",), "the document has no lost; did you mean list"),
        (("map", "zzz", "x"), "the document has no map.zzz"),
    ):
        with pytest.raises(LookupError) as caught:
            shape.at(kinds, path)
        assert str(caught.value) == words


def test_what_is_wrong_at_a_path() -> None:
    kinds: dict[str, Any] = {"free": "any", "list": [{"x": "number"}], "map": {"k": {"x": "number"}}, "text": "string"}

    def told(document: Any, *path: str, nullable: frozenset[Any] = frozenset()) -> list[str]:
        return list(shape.defects(document, path, nullable, kinds))

    assert told({"free": {"deep": None}}, "free", "deep") == []
    assert told({"free": None}, "free", "deep") == ["free is not known"]
    assert told({"text": None}, "text") == ["text is not known"]
    assert told({"text": None}, "text", nullable=frozenset({("text",)})) == []
    assert told({}, "text", nullable=frozenset({("text",)})) == ["text is missing"]
    assert told({"text": 3}, "text") == ["text is not of the type that schema 1 gives it"]
    assert told({"list": [{"x": 1}, {"x": None}, {}]}, "list", "[]", "x") == [
        "list[].x is not known",
        "list[].x is missing",
    ]
    assert told({"map": {"a": {"x": 1}, "b": {"x": "1"}, "c": {}}}, "map", "*", "x") == [
        "map.*.x is not of the type that schema 1 gives it",
        "map.*.x is missing",
    ]
    assert shape.value_at({"a": {"b": 1}}, "a", "b") == 1
    assert shape.value_at({"a": [1]}, "a", "b", "c") is None
    assert shape.value_at(None, "a") is None


# ---------------------------------------------------------------- the verdict


def test_what_is_said_of_evidence_that_is_not_judged() -> None:
    nameless = sealed({**healthy_evidence(), "node": None, "schema": 7})
    for document, node, found, named in (
        (
            sealed({**healthy_evidence(), "schema": 2}),
            None,
            "the evidence of node-1 has schema 2, and this gate reads schema 1",
            "node-1",
        ),
        (
            nameless,
            None,
            "the evidence of an unnamed node has schema 7, and this gate reads schema 1",
            "an unnamed node",
        ),
        ({**evidence(), "errors": [1]}, None, "the evidence of node-1 does not match its own hash", "node-1"),
        (evidence(), "node-2", "the evidence is of node node-1, not of node-2", "node-2"),
    ):
        with pytest.raises(EvidenceRefused) as caught:
            check_evidence(document, node)
        assert caught.value.found == found
        assert caught.value.context == {"node": named}
    assert caught.value.do == "collect the evidence of node-2"
    check_evidence(evidence(), "node-1")


def test_a_note_is_added_to_what_was_found(strict: Policy) -> None:
    given = judge(evidence(node__identity=None, talos__ready=None, time__synced=None), strict, now=NOW)
    assert {"unknown", "pass"} <= {check["result"] for check in given["checks"]}
    for check in given["checks"]:
        if check["result"] == "unknown":
            assert check["found"].endswith(" is not known)"), check
        else:
            assert not check["found"].endswith("(None)")


def test_decisions_without_a_pass() -> None:
    assert decide([{"severity": "block", "result": "skipped"}]) == "inconclusive"
    assert decide([{"severity": "warn", "result": "pass"}]) == "inconclusive"
    assert decide([{"severity": "block", "result": "waived"}, {"severity": "warn", "result": "fail"}]) == "eligible"
    assert decide([{"severity": "block"}, {"severity": "block", "result": "pass"}]) == "inconclusive"


def test_the_table_of_the_call_is_the_one_that_rates(strict: Policy) -> None:
    given = judge(evidence(), strict, now=NOW, table=compat.Table({}, "Ask its makers."))
    assert stops(given) == {"cni-compatible": "unknown"}
    bad = {"kind": "cni", "verdict": "breaks", "source": "s", "date": "2026-01-01", "workaround": "w"}
    given = judge(evidence(), strict, now=NOW, table=compat.Table({("cni", "flannel"): (bad,)}, "Ask."))
    assert stops(given) == {"cni-compatible": "fail"}


def test_every_condition_of_a_check_knows_the_time(tmp_path: Path) -> None:
    own = {
        "id": "our-clock",
        "title": "The clock",
        "severity": "block",
        "assert": "talos.ready && seconds_since(collected_at) == `300`",
        "applies_when": "seconds_since(collected_at) == `300`",
        "unknown_when": "seconds_since(collected_at) != `300`",
        "waived_when": "seconds_since(collected_at) == `300`",
        "needs": ["talos.booted_entry", "talos.secure_boot"],
        "found": "{seconds_since(collected_at)} seconds",
        "reason": "Time passes.",
        "remedy": "Wait for it.",
    }
    path = tmp_path / "clock.yml"
    path.write_text(
        yaml.safe_dump({"schema": 1, "name": "clock", "extends": "strict", "checks": [own]}), encoding="utf-8"
    )
    clock = load_policy(path)
    given = judge(evidence(), clock, now=NOW)["checks"][-1]
    assert (given["result"], given["found"]) == ("waived", "300.0 seconds")
    given = judge(evidence(talos__booted_entry=None, talos__secure_boot=None), clock, now=NOW)["checks"][-1]
    assert given["result"] == "unknown"
    assert given["found"] == "300.0 seconds (talos.booted_entry is not known; talos.secure_boot is not known)"


def test_an_answer_that_is_neither_true_nor_false_is_told(tmp_path: Path) -> None:
    own = {
        "id": "our-answer",
        "title": "An answer",
        "severity": "block",
        "assert": "talos.version",
        "found": "it",
        "reason": "Only true and false are answers.",
        "remedy": "Write a comparison.",
    }
    path = tmp_path / "answer.yml"
    path.write_text(
        yaml.safe_dump({"schema": 1, "name": "answer", "extends": "strict", "checks": [own]}), encoding="utf-8"
    )
    given = judge(evidence(), load_policy(path), now=NOW)["checks"][-1]
    assert (given["result"], given["found"]) == ("unknown", "it (the answer is str, neither true nor false)")


# ---------------------------------------------------------------- expressions


def test_a_check_for_some_versions_says_that_it_does_not_know_the_version(tmp_path: Path) -> None:
    path = tmp_path / "since.yml"
    own = {
        "id": "our-since",
        "title": "Since",
        "severity": "block",
        "assert": "time.synced",
        "found": "it",
        "reason": "Only from this release.",
        "remedy": "Wait for it.",
        "since": "v1.14.0",
    }
    path.write_text(
        yaml.safe_dump({"schema": 1, "name": "since", "extends": "strict", "checks": [own]}), encoding="utf-8"
    )
    given = judge(evidence(talos__version=None), load_policy(path), now=NOW)["checks"][-1]
    assert given["result"] == "unknown"
    assert given["found"] == "it (talos.version is not known, and this check depends on it)"


def test_what_an_expression_cannot_answer_is_told() -> None:
    kinds: dict[str, Any] = {"a": {"b": "string"}, "n": "number"}
    with pytest.raises(expression.NotKnown) as caught:
        expression.Expression("a.b == 'x' && n == `1`", kinds).evaluate({}, NOW)
    assert str(caught.value) == "a is missing; n is missing"
    with pytest.raises(expression.NotKnown) as caught:
        expression.Expression("duration(a.b)", kinds).evaluate({"a": {"b": "4w"}}, NOW)
    assert str(caught.value) == (
        "the expression cannot be evaluated: '4w' is not a duration such as 4h (units: s, m, h, d)"
    )
    for text, why in (
        ("a.lost", "the document has no a.lost"),
        ("(a).b.c", "the document has no a.b.c"),
        ("{x: n}.x", "x is a field of a computed value, which cannot be checked for gaps"),
        ("no_such(n)", "there is no function no_such"),
    ):
        with pytest.raises(PolicyProblem) as refused:
            expression.Expression(text, kinds)
        assert refused.value.found == f"the expression {text!r} cannot be used: {why}"
        assert refused.value.context == {"expression": text}
    with pytest.raises(PolicyProblem, match=r"JMESPath cannot read it: .*[Ii]ncomplete expression"):
        expression.Expression("a ==", kinds)


def test_the_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expression, "jmespath", None)
    monkeypatch.setattr(expression, "_IMPORT_ERROR", ImportError("it is not there"))
    with pytest.raises(MissingLibrary) as caught:
        expression.Expression("a", {"a": "string"})
    assert caught.value.context == {"library": "jmespath"}
    assert "the Python library jmespath cannot" in caught.value.found
    assert "(it is not there)" in caught.value.found


def test_null_may_be_an_answer_in_what_was_found_too() -> None:
    kinds: dict[str, Any] = {"a": {"b": "string"}}
    assert expression.Template("{a.b}", kinds, [("a", "b")]).render({"a": {"b": None}}, NOW) == "null"
    assert expression.Template("{a.b}", kinds).render({"a": {"b": None}}, NOW) == "unknown"


def test_elements_of_a_computed_list_cannot_be_checked() -> None:
    kinds: dict[str, Any] = {"items": [{"name": "string"}]}
    for text in ("sort_by(items, &name)[*].name", "sort_by(items, &name)[?name == 'x']", "map(&name, items)[].name"):
        with pytest.raises(PolicyProblem, match="name is a field of a computed value"):
            expression.Expression(text, kinds)


# ---------------------------------------------------------------- policies


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
        policies.load_checks(path, shape.GATE)
    assert caught.value.found == (
        f"the gate policy {path} cannot be used: the severity of the check x is neither block nor warn"
    )


def test_keys_that_are_lists_are_refused_as_such(tmp_path: Path) -> None:
    """Two of them are not one key that is there twice."""
    path = tmp_path / "our-policy.yml"
    path.write_text("? [a]\n: b\n? [c]\n: d\n", encoding="utf-8")
    with pytest.raises(PolicyProblem, match="found unhashable key"):
        load_policy(path)


def test_a_policy_is_read_as_utf_8_wherever_the_machine_is(tmp_path: Path) -> None:
    path = tmp_path / "our-policy.yml"
    document = {"schema": 1, "name": "our-policy", "extends": "strict", "description": "für das Labor"}
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")
    try:
        assert load_policy(path).name == "our-policy"
        assert read_yaml(path, "policy")["description"] == "für das Labor"
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


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
        ({"extends": None}, "it does not say which policy it extends; begin with `extends: strict`"),
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


@pytest.mark.parametrize("text", ["- 1", "a: [", "schema: 1\nschema: 1"])
def test_an_unreadable_policy_is_named_by_its_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PolicyProblem) as caught:
        load_policy(path)
    assert caught.value.context["policy"] == str(path)
    if "schema" in text:
        assert "line 2" in caught.value.found
    if text == "- 1":
        assert caught.value.found == f"the gate policy {path} cannot be used: it is not a YAML mapping"


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


# ---------------------------------------------------------------- waivers

ENTRY: dict[str, Any] = {
    "id": "agent",
    "signature": "pod_t:etcd_t:sock_file:append+write",
    "scope": {"clusters": ["lab"]},
    "reason": "r",
    "owner": "ada@example.org",
    "ticket": "OPS-1",
    "granted": dt.date(2026, 11, 1),
    "expires": dt.date(2026, 12, 31),
}


def written(directory: Path, *entries: dict[str, Any]) -> Path:
    path = directory / "waivers.yml"
    path.write_text(yaml.safe_dump({"schema": 1, "waivers": list(entries)}), encoding="utf-8")
    return path


def breaking(versions: str | None = None, permissions: frozenset[str] | None = None) -> known_denials.Catalogue:
    """A catalogue of one family: what pods do to etcd's sockets, on some versions, breaks."""
    known = next(entry for entry in known_denials.load().entries if entry.breaking)
    match = known_denials.Match(
        source=frozenset({"pod_t"}),
        target=frozenset({"etcd_t"}),
        classes=frozenset({"sock_file"}),
        permissions=permissions,
        comm=None,
        path=None,
        owner=None,
        raw_context=None,
        constraint=None,
        versions=versions,
        one_name=False,
    )
    return known_denials.Catalogue([dataclasses.replace(known, match=match)])


@pytest.mark.parametrize(("versions", "breaks"), [(">=1.14.0,<1.15.0", True), (">=1.12.0,<1.13.0", False)])
def test_a_family_breaks_on_its_versions_only(tmp_path: Path, strict: Policy, versions: str, breaks: bool) -> None:
    """The sample node runs 1.14; by name alone, without a version, the waiver is refused in any case."""
    signature = ENTRY["signature"]
    document = evidence(audit__denials=[denial(signature)], audit__counts__denied=3)
    matched = {
        **{key: value for key, value in ENTRY.items() if key != "signature"},
        "match": {
            "source_type": ["pod_t"],
            "target_type": ["etcd_t"],
            "class": ["sock_file"],
            "permissions": ["append", "write", "read"],
        },
    }
    # The family is one of exactly these permissions, so that the waiver's own three are not in it by name.
    given = waivers.load(
        written(tmp_path, matched),
        policy=strict,
        now=NOW,
        catalogue=breaking(versions, frozenset({"append", "write"})),
    )
    waived = given.applied(document["audit"], document)["denials"][0]["waiver_id"]
    assert waived == (None if breaks else "agent")
    assert [finding.lint for finding in given.lint([document])] == (["breaking"] if breaks else [])


def test_a_family_is_found_by_the_names_of_a_signature(tmp_path: Path, strict: Policy) -> None:
    path = written(tmp_path, ENTRY)
    two = breaking(permissions=frozenset({"append", "write"}))
    assert [f.lint for f in waivers.load(path, policy=strict, now=NOW, catalogue=two).lint([])] == ["breaking"]
    one = breaking(permissions=frozenset({"write"}))
    assert waivers.load(path, policy=strict, now=NOW, catalogue=one).lint([]) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"expires": dt.date(2026, 11, 22)}, "it expired at 2026-11-22T00:00:00Z"),
        ({"granted": dt.date(2026, 11, 23)}, "it was granted at 2026-11-23T00:00:00Z, which is in the future"),
        ({"granted": dt.date(2026, 10, 1)}, "it holds for longer than the 90 days the policy allows"),
        ({"owner": ""}, "it has no owner"),
    ],
)
def test_what_a_waiver_lacks(tmp_path: Path, strict: Policy, change: dict[str, Any], text: str) -> None:
    document = evidence(audit__denials=[denial(ENTRY["signature"])], audit__counts__denied=3)
    found = waivers.load(written(tmp_path, {**ENTRY, **change}), policy=strict, now=NOW).lint([document])
    assert [finding.text for finding in found] == [text]


def test_all_findings_are_told(tmp_path: Path, strict: Policy) -> None:
    path = written(tmp_path, {**ENTRY, "owner": "", "granted": dt.date(2026, 10, 10)})
    with pytest.raises(
        WaiverProblem,
        match=r": agent \(no-owner\): it has no owner; agent \(unused\): nothing that it covers was seen for 30 days"
        r" \(last: 2026-10-10T00:00:00Z\)\. ",
    ):
        waivers.load(path, policy=strict, now=NOW).require_sound([])


def test_a_broad_waiver_is_named(tmp_path: Path, strict: Policy) -> None:
    sources = [f"s{number}_t" for number in range(6)]
    match = {"source_type": sources, "target_type": ["etcd_t"], "class": ["dir"], "permissions": ["write"]}
    entry = {**{key: value for key, value in ENTRY.items() if key != "signature"}, "match": match}
    denials = [denial(f"{source}:etcd_t:dir:write") for source in sources]
    document = evidence(audit__denials=denials, audit__counts__denied=18)
    found = waivers.load(written(tmp_path, entry), policy=strict, now=NOW).lint([document])
    assert [(finding.waiver, finding.lint) for finding in found] == [("agent", "too-broad")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "it cannot be read: while parsing a flow"),
        ("schema: 2\nwaivers: []", "it does not hold exactly `schema: 1` and `waivers`"),
        ("schema: 1\nwaivers: {}", "its waivers are not a list"),
    ],
)
def test_why_a_waiver_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "waivers.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WaiverProblem) as caught:
        waivers.load_waivers(path)
    assert caught.value.found.startswith(f"the waiver file {path} cannot be used: {words}")


def test_what_is_wrong_with_a_waiver_is_told_in_full(tmp_path: Path) -> None:
    for entries, words in (
        ([ENTRY, ENTRY], "the waiver agent is there twice"),
        ([{**ENTRY, "id": "a b"}], "a waiver has no id of letters, digits, dots, hyphens and underscores"),
        ([{**ENTRY, "colour": "red", "shape": 1}], "the waiver agent has unknown keys: colour, shape"),
        (
            [{**{k: v for k, v in ENTRY.items() if k != "signature"}, "match": []}],
            "the match of the waiver agent is not a mapping with keys among source_type, target_type, class,"
            " permissions",
        ),
    ):
        path = written(tmp_path, *entries)
        with pytest.raises(WaiverProblem) as caught:
            waivers.load_waivers(path)
        assert caught.value.found == f"the waiver file {path} cannot be used: {words}"
