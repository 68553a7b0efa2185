# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""In whose name a task writes: that of its playbook, and never that of what adopted it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import work
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.work import StepProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.owner import of_process


def _told(pipe: Any, wait: Any) -> None:
    wait.wait()
    try:
        pipe.send(str(work._controller("worker-1")))
    except StepProblem as problem:
        pipe.send(problem.found)


def _orphan(pipe: Any, started: Any, wait: Any) -> None:
    multiprocessing.get_context("fork").Process(target=_told, args=(pipe, wait)).start()
    started.set()
    # As a controller that is killed: nothing is waited for.
    os._exit(1)


def test_a_task_writes_in_the_name_of_the_process_that_started_it() -> None:
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    wait = fork.Event()
    wait.set()
    task = fork.Process(target=_told, args=(theirs, wait))
    task.start()
    assert ours.recv() == str(of_process(os.getpid()))
    task.join()


def test_a_task_whose_playbook_ended_takes_nothing_further() -> None:
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    started, wait = fork.Event(), fork.Event()
    controller = fork.Process(target=_orphan, args=(theirs, started, wait))
    controller.start()
    controller.join()
    assert started.is_set()
    wait.set()
    assert ours.recv() == "the playbook that was to take worker-1 further has ended"


@pytest.mark.parametrize(("own", "ended"), [("77", True), ("", False)])
def test_a_playbook_that_is_just_ending_has_ended(monkeypatch: pytest.MonkeyPatch, own: str, ended: bool) -> None:
    """It shows no start time any more, so nobody would ever find that it is gone; without /proc nobody shows one."""
    monkeypatch.setattr(
        work, "of_process", lambda pid: SimpleNamespace(pid=pid, start=own if pid == os.getpid() else "")
    )
    with contextlib.ExitStack() as stack:
        if ended:
            stack.enter_context(pytest.raises(StepProblem, match="has ended"))
        assert work._controller("worker-1").start == ""
