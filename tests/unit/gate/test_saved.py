# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A saved verdict is found by the node's identity, the newest, and only whole; one that was handed on is that one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import VerdictRefused
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.saved import entry_of, newest_verdicts, verdict_of


def verdict(identity: Any = "one", issued: str = "2026-11-22T12:00:00Z", **more: Any) -> dict[str, Any]:
    return dict(sealed({"binds": {"identity": identity}, "issued_at": issued, **more}))


def save(directory: Path, when: str, content: Any, name: str = "verdict.json") -> Path:
    path = directory / "node-1" / when / name
    path.parent.mkdir(parents=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_newest_of_each_identity_whatever_its_directory_is_called(tmp_path: Path) -> None:
    save(tmp_path, "1", verdict(issued="2026-11-22T12:00:00Z"))
    newest = save(tmp_path, "2", verdict(issued="2026-11-23T12:00:00Z"))
    save(tmp_path, "3", verdict(issued="2026-11-21T12:00:00Z"))
    other = save(tmp_path, "4", verdict("two", issued="2026-11-20T12:00:00Z"))
    save(tmp_path, "5", verdict("three"), name="evidence.json")
    found = newest_verdicts(tmp_path)
    assert found == {
        "one": {**verdict(issued="2026-11-23T12:00:00Z"), "path": str(newest)},
        "two": {**verdict("two", issued="2026-11-20T12:00:00Z"), "path": str(other)},
    }


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "[]",
        "null",
        {"binds": {"identity": "one"}, "issued_at": "2026-11-24T12:00:00Z"},
        {**verdict(issued="2026-11-24T12:00:00Z"), "decision": "eligible"},
        verdict(None, "2026-11-24T12:00:00Z"),
        verdict(["one"], "2026-11-24T12:00:00Z"),
        dict(sealed({"issued_at": "2026-11-24T12:00:00Z"})),
        dict(sealed({"binds": {"identity": "one"}})),
        dict(sealed({"binds": None, "issued_at": "2026-11-24T12:00:00Z"})),
        dict(sealed({"binds": {"identity": "one"}, "issued_at": 3000})),
    ],
)
@pytest.mark.parametrize("when", ["1", "3"], ids=["before", "behind"])
def test_what_is_no_whole_verdict_hides_none(when: str, broken: Any, tmp_path: Path) -> None:
    save(tmp_path, "2", verdict())
    save(tmp_path, when, broken)
    assert [(found["issued_at"], found["path"]) for found in newest_verdicts(tmp_path).values()] == [
        ("2026-11-22T12:00:00Z", str(tmp_path / "node-1" / "2" / "verdict.json"))
    ]


def test_a_verdict_is_handed_on_by_its_file_or_whole(tmp_path: Path) -> None:
    given = verdict()
    path = save(tmp_path, "1", given)
    assert entry_of(given, path) == {"path": str(path), "sha256": given["sha256"]}
    assert verdict_of(entry_of(given, path)) == given
    assert entry_of(given, None) == {"path": None, "sha256": given["sha256"], "verdict": given}
    assert verdict_of(entry_of(given, None)) == given
    # Who signed it, and whether the signature held, is written outside of what the hash covers.
    save(tmp_path, "2", {**given, "signature": "by somebody"})
    signed = entry_of(given, tmp_path / "node-1" / "2" / "verdict.json")
    assert verdict_of(signed)["signature"] == "by somebody"


@pytest.mark.parametrize(
    "there",
    ["", "[]", verdict("two"), {**verdict(), "decision": "eligible"}, {"binds": {"identity": "one"}}],
)
def test_another_verdict_in_its_place_is_refused(there: Any, tmp_path: Path) -> None:
    entry = entry_of(verdict(), save(tmp_path, "1", there))
    with pytest.raises(VerdictRefused, match="is not the one that was given in this run, or cannot be read") as caught:
        verdict_of(entry)
    assert caught.value.as_dict() == {
        "kind": "verdict_refused",
        "bound": "verdict",
        "found": f"the verdict {entry['path']} is not the one that was given in this run, or cannot be read",
        "why": "a verdict that was changed says what somebody wanted it to say",
        "do": "let the gate judge the node again",
    }
    with pytest.raises(VerdictRefused, match="cannot be read"):
        verdict_of({**entry, "path": str(tmp_path / "nowhere")})


def test_a_signature_is_no_part_of_what_is_found_again(tmp_path: Path) -> None:
    path = save(tmp_path, "1", {**verdict(), "signature": {"algorithm": "ed25519"}})
    assert newest_verdicts(tmp_path) == {"one": {**json.loads(path.read_text()), "path": str(path)}}


def test_of_two_verdicts_within_a_second_the_one_on_the_later_evidence_counts(tmp_path: Path) -> None:
    save(tmp_path, "2", verdict(decision="refused"))
    save(tmp_path, "3", verdict(decision="eligible"))
    save(tmp_path, "1", verdict(decision="inconclusive"))
    assert newest_verdicts(tmp_path)["one"]["decision"] == "eligible"
