# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one call that puts remedies, rules, proofs and the target policy's verdict together."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import analyze
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge import suggest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge.advice import advise

from .test_cil import POLICY, SOURCES, compiled, needs_secilc, needs_setools, needs_sources
from .test_suggest import CASES, denial

DOCS = Path(__file__).resolve().parents[3] / "docs" / "denials" / "suggestions.md"
REAL = Path(__file__).resolve().parents[2] / "data" / "real-kernel"


def test_without_tools_or_policy_it_says_so() -> None:
    denials = [denial("pod_t", "run_t", "dir", "write"), denial("pod_t", "init_t", "dir", "search")]
    result = advise(denials, policy=POLICY / "absent.33")
    assert result["cil"] == "(allow pod_t run_t (dir (write)))\n"
    assert [left["code"] for left in result["left_out"]] == ["init"]
    assert result["unproven"] and result["policy_unread"]
    assert {d["policy_verdict"] for d in denials} == {"unknown"}
    assert denials[0]["suggestion"]["cil"]["proof"]["state"] == "unproven"
    json.dumps(denials)
    assert "policy_verdict" not in advise_one()


def advise_one() -> dict[str, object]:
    denials = [denial("pod_t", "run_t", "dir", "write")]
    assert advise(denials)["policy_unread"] is None
    return denials[0]


@needs_secilc
@needs_setools
def test_with_a_policy_each_rule_is_proven(tmp_path: Path) -> None:
    denials = [
        denial("pod_t", "run_t", "dir", "write"),
        denial("pod_t", "run_t", "dir", "search"),
        denial("pod_t", "run_t", "memfd_file", "read"),
    ]
    result = advise(denials, policy=compiled(tmp_path, POLICY), policy_sources=POLICY)
    assert [d["policy_verdict"] for d in denials] == ["still denied", "allowed", "unknown class or permission"]
    assert [d["suggestion"]["cil"] and d["suggestion"]["cil"]["proof"]["state"] for d in denials] == [
        "exact",
        "redundant",
        None,
    ]
    assert [left["code"] for left in result["left_out"]] == ["unknown_permission"]
    assert (result["unproven"], result["policy_unread"]) == (None, None)


@needs_secilc
@needs_setools
@needs_sources
def test_rules_from_a_real_run_are_exact(tmp_path: Path) -> None:
    """A permissive run on a real kernel: each denial is one for the policy too, and every rule proves exact."""
    log, ring = (gzip.decompress((REAL / f"permissive.{name}.log.gz").read_bytes()) for name in ("audit", "dmesg"))
    denials = [d for d in analyze(log, ring)["denials"] if not d["userspace"]]
    result = advise(denials, policy=compiled(tmp_path, Path(str(SOURCES))), policy_sources=SOURCES)
    assert {d["policy_verdict"] for d in denials} == {"still denied"}
    proofs = [d["suggestion"]["cil"]["proof"]["state"] for d in denials if d["suggestion"]["cil"]]
    assert proofs and set(proofs) == {"exact"}
    assert "security_t" not in result["cil"]
    assert all(left["code"] for left in result["left_out"])


def test_every_refusal_is_documented() -> None:
    text = DOCS.read_text()
    codes = {expected for _unused, expected in CASES if not expected.startswith("(")}
    assert codes >= set(suggest.PROTECTED)
    assert not [code for code in sorted(codes) if f"`{code}`" not in text]


@pytest.mark.parametrize("word", ["exact", "redundant", "inexact", "compiles", "neverallow", "unproven"])
def test_every_proof_state_is_documented(word: str) -> None:
    assert f"`{word}`" in DOCS.read_text()
