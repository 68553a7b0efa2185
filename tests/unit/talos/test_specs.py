# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The content of a resource is data: parsed strictly, never executed, never guessed, in bounded time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import specs
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.specs import parse_spec
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: yes", {"a": "yes"}),
        ("a: on\nb: no", {"a": "on", "b": "no"}),
        ("a: true\nb: False", {"a": True, "b": False}),
        ("a: 010\nb: 1:30\nc: 0x1F\nd: -7", {"a": 10, "b": "1:30", "c": 31, "d": -7}),
        ("a: 2026-11-22\nb: 2026-11-22T12:00:00Z", {"a": "2026-11-22", "b": "2026-11-22T12:00:00Z"}),
        ("a: 1.5\nb: 1e3\nc: 1.10.0", {"a": 1.5, "b": 1000.0, "c": "1.10.0"}),
        ("a: null\nb: ~\nc:", {"a": None, "b": None, "c": None}),
        ("a: |\n  x * y\n  z\n", {"a": "x * y\nz\n"}),
        ("{}", {}),
        ("worker", "worker"),
        ('"1"', "1"),
        ("a: !!binary aGVsbG8=", {"a": "aGVsbG8="}),
        ("a: 18446744073709551615\nb: -9223372036854775808", {"a": 2**64 - 1, "b": -(2**63)}),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
        ("=: x", {"=": "x"}),
    ],
)
def test_yaml_means_what_go_means(text: str, value: Any) -> None:
    assert parse_spec(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [",
        "\x00\x01",
        "- a\n- b",
        "12",
        "true",
        "a: 1\n---\nb: 2",
        "!!python/object/apply:os.system ['true']",
        "a: !!python/name:os.system",
        "a: &x [1]\nb: *x",
        "a: !!timestamp 2026-99-99",
        "1: a",
        "? [a]\n: b",
        "[" * 100000,
        "- " * 100000,
        "? " * 100000,
        "{a: " * 100000,
        "\n".join(" " * depth + "a:" for depth in range(2000)),
        "a: " + "9" * 5000,
        "a: 123456789012345678901",
        "a: 0x" + "f" * 20,
        "a: .nan",
        "a: -.inf",
        "a: 1e999",
        "a: 1\na: 2",
        "a: {b: 1, b: 2}",
        "a: !!bool maybe",
        "a: !!int {}",
        "a: !!set {x, y}",
        "a: !!omap [x: 1]",
        "a: !custom x",
        "!!null ~",
        "%YAML 9.9\n---\na: b",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has) "):
        parse_spec(text)


@given(st.text(max_size=200))
def test_garbage_never_escapes_as_another_error(text: str) -> None:
    try:
        spec = parse_spec(text)
    except ValueError as error:
        assert str(error)
    else:
        assert json.loads(json.dumps(spec, allow_nan=False)) == spec


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: [" + "1," * 40_000 + "1]\n", "nodes"),
        ("".join(f"k{number}:\n" for number in range(15_000)), "nodes"),
        ("a:\n" + "- 1\n" * 30_000, "nodes"),
        ("a:\n" + "- {}\n" * 30_000, "nodes"),
        ("a: [" + "1," * 200_000 + "1]\n", "256 KiB"),
        ("a: '" + "x" * 300_000 + "'\n", "256 KiB"),
        ("a: '" + "\u20ac" * 100_000 + "'\n", "256 KiB"),
        ("k" * 300_000 + ": 1\n", "256 KiB"),
        ("a: 1\n" + "---\na: 1\n" * 40_000, "256 KiB"),
        ("a: &x [1]\n" + "".join(f"k{number}: *x\n" for number in range(5_000)), "aliases"),
        ("[" * 101 + "]" * 101, "levels"),
        ("a: " + "9" * 21, "too long"),
        ("a: .inf", "not finite"),
        ("a: 1\na: 2", "twice"),
    ],
)
def test_what_is_too_large_is_named_and_costs_no_objects(text: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if what in ("nodes", "256 KiB", "aliases", "levels"):
        monkeypatch.setattr(specs.yaml, "load", None)
    with pytest.raises(ValueError, match=what):
        parse_spec(text)


def test_a_long_honest_text_is_read() -> None:
    text = "a: |\n" + "  x * y [z] ? -\n" * 10_000
    assert parse_spec(text) == {"a": "x * y [z] ? -\n" * 10_000}
    many = {f"k{number}": "v" for number in range(8_000)}
    assert parse_spec("".join(f"{key}: {value}\n" for key, value in many.items())) == many
    assert parse_spec("a: '" + "x" * 300_000 + "'\n", 1024 * 1024) == {"a": "x" * 300_000}


def test_what_others_teach_the_libraries_loader_is_nothing_to_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specs.LOADER, "yaml_multi_constructors", {"!": lambda *_of: "made by another"})
    specs.core_loader.cache_clear()
    try:
        for text in ("a: !b c", "!b {}"):
            with pytest.raises(ValueError, match="is not YAML"):
                parse_spec(text)
    finally:
        specs.core_loader.cache_clear()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((f"a: {word}", None) for word in ("~", "null", "Null", "NULL", "")),
        *((f"a: {word}", True) for word in ("true", "True", "TRUE")),
        *((f"a: {word}", False) for word in ("false", "False", "FALSE")),
        *(
            (f"a: {word}", word)
            for word in ("nUll", "tRUE", "yes", "No", "on", "=", "<<", "1_000", "0o17", "0b1", "1:2")
        ),
        *((f"a: {word}", int(word)) for word in ("0", "-1", "+7", "0123", "9")),
        ("a: 0xfF", 255),
        *((f"a: {word}", float(word)) for word in (".5", "-1.", "+1.5e-3", "2E+4", "1.25", "-.5", "3e2")),
        ("a: .", "."),
        ("a: e5", "e5"),
        ("a: 1.2.3", "1.2.3"),
        ("a: 0x", "0x"),
        ("a: !!binary aGk=", "aGk="),
        ("a: !!str 5", "5"),
        ("a: !!int '5'", 5),
        ("a: [x, {b: 1}]", ["x", {"b": 1}]),
    ],
)
def test_each_scalar_is_what_go_takes_it_for(text: str, value: Any) -> None:
    found = parse_spec(text)
    assert isinstance(found, dict)
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


@pytest.mark.parametrize("text", ["a: .inf", "a: -.INF", "a: +.Inf", "a: .nan", "a: .NaN", "a: .NAN", "a: 1e999"])
def test_a_number_that_json_does_not_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not finite"):
        parse_spec(text)


@pytest.mark.parametrize(("digits", "fits"), [(specs._LONGEST_INTEGER, True), (specs._LONGEST_INTEGER + 1, False)])
def test_the_longest_number(digits: int, fits: bool) -> None:
    text = f"a: {'1' * digits}"
    if fits:
        assert parse_spec(text) == {"a": int("1" * digits)}
    else:
        with pytest.raises(ValueError, match="has a number that is too long"):
            parse_spec(text)


@pytest.mark.parametrize(("depth", "fits"), [(specs._DEEPEST - 1, True), (specs._DEEPEST + 1, False)])
@pytest.mark.parametrize("opener", ["[", "{a: "])
def test_the_deepest_nesting(opener: str, depth: int, fits: bool) -> None:
    text = "a: " + opener * depth + {"[": "]", "{a: ": "}"}[opener] * depth
    if fits:
        assert isinstance(parse_spec(text), dict)
    else:
        with pytest.raises(ValueError, match=f"is nested more than {specs._DEEPEST} levels deep"):
            parse_spec(text)
