# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A controller that is killed at any moment: what it left ends by itself, and goes with the next probe."""

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe import pod
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe.cluster import ProbeRunning
from integration.probe.world import World, expire, killed
from kubernetes import client, config

STEPS = [
    ("keep_probe", "after"),
    # Each write to Kubernetes: the namespace, its policy, the Job, and the removal.
    *((f"write {number}", when) for number in (1, 2, 3, 4) for when in ("before", "after")),
    ("wait", "before"),
    ("wait", "after"),
    ("clear", "after"),
]


@pytest.mark.parametrize(("step", "when"), STEPS)
def test_what_a_killed_probe_left_goes_with_the_next_one(world: World, step: str, when: str) -> None:
    killed(world, step, when)
    left = world.namespaces()
    # The next one is of a node that does not enforce: it makes nothing, and removes what it finds.
    result = world.probe("worker-2")
    assert (result["outcome"], result["leftovers"], result["changed"]) == ("not_attempted", left, bool(left))
    assert world.remains() == []
    assert world.probe()["outcome"] == "refused"
    assert world.remains() == []


@pytest.mark.parametrize(("step", "when"), STEPS)
def test_without_another_probe_the_cluster_ends_and_removes_the_pod(world: World, step: str, when: str) -> None:
    world.cluster.jobs.trouble.hangs.add("worker-1")
    if (step, when) == ("wait", "after") or step in ("write 4", "clear"):
        world.cluster.jobs.trouble.hangs.clear()
    killed(world, step, when)
    before = len(world.writes())
    for minutes in range(10):
        world.cluster.jobs.ahead = minutes * 61.0
        world.remains()
    assert len(world.writes()) == before
    assert [name for name in world.remains() if name.startswith(("Pod", "Job"))] == []
    # The namespace with its policy stays; nothing runs in it.
    assert len(world.namespaces()) <= 1


def test_another_controller_removes_it_once_its_time_is_over(world: World) -> None:
    killed(world, "write 3", "after")
    with config.new_client_from_config(world.kubeconfig) as api:
        (name,) = world.namespaces()
        notes = {pod.OWNER: "elsewhere:5:other-boot:1:1"}
        client.CoreV1Api(api).patch_namespace(name, {"metadata": {"annotations": notes}})
    with pytest.raises(ProbeRunning) as caught:
        world.probe()
    assert "process 5 of elsewhere" in caught.value.found
    assert world.probe("worker-2", check=False)["leftovers"] == []
    expire(world)
    assert world.probe("worker-2", check=True)["leftovers"] == [name]
    assert world.namespaces() == [name]
    assert world.probe("worker-2")["leftovers"] == [name]
    assert world.remains() == []
