# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process is told from every other one, and called gone only when that is certain."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout import owner
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.owner import is_gone, of_process, shown

ROOT = Path(__file__).resolve().parents[3]
ASK = """
import sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.owner import is_gone
print(is_gone(sys.argv[2]))
"""


@pytest.fixture
def other():
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def test_a_live_process_is_not_gone_and_an_ended_one_is(other):
    known = str(of_process(other.pid))
    assert not is_gone(known)
    other.kill()
    # A zombie has ended as well, although its number is not free yet.
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert is_gone(known)
    other.wait()
    assert is_gone(known)


def test_a_process_that_proc_hides_is_not_gone_for_that(other, monkeypatch):
    """Mounted with hidepid=2, /proc shows nobody the processes of other users."""
    hidden = str(of_process(other.pid))
    monkeypatch.setattr(owner, "_stat", lambda pid: None)
    assert not is_gone(hidden)
    other.kill()
    other.wait()
    assert is_gone(hidden)


@pytest.mark.parametrize("hidden", [True, False])
def test_a_process_that_may_not_be_asked_for_is_not_gone_for_that(monkeypatch, hidden):
    known = str(of_process(os.getpid()))

    def refuse(*_asked):
        raise PermissionError

    monkeypatch.setattr(owner, "_stat", (lambda pid: None) if hidden else refuse)
    monkeypatch.setattr(owner.os, "kill", refuse)
    assert not is_gone(known)


def test_without_proc_nobody_is_known_and_so_nobody_gone(tmp_path, monkeypatch):
    known = of_process(os.getpid())
    ended = str(dataclasses.replace(known, start="1"))
    assert is_gone(ended)
    monkeypatch.setattr(owner, "Path", lambda path: tmp_path / path.lstrip("/"))
    monkeypatch.setattr(owner, "this_boot", functools.cache(owner.this_boot.__wrapped__))
    assert of_process(os.getpid()) == dataclasses.replace(known, boot="", namespace="", start="")
    assert not is_gone(ended) and not is_gone(str(of_process(os.getpid())))


@pytest.mark.parametrize(
    "change",
    [
        {"boot": "00000000-0000-0000-0000-000000000000"},
        {"namespace": "1"},
        {"boot": ""},
        {"namespace": ""},
        {"start": ""},
    ],
)
def test_what_another_boot_or_namespace_runs_cannot_be_told(other, change):
    owner = dataclasses.replace(of_process(other.pid), **change)
    other.kill()
    other.wait()
    assert not is_gone(str(owner))


def test_a_number_given_again_is_another_process(other):
    assert is_gone(str(dataclasses.replace(of_process(other.pid), start="1")))


@pytest.mark.parametrize("owner", [None, "", "host-a", "host:12", "a:b:c:d:e", "host:-1:b:n:s"])
def test_an_owner_of_another_form_counts_as_running(owner):
    assert not is_gone(owner)


def test_a_live_process_is_not_gone_for_another_namespace(other):
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("a process namespace of its own needs unshare and root")
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", ASK, str(ROOT / ".collections")]
    answer = subprocess.run([*command, str(of_process(other.pid))], capture_output=True, text=True, check=False)
    if answer.returncode and "unshare" in answer.stderr:
        pytest.skip(f"this machine gives no process namespace: {answer.stderr.strip()}")
    assert answer.stdout.strip() == "False"


def test_people_read_host_and_process():
    assert shown(str(of_process(1))).startswith("process 1 of ")
    assert shown("host-a") == "host-a"
