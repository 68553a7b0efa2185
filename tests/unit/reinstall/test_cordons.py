# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cordon is taken back only by who set it."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import after, before
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.step import (
    fail_and_release,
    start_over,
    take,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout import drain_api

from .machines import UUID, Machine, OneNode


class Kubernetes:
    """Kubernetes' node, whose cordon is set and taken back as drain and uncordon do it."""

    def __init__(self, *, cordoned: bool, fails: bool = False) -> None:
        self.cordoned, self.fails, self.writes, self.marked = cordoned, fails, 0, False
        self.overtaken = False

    def object(self) -> dict[str, Any]:
        return {
            "metadata": {"annotations": {drain_api._OURS: "by a rollout"} if self.marked else {}},
            "spec": {"unschedulable": self.cordoned},
            "status": {"nodeInfo": {"systemUUID": UUID}},
        }

    def _set(self, wanted: bool, require: Any) -> bool:
        require([self.object()])
        if self.overtaken:
            # Somebody else wrote between the look and the write, which was refused.
            self.cordoned = True
            require([self.object()])
        if self.cordoned == wanted or (not wanted and not self.marked):
            return False
        self.cordoned = self.marked = wanted
        self.writes += 1
        return True

    def drain(self, *_where: Any, require: Any, **_more: Any) -> dict[str, Any]:
        changed = self._set(True, require)
        if self.fails:
            raise Problem("a pod does not go", "w", "d")
        return {"cordoned": changed, "pods": []}

    def uncordon(self, *_where: Any, require: Any, **_more: Any) -> bool:
        return self._set(False, require)


def at_drain(directory: Path, patch: pytest.MonkeyPatch, node: Kubernetes, *, judged: bool | None) -> OneNode:
    """The work on a node that was judged while it was cordoned or not, and is about to be drained."""
    document = {"kubernetes": {"unschedulable": judged, "boot_id": None}, "node": {"hostname": "n", "uuid": UUID}}
    patch.setattr(before.files, "load", lambda path: document)
    patch.setattr(before.Machine, "of", lambda document: None)
    patch.setattr(before, "require_joined", lambda nodes, machine: None)
    patch.setattr(before.drain, "drain", node.drain)
    patch.setattr(before.drain, "uncordon", node.uncordon)
    work = OneNode(directory, itertools.repeat(Machine()))
    del work.facts["cordoned"]
    work.params["drain_timeout"] = 1
    return work.at("drain")


@pytest.mark.parametrize("judged", [False, None])
def test_a_cordon_set_since_the_verdict_stops_the_drain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judged: bool | None
) -> None:
    node = Kubernetes(cordoned=True)
    work = at_drain(tmp_path, monkeypatch, node, judged=judged)
    with pytest.raises(Problem, match="is cordoned, and was not when it was judged"):
        take(work, "drain")
    fail_and_release(work, "it failed")
    assert (node.cordoned, node.writes) == (True, 0)


def test_a_cordon_that_was_judged_is_left_as_it_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Kubernetes(cordoned=True, fails=True)
    work = at_drain(tmp_path, monkeypatch, node, judged=True)
    with pytest.raises(Problem, match="does not go"):
        take(work, "drain")
    assert "uncordoned" not in fail_and_release(work, "it failed")
    assert (node.cordoned, node.writes) == (True, 0)


def test_the_rollouts_own_cordon_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Kubernetes(cordoned=False, fails=True)
    work = at_drain(tmp_path, monkeypatch, node, judged=False)
    with pytest.raises(Problem, match="does not go"):
        take(work, "drain")
    assert "uncordoned again" in fail_and_release(work, "it failed")
    assert (node.cordoned, node.writes) == (False, 2)


def test_a_cordon_that_came_before_ours_is_not_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger has the intent to cordon; the cordon is a colleague's."""
    node = Kubernetes(cordoned=False)
    node.overtaken = True
    work = at_drain(tmp_path, monkeypatch, node, judged=False)
    with pytest.raises(Problem, match="is cordoned, and was not when it was judged"):
        take(work, "drain")
    assert work.ledger.node(work.host).writes["drain"] == "intent"
    assert fail_and_release(work, "it failed") == f"{work.host} was not wiped"
    assert (node.cordoned, node.writes) == (True, 0)


def test_a_cordon_set_after_a_controller_died_is_not_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Kubernetes(cordoned=False)
    work = at_drain(tmp_path, monkeypatch, node, judged=False)
    work.ledger.begin(work.host, "drain", machine_type="worker")
    work.ledger.intent(work.host, "drain")
    node.cordoned = True
    start_over(work, "it was stopped")
    assert (node.cordoned, node.writes) == (True, 0)


@pytest.mark.parametrize("cordoned", [True, False])
def test_after_the_soak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cordoned: bool) -> None:
    node = Kubernetes(cordoned=cordoned)
    work = at_drain(tmp_path, monkeypatch, node, judged=cordoned)
    take(work, "drain")
    assert work.ledger.node(work.host).facts["cordoned"] is not cordoned
    for name in ("reset", "boot", "identify", "apply", "install", "prove", "rejoin"):
        work.ledger.begin(work.host, name)
        work.ledger.finish(work.host, name, "done", **({"boot_after": {"id": "b"}} if name == "prove" else {}))
    whole = {"coverage": {"verdict": "complete", "reasons": []}, "counts": {}, "denials": []}
    found = SimpleNamespace(document={"audit": whole, "boot": {"id": "b"}}, logs={})

    async def collected(work: OneNode, client: Any) -> Any:
        return found

    monkeypatch.setattr(after, "_collected", collected)
    monkeypatch.setattr(after, "_stops", lambda audit: None)
    take(work, "soak")
    assert node.cordoned is cordoned
