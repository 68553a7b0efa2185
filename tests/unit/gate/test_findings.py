# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a verdict says that it found, and of what it cannot judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import (
    compat,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import (
    EvidenceRefused,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import Policy, load_policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.verdict import check_evidence, decide, judge

from .samples import NOW, evidence, healthy_evidence, stops


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
    assert caught.value.as_dict() == {
        "kind": "evidence_refused",
        "node": "node-2",
        "found": "the evidence is of node node-1, not of node-2",
        "why": "one node's evidence says nothing about another",
        "do": "collect the evidence of node-2",
    }
    check_evidence(evidence(), "node-1")


@pytest.mark.parametrize(
    ("document", "why", "do"),
    [
        (
            sealed({**healthy_evidence(), "schema": 2}),
            "fields of another schema would be read as missing, or worse, as something else",
            "collect the evidence again with this version of the collection",
        ),
        (
            {**evidence(), "errors": [1]},
            "it was changed after it was collected, or the file is damaged",
            "collect the evidence again, and find out who changed the file",
        ),
    ],
)
def test_what_is_to_be_done_about_evidence_that_is_not_judged(document: dict[str, Any], why: str, do: str) -> None:
    with pytest.raises(EvidenceRefused) as caught:
        check_evidence(document)
    assert (caught.value.why, caught.value.do) == (why, do)


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
