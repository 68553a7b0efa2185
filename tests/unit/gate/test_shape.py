# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What values at a path of the evidence may be, and the functions that read them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import (
    compat,
    functions,
    shape,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import Policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.verdict import document_for
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.waivers import Waivers

from .samples import NOW, TARGET, denial, evidence


def test_what_the_gate_adds_has_the_type_that_the_shape_gives_it(strict: Policy) -> None:
    one = {"name": "one", "version": "1.0.0"}
    row = {"verdict": "works", "source": "a link", "date": "2026-11-22", "workaround": "none", "find_out": "ask"}
    kinds = ("cni", "csi", "addons", "extensions")
    table = compat.Table({(kind, "one"): (row,) for kind in kinds}, "look")
    found = evidence(
        audit__denials=[denial(), denial("a_t:b_t:dir:read", known_benign=True)],
        talos__extensions=[one],
        **{f"kubernetes__{kind}": [one] for kind in kinds[:3]},
    )
    waivers = Waivers((), strict, NOW)
    document = document_for(found, strict, target=TARGET, waivers=waivers, now=NOW, table=table)
    document["denials"]["waived"] = document["denials"]["open"]
    document["policy"] |= {key: ["one"] for key in ("reviewed_extensions", "boot_paths")}
    paths = list(shape.leaves(shape.ADDED))
    assert len(paths) > 40
    assert [told for path in paths for told in shape.defects(document, path, frozenset(), shape.GATE)] == []
    assert document["denials"]["open"] and document["denials"]["benign"]


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
        (("text", "string"), "the document has no text.string"),
        (("list", "string"), "the document has no list.string"),
        (("list", "[]", "string"), "the document has no list[].string"),
        (("",), "the document has no "),
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


def test_the_values_of_a_shape_and_their_texts() -> None:
    kinds: dict[str, Any] = {"list": ["string"], "map": {"k": {"x": "number"}}, "deep": [{"a": [{"b": "any"}]}]}
    texts = ["list[]", "map.k.x", "deep[].a[].b"]
    assert [shape.text_of(path) for path in shape.leaves(kinds)] == texts
    assert [shape.path_of(text) for text in texts] == list(shape.leaves(kinds))
    assert list(shape.leaves("number")) == [()]


def test_the_words_of_a_request() -> None:
    assert shape.REQUEST == {
        "request": {"api": "string", "path": "string", "mode": "string", "labels": ["string"], "then": "string"}
    }
    assert shape.GATE == {**shape.EVIDENCE, **shape.ADDED}
