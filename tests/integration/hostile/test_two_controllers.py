# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One writer: of any number of controllers of one cluster one works, and the others end with who holds the lock."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.work import ROLLOUT_LEASE
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.cluster_lock import ClusterLock
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import FLEET, ROLLOUT_LOCK, Ledger
from integration import playbook
from simulator import Simulator

NODES = {**{f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}, "worker-1": {}, "worker-2": {}}


def _start(sim: Simulator, place: Path, directory: Path, hosts: str) -> Any:
    variables = playbook.settings(sim, directory, rollout_hosts=hosts, rollout_drain_timeout=600)
    return playbook.start(sim, place, "talosops.selinux.rollout", variables=variables)


def _in_a_process_namespace(sim: Simulator, place: Path, directory: Path) -> str:
    """What a controller says that cannot see the other's processes, as in another container of the host."""
    place.mkdir()
    variables = place / "variables.json"
    variables.write_text(json.dumps(playbook.settings(sim, directory, rollout_hosts="worker-1")))
    command = [
        *("unshare", "--pid", "--fork", "--mount-proc", str(playbook.BIN / "ansible-playbook")),
        *("talosops.selinux.rollout", "--inventory", str(sim.directory / "inventory.yml")),
        *("--extra-vars", f"@{variables}"),
    ]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(playbook.ROOT / "tests" / "demo" / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(playbook.ROOT / ".collections"),
        "ANSIBLE_HOME": str(place / ".ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "TALOSCONFIG": str(sim.directory / "talosconfig"),
    }
    ended = subprocess.run(command, env=environment, cwd=place, capture_output=True, text=True, check=False)
    assert ended.returncode != 0, ended.stdout
    return " ".join(ended.stdout.split())


def test_others_end_with_who_holds_the_lock(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    with Simulator({"name": "two", "time_scale": 60, "uptime": "96h", "nodes": NODES}, tmp_path / "fleet") as sim:
        # It waits in its drain for as long as the others try.
        sim.set_fault("worker-1", "drain_blocked")
        first = _start(sim, tmp_path / "A", own, "worker-1")
        while not any(entry["kind"] == "intent" for entry in playbook.ledger(own)):
            assert first.poll() is None, (tmp_path / "A" / "output.txt").read_text()
            time.sleep(0.02)
        pid = next(entry["by"] for entry in playbook.ledger(own)).split(":")[1]
        same = playbook.finish(_start(sim, tmp_path / "B", own, "worker-1:worker-2"), tmp_path / "B")
        elsewhere = playbook.finish(_start(sim, tmp_path / "C", other, "worker-2"), tmp_path / "C")
        for run in (same, elsewhere):
            assert run.code != 0
            assert f"process {pid} of" in " ".join(run.output.split()), run.output
        assert "holds the rollout lock" in " ".join(same.output.split())
        assert f"for {own}" in " ".join(elsewhere.output.split())
        if shutil.which("unshare") and os.geteuid() == 0:
            assert f"process {pid} of" in _in_a_process_namespace(sim, tmp_path / "D", own)
        sim.clear_fault("worker-1", "drain_blocked")
        ended = playbook.finish(first, tmp_path / "A")
        assert ended.code == 0, ended.output
        assert playbook.resets(sim) == ["worker-1"]
        assert not any(node.unschedulable for node in sim.nodes.values())
        assert len({entry["by"] for entry in playbook.ledger(own)}) == 1
        # Released: the next one works at once.
        again = playbook.finish(_start(sim, tmp_path / "E", other, "worker-2"), tmp_path / "E")
        assert again.code == 0, again.output
        assert playbook.resets(sim) == ["worker-1", "worker-2"]


@pytest.mark.parametrize("renewed", [True, False])
def test_a_clock_that_is_ahead_ends_no_other_controller(renewed: bool, tmp_path: Path) -> None:
    """By this host's clock the lock of a controller on another host is over; by the API server's it may not be."""
    directory, other = tmp_path / "one", "other-host:7:boot:1:1"
    with Simulator({"name": "ahead", "time_scale": 60, "uptime": "96h", "nodes": NODES}, tmp_path / "fleet") as sim:
        over = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5)
        Ledger(directory / "ledger.jsonl", run="other", owner=other).acquire(ROLLOUT_LOCK, FLEET, other, over)
        lease = ClusterLock(str(sim.directory / "kubeconfig"), None, ROLLOUT_LEASE, other)
        if renewed:
            lease.acquire(dt.timedelta(minutes=30), about="the other's rollout")
        variables = playbook.settings(sim, directory, rollout_hosts="worker-1", rollout_consent="")
        run = playbook.run(sim, tmp_path / "run", "talosops.selinux.rollout", variables=variables)
        told = " ".join(run.output.split())
        assert ("process 7 of other-host holds the lock" in told) == renewed, run.output
        assert ("nobody agreed to wipe worker-1" in told) == (not renewed), run.output
        owners = {entry["by"] for entry in playbook.ledger(directory)}
        assert (owners == {other}) == renewed
        assert playbook.talos_writes(sim) == []


@pytest.mark.parametrize("directories", [("one", "one"), ("one", "two")])
def test_of_two_at_the_same_moment_one_works(directories: tuple[str, str], tmp_path: Path) -> None:
    with Simulator({"name": "race", "time_scale": 60, "uptime": "96h", "nodes": NODES}, tmp_path / "fleet") as sim:
        places = [tmp_path / f"run-{number}" for number in range(2)]
        started = [
            _start(sim, place, tmp_path / name, "worker-1") for place, name in zip(places, directories, strict=True)
        ]
        runs = [playbook.finish(process, place) for process, place in zip(started, places, strict=True)]
        assert sorted(bool(run.code) for run in runs) == [False, True], [run.output for run in runs]
        assert "holds the" in " ".join(next(run.output for run in runs if run.code).split())
        assert playbook.resets(sim) == ["worker-1"]
        assert sim.nodes["worker-1"].selinux == "enforcing" and not sim.nodes["worker-1"].unschedulable
