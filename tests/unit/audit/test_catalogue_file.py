# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A catalogue file that is wrong anywhere is refused whole, with the place."""

from __future__ import annotations

import copy
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import quick_yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge import catalogue
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge.catalogue_file import (
    CatalogueError,
    read,
)


def _broken(change: str) -> dict[str, Any]:
    document: dict[str, Any] = quick_yaml.load(catalogue.DATA.read_text())
    first = document["entries"][0]
    benign = next(entry for entry in document["entries"] if "benign" in entry)
    match change:
        case "schema":
            document["schema"] = 2
        case "empty":
            document["entries"] = []
        case "twice":
            document["entries"].append(copy.deepcopy(first))
        case "unknown field":
            first["sources"] = []
        case "missing field":
            del first["cause"]
        case "unknown match":
            first["match"]["scontext"] = ["x"]
        case "bad regex":
            first["match"]["comm"] = "("
        case "bad type":
            first["match"]["source"] = ["Pod T"]
        case "impact":
            first["impact"] = "big"
        case "breaking":
            first["breaking"] = "yes"
        case "date":
            first["checked"] = "someday"
        case "issue":
            first["issues"] = ["#12"]
        case "no example":
            first["examples"] = []
        case "example":
            first["examples"] = ["hello"]
        case "upgrade without version":
            first["remedies"] = [{"kind": "upgrade", "do": "x"}]
        case "version":
            first["fixed_in"] = "soon"
        case "open benign":
            benign["benign"][0]["versions"] = ">=1.14.0"
        case "breaking benign":
            benign["breaking"] = True
        case "benign by name alone":
            benign["match"] = {"comm": "^cilium"}
        case "benign without source" | "benign without target" | "benign without class":
            del benign["match"][change.rpartition(" ")[2]]
        case "benign without permissions":
            del benign["match"]["permissions"]
        case "range":
            first["match"]["versions"] = "1.14"
    return document


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("schema", "schema is not 1"),
        ("empty", "entries is not a list"),
        ("twice", "occurs twice"),
        ("unknown field", "unknown field sources"),
        ("missing field", "lacks the field cause"),
        ("unknown match", "unknown field scontext"),
        ("bad regex", "match.comm is not a regular expression"),
        ("bad type", "match.source has 'Pod T'"),
        ("impact", "impact is not one of"),
        ("breaking", "breaking is not true or false"),
        ("date", "checked is not a date"),
        ("issue", "issues has '#12'"),
        ("no example", "examples is not a list of at least 1"),
        ("example", "not one line with an AVC record"),
        ("upgrade without version", "belongs to the kind upgrade"),
        ("version", "fixed_in is not a version"),
        ("open benign", "no upper bound"),
        ("breaking benign", "contradicts breaking"),
        ("benign by name alone", "can be forged"),
        ("benign without source", "can be forged"),
        ("benign without target", "can be forged"),
        ("benign without class", "can be forged"),
        ("benign without permissions", "needs a match on permissions"),
        ("range", "is not a version range"),
    ],
)
def test_a_wrong_catalogue_is_refused_with_the_place(change: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yml"
    file.write_text(quick_yaml.dump(_broken(change)))
    with pytest.raises(CatalogueError) as caught:
        read(file)
    assert says in caught.value.found
    assert str(file) in caught.value.found


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe\xfa", "cannot be read"),
        (b"a: [", "cannot be read"),
        (b"- 1", "schema is not 1"),
        (b"", "schema is not 1"),
    ],
)
def test_an_unreadable_catalogue_is_refused(content: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yml"
    file.write_bytes(content)
    with pytest.raises(CatalogueError, match=says):
        read(file)
    with pytest.raises(CatalogueError, match="cannot be read"):
        read(tmp_path / "absent.yml")


WHOLE: dict[str, Any] = {
    "id": "an-entry",
    "family": "a-family",
    "title": "t",
    "match": {
        "source": ["pod_t"],
        "target": ["run_t"],
        "class": ["file"],
        "permissions": ["read"],
        "comm": "^a$",
        "path": "^/b$",
        "owner": "^c$",
        "raw_context": False,
        "constraint": "mcs",
        "versions": ">=1.10.0",
    },
    "cause": "c",
    "breaks": "b",
    "impact": "noise",
    "breaking": False,
    "remedies": [{"kind": "upgrade", "do": "d", "value": "v", "version": "v1.14.0"}],
    "issues": ["owner/repository#1"],
    "fixed_in": "v1.14.0",
    "benign": [{"versions": "<1.15.0", "reviewed": dt.date(2026, 11, 22), "source": "owner/repository#2"}],
    "checked": dt.date(2026, 11, 22),
    "examples": [{"record": "avc: x", "owner": "o"}],
}
WORDS = "is not lower-case words joined by hyphens"


def entry_with(path: str, value: Any) -> list[Any]:
    """A file of one entry, with another value at a place of it."""
    entry = copy.deepcopy(WHOLE)
    holder: Any = entry
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        holder = holder[part]
    holder[last] = value
    return [entry]


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("id", 7, f"id {WORDS}"),
        ("id", "An_Entry", f"id {WORDS}"),
        ("family", None, f"family {WORDS}"),
        ("family", "a family", f"family {WORDS}"),
        *((key, value, f"{key} is not a text") for key in ("title", "cause", "breaks") for value in (7, " ", None)),
        ("match", [], "match is not a mapping with at least one field"),
        ("match", {}, "match is not a mapping with at least one field"),
        ("match.raw_context", "no", "match.raw_context is not true or false"),
        ("match.constraint", "dac", "match.constraint is not one of"),
        *((f"match.{key}", [], f"match.{key} is not a list of at least 1") for key in ("source", "target", "class")),
        ("match.permissions", "read", "match.permissions is not a list"),
        *((f"match.{key}", "(", f"match.{key} is not a regular expression") for key in ("comm", "path", "owner")),
        ("match.versions", "of tomorrow", "match.versions"),
        ("impact", None, "impact is not one of"),
        ("breaking", None, "breaking is not true or false"),
        ("remedies", [], "remedies is not a list of at least 1"),
        ("remedies.0", "upgrade", "remedies has an item that is not a mapping"),
        ("remedies.0.kind", "wait", "remedies.kind is not one of"),
        ("remedies.0.version", "soon", "remedies.version is not a version such as"),
        ("remedies.0.version", None, "remedies.version belongs to the kind upgrade, and to no other"),
        ("remedies.0.kind", "relabel", "remedies.version belongs to the kind upgrade, and to no other"),
        ("remedies.0.do", "", "remedies.do is not a text"),
        ("remedies.0.value", 7, "remedies.value is not a text"),
        ("remedies.0.more", 7, "unknown field more"),
        ("issues", "owner/repository#1", "issues is not a list"),
        ("issues.0", "repository#1", "issues has 'repository#1'"),
        ("issues.0", 7, "issues has 7"),
        ("fixed_in", "soon", "fixed_in is not a version"),
        ("benign", {}, "benign is not a list"),
        ("benign.0", "all", "benign has an item that is not a mapping"),
        ("benign.0.versions", ">1.10.0", "benign.versions has no upper bound"),
        ("benign.0.versions", None, "benign.versions has no upper bound"),
        ("benign.0.reviewed", "2026-11-22", "benign.reviewed is not a date"),
        ("benign.0.source", "x", "issues has 'x'"),
        ("benign.0.more", 1, "unknown field more"),
        ("checked", dt.datetime(2026, 11, 22), "checked is not a date"),
        ("examples", [], "examples is not a list of at least 1"),
        ("examples.0", 7, "examples has an item that is neither a line nor a mapping"),
        ("examples.0.record", "avc: a\nb", "examples.record is not one line"),
        ("examples.0.record", 7, "examples.record is not a text"),
        ("examples.0.owner", 7, "examples.owner is not a text"),
        ("examples.0.more", 7, "unknown field more"),
    ],
)
def test_each_part_of_an_entry_is_looked_at(path: str, value: Any, says: str, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yml"
    file.write_text(quick_yaml.dump({"schema": 1, "entries": entry_with(path, value)}))
    with pytest.raises(CatalogueError) as caught:
        read(file)
    assert says in caught.value.found
    # What has no id yet is named by its number.
    assert ("entry 1" if path == "id" else "entry an-entry") in caught.value.found


def test_an_entry_that_is_none_is_named_by_its_number(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yml"
    file.write_text(quick_yaml.dump({"schema": 1, "entries": [WHOLE, "another"]}))
    with pytest.raises(CatalogueError, match=r"entry 2.* the entry is not a mapping"):
        read(file)


@pytest.mark.parametrize("key", ["fixed_in", "benign"])
def test_what_may_be_left_out(key: str, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yml"
    file.write_text(quick_yaml.dump({"schema": 1, "entries": [{k: v for k, v in WHOLE.items() if k != key}]}))
    (entry,) = read(file)
    assert getattr(entry, key) == {"fixed_in": None, "benign": ()}[key]


@pytest.mark.parametrize("key", sorted(set(WHOLE) - {"fixed_in", "benign", "id"}))
def test_what_may_not_be_left_out(key: str, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yml"
    file.write_text(quick_yaml.dump({"schema": 1, "entries": [{k: v for k, v in WHOLE.items() if k != key}]}))
    with pytest.raises(CatalogueError, match=f"lacks the field {key}"):
        read(file)


def test_a_whole_entry(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yml"
    file.write_text(quick_yaml.dump({"schema": 1, "entries": [WHOLE]}))
    (entry,) = read(file)
    for key in ("id", "family", "title", "cause", "breaks", "impact", "breaking", "fixed_in", "checked"):
        assert getattr(entry, key) == WHOLE[key]
    assert entry.issues == ("owner/repository#1",)
    (remedy,), (benign,), (example,) = entry.remedies, entry.benign, entry.examples
    assert (remedy.kind, remedy.do, remedy.value, remedy.version) == ("upgrade", "d", "v", "v1.14.0")
    assert (benign.versions, benign.reviewed, benign.source) == (
        "<1.15.0",
        dt.date(2026, 11, 22),
        "owner/repository#2",
    )
    assert (example.record, example.owner) == ("avc: x", "o")
    match = entry.match
    assert (match.source, match.target, match.classes, match.permissions) == (
        {"pod_t"},
        {"run_t"},
        {"file"},
        {"read"},
    )
    assert [pattern.pattern for pattern in (match.comm, match.path, match.owner) if pattern] == ["^a$", "^/b$", "^c$"]
    assert (match.raw_context, match.constraint, match.versions, match.one_name) == (False, "mcs", ">=1.10.0", False)
