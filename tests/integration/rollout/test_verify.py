# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Before anything is touched the running node is asked whether it would take its configuration, and what differs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from integration import playbook
from simulator import Simulator

NODES = {**{f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}, "worker-1": {}, "worker-2": {}}
pytestmark = pytest.mark.timeout(900)


def test_a_difference_is_refused_before_the_drain_until_it_is_approved(tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    with Simulator({"name": "verify", "time_scale": 120, "uptime": "96h", "nodes": NODES}, tmp_path / "fleet") as sim:
        config = sim.directory / "configs" / "worker-1.yaml"
        documents = list(yaml.safe_load_all(config.read_text()))
        documents[0]["machine"]["sysctls"] = {"net.core.somaxconn": "65535"}
        config.write_text(yaml.safe_dump_all(documents, sort_keys=False))
        variables = playbook.settings(sim, evidence, rollout_hosts="worker-1")
        run = playbook.run(sim, tmp_path / "refused", "talosops.selinux.rollout", variables=variables)
        assert run.code != 0
        reason = playbook.report(evidence)["worker-1"]["reasons"][0]
        assert reason["id"] == "rollout.verify" and "machine.sysctls" in reason["found"], reason
        assert playbook.talos_writes(sim) == [] and not sim.nodes["worker-1"].unschedulable
        approval = re.search(r"[0-9a-f]{64}", f"{reason['found']} {reason['remedy']}")
        assert approval is not None, reason

        other = {**variables, "talos_approved_config_differences": "0" * 64}
        run = playbook.run(sim, tmp_path / "other", "talosops.selinux.rollout", variables=other)
        assert run.code != 0 and playbook.talos_writes(sim) == []

        approved = {**variables, "talos_approved_config_differences": approval[0]}
        run = playbook.run(sim, tmp_path / "approved", "talosops.selinux.rollout", variables=approved)
        assert run.code == 0, run.output
        assert playbook.report(evidence)["worker-1"]["outcome"] == "moved"
