# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lock in the cluster, by what is read and sent: Leases of any form, and how often a lost race is run again."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.kube import ClusterProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.cluster_lock import ClusterLock
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.errors import LockHeld
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.owner import of_process
from scripted_kube import ScriptedKube, refusal

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
GONE = str(of_process(os.getpid())).rsplit(":", 1)[0] + ":1"
LEASES = "apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
NOTES = {"talosops.selinux/about": "/srv/rollout", "talosops.selinux/identity": "node-identity"}


def lease(
    holder: Any = "other", renewed: str | None = "2026-11-22T11:59:00Z", seconds: Any = 3600, **metadata: Any
) -> dict[str, Any]:
    """A Lease."""
    spec = {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": seconds, "leaseTransitions": 4}
    return {
        "metadata": {"resourceVersion": "7", "annotations": NOTES, **metadata},
        "spec": {**spec, "acquireTime": "2026-11-22T11:00:00.000000Z"},
    }


Talk = Callable[..., tuple[ClusterLock, ScriptedKube]]


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch) -> Talk:
    """Makes a lock whose API has this Lease, and answers writes so before one is taken."""

    def make(found: Any, *writes: Any, now: dt.datetime | None = NOW) -> tuple[ClusterLock, ScriptedKube]:
        read = refusal(404) if found is None else found
        kube = ScriptedKube(monkeypatch, *writes, {}, seconds=15.0, read=read, date=now)
        return ClusterLock("kubeconfig", None, "lock", "me"), kube

    return make


HOUR = dt.timedelta(hours=1)
MISSING: dict[str, Any] = {"metadata": {"resourceVersion": "7"}}


@pytest.mark.parametrize(
    ("found", "now", "how", "held"),
    [
        (None, NOW, {}, False),
        (MISSING, NOW, {}, False),
        ({**MISSING, "spec": None}, NOW, {}, False),
        (lease(None), NOW, {}, False),
        (lease(""), NOW, {}, False),
        (lease("me"), NOW, {}, False),
        (lease(GONE), NOW, {}, False),
        (lease(), NOW, {}, True),
        (lease(), NOW, {"take_over": "it burned down"}, False),
        (lease(), NOW, {"take_over": " "}, True),
        (lease(), NOW, {"take_over": ""}, True),
        (lease(), NOW, {"settled": "7"}, False),
        (lease(), NOW, {"settled": "8"}, True),
        (lease(renewed="2026-11-22T10:59:00Z"), NOW, {}, False),
        (lease(renewed="2026-11-22T10:59:00.000001Z"), NOW, {}, True),
        (lease(renewed="2026-11-22T10:00:00Z"), None, {}, True),
        (lease(renewed=None), NOW, {}, True),
        (lease(seconds=None), NOW, {}, True),
        (lease(seconds=0), NOW, {}, True),
        (lease(renewed="2026-11-22T10:00:00Z", annotations=None), NOW, {}, False),
        (lease(annotations=None), NOW, {}, True),
    ],
)
def test_who_holds_a_lock(found: Any, now: dt.datetime | None, how: dict[str, Any], held: bool, talk: Talk) -> None:
    lock, kube = talk(found, now=now)
    if not held:
        lock.acquire(HOUR, **how)
        assert [one.method for one in kube.writes] == ["POST" if found is None else "PUT"]
        if not how:
            assert lock.check() is None  # type: ignore[func-returns-value]  # that it returns is what is tested
        return
    with pytest.raises(LockHeld, match="other holds the lock lock of this cluster") as raised:
        lock.acquire(HOUR, **how)
    annotations = found["metadata"]["annotations"]
    spec = found["spec"]
    shown = raised.value.found
    assert (" for /srv/rollout" in shown) is (annotations is not None)
    assert (", until 2026-11-22T" in shown) is bool(spec["renewTime"] and spec["leaseDurationSeconds"])
    assert {key: raised.value.context[key] for key in ("lock", "owner", "identity", "version")} == {
        "lock": "lock",
        "owner": "other",
        "identity": "node-identity" if annotations else None,
        "version": "7",
    }
    assert kube.writes == []
    with pytest.raises(LockHeld):
        lock.check()


def test_what_a_lock_that_nobody_had_is_made_of(talk: Talk) -> None:
    lock, kube = talk(None)
    lock.acquire(dt.timedelta(seconds=90.9), about="/srv/rollout")
    body = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": "lock",
            "namespace": "kube-system",
            "annotations": {"talosops.selinux/about": "/srv/rollout"},
        },
        "spec": {
            "holderIdentity": "me",
            "leaseDurationSeconds": 90,
            "acquireTime": "2026-11-22T12:00:00.000000Z",
            "renewTime": "2026-11-22T12:00:00.000000Z",
            "leaseTransitions": 1,
        },
    }
    assert kube.requests == [("GET", f"{LEASES}/lock", None), ("POST", LEASES, body)]


@pytest.mark.parametrize(
    ("found", "how", "acquired", "transitions", "annotations"),
    [
        (lease("me"), {"identity": "i"}, "2026-11-22T11:00:00.000000Z", 4, {"talosops.selinux/identity": "i"}),
        (lease(""), {}, "2026-11-22T12:00:00.000000Z", 5, {}),
        (
            lease(),
            {"take_over": "it burned down"},
            "2026-11-22T12:00:00.000000Z",
            5,
            {"talosops.selinux/taken-over": "it burned down"},
        ),
        (MISSING, {}, "2026-11-22T12:00:00.000000Z", 1, {}),
    ],
)
def test_what_a_lock_that_was_there_is_changed_to(
    found: Any, how: dict[str, Any], acquired: str, transitions: int, annotations: dict[str, str], talk: Talk
) -> None:
    lock, kube = talk(found)
    lock.acquire(HOUR, **how)
    ((method, path, body),) = kube.writes
    assert (method, path) == ("PUT", f"{LEASES}/lock")
    assert body["metadata"]["resourceVersion"] == "7"
    assert body["metadata"]["annotations"] == {"talosops.selinux/about": "", **annotations}
    assert (body["spec"]["acquireTime"], body["spec"]["renewTime"]) == (acquired, "2026-11-22T12:00:00.000000Z")
    assert (body["spec"]["leaseTransitions"], body["spec"]["leaseDurationSeconds"]) == (transitions, 3600)


@pytest.mark.parametrize(
    ("found", "released"),
    [(None, False), (MISSING, False), ({**MISSING, "spec": None}, False), (lease(), False), (lease("me"), True)],
)
def test_a_lock_is_released_by_its_holder_in_the_version_that_was_read(found: Any, released: bool, talk: Talk) -> None:
    lock, kube = talk(found)
    lock.release()
    body = {"preconditions": {"resourceVersion": "7"}}
    assert kube.writes == ([("DELETE", f"{LEASES}/lock", body)] if released else [])


def test_a_lease_that_is_not_there_is_none_and_one_that_may_not_be_read_is_a_problem(talk: Talk) -> None:
    lock, kube = talk(refusal(404))
    lock.acquire(HOUR)
    lock.check()
    lock.release()
    assert [one.method for one in kube.writes] == ["POST"]
    for status in (403, 500):
        lock, kube = talk(refusal(status))
        with pytest.raises(ClusterProblem, match="kubeconfig cannot be read: Because") as raised:
            lock.check()
        assert raised.value.why == "without its lock two controllers could take nodes of one cluster away"


def test_a_race_that_was_lost_is_run_again_and_not_for_ever(talk: Talk) -> None:
    lock, kube = talk(None, refusal(409), refusal(409))
    lock.acquire(HOUR)
    assert (len(kube.writes), len(kube.slept)) == (3, 2)
    assert all(0.02 <= seconds <= 0.1 * (number + 1) for number, seconds in enumerate(kube.slept))
    lock, kube = talk(None, *[refusal(409)] * 20)
    with pytest.raises(ClusterProblem):
        lock.acquire(HOUR)
    assert (len(kube.writes), len(kube.slept)) == (12, 11)
    lock, kube = talk(None, refusal(422))
    with pytest.raises(ClusterProblem):
        lock.acquire(HOUR)
    assert (len(kube.writes), kube.slept) == (1, [])


def test_a_problem_stays_what_it_is(talk: Talk) -> None:
    lock, _kube = talk(ClusterProblem("no kubeconfig", "w", "d"))
    with pytest.raises(ClusterProblem, match="no kubeconfig"):
        lock.check()
