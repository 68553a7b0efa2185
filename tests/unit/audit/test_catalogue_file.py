# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A catalogue file that is wrong anywhere is refused whole, with the place."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge import catalogue
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge.catalogue_file import (
    CatalogueError,
    read,
)


def _broken(change: str) -> dict[str, Any]:
    document: dict[str, Any] = copy.deepcopy(yaml.safe_load(catalogue.DATA.read_text()))
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
        ("benign without permissions", "needs a match on permissions"),
        ("range", "is not a version range"),
    ],
)
def test_a_wrong_catalogue_is_refused_with_the_place(change: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yml"
    file.write_text(yaml.safe_dump(_broken(change)))
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
