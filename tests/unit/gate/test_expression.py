# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Expressions read only what is known, and their functions answer or fail, never guess."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import expression, shape
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import (
    PolicyProblem,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.expression import Expression, NotKnown, Template
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import load_policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.verdict import judge
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import MissingLibrary
from hypothesis import given
from hypothesis import strategies as st

from .samples import NOW, evidence

SHAPE: dict[str, Any] = {
    "a": {"b": "string", "n": "number", "f": "boolean", "list": ["string"], "any": "any"},
    "items": [
        {"name": "string", "flag": "boolean", "tags": ["string"], "sub": [{"x": "number"}], "one": {"y": "number"}}
    ],
    "map": {"one": {"v": "number"}, "two": {"v": "number"}},
    "when": "string",
}
DOCUMENT: dict[str, Any] = {
    "a": {"b": "text", "n": 3, "f": False, "list": ["x", "y", "x"], "any": {"deep": 1}},
    "items": [
        {"name": "p", "flag": True, "tags": ["t1"], "sub": [{"x": 1}]},
        {"name": "q", "flag": False, "tags": ["t2", "t3"], "sub": []},
    ],
    "map": {"one": {"v": 1}, "two": {"v": 2}},
    "when": "2026-11-22T11:00:00Z",
}


def read(text: str, document: Any = None) -> Any:
    return Expression(text, SHAPE).evaluate(DOCUMENT if document is None else document, NOW)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("a.b", "a a.b"),
        ("a.b == 'x' && a.n > `1` || a.f", "a a.b a.n a.f"),
        ("!f", None),
        ("items[0].name", "items items[].name"),
        ("items[].name", "items items[].name"),
        ("items[*].name", "items items[].name"),
        ("items[0:1].name", "items items[].name"),
        ("items[?flag].name", "items items[].flag items[].name"),
        ("items[].tags[]", "items items[].tags"),
        ("items[].sub[].x", "items items[].sub items[].sub[].x"),
        ("items[].name[]", "items items[].name"),
        ("items[].one[].y", "items items[].one items[].one.y"),
        ("items[*].one.y", "items items[].one items[].one.y"),
        ("items[*].sub[*]", "items items[].sub"),
        ("items[*].sub[*].x | [0]", "items items[].sub items[].sub[].x"),
        ("items[].sub[] | [0].x", "items items[].sub items[].sub[].x"),
        ("items[0:1].sub[0].x", "items items[].sub items[].sub[].x"),
        ("items[0].one.*", "items items[].one"),
        ("a.list[*]", "a a.list"),
        ("map.*.v", "map map.*.v"),
        ("length(items[?flag == `true`]) == `1`", "items items[].flag"),
        ("items | [0]", "items"),
        ("a | b", "a a.b"),
        ("[a.b, when]", "a a.b when"),
        ("{x: a.b, y: items[].flag}", "a a.b items items[].flag"),
        ("sort_by(items, &name)", "items items[].name"),
        ("map(&flag, items)", "items items[].flag"),
        ("max_by(items[?flag], &length(name))", "items items[].flag items[].name"),
        ("a.any.whatever", "a a.any a.any.whatever"),
        ("join('-', a.list)", "a a.list"),
        ("@", ""),
        ("@.a.b", "a a.b"),
        ("items[?contains(@.tags, 't1')].name", "items items[].tags items[].name"),
        ("`1`", ""),
        ("items[].{n: name}", "items items[].name"),
        ("items[?contains(tags, 't1')]", "items items[].tags"),
        ("subset([a.b], a.list)", "a a.b a.list"),
    ],
)
def test_it_knows_what_it_reads(text: str, paths: str | None) -> None:
    if paths is None:
        with pytest.raises(PolicyProblem, match="the document has no f"):
            Expression(text, SHAPE)
    else:
        found = {shape.text_of(path) for path in Expression(text, SHAPE).paths}
        assert found == set(paths.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.c", "no a.c"),
        ("a.flist", "did you mean list"),
        ("b", "no b"),
        ("a.b.c", "no a.b.c"),
        ("items.name", "no items.name"),
        ("items[].sub.x", "no items[].sub.x"),
        ("!a.f", "f is a field of a computed value"),
        ("sort_by(items, &name)[0].name", "computed value"),
        ("(a || map).one", "computed value"),
        ("items[].name | [0].x", "no items[].name.x"),
        ("items[].sub | x", "computed value"),
        ("items[*].sub[*] | [0].x", "x is a field of a computed value"),
        ("when[].b", "the document has no when[]"),
        ("a[].b", "the document has no a[]"),
        ("a.*.x", "the document has no a.*.x"),
        ("map(&x, `[]`)", "computed value"),
        ("{x: a}.x.b", "computed value"),
        ("unknown(a.b)", "there is no function unknown"),
        ("a.b ==", "JMESPath cannot read it"),
        ("", "JMESPath cannot read it"),
        ('a.b == "', "JMESPath cannot read it"),
    ],
)
def test_what_cannot_be_checked_is_refused(text: str, words: str) -> None:
    with pytest.raises(PolicyProblem) as caught:
        Expression(text, SHAPE)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.context == {"expression": text}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a.b != 'bad'", "a.b is not known"),
        ("a.f == `false`", "a.f is missing"),
        ("!contains(a.list, 'bad')", "a.list is not of the type"),
        ("items[?flag == `false`] == `[]`", "items[].flag is not known"),
        ("items[].tags[] == `[]`", "items[].tags is missing"),
        ("map.*.v", "map.*.v is not known"),
        ("when", "when is missing"),
        ("a.n > `1`", "a.n is not of the type"),
    ],
)
def test_gaps_are_not_known(text: str, path: str) -> None:
    broken = {
        "a": {"b": None, "n": True, "list": "bad"},
        "items": [{"name": "p", "flag": None}],
        "map": {"one": {"v": 1}, "two": {"v": None}},
    }
    with pytest.raises(NotKnown, match=path.replace("[", r"\[").replace("*", r"\*")):
        read(text, broken)


@pytest.mark.parametrize("value", [None, [], "x", 3, True])
def test_a_document_of_another_kind_is_not_known(value: Any) -> None:
    with pytest.raises(NotKnown, match=r"^a is not (known|of the type)"):
        read("a.b", {"a": value})


def test_null_is_an_answer_only_where_it_is_said() -> None:
    nullable = Expression("a.b == `null`", SHAPE, [("a", "b")])
    assert nullable.evaluate({"a": {"b": None}}, NOW) is True
    assert nullable.evaluate({"a": {"b": "x"}}, NOW) is False
    for gap in ({"a": {}}, {"a": None}, {}, {"a": {"b": 3}}):
        with pytest.raises(NotKnown, match=r"^a(\.b)? is (missing|not known|not of the type)"):
            nullable.evaluate(gap, NOW)
    with pytest.raises(NotKnown, match=r"^a\.b is not known"):
        read("a.b == `null`", {"a": {"b": None}})


@pytest.mark.parametrize(
    "text",
    [
        "seconds_since(a.b)",
        "version_at_least(a.b, 'v1.0.0')",
        "same_version(a.b, 'v1.0.0')",
        "same_version('v1.0.0', a.b)",
        "same_version(a.b, a.b)",
        "same_minor(a.b, 'v1.0.0')",
        "matches(a.b, '(')",
        "duration(a.b)",
        "abs(a.b)",
    ],
)
def test_errors_are_not_known(text: str) -> None:
    with pytest.raises(NotKnown, match="cannot be evaluated"):
        read(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("version_at_least('v1.14.0', '1.14.0')", True),
        ("version_at_least('v1.14.0-rc.2', 'v1.14.0')", False),
        ("version_at_least('v1.15.0', 'v1.14.9')", True),
        ("version_below('v1.14.0-rc.2', 'v1.14.0')", True),
        ("version_below('v1.14.0', 'v1.14.0')", False),
        ("same_version('1.14.1', 'v1.14.1')", True),
        ("same_version('v1.14.1', 'v1.14.2')", False),
        ("same_version('v1.14.1-rc.1', 'v1.14.1')", False),
        ("same_minor('v1.14.1', 'v1.14.9')", True),
        ("same_minor('v1.14.1', 'v1.13.1')", False),
        ("same_minor('v1.14.1', 'v2.14.1')", False),
        ("duration('90s')", 90),
        ("duration('3m')", 180),
        ("duration('72h')", 259200),
        ("duration('2d')", 172800),
        ("seconds_since(when)", 3600.0),
        ("seconds_since('2026-11-22T14:00:00+01:00')", -3600.0),
        ("subset(['x'], a.list)", True),
        ("subset(['x', 'z'], a.list)", False),
        ("subset(`[]`, a.list)", True),
        ("subset(a.list, `[]`)", False),
        ("intersect(a.list, ['x'])", ["x"]),
        ("intersect(['z', 'y'], a.list)", ["y"]),
        ("difference(a.list, ['y'])", ["x"]),
        ("difference(a.list, a.list)", []),
        ("intersect(['x', 'x', 'z', 'y'], a.list)", ["x", "y"]),
        ("difference(['z', 'z', 'x', 'q'], a.list)", ["z", "q"]),
        ("list_sha256(a.list)", sha256(b'["x","y"]').hexdigest()),
        ("list_sha256(['y', 'x', 'y'])", sha256(b'["x","y"]').hexdigest()),
        ("list_sha256(`[]`)", sha256(b"[]").hexdigest()),
        ("version_below('v1.13.9', 'v1.14.0')", True),
        ("version_below('v1.14.1', 'v1.14.0')", False),
        ("version_at_least('v1.14.0', 'v1.14.0')", True),
        ("version_at_least('v1.13.9', 'v1.14.0')", False),
        ("same_version('v1.14.1+a', 'v1.14.1+b')", False),
        ("duration('1s')", 1),
        ("duration('999999999s')", 999999999),
        ("duration('0d')", 0),
        ("has_arg(['quiet', 'audit=0'], 'audit')", True),
        ("has_arg(['quiet', 'audit=0'], 'audit=0')", True),
        ("has_arg(['quiet', 'audit=0'], 'audit=1')", False),
        ("has_arg(['quiet', 'audit=0'], 'quiet')", True),
        ("has_arg(['quiet', 'audit=0'], 'quiet=1')", False),
        ("has_arg(['x='], 'x=')", True),
        ("has_arg(['noaudit=0'], 'audit')", False),
        ("arg_values(['a-b=1', 'c', 'a_b=2', 'a-b'], 'a_b')", ["1", "2", None]),
        ("arg_values(['lsm=a=b'], 'lsm')", ["a=b"]),
        ("arg_values(a.list, 'z')", []),
        (
            'args_outside([\'a=1\', \'a=2\', \'b\', \'c-d=9\'], `{"a": ["1"], "b": ["x"], "c_d": []}`)',
            ["a=2", "b", "c-d=9"],
        ),
        ('args_outside([\'a="1"\', \'z=0\'], `{"a": ["1"]}`)', []),
        ('args_outside([\'"a=2"\'], `{"a": ["1"]}`)', ['"a=2"']),
        ("matches('abc', 'b')", True),
        ("matches('abc', '^b')", False),
    ],
)
def test_functions(text: str, value: Any) -> None:
    found = read(text)
    assert found == value
    assert type(found) is type(value)


def test_every_path_of_a_shape_and_its_text_are_one() -> None:
    for text in ("a", "a.b", "items[].sub[].x", "map.*.v"):
        assert shape.text_of(shape.path_of(text)) == text


def test_templates() -> None:
    def render(text: str, document: Any = None) -> str:
        return Template(text, SHAPE).render(DOCUMENT if document is None else document, NOW)

    assert render("plain") == "plain"
    assert render("{} {a.b}") == "{} text"
    assert render("{a.b}, {a.n}, {a.f}!") == "text, 3, false!"
    assert render("{a.list} {items[].name}") == "x, y, x p, q"
    assert render("{a.list[?@ == 'z']}") == "none"
    assert render("{items[0]}").startswith('{"flag": true')
    assert render("{a.b}", {}) == "unknown"
    assert render("{a.b}", {"a": {"b": "\x07\u202e\n\\"}}) == "\\x07\\u202e\\n\\\\"
    long = render("{a.b}", {"a": {"b": "y" * 601}})
    assert long == "y" * 600 + "... (601 characters)"
    assert render("{a.b}", {"a": {"b": "y" * 600}}) == "y" * 600
    assert render("{items[].sub[].x}") == "[1]"
    with pytest.raises(PolicyProblem, match=r"the document has no a\.c"):
        Template("{a.c}", SHAPE)


def test_without_the_library_the_problem_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expression, "jmespath", None)
    monkeypatch.setattr(expression, "_IMPORT_ERROR", ImportError("no jmespath"), raising=False)
    with pytest.raises(MissingLibrary, match="jmespath"):
        Expression("a.b", SHAPE)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["a", "b", "f", "items", "flag"]), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_whatever_the_document_it_answers_or_says_that_it_does_not_know(document: Any) -> None:
    for text in ("a.b != 'bad'", "a.f == `false`", "items[?flag == `false`] == `[]`"):
        try:
            value = Expression(text, SHAPE).evaluate(document if isinstance(document, dict) else {"a": document}, NOW)
        except NotKnown:
            continue
        assert isinstance(value, bool)


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
        assert refused.value.as_dict() == {
            "kind": "policy",
            "expression": text,
            "found": f"the expression {text!r} cannot be used: {why}",
            "why": "an expression that cannot be checked for gaps could pass on a missing value",
            "do": "correct the expression; docs/policies.md lists the paths and functions",
        }
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
