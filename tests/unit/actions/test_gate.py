# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate's action: what it says of its verdicts, where they lie, and by whom a new machine is judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import gate
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.files import EvidenceProblem, safe_name

from .made import made


def check(name: str, result: str = "fail", severity: str = "block") -> dict[str, Any]:
    texts = {key: f"{key} of {name}" for key in ("found", "reason", "remedy", "doc")}
    return {"id": name, "result": result, "severity": severity, "title": "t", **texts}


CHECKS = [check("a"), check("b", "unknown"), check("c", "pass"), check("d", severity="warn"), check("e", "waived")]


def test_what_stands_in_the_way() -> None:
    keys = ("id", "result", "found", "reason", "remedy", "doc")
    assert gate.reasons({"checks": CHECKS}) == [{key: one[key] for key in keys} for one in CHECKS[:2]]


def test_a_verdict_in_one_line() -> None:
    assert gate._summary("n", {"decision": "eligible", "reasons": []}) == "n is eligible."
    told = gate._summary("n", {"decision": "refused", "reasons": CHECKS[:2]})
    assert told == "n is refused: a: found of a. remedy of a b: found of b. remedy of b"


@pytest.mark.parametrize(("identifier", "named"), [("soak-reached", "soak-reached"), (None, "its settings")])
def test_what_a_policy_weakens(identifier: str | None, named: str) -> None:
    change = {"id": identifier, "field": "severity", "by": {"who": "me", "why": "tests"}}
    told = gate._weakened("ours", change)
    assert told == f"The policy ours weakens the built-in one: {named}, severity, on the word of me: tests"


def test_a_verdict_lies_beside_its_evidence_or_in_the_nodes_directory(tmp_path: Path) -> None:
    action = made(gate, directory=str(tmp_path))
    for evidence, place in (
        (str(tmp_path / "x" / "evidence.json"), tmp_path / "x"),
        (None, tmp_path / safe_name("n/1")),
    ):
        assert action._save("n/1", evidence, {"a": 1}) == place / "verdict.json"
        assert (place / "verdict.json").read_bytes() == b'{"a":1}\n'
    (tmp_path / "file").write_text("")
    with pytest.raises(EvidenceProblem, match="the verdict on n/1 cannot be written to"):
        action._save("n/1", str(tmp_path / "file" / "evidence.json"), {})


def test_a_cohort_is_named_by_the_operator_and_judged_by_this_run() -> None:
    hosts: dict[str, dict[str, Any]] = {
        "new": {"talos_cohort": ["n-1", "n-2", "gone"]},
        "n-1": {"talos_pool": "p", "talos_workload": "w"},
        "n-2": {},
    }
    cohort = made(gate, hosts)._cohort("new", {"n-1": {"decision": "d"}}, {"n-1": {"cluster": {"id": "c"}}})
    unknown = {"verdict": None, "cluster": None, "pool": None, "workload": None}
    assert cohort == [{"verdict": {"decision": "d"}, "cluster": "c", "pool": "p", "workload": "w"}, unknown, unknown]
    assert made(gate, {"new": {}})._cohort("new", {}, {}) is None
    assert made(gate, {"new": {"talos_cohort": []}})._cohort("new", {}, {}) == []


def test_a_document_that_cannot_be_read_is_its_nodes_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def document_of(entry: dict[str, Any]) -> dict[str, Any]:
        if "bad" in entry:
            raise EvidenceProblem("it was changed", "w", "d")
        return {"of": entry["path"]}

    monkeypatch.setattr(gate.files, "document_of", document_of)
    unread = {"n-3": {"kind": "unreachable"}}
    collected = {"nodes": {"n-1": {"path": "p"}, "n-2": {"bad": True}}, "unread": unread}
    documents, problems = gate._documents(collected)
    assert documents == {"n-1": {"of": "p"}}
    assert {host: (one["kind"], one.get("found")) for host, one in problems.items()} == {
        "n-2": (EvidenceProblem.kind, "it was changed"),
        "n-3": ("unreachable", None),
    }
    assert unread == {"n-3": {"kind": "unreachable"}}
