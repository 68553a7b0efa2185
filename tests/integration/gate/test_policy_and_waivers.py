# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A weakened policy says so in every output, a waived denial stays in all of them, and a bad waiver stops the run."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration import playbook
from simulator import Simulator

SIGNATURE = "pod_t:run_t:sock_file:write"
AGENT = {"scontext": "pod_t", "tcontext": "run_t", "tclass": "sock_file", "perms": ["write"], "comm": "app"}
NODES: dict[str, Any] = {
    **{f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)},
    "worker-1": {"denials": [AGENT]},
    "worker-2": {"user_volumes": ["data"]},
}
BY = {"who": "ada@example.org", "why": "the scratch volumes of this pool may go"}
POLICY = {
    "schema": 1,
    "name": "ours",
    "extends": "strict",
    "weakened_by": BY,
    "soak": "80h",
    "waiver_max_matches": 1,
    "checks": [{"id": "local-data-reviewed", "severity": "warn"}],
}
SOUND: dict[str, Any] = {
    "id": "agent-socket",
    "signature": SIGNATURE,
    "scope": {"nodes": ["worker-*"]},
    "reason": "The agent falls back to TCP.",
    "owner": "ada@example.org",
    "ticket": "OPS-123",
    "granted": -1,
    "expires": 30,
}
#: Lint -> what makes the sound waiver bad; dates are days from now.
BAD: dict[str, dict[str, Any]] = {
    "expired": {"granted": -20, "expires": -1},
    "too-long": {"expires": 200},
    "unused": {"signature": "pod_t:apid_t:sock_file:write", "granted": -40},
    "no-owner": {"owner": None},
    "breaking": {"signature": "pod_t:unlabeled_t:file:read"},
    "too-broad": {
        "signature": None,
        "match": {
            "source_type": ["pod_t"],
            "target_type": ["run_t", "etcd_t"],
            "class": ["sock_file"],
            "permissions": ["write"],
        },
    },
}


@dataclasses.dataclass(frozen=True)
class Judged:
    """The gate playbook with a weakened policy and a sound waiver, then the gate with each bad waiver."""

    run: playbook.Run
    evidence: Path
    bad: playbook.Run


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    """Run both over one fleet."""
    directory = tmp_path_factory.mktemp("policy")
    policy = directory / "ours.yml"
    policy.write_text(yaml.safe_dump(POLICY))
    nodes = {**NODES, "worker-3": {"denials": [AGENT, {**AGENT, "tcontext": "etcd_t"}]}}
    with Simulator({"name": "policy", "uptime": "96h", "nodes": nodes}, directory / "fleet") as sim:
        more = {"rollout_policy": str(policy), "rollout_waivers": _waivers(directory / "sound.yml", {})}
        settings = playbook.settings(sim, directory / "evidence", **more)
        run = playbook.run(sim, directory / "gate", "talosops.selinux.gate", variables=settings)
        collect = {
            "name": "Collect",
            "talosops.selinux.evidence": {"directory": str(directory / "again")},
            "run_once": True,
            "register": "collected",
        }
        tasks = [
            {
                "name": lint,
                "talosops.selinux.gate": {
                    "evidence": "{{ collected }}",
                    "directory": str(directory / "again"),
                    "policy": str(policy),
                    "waivers": _waivers(directory / f"{lint}.yml", change),
                },
                "run_once": True,
                "ignore_errors": True,
            }
            for lint, change in BAD.items()
        ]
        bad = playbook.play(sim, directory / "bad", [collect, *tasks])
        assert playbook.talos_writes(sim) == []
        yield Judged(run, directory / "evidence", bad)


def _waivers(path: Path, change: dict[str, Any]) -> str:
    now = dt.datetime.now(dt.UTC)
    waiver = {key: value for key, value in {**SOUND, **change}.items() if value is not None}
    for key in ("granted", "expires"):
        waiver[key] = (now + dt.timedelta(days=waiver[key])).strftime("%Y-%m-%d")
    path.write_text(yaml.safe_dump({"schema": 1, "waivers": [waiver]}))
    return str(path)


def test_the_difference_to_the_built_in_policy_is_in_every_verdict(judged: Judged) -> None:
    result = judged.run.of("Judge the evidence")
    changes = [
        {"id": None, "field": "soak", "from": "72h", "to": "80h", "weaker": False, "in": "ours", "by": None},
        {"id": None, "field": "waiver_max_matches", "from": 5, "to": 1, "weaker": False, "in": "ours", "by": None},
        {
            "id": "local-data-reviewed",
            "field": "severity",
            "from": "block",
            "to": "warn",
            "weaker": True,
            "in": "ours",
            "by": BY,
        },
    ]
    note = {"name": "ours", "changes": changes, "weakened": True}
    assert result["policy"] == note
    for name in (*NODES, "worker-3"):
        assert playbook.verdict(result["nodes"][name])["policy"] == note
        assert json.loads(Path(result["nodes"][name]["path"]).read_text())["policy"] == note


def test_what_weakens_is_told_loudly_with_who_and_why(judged: Judged) -> None:
    (warning,) = judged.run.of("Judge the evidence")["warnings"]
    assert "local-data-reviewed" in warning and BY["who"] in warning and BY["why"] in warning
    report = json.loads((judged.evidence / "report.json").read_text())
    assert report["policy"]["weakened"] is True
    (line,) = report["attention"]
    assert line == (
        'policy ours: local-data-reviewed: severity was "block" and is "warn" (in ours). '
        f"This is WEAKER, on the word of {BY['who']}: {BY['why']}"
    )
    table = _flat(judged.run.of("Write the report")["table"])
    page = _flat((judged.evidence / "report.html").read_text()).replace("&quot;", '"')
    for text in (table, page):
        assert line in text
        assert 'policy ours: setting soak was "72h" and is "80h" (in ours)' in text
    # The operator sees both without looking for them.
    output = _flat(judged.run.output)
    assert output.count(BY["why"]) >= 2 and "WEAKER" in output


def test_a_waived_denial_stays_everywhere_and_is_counted_apart(judged: Judged) -> None:
    result = judged.run.of("Judge the evidence")["nodes"]
    verdict = playbook.verdict(result["worker-1"])
    assert verdict["decision"] == "eligible"
    assert verdict["denials"] == {"open": [], "waived": [SIGNATURE], "benign": []}
    (waived,) = verdict["waived"]
    assert (waived["waiver_id"], waived["owner"], waived["ticket"]) == ("agent-socket", "ada@example.org", "OPS-123")
    # What the waiver does not cover refuses the node that has both.
    assert result["worker-3"]["decision"] == "refused"
    assert playbook.verdict(result["worker-3"])["denials"]["open"] == ["pod_t:etcd_t:sock_file:write"]
    rows = playbook.report(judged.evidence)
    assert rows["worker-1"]["waived"] == [waived]
    assert {name for name, row in rows.items() if row["waived"]} == {"worker-1", "worker-3"}
    report = json.loads((judged.evidence / "report.json").read_text())
    assert report["waived"]["signatures"] == 1 and report["waived"]["records"] >= 2
    for text in (judged.run.of("Write the report")["table"], (judged.evidence / "report.html").read_text()):
        assert f"waived: {SIGNATURE}" in _flat(text) and "denials waived: 1 kinds" in _flat(text)


@pytest.mark.parametrize("lint", BAD)
def test_a_bad_waiver_fails_the_run_by_name(judged: Judged, lint: str) -> None:
    result = judged.bad.of(lint)
    # It failed; only for this test the play goes on to the next.
    assert {record["status"] for record in judged.bad.records if record["task"] == lint} == {"ignored"}
    assert "nodes" not in result
    assert result["failure"]["kind"] == "waiver"
    assert [(finding["waiver"], finding["lint"]) for finding in result["failure"]["findings"]] == [
        ("agent-socket", lint)
    ]
    assert f"agent-socket ({lint})" in result["msg"]


def _flat(text: str) -> str:
    return re.sub(r"\s+", " ", text)
