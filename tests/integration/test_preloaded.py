# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A playbook that is forked from a loaded Ansible runs and ends like one in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from integration import playbook, preloaded
from simulator import Simulator

#: What a play does, and the code that ansible-playbook ends with.
PLAYS: dict[str, tuple[list[dict[str, Any]], int]] = {
    "a module of the collection": ([{"talosops.selinux.machine_status_info": {}}], 0),
    "a failed task": ([{"ansible.builtin.fail": {"msg": "no"}}], 2),
    "an ignored failure": ([{"ansible.builtin.debug": {"msg": "{{ 1 / 0 }}"}, "ignore_errors": True}], 0),
    "an unknown module": ([{"talosops.selinux.no_such_module": {}}], 4),
}
#: Of a run itself, not of what it did.
_OWN = re.compile(rb"/run-\w+/|(?<=cpython-)\d+|0x[0-9a-f]+")


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """One node."""
    with Simulator({"name": "one", "nodes": {"worker-1": {}}}, tmp_path_factory.mktemp("one")) as simulator:
        yield simulator


@pytest.mark.parametrize("what", PLAYS)
def test_it_says_and_returns_the_same(sim: Simulator, what: str, tmp_path: Path) -> None:
    tasks, code = PLAYS[what]
    runs = {}
    for own in (True, False):
        directory = tmp_path / f"run-{own}"
        process = playbook.start(sim, directory, playbook.write(directory, tasks), own_process=own)
        assert isinstance(process, subprocess.Popen if own else preloaded.Process)
        run = playbook.finish(process, directory)
        assert run.code == code, run.output
        runs[own] = _OWN.sub(b"", run.output.encode()), [record["status"] for record in run.records]
    assert runs[True] == runs[False]


def test_runs_know_nothing_of_each_other(sim: Simulator, tmp_path: Path) -> None:
    task = {"name": "look", "ansible.builtin.debug": {"msg": "{{ mine }} {{ lookup('env', 'MINE') }}"}}
    started = []
    for mine in ("a", "b"):
        directory = tmp_path / mine
        process = playbook.start(
            sim,
            directory,
            playbook.write(directory, [task]),
            variables={"mine": mine},
            environment={"MINE": mine.upper()},
        )
        started.append((mine, directory, process))
    for mine, directory, process in started:
        assert playbook.finish(process, directory).of("look")["msg"] == f"{mine} {mine.upper()}"
        assert list((directory / ".ansible" / "tmp").iterdir()) == []


def test_settings_of_its_own_need_a_process_of_its_own(sim: Simulator, tmp_path: Path) -> None:
    process = playbook.start(
        sim,
        tmp_path,
        playbook.write(tmp_path, [{"ansible.builtin.debug": {}}]),
        environment={"ANSIBLE_STDOUT_CALLBACK": "minimal"},
    )
    assert isinstance(process, subprocess.Popen)
    run = playbook.finish(process, tmp_path)
    assert run.code == 0
    assert "PLAY RECAP" not in run.output


def test_a_kill_takes_the_controller_and_its_workers(sim: Simulator, tmp_path: Path) -> None:
    mark = tmp_path / "begun"
    waiting = {"name": "wait", "ansible.builtin.pause": {"seconds": 600}}
    telling = {"name": "tell", "ansible.builtin.command": f"sh -c 'touch {mark}; exec sleep 600'"}
    process = playbook.start(
        sim, tmp_path, playbook.write(tmp_path, [{**telling, "delegate_to": "localhost"}, waiting])
    )
    while not mark.exists():
        assert process.poll() is None, (tmp_path / "output.txt").read_text()
        time.sleep(0.02)
    family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    assert os.getpgid(process.pid) == process.pid
    assert len(family) > 1
    playbook.kill(process)
    assert process.poll() == -9
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in family[:2]):
        time.sleep(0.02)
