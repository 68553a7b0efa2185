# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a waiver covers by its family, and why a file of waivers is refused."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge import catalogue as known_denials
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge.entries import Match
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import (
    waivers,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import (
    WaiverProblem,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import Policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.waiver_files import load_waivers
from waiver_file import write

from .samples import NOW, denial, evidence

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


DAY = "{} of the waiver agent is neither a date (2026-12-31) nor a time with its zone"


def breaking(versions: str | None = None, permissions: frozenset[str] | None = None) -> known_denials.Catalogue:
    """A catalogue of one family: what pods do to etcd's sockets, on some versions, breaks."""
    known = next(entry for entry in known_denials.load().entries if entry.breaking)
    match = Match(
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
        write(tmp_path, matched),
        policy=strict,
        now=NOW,
        catalogue=breaking(versions, frozenset({"append", "write"})),
    )
    waived = given.applied(document["audit"], document)["denials"][0]["waiver_id"]
    assert waived == (None if breaks else "agent")
    assert [finding.lint for finding in given.lint([document])] == (["breaking"] if breaks else [])


def test_a_family_is_found_by_the_names_of_a_signature(tmp_path: Path, strict: Policy) -> None:
    path = write(tmp_path, ENTRY)
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
    found = waivers.load(write(tmp_path, {**ENTRY, **change}), policy=strict, now=NOW).lint([document])
    assert [finding.text for finding in found] == [text]


def test_all_findings_are_told(tmp_path: Path, strict: Policy) -> None:
    path = write(tmp_path, {**ENTRY, "owner": "", "granted": dt.date(2026, 10, 10)})
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
    found = waivers.load(write(tmp_path, entry), policy=strict, now=NOW).lint([document])
    assert [(finding.waiver, finding.lint) for finding in found] == [("agent", "too-broad")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "it cannot be read: while parsing a flow"),
        ("schema: 2\nwaivers: []", "it does not hold exactly `schema: 1` and `waivers`"),
        ("schema: 1\nwaivers: {}", "its waivers are not a list"),
        ("[" * 3000, "it cannot be read: "),
    ],
)
def test_why_a_waiver_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "waivers.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WaiverProblem) as caught:
        load_waivers(path)
    assert caught.value.found.startswith(f"the waiver file {path} cannot be used: {words}")


def test_what_is_wrong_with_a_waiver_is_told_in_full(tmp_path: Path) -> None:
    for entries, words in (
        ([ENTRY, ENTRY], "the waiver agent is there twice"),
        ([{**ENTRY, "id": "a b"}], "a waiver has no id of letters, digits, dots, hyphens and underscores"),
        ([{**ENTRY, "colour": "red", "shape": 1}], "the waiver agent has unknown keys: colour, shape"),
        ([{**ENTRY, "labels": {"system": 17}}], "the labels of the waiver agent are not a mapping of texts to texts"),
        ([{**ENTRY, "labels": {17: "system"}}], "the labels of the waiver agent are not a mapping of texts to texts"),
        ([{**ENTRY, "granted": "2026-13-01"}], DAY.format("granted")),
        ([{**ENTRY, "expires": "2026-12-31 "}], DAY.format("expires")),
        ([{**ENTRY, "labels": ["a"]}], "the labels of the waiver agent are not a mapping of texts to texts"),
        (
            [{**{k: v for k, v in ENTRY.items() if k != "signature"}, "match": []}],
            "the match of the waiver agent is not a mapping with keys among source_type, target_type, class,"
            " permissions",
        ),
    ):
        path = write(tmp_path, *entries)
        with pytest.raises(WaiverProblem) as caught:
            load_waivers(path)
        assert caught.value.as_dict() == {
            "kind": "waiver",
            "file": str(path),
            "found": f"the waiver file {path} cannot be used: {words}",
            "why": "a waiver that is not understood to the letter could cover more than its owner meant",
            "do": "correct the file; docs/waivers.md describes every field",
        }


def test_a_waiver_is_read_whole(tmp_path: Path) -> None:
    labels = {"ticket-system": "jira", "team": "storage"}
    match = {"source_type": ["pod_t"], "target_type": ["a_t", "b_t"], "class": ["dir"], "permissions": ["read"]}
    rest = {key: value for key, value in ENTRY.items() if key != "signature"}
    scope = {"clusters": ["lab", "prod-*"], "nodes": ["node-1"], "talos": ["1.14", "v1.13.9"]}
    one, other = load_waivers(
        write(tmp_path, {**ENTRY, "labels": labels}, {**rest, "id": "b", "match": match, "scope": scope, "owner": None})
    )
    utc = dt.UTC
    assert dataclasses.asdict(one) == {
        "id": "agent",
        "signature": "pod_t:etcd_t:sock_file:append+write",
        "match": {},
        "scope": {"clusters": ("lab",)},
        "reason": "r",
        "owner": "ada@example.org",
        "ticket": "OPS-1",
        "granted": dt.datetime(2026, 11, 1, tzinfo=utc),
        "expires": dt.datetime(2026, 12, 31, tzinfo=utc),
        "labels": labels,
    }
    assert other == dataclasses.replace(
        one,
        id="b",
        signature=None,
        match={key: tuple(values) for key, values in match.items()},
        scope={key: tuple(values) for key, values in scope.items()},
        owner="",
        labels={},
    )


def test_a_family_is_found_by_any_of_the_names_of_a_match(tmp_path: Path, strict: Policy) -> None:
    match = {
        "source_type": ["a_t", "pod_t"],
        "target_type": ["b_t", "etcd_t"],
        "class": ["dir", "sock_file"],
        "permissions": ["append", "write"],
    }
    rest = {key: value for key, value in ENTRY.items() if key != "signature"}
    for part in ("source_type", "target_type", "class", None):
        one = match if part is None else {**match, part: match[part][:1]}
        given = waivers.load(write(tmp_path, {**rest, "match": one}), policy=strict, now=NOW, catalogue=breaking())
        assert [finding.lint for finding in given.lint([])] == (["breaking"] if part is None else [])
