# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole rollout without an Image Factory, from a bundle that was prepared where there is one."""

from __future__ import annotations

import json
from pathlib import Path

from integration import playbook
from simulator import Simulator

#: Nothing listens there.
NOWHERE = "https://127.0.0.1:9"


def test_a_rollout_from_a_bundle(tmp_path: Path) -> None:
    # The second worker takes the pods of the first.
    nodes = {"cp-1": {"role": "controlplane"}, "worker-1": {}, "worker-2": {}}
    bundle = tmp_path / "bundle"
    with Simulator({"name": "gap", "uptime": "96h", "nodes": nodes}, tmp_path / "fleet") as sim:
        settings = playbook.settings(sim, tmp_path / "prepared", rollout_hosts="worker-1")
        prepared = playbook.run(
            sim,
            tmp_path / "prepare",
            "talosops.selinux.gate",
            variables={**settings, "rollout_save_bundle": str(bundle)},
        )
        assert prepared.code == 0, prepared.output
        assert json.loads((bundle / "manifest.json").read_text())["factory"] == sim.factory_url
        asked = len(sim.fleet.factory.requests)
        more = {"rollout_factory_url": NOWHERE, "rollout_directory": str(tmp_path / "evidence")}
        more["rollout_bundle"] = str(bundle)
        run = playbook.run(sim, tmp_path / "run", "talosops.selinux.rollout", variables={**settings, **more})
        assert run.code == 0, run.output
        assert playbook.report(tmp_path / "evidence")["worker-1"]["outcome"] == "moved"
        assert playbook.resets(sim) == ["worker-1"]
        assert [call for call in sim.fleet.factory.requests[asked:] if "/schematics" in call.path] == []
