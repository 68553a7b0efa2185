# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A configuration that the node would not take, or that would make something else of it, stops before the drain."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration import playbook
from simulator import Simulator

SECRET = "hunter2hunter2hunter2hunter2"
NODES = {
    **{f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)},
    **{f"worker-{number}": {} for number in (1, 2, 3)},
}


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    scenario = {"name": "judged", "time_scale": 120, "uptime": "96h", "nodes": NODES}
    with Simulator(scenario, tmp_path_factory.mktemp("judged") / "fleet") as simulator:
        yield simulator


def roll(sim: Simulator, directory: Path, text: str, **variables: object) -> playbook.Run:
    """The rollout of worker-1 with this configuration."""
    (sim.directory / "configs" / "worker-1.yaml").write_text(text, encoding="utf-8")
    settings = playbook.settings(sim, directory / "evidence", rollout_hosts="worker-1", **variables)
    return playbook.run(sim, directory / "run", "talosops.selinux.rollout", variables=settings)


def assert_silent(run: playbook.Run, directory: Path, *secrets: str) -> None:
    """The secrets are in no output and no file that the run left behind."""
    told = run.output + json.dumps(run.records)
    files = [path for path in (directory / "evidence").rglob("*") if path.is_file()]
    assert [path for path in files if path.name == "ledger.jsonl"]
    told += "".join(path.read_bytes().decode("latin-1") for path in files)
    for secret in secrets:
        assert len(secret) > 12 and secret not in told and secret[:12] not in told


def test_what_the_node_would_do_with_its_configuration_is_asked_first(sim: Simulator, tmp_path: Path) -> None:
    good = (sim.directory / "configs" / "worker-1.yaml").read_text(encoding="utf-8")
    token = re.findall(r"token: ([a-z0-9.]{23})", good)
    assert len(token) == 2

    # Talos rejects it, and quotes it.
    rejected = good.replace("machine:\n", f"machine:\n    sysctls: [{SECRET}, {token[0]}]\n", 1)
    run = roll(sim, tmp_path / "rejected", rejected)
    assert run.code != 0 and "rejects the machine configuration" in run.output
    assert_silent(run, tmp_path / "rejected", SECRET, *token)

    # Talos takes it, and the node would be another than it is.
    other = good.replace("machine:\n", f"machine:\n    sysctls:\n        a.b: {SECRET}\n", 1)
    run = roll(sim, tmp_path / "other", other)
    assert run.code != 0 and "differs from what the node runs by more than the installer image" in run.output
    assert "v1alpha1 machine.sysctls.a.b: added <masked>" in " ".join(run.output.split())
    assert_silent(run, tmp_path / "other", SECRET, *token)

    # Nobody was touched by either; the lock in the cluster came and went.
    assert [call for call in sim.writes() if "/leases" not in call.method] == []

    (failure,) = [
        record["result"]["failure"]
        for record in run.records
        if (record["result"].get("failure") or {}).get("kind") == "config_differs"
    ][:1]
    run = roll(sim, tmp_path / "approved", other, talos_approved_config_differences=failure["approval"])
    assert run.code == 0, run.output
    assert playbook.resets(sim) == ["worker-1"]
    assert SECRET in str(sim.nodes["worker-1"].config)
    assert_silent(run, tmp_path / "approved", SECRET, *token)
    kept = (tmp_path / "approved" / "evidence" / "ledger.jsonl").read_text()
    assert "v1alpha1 machine.sysctls.a.b: added <masked>" in kept
