# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A schematic is written as Go's encoder writes it, or its text is not claimed."""

from __future__ import annotations

import json

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.image import errors, go_yaml, schematic
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    "value", ["caf\u00e9", "on", "=", "1e400", "a\tb", "12:30", "2026-01-01", " \nx", "a \nb", "\n"]
)
def test_uncertain_values_have_no_offline_id_but_a_body(value):
    read = schematic.parse(json.dumps({"customization": {"extraKernelArgs": [value]}}))
    with pytest.raises(errors.UncertainSchematic, match="the schematic holds"):
        read.id()
    assert schematic.known_id(read) is None
    assert json.loads(read.body()) == read.data
    assert schematic.derive(read.body()).target_id is None


OF_YAML_1_1 = ["y", "Y", "n", "N", "yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF", "<<"]
RESERVED = [
    *("true", "True", "TRUE", "false", "False", "FALSE", "null", "Null", "NULL", "~", ".nan", ".NaN", ".NAN"),
    *(
        "1",
        "-1",
        "+1",
        "0",
        "007",
        "1.5",
        "-.5",
        "1.",
        "1e9",
        "1.5E+07",
        "0x1F",
        "0o17",
        "0b10",
        ".inf",
        "-.Inf",
        ".INF",
    ),
]
PLAIN = ["a", "yeah", "nO", "oN", "nUll", "nul", "nan", "1.2.3", "1.2.3.4", "net.ifnames=0", "a:b", "5g", "enforcing=1"]


def canonical_of(word: str) -> str:
    """The line that a word comes to stand on."""
    (line,) = go_yaml.canonical({"a": word}).splitlines()
    return line


def test_words_that_read_as_another_type_are_quoted_and_others_are_not() -> None:
    assert [canonical_of(word) for word in RESERVED] == [f'a: "{word}"' for word in RESERVED]
    assert [canonical_of(word) for word in PLAIN] == [f"a: {word}" for word in PLAIN]


@pytest.mark.parametrize("word", [*OF_YAML_1_1, "="])
def test_words_that_releases_quote_in_different_ways_are_not_claimed(word: str) -> None:
    with pytest.raises(errors.UncertainSchematic):
        canonical_of(word)


def test_empty_values_of_an_overlays_options_are_written_out() -> None:
    assert go_yaml.canonical({"a": [], "b": {}, "c": {"d": []}}) == "a: []\nb: {}\nc:\n    d: []\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"a1": "x", "b": "y"}, "keys whose order only the factory knows"),
        ({"a": [["x"]]}, "a list in a list"),
        ({"a": [[]]}, "a list in a list"),
        ({"a": ["x\ny"]}, "a list entry of several lines"),
    ],
)
def test_shapes_whose_form_in_go_is_not_certain_are_not_claimed(options: dict[str, object], words: str) -> None:
    with pytest.raises(errors.UncertainSchematic, match=words):
        go_yaml.canonical({"overlay": {"options": options}})


@pytest.mark.parametrize("text", ["a\n\n", "a\nb \n", "a\nb ", "a \nb", "a\n \nb", "a\tb\nc", "a\nb\x07"])
def test_text_of_several_lines_that_go_may_write_otherwise_is_not_claimed(text: str) -> None:
    with pytest.raises(errors.UncertainSchematic, match="text of several lines that Go's encoder may write"):
        go_yaml.canonical({"a": text})


@pytest.mark.parametrize(("text", "form"), [("a\nb", "|-\n    a\n    b"), ("a\n\nb\n", "|\n    a\n\n    b")])
def test_text_of_several_lines(text: str, form: str) -> None:
    assert go_yaml.canonical({"a": text}) == f"a: {form}\n"


WORD = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
    st.sampled_from(["", "-", "true", "1", "0x1f", "1.5", "a: b", "x #y", "it's", "---", "1.2.3.4", "{}", "~"]),
)


TEXT = st.one_of(WORD, st.lists(WORD, max_size=4).map("\n".join), st.text(max_size=6))


ANY = st.fixed_dictionaries(
    {},
    optional={
        "owner": WORD,
        "overlay": st.fixed_dictionaries(
            {"image": WORD, "name": WORD},
            optional={
                "options": st.dictionaries(
                    st.text("abC", min_size=1), st.one_of(TEXT, st.integers(0, 99), st.booleans())
                )
            },
        ),
        "customization": st.fixed_dictionaries(
            {},
            optional={
                "embeddedMachineConfiguration": TEXT,
                "extraKernelArgs": st.lists(WORD, max_size=4),
                "meta": st.lists(st.fixed_dictionaries({"key": st.integers(0, 255), "value": TEXT}), max_size=2),
                "systemExtensions": st.fixed_dictionaries({"officialExtensions": st.lists(WORD, max_size=2)}),
                "secureboot": st.fixed_dictionaries({"includeWellKnownCertificates": st.booleans()}),
            },
        ),
    },
)


@given(ANY)
def test_a_canonical_text_says_what_was_meant_or_is_not_claimed(data):
    read = schematic.parse(yaml.safe_dump(data))
    try:
        text = read.canonical()
    except errors.UncertainSchematic:
        assert schematic.parse(read.body()) == read
        return
    assert yaml.safe_load(text) == read.data
    assert schematic.parse(text) == read
    # Order, quotes and empty fields of the source do not matter.
    assert schematic.parse(yaml.safe_dump(data, sort_keys=True)).id() == read.id()
    derived = schematic.derive(text, present_id=read.id())
    assert derived.target.with_kernel_args([]).data == read.with_kernel_args([]).data


def test_beyond_the_basic_plane():
    data = {"customization": {"extraKernelArgs": ["\U0001f600", "\\ud83d\\ude00"]}}
    read = schematic.parse(yaml.safe_dump(data))
    assert read.data == data and schematic.parse(read.body()) == read
    assert read.body().isascii()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a", "a"),
        ("-a", "-a"),
        ("- a", "'- a'"),
        ("-", "'-'"),
        ("? a", "'? a'"),
        ("?a", "?a"),
        (": a", "': a'"),
        (":a", ":a"),
        ("a: b", "'a: b'"),
        ("a:b", "a:b"),
        ("a:", "'a:'"),
        ("a #b", "'a #b'"),
        ("a#b", "a#b"),
        ("#a", "'#a'"),
        (" a", "' a'"),
        ("a ", "'a '"),
        ("---", "'---'"),
        ("...a", "'...a'"),
        ("it's", "it's"),
        ("'a", "'''a'"),
        ("1", '"1"'),
        ("true", '"true"'),
        ("", '""'),
    ],
)
def test_a_text_is_quoted_where_it_would_read_as_something_else(value, written):
    read = schematic.parse(json.dumps({"customization": {"extraKernelArgs": [value]}}))
    assert read.canonical() == f"customization:\n    extraKernelArgs:\n        - {written}\n"
    assert schematic.parse(read.canonical()).data == read.data
