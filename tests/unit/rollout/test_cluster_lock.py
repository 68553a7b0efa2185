# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lock in the cluster: of any number of controllers one has it, and the others are told who."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils import kube
from ansible_collections.talosops.selinux.plugins.plugin_utils.kube import ClusterProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout import cluster_lock
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.cluster_lock import NAMESPACE, ClusterLock
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.errors import LockHeld
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.owner import of_process
from kubernetes import client, config
from simulator import Simulator

HOUR = dt.timedelta(hours=1)


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(
        {"name": "lock", "nodes": {"cp-1": {"role": "controlplane"}}}, tmp_path_factory.mktemp("lock")
    ) as it:
        yield it


@pytest.fixture
def lock(sim: Simulator, request: pytest.FixtureRequest) -> Any:
    """A lock of the test's own name, for any holder."""
    name = f"lock-{abs(hash(request.node.name))}"
    return lambda holder: ClusterLock(str(sim.directory / "kubeconfig"), None, name, holder)


def leases(lock: ClusterLock, sim: Simulator) -> Any:
    with config.new_client_from_config(str(sim.directory / "kubeconfig")) as api:
        return client.CoordinationV1Api(api).read_namespaced_lease(lock.name, NAMESPACE)


def age(lock: ClusterLock, sim: Simulator, ago: dt.timedelta) -> None:
    """Let the lock's last renewal be that long ago."""
    with config.new_client_from_config(str(sim.directory / "kubeconfig")) as api:
        coordination = client.CoordinationV1Api(api)
        lease = coordination.read_namespaced_lease(lock.name, NAMESPACE)
        lease.spec.renew_time = dt.datetime.now(dt.UTC) - ago
        # The library leaves out a fraction of zero, and a MicroTime without one is refused.
        lease.spec.acquire_time = lease.spec.acquire_time.replace(microsecond=1)
        coordination.replace_namespaced_lease(lock.name, NAMESPACE, lease)


def test_one_has_it_and_the_other_is_told_who(lock: Any) -> None:
    lock("host-a").acquire(HOUR, about="/srv/rollout")
    for refused in (lambda: lock("host-b").acquire(HOUR), lambda: lock("host-b").check()):
        with pytest.raises(LockHeld, match=r"host-a holds the lock .* for /srv/rollout, until"):
            refused()


def test_it_is_renewed_by_its_holder(lock: Any, sim: Simulator) -> None:
    lock("host-a").acquire(HOUR)
    age(lock("host-a"), sim, dt.timedelta(seconds=90))
    first = leases(lock("host-a"), sim).spec
    lock("host-a").acquire(HOUR)
    again = leases(lock("host-a"), sim).spec
    assert again.acquire_time == first.acquire_time and again.renew_time > first.renew_time
    assert again.lease_transitions == first.lease_transitions


def test_it_is_released_by_its_holder_only(lock: Any) -> None:
    lock("host-a").acquire(HOUR)
    lock("host-b").release()
    with pytest.raises(LockHeld, match="host-a holds the lock"):
        lock("host-b").check()
    lock("host-a").release()
    lock("host-b").acquire(HOUR)
    lock("host-a").release()
    with pytest.raises(LockHeld, match="host-b"):
        lock("host-a").check()


def test_one_that_nobody_has_is_free_and_is_released_without_a_sign(lock: Any) -> None:
    lock("host-a").check()
    lock("host-a").release()
    lock("host-a").acquire(HOUR)
    lock("host-a").release()
    lock("host-a").release()
    lock("host-b").check()


def test_one_that_was_not_renewed_in_time_is_taken_over(lock: Any, sim: Simulator) -> None:
    lock("host-a").acquire(dt.timedelta(seconds=60))
    age(lock("host-a"), sim, dt.timedelta(seconds=90))
    # The clocks of two API servers may differ.
    with pytest.raises(LockHeld, match="host-a holds the lock"):
        lock("host-b").acquire(HOUR)
    age(lock("host-a"), sim, dt.timedelta(seconds=121))
    lock("host-b").acquire(HOUR)
    with pytest.raises(LockHeld, match="host-b"):
        lock("host-a").acquire(HOUR)


@pytest.mark.parametrize("seconds", [None, 7200], ids=["as we write it", "one that says it ends"])
def test_one_of_a_machine_that_is_away_ends_by_no_time(lock: Any, sim: Simulator, seconds: int | None) -> None:
    """Its controller may be dead for days; the machine is away all the same."""
    name, kubeconfig = lock("").name, str(sim.directory / "kubeconfig")
    away = ClusterLock(kubeconfig, None, name, "cp-1 (its UUID)", lasting=True)
    away.acquire(dt.timedelta(seconds=seconds) if seconds else None, identity="the one before its reset")
    assert leases(away, sim).spec.lease_duration_seconds == seconds
    age(away, sim, dt.timedelta(days=9))
    other = ClusterLock(kubeconfig, None, name, "cp-2 (its UUID)", lasting=True)
    for refused in (lambda: other.acquire(None), other.check):
        with pytest.raises(
            LockHeld, match=r"held for cp-1 \(its UUID\), which was reset .* not known to be back"
        ) as held:
            refused()
    away.acquire(None)
    with pytest.raises(LockHeld, match="cp-1"):
        # Somebody renewed it since it was looked at.
        other.acquire(None, settled=held.value.context["version"])
    with pytest.raises(LockHeld, match="cp-1") as held:
        other.check()
    other.acquire(None, settled=held.value.context["version"])
    assert leases(other, sim).spec.holder_identity == "cp-2 (its UUID)"


def test_one_of_a_machine_that_is_away_does_not_end_with_a_process(lock: Any, sim: Simulator) -> None:
    process = subprocess.Popen(["true"])
    owner = str(of_process(process.pid))
    process.wait()
    lock(owner).acquire(HOUR)
    with pytest.raises(LockHeld, match="not known to be back"):
        ClusterLock(str(sim.directory / "kubeconfig"), None, lock("").name, "cp-2", lasting=True).check()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[dt.timedelta], None]:
    """Sets the clock of this controller off."""

    def off(by: dt.timedelta) -> None:
        class Off(dt.datetime):
            @classmethod
            def now(cls, tz: dt.tzinfo | None = None) -> Any:
                return dt.datetime.now(tz) + by

        monkeypatch.setattr(
            cluster_lock, "dt", SimpleNamespace(datetime=Off, timedelta=dt.timedelta, UTC=dt.UTC, tzinfo=dt.tzinfo)
        )

    return off


def test_a_controller_whose_clock_is_ahead_takes_no_lock_that_is_held(lock: Any, clock: Any) -> None:
    lock("host-a").acquire(HOUR)
    clock(dt.timedelta(hours=3))
    for refused in (lambda: lock("host-b").acquire(HOUR), lambda: lock("host-b").check()):
        with pytest.raises(LockHeld, match="host-a"):
            refused()


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_controller_whose_clock_is_off_holds_its_lock_as_long_as_it_says(
    lock: Any, sim: Simulator, clock: Any, hours: int
) -> None:
    clock(dt.timedelta(hours=hours))
    lock("host-a").acquire(HOUR)
    clock(dt.timedelta())
    assert abs(leases(lock("host-a"), sim).spec.renew_time - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=10)
    with pytest.raises(LockHeld, match="host-a"):
        lock("host-b").acquire(HOUR)
    age(lock("host-a"), sim, dt.timedelta(hours=2))
    lock("host-b").acquire(HOUR)


@pytest.mark.parametrize("date", [None, "", "yesterday", "Sun, 29 Nov 2026 16:00:00 -0000"])
def test_without_a_time_of_the_api_server_no_lock_is_over(
    lock: Any, sim: Simulator, monkeypatch: pytest.MonkeyPatch, date: str | None
) -> None:
    lock("host-a").acquire(dt.timedelta(seconds=60))
    age(lock("host-a"), sim, HOUR)
    real = kube.date_of
    monkeypatch.setattr(kube, "date_of", lambda headers: real({} if date is None else {"Date": date}))
    with pytest.raises(LockHeld, match="host-a"):
        lock("host-b").acquire(HOUR)


def test_one_of_a_process_that_surely_ended_is_taken_over(lock: Any) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = str(of_process(process.pid))
    lock(owner).acquire(HOUR)
    with pytest.raises(LockHeld, match=f"process {process.pid} of"):
        lock(str(of_process(os.getpid()))).acquire(HOUR)
    process.communicate(b"\n")
    lock(str(of_process(os.getpid()))).acquire(HOUR)


def test_a_person_takes_it_over_with_a_reason(lock: Any, sim: Simulator) -> None:
    lock("host-a").acquire(HOUR)
    with pytest.raises(LockHeld, match="host-a holds the lock"):
        lock("host-b").acquire(HOUR, take_over="  ")
    lock("host-b").acquire(HOUR, take_over="host-a burned down")
    lease = leases(lock("host-b"), sim)
    assert lease.spec.holder_identity == "host-b"
    assert lease.metadata.annotations["talosops.selinux/taken-over"] == "host-a burned down"


def test_of_many_at_the_same_moment_one_gets_it(lock: Any) -> None:
    start = threading.Barrier(6)
    got: list[str] = []
    held: list[str] = []

    def take(holder: str) -> None:
        start.wait()
        try:
            lock(holder).acquire(HOUR)
            got.append(holder)
        except LockHeld as refused:
            held.append(refused.context["owner"])

    threads = [threading.Thread(target=take, args=(f"host-{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1 and held == got * 5


def test_the_processes_of_one_holder_renew_it_at_the_same_moment(lock: Any) -> None:
    """A wave of many nodes: each process renews the lock of their controller, and none of them fails."""
    lock("one").acquire(HOUR)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _number: lock("one").acquire(HOUR), range(48)))


def test_an_api_that_does_not_answer_is_no_lock(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n"
        "clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: a, user: {}}]\n"
    )
    for act in (lambda one: one.acquire(HOUR), lambda one: one.check(), lambda one: one.release()):
        with pytest.raises(ClusterProblem, match="cannot be read"):
            act(ClusterLock(str(kubeconfig), None, "x", "host-a"))
