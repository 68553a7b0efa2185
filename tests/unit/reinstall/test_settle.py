# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run that was stopped left is settled by what surely shows, not by the first glance."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import before
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import work as of_work
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.settle import settle, settle_control_plane
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.step import take
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import CONTROL_PLANE_LOCK
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.owner import of_process

from .machines import HOST, UUID, Machine, OneNode

RUNNING, RESETTING = Machine(), Machine(stage="resetting")


@pytest.fixture(autouse=True)
def _uncordon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before, "undo_drain", lambda work: True)


def stopped(directory: Path, *answers: Machine | None, last: Machine | None) -> OneNode:
    """The work on a node whose controller was killed right after it had sent the reset."""
    work = OneNode(directory, itertools.chain(answers, itertools.repeat(last))).at("reset")
    work.ledger.begin(work.host, "reset")
    work.ledger.intent(work.host, "reset")
    work.ledger.sent(work.host, "reset")
    return work


@pytest.mark.parametrize("last", [RESETTING, None], ids=["resetting", "silent"])
def test_a_reset_that_does_not_show_yet_is_resumed(tmp_path: Path, last: Machine | None) -> None:
    work = stopped(tmp_path, RUNNING, last=last)
    assert settle(work)
    assert work.ledger.node(work.host).may_be_wiped


def test_a_reset_without_effect_is_released(tmp_path: Path) -> None:
    work = stopped(tmp_path, last=RUNNING)
    assert not settle(work)
    assert not work.ledger.node(work.host).unfinished


@pytest.mark.parametrize("step", ["install", "rejoin"])
def test_a_machine_that_does_not_say_which_it_is_is_not_the_node(tmp_path: Path, step: str) -> None:
    work = OneNode(tmp_path, itertools.repeat(Machine(uuid=None, identity="new"))).at(step)
    with pytest.raises(Problem, match="an installation answers in stage running"):
        take(work, step)
    assert step not in work.ledger.node(work.host).done


@pytest.mark.parametrize("step", ["install", "rejoin"])
def test_the_node_itself_is(tmp_path: Path, step: str) -> None:
    work = OneNode(tmp_path, itertools.repeat(Machine(identity="new"))).at(step)
    take(work, step)
    assert step in work.ledger.node(work.host).done


@pytest.mark.parametrize(
    ("soaked", "known", "released"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_the_lock_of_a_control_plane_is_released_once_its_reinstall_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soaked: bool, known: bool, released: bool
) -> None:
    """The controller ended between the end of the soak and the release, in the directory and in the cluster."""
    away = OneNode(tmp_path, itertools.repeat(None))
    away.take_control_plane_lock()
    away.at("soak", machine_type="controlplane")
    away.ledger.begin(HOST, "soak", machine_type="controlplane")
    if soaked:
        away.ledger.finish(HOST, "soak", "done")
    released_for: list[str] = []

    def lease(self: Any, holder: str) -> Any:
        return SimpleNamespace(release=lambda: released_for.append(holder))

    monkeypatch.setattr(of_work, "_controller", lambda host: of_process(os.getpid()))
    monkeypatch.setattr(of_work.Work, "control_plane_lease", lease)
    params = {"directory": str(tmp_path), "kubeconfig": "k"}
    action: Any = SimpleNamespace(params=params, host="worker-2", known=lambda host: known)
    settle_control_plane(of_work.Work(action))
    assert (away.ledger.lock(CONTROL_PLANE_LOCK) is None) is released
    assert released_for == ([f"{HOST} ({UUID})"] if released else [])
    settle_control_plane(of_work.Work(action))
    assert len(released_for) == released
