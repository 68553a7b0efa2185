# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules are proven with the real compiler, and a target policy is read with the real tools."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge.cil import Prover
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge.sepolicy import TargetPolicy
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge.suggest import Rule

POLICY = Path(__file__).resolve().parents[2] / "data" / "policy"
SOURCES = os.environ.get("TALOS_POLICY_SOURCES")

# The tools come from the system's packages secilc and setools, which CI installs; Python cannot bring them along.
needs_secilc = pytest.mark.skipif(not shutil.which("secilc"), reason="secilc is not installed (package secilc)")
needs_setools = pytest.mark.skipif(
    not (shutil.which("sediff") and shutil.which("sesearch") and shutil.which("seinfo")),
    reason="sediff, sesearch or seinfo is not installed (package setools)",
)
# Talos' own policy belongs to Talos and is not copied into this repository.
needs_sources = pytest.mark.skipif(
    not SOURCES, reason="TALOS_POLICY_SOURCES does not name a checkout's internal/pkg/selinux/policy"
)


def rule(source: str, target: str, tclass: str, *permissions: str) -> Rule:
    return Rule(source, target, tclass, permissions)


@pytest.fixture(scope="module")
def prover() -> Iterator[Prover]:
    with Prover(POLICY) as prover:
        yield prover


@needs_secilc
@needs_setools
@pytest.mark.parametrize(
    ("rules", "state", "added"),
    [
        ([rule("pod_t", "run_t", "dir", "write")], "exact", ["pod_t run_t:dir write"]),
        ([rule("pod_t", "run_t", "dir", "search", "write")], "exact", ["pod_t run_t:dir write"]),
        ([rule("pod_t", "run_t", "dir", "search")], "redundant", []),
        ([rule("pod_t", "pod_t", "process", "transition")], "exact", ["pod_t pod_t:process transition"]),
        (
            [rule("pod_t", "run_t", "file", "open"), rule("kubelet_t", "run_t", "file", "open")],
            "exact",
            ["kubelet_t run_t:file open", "pod_t run_t:file open"],
        ),
        ([rule("pod_t", "security_t", "security", "setenforce")], "neverallow", []),
        ([rule("pod_t", "strange_t", "dir", "write")], "does_not_compile", []),
        ([rule("pod_t", "run_t", "memfd_file", "write")], "does_not_compile", []),
        ([rule("pod_t", "run_t", "dir", "fly")], "does_not_compile", []),
        # A wider rule than its vectors say: an attribute stands for four domains.
        ([rule("any_p", "run_t", "file", "open")], "inexact", None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_proof(prover: Prover, rules: list[Rule], state: str, added: list[str] | None) -> None:
    assert prover.unavailable is None
    proof = prover.prove(rules)
    assert proof["state"] == state, proof
    assert added is None or proof["added"] == added
    assert proof["detail"]


@needs_secilc
@needs_setools
def test_each_rule_gets_its_own_proof(prover: Prover) -> None:
    rules = [
        rule("pod_t", "run_t", "dir", "write"),
        rule("pod_t", "run_t", "dir", "search"),
        rule("pod_t", "security_t", "security", "setenforce"),
        rule("pod_t", "run_t", "file", "open"),
        rule("pod_t", "strange_t", "dir", "write"),
    ]
    states = ["exact", "redundant", "neverallow", "exact", "does_not_compile"]
    assert [proof["state"] for proof in prover.prove_each(rules)] == states
    assert [proof["state"] for proof in prover.prove_each(rules[:2])] == states[:2]
    assert prover.prove_each([]) == []


@needs_secilc
def test_without_sediff_exactness_is_not_claimed() -> None:
    with Prover(POLICY, sediff="no-such-sediff") as prover:
        assert prover.prove([rule("pod_t", "run_t", "dir", "write")])["state"] == "compiles"
        assert prover.prove([rule("pod_t", "run_t", "dir", "fly")])["state"] == "does_not_compile"


def test_without_a_compiler_or_sources_nothing_is_proven(tmp_path: Path) -> None:
    (tmp_path / "broken.cil").write_text("(allow")
    for directory, secilc in ((POLICY, "no-such-secilc"), (None, "secilc"), (tmp_path / "absent", "secilc")):
        with Prover(directory, secilc=secilc) as prover:
            assert prover.unavailable
            assert prover.prove([rule("pod_t", "run_t", "dir", "write")])["state"] == "unproven"
    with Prover(tmp_path) as prover:
        assert prover.prove([rule("pod_t", "run_t", "dir", "write")])["state"] == "unproven"


def compiled(directory: Path, sources: Path) -> Path:
    """A policy.33 of some sources, without the capability that an old libsepol does not know."""
    files = []
    for number, source in enumerate(sorted(sources.rglob("*.cil"))):
        copy = directory / f"{number}.cil"
        copy.write_text(source.read_text().replace("(policycap userspace_initial_context)", ""))
        files.append(str(copy))
    output = directory / "policy.33"
    subprocess.run(["secilc", "-O", "-c", "33", "-f", os.devnull, "-o", str(output), *files], check=True)
    return output


def denial(source: str, target: str, tclass: str, *permissions: str, **more: Any) -> dict[str, Any]:
    return {"source_type": source, "target_type": target, "class": tclass, "permissions": list(permissions), **more}


@needs_secilc
@needs_setools
def test_target_policy_verdicts(tmp_path: Path) -> None:
    policy = TargetPolicy(compiled(tmp_path, POLICY))
    assert policy.unavailable is None
    expected = [
        (denial("pod_t", "run_t", "dir", "search"), "allowed"),
        (denial("pod_t", "run_t", "dir", "search", "write"), "still denied"),
        (denial("pod_t", "pod_t", "process", "fork"), "allowed"),
        (denial("pod_t", "kubelet_t", "process", "fork"), "still denied"),
        (denial("pod_t", "ephemeral_t", "file", "write"), "allowed"),
        (denial("pod_t", "ephemeral_t", "file", "write", constraint="mcs"), "still denied"),
        (denial("pod_t", "run_t", "memfd_file", "write"), "unknown class or permission"),
        (denial("pod_t", "run_t", "dir", "0x2000"), "unknown class or permission"),
        (denial("pod_t", "run_t", "dir"), "unknown class or permission"),
        (denial("strange_t", "run_t", "dir", "search"), "unknown"),
    ]
    denials = [given for given, _unused in expected]
    policy.mark(denials)
    assert [given["policy_verdict"] for given in denials] == [verdict for _unused, verdict in expected]
    assert all(given["policy_detail"] for given in denials)


def test_a_policy_that_cannot_be_read_allows_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "policy.33"
    broken.write_bytes(b"not a policy")
    for policy in (TargetPolicy(tmp_path / "absent"), TargetPolicy(broken), TargetPolicy(broken, seinfo="no-such")):
        assert policy.unavailable
        assert policy.judge(denial("pod_t", "run_t", "dir", "search"))["verdict"] == "unknown"


@needs_secilc
@needs_setools
@needs_sources
def test_talos_policy_agrees_with_sesearch(tmp_path: Path) -> None:
    path = compiled(tmp_path, Path(str(SOURCES)))
    policy = TargetPolicy(path)
    rng = random.Random(3)
    types, classes = sorted(policy._types), sorted(policy._classes)
    for _unused in range(12):
        source, target, tclass = rng.choice(types), rng.choice(types), rng.choice(classes)
        found = subprocess.run(
            ["sesearch", "-A", "-s", source, "-t", target, "-c", tclass, str(path)], capture_output=True, check=True
        ).stdout.decode()
        words = set(found.replace("{", " ").replace("}", " ").replace(";", " ").split())
        for permission in sorted(policy._classes[tclass]):
            allowed = policy.judge(denial(source, target, tclass, permission))["verdict"] == "allowed"
            assert allowed is (permission in words), (source, target, tclass, permission)


@needs_secilc
@needs_setools
@needs_sources
def test_talos_policy_proves_a_rule() -> None:
    with Prover(SOURCES) as prover:
        assert prover.unavailable is None
        assert prover.prove([rule("pod_t", "run_t", "dir", "write")])["added"] == ["pod_t run_t:dir write"]
        assert prover.prove([rule("init_t", "security_t", "security", "setenforce")])["state"] == "neverallow"


def tool(directory: Path, name: str, *said: str, status: int = 0, interpreter: str = "/bin/sh") -> str:
    """A program that says these lines, whatever it is asked."""
    path = directory / name
    path.write_text("\n".join([f"#!{interpreter}", *(f"echo '{line}'" for line in said), f"exit {status}", ""]))
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("said", "status", "state"),
    [
        (["Allow Rules (1 Added, 0 Removed, 0 Modified)", "+ allow pod_t run_t:dir write;"], 0, "exact"),
        (["* allow pod_t run_t:dir { read +write };"], 0, "exact"),
        (["+ allow pod_t run_t:dir { read write };"], 0, "inexact"),
        (["* allow pod_t run_t:dir { -read +write };"], 0, "inexact"),
        (["- allow pod_t run_t:dir write;"], 0, "inexact"),
        (["+ allow pod_t run_t:dir write; [ a_switch ]:True"], 0, "inexact"),
        (["Types (1 Added, 0 Removed)", "+ new_t"], 0, "inexact"),
        ([], 0, "redundant"),
        (["it cannot be read"], 1, "compiles"),
    ],
)
def test_what_the_comparison_says_is_never_read_for_more(
    said: list[str], status: int, state: str, tmp_path: Path
) -> None:
    compiler, compare = tool(tmp_path, "secilc"), tool(tmp_path, "sediff", *said, status=status)
    (tmp_path / "a.cil").write_text("")
    with Prover(tmp_path, secilc=compiler, sediff=compare) as prover:
        proof = prover.prove([rule("pod_t", "run_t", "dir", "write")])
    assert proof["state"] == state, proof
    assert proof["detail"] and (status == 0 or "it cannot be read" in proof["detail"])


def test_each_of_several_rules_that_cannot_be_compared_only_compiles(tmp_path: Path) -> None:
    (tmp_path / "a.cil").write_text("")
    rules = [rule("pod_t", "run_t", "dir", "write"), rule("pod_t", "run_t", "file", "open")]
    with Prover(tmp_path, secilc=tool(tmp_path, "secilc"), sediff="no-such-sediff") as prover:
        assert [proof["state"] for proof in prover.prove_each(rules)] == ["compiles", "compiles"]


def test_a_compiler_that_cannot_be_run_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.cil").write_text("")
    compiler = tool(tmp_path, "secilc", interpreter="/no/such/interpreter")
    with Prover(tmp_path, secilc=compiler) as prover:
        assert prover.unavailable and "do not compile" in prover.unavailable
        assert prover.prove([rule("pod_t", "run_t", "dir", "write")])["state"] == "unproven"


def test_tools_that_say_nothing_or_what_is_no_plain_rule_allow_nothing(tmp_path: Path) -> None:
    (tmp_path / "policy.33").write_bytes(b"x")
    silent = tool(tmp_path, "silent")
    policy = TargetPolicy(tmp_path / "policy.33", seinfo=silent, sesearch=silent)
    assert policy.unavailable and "nothing of use" in policy.unavailable
    assert policy.judge(denial("pod_t", "run_t", "dir", "search"))["verdict"] == "unknown"
    seinfo = tool(tmp_path, "seinfo", "pod_t", "run_t", "class dir", "read", "search")
    rules = ["allow pod_t run_t:dir search;", "allow pod_t run_t:dir read; [ a_switch ]:True"]
    policy = TargetPolicy(tmp_path / "policy.33", seinfo=seinfo, sesearch=tool(tmp_path, "sesearch", *rules))
    assert policy.unavailable is None
    verdicts = [policy.judge(denial("pod_t", "run_t", "dir", one))["verdict"] for one in ("search", "read")]
    assert verdicts == ["allowed", "still denied"]
