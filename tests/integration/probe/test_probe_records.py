# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AVC records that a probe caused are no denials, and every other one is."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from integration.probe.world import World, killed


def denied(document: dict[str, Any]) -> dict[str, int]:
    return {one["signature"]: one["count"] for one in document["audit"]["denials"]}


def test_its_records_are_no_denials_and_a_real_one_of_the_same_kind_is(world: World) -> None:
    before = world.evidence("worker-4")
    assert world.probe("worker-4")["outcome"] == "refused"
    after = world.evidence("worker-4")
    assert denied(after) == denied(before)
    assert after["audit"]["counts"]["probe"] == before["audit"]["counts"]["probe"] + 4
    assert after["audit"]["counts"]["denied"] == before["audit"]["counts"]["denied"]
    assert after["audit"]["coverage"]["verdict"] == before["audit"]["coverage"]["verdict"]
    # What is judged without the store knows nothing of probes, and counts everything.
    assert world.evidence("worker-4", stored=False)["audit"]["counts"]["denied"] >= 4
    real = {
        "scontext": "pod_t",
        "tcontext": "machine_socket_t",
        "tclass": "sock_file",
        "perms": "write",
        "comm": "socat",
    }
    world.sim.add_denial("worker-4", real)
    signature = "pod_t:machine_socket_t:sock_file:write"
    assert denied(world.evidence("worker-4")) == {**denied(before), signature: denied(before).get(signature, 0) + 1}


def test_a_refusal_without_its_record_is_said_to_be_one(world: World) -> None:
    world.behave("worker-1", records=False)
    result = world.probe()
    assert (result["outcome"], [row["records"] for row in result["attempts"]]) == ("refused", [0, 0, 0])


def test_records_of_a_probe_that_was_killed_stay_counted(world: World) -> None:
    before = world.evidence("worker-1")
    killed(world, "wait", "after")
    after = world.evidence("worker-1")
    assert after["audit"]["counts"]["denied"] == before["audit"]["counts"]["denied"] + 4
    assert world.store("worker-1").probes(after["boot"]["id"])[0]["finished_at"] is None
    world.probe("worker-2")


def test_every_problem_says_what_to_do(world: World) -> None:
    world.sim.fleet.kubernetes.refused.add(("POST", "jobs"))
    with pytest.raises(Problem, match="refuses to create jobs") as caught:
        world.probe()
    assert caught.value.why
    assert "docs/enforcement-probe.md" in caught.value.do
