# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A probe that is killed at any moment leaves nothing; what a dead controller leaves ends, and goes with the next."""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.identity import machine_id_of
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe import janitor, pod
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe.cluster import ProbeRunning
from integration.probe.world import IMAGE, World, expire, killed
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
def test_nothing_remains_of_a_probe_that_was_killed(world: World, step: str, when: str) -> None:
    world.cluster.jobs.trouble.hangs.add("worker-1")
    if (step, when) == ("wait", "after") or step in ("write 4", "clear"):
        world.cluster.jobs.trouble.hangs.clear()
    killed(world, step, when, janitor=True)
    gone(world)


def test_a_namespace_that_is_made_after_the_kill_goes_too(world: World, tmp_path: Path) -> None:
    late = tmp_path / "late"
    killed(world, "write 1", "before", janitor=True, late=late)
    store = world.store("worker-1")
    (told,) = [probe for boot in store.boots() for probe in store.probes(boot)]
    plan = pod.Plan(
        id=told["id"],
        machine=str(machine_id_of(told["machine"]["identity"])),
        node="worker-1",
        image=IMAGE,
        device=None,
        owner="",
        seconds=60,
        expires=dt.datetime.now(dt.UTC),
    )
    # As if the request had been on its way, and was served when the janitor had looked.
    with config.new_client_from_config(world.kubeconfig) as api:
        client.CoreV1Api(api).create_namespace(pod.namespace(plan))
    assert world.namespaces() == [plan.namespace]
    late.touch()
    gone(world)


def gone(world: World) -> None:
    """Wait until nothing of any probe is there, which nobody but a janitor sees to."""
    end = time.monotonic() + 60
    while world.remains() and time.monotonic() < end:
        time.sleep(0.05)
    assert world.remains() == []


def test_the_janitor_acts_only_when_its_process_is_gone(tmp_path: Path) -> None:
    marks = [tmp_path / name for name in ("ended", "raised", "exited")]
    with janitor.watched(marks[0].touch):
        pass
    with pytest.raises(ValueError, match="the block's own"), janitor.watched(marks[1].touch):
        raise ValueError("the block's own")
    child = os.fork()
    if not child:
        with janitor.watched(marks[2].touch):
            os._exit(0)
    os.waitpid(child, 0)
    end = time.monotonic() + 60
    while not marks[2].exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert [mark.exists() for mark in marks] == [False, False, True]


#: Steps at which a controller that dies as a whole leaves something: an empty namespace, a Job, a pod that ended.
WITH_ALL = [("write 1", "after"), ("write 3", "after"), ("wait", "after")]


@pytest.mark.parametrize(("step", "when"), WITH_ALL)
def test_what_a_killed_controller_left_goes_with_the_next_probe(world: World, step: str, when: str) -> None:
    killed(world, step, when)
    left = world.namespaces()
    assert len(left) == 1
    # The next one is of a node that does not enforce: it makes nothing, and removes what it finds.
    result = world.probe("worker-2")
    assert (result["outcome"], result["leftovers"], result["changed"]) == ("not_attempted", left, True)
    assert world.remains() == []
    assert world.probe()["outcome"] == "refused"
    assert world.remains() == []


@pytest.mark.parametrize(("step", "when"), WITH_ALL)
def test_without_another_probe_the_cluster_ends_and_removes_the_pod(world: World, step: str, when: str) -> None:
    if step != "wait":
        world.cluster.jobs.trouble.hangs.add("worker-1")
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
