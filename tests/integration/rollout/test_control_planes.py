# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One control plane at a time, also by ``--limit``, and by the only way that many talosconfigs have: one endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from integration import playbook
from simulator import Simulator

NODES = {**{f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}, "worker-1": {}, "worker-2": {}}


def test_the_only_endpoint_is_the_one_that_is_wiped_and_a_run_with_a_limit_resumes_it(tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    with Simulator({"name": "cps", "time_scale": 120, "uptime": "96h", "nodes": NODES}, tmp_path / "fleet") as sim:
        variables = playbook.settings(
            sim, evidence, talos_route="endpoint", talos_endpoints=[sim.nodes["cp-1"].address]
        )

        def run(place: str, **more: Any) -> playbook.Run:
            return playbook.run(
                sim,
                tmp_path / place,
                "talosops.selinux.rollout",
                variables=variables,
                arguments=["--limit", "cp-1"],
                **more,
            )

        killed = run("killed", environment={"TEST_CRASH": "step:identify:0"})
        assert killed.code != 0 and playbook.resets(sim) == ["cp-1"], killed.output
        reset = next(call for call in sim.calls if call.method.endswith("/Reset"))
        assert reset.via in ("cp-2", "cp-3")
        # The others are neither in the limit nor reachable through the endpoint that the inventory names.
        ended = run("ended")
        assert ended.code == 0, ended.output
        assert playbook.report(evidence)["cp-1"]["outcome"] == "moved"
        assert playbook.resets(sim) == ["cp-1"]
        assert len(sim.fleet.etcd.voters()) == 3
        assert not sim.nodes["cp-1"].unschedulable
        snapshot = next((evidence / "etcd").glob("cp-1-*.snapshot"))
        assert snapshot.stat().st_size > 0
        taken = [call.node for call in sim.calls if call.method.endswith("/EtcdSnapshot")]
        assert taken and set(taken) <= {"cp-2", "cp-3"}
