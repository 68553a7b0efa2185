# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check of docs/policies.md, word for word: gate, report and refusal treat it like a built-in one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.saved import verdict_of
from integration import playbook
from simulator import Simulator

DOCS = Path(__file__).parents[3] / "docs" / "policies.md"
EXAMPLE = DOCS.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
(CHECK,) = yaml.safe_load(EXAMPLE)["checks"]
NODES: dict[str, Any] = {
    **{f"cp-{number}": {"role": "controlplane", "secure_boot": True} for number in (1, 2, 3)},
    "worker-1": {"secure_boot": True},
    "worker-2": {},
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[playbook.Run, Path]]:
    """The gate playbook with that policy."""
    directory = tmp_path_factory.mktemp("own-check")
    policy = directory / "our-policy.yml"
    policy.write_text(EXAMPLE, encoding="utf-8")
    evidence = directory / "evidence"
    with Simulator({"name": "own", "uptime": "96h", "nodes": NODES}, directory / "fleet") as sim:
        variables = playbook.settings(sim, evidence, rollout_policy=str(policy))
        yield playbook.run(sim, directory / "run", "talosops.selinux.gate", variables=variables), evidence
        assert playbook.talos_writes(sim) == []


def test_the_example_is_short() -> None:
    assert len(EXAMPLE[EXAMPLE.index("  - id:") :].strip().splitlines()) <= 10


def test_the_gate_knows_it(judged: tuple[playbook.Run, Path]) -> None:
    result = judged[0].of("Judge the evidence")
    assert result["decisions"] == {
        "eligible": ["cp-1", "cp-2", "cp-3", "worker-1"],
        "refused": ["worker-2"],
        "inconclusive": [],
    }
    (reason,) = result["nodes"]["worker-2"]["reasons"]
    assert reason == {
        "id": CHECK["id"],
        "result": "fail",
        "found": "SecureBoot: false",
        "reason": CHECK["reason"],
        "remedy": CHECK["remedy"],
        "doc": "docs/policies.md",
    }
    assert [change["id"] for change in result["policy"]["changes"]] == [CHECK["id"]]
    for name in NODES:
        verdict = verdict_of(result["nodes"][name])
        assert CHECK["id"] in {check["id"] for check in verdict["checks"]}


def test_the_refusal_says_it(judged: tuple[playbook.Run, Path]) -> None:
    summary = judged[0].of("Judge the evidence")["nodes"]["worker-2"]["summary"]
    assert summary == f"worker-2 is refused: {CHECK['id']}: SecureBoot: false. {CHECK['remedy']}"


def test_the_report_shows_it(judged: tuple[playbook.Run, Path]) -> None:
    run, evidence = judged
    row = playbook.report(evidence)["worker-2"]
    assert [reason["id"] for reason in row["reasons"]] == [CHECK["id"]]
    text = run.of("Write the report")["table"]
    page = (evidence / "report.html").read_text(encoding="utf-8")
    for told in (CHECK["id"], "SecureBoot: false", CHECK["remedy"]):
        assert told in page
        assert told in text
