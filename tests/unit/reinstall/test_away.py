# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No node is taken away while a control plane is, whoever took that one away."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.identity import machine_id_of
from ansible_collections.talosops.selinux.plugins.plugin_utils.kube import ClusterProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import away
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.step import ACTS, take
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.errors import LockHeld

from .machines import HOST, UUID, Machine, OneNode

OTHER, OLD = "5c4c4544-0042-4e10-8053-b4c04f4b4832", "a" * 32
HELD = LockHeld("cp-1 is away", "w", "d", owner=f"cp-1 ({OTHER})", identity=OLD)


def node(uuid: str = OTHER, *, ready: str = "True", machine_id: str | None = "f" * 32) -> dict[str, Any]:
    info = {"systemUUID": uuid, "machineID": machine_id}
    return {"metadata": {"name": "n"}, "status": {"nodeInfo": info, "conditions": [{"type": "Ready", "status": ready}]}}


@pytest.mark.parametrize(
    ("nodes", "back"),
    [
        ([node(UUID), node()], True),
        ([node(OTHER.upper())], True),
        ([], False),
        ([node(UUID)], False),
        ([node(ready="False")], False),
        ([node(ready="Unknown")], False),
        ([node(machine_id=machine_id_of(OLD))], False),
        ([node(machine_id=None)], False),
        ([node(machine_id="")], False),
        ([node(), node()], False),
        ([{"metadata": {"name": "n"}}], False),
    ],
)
def test_a_control_plane_is_back_by_a_positive_sign_only(nodes: list[dict[str, Any]], back: bool) -> None:
    assert away.is_node_again(nodes, HELD.context) is back


@pytest.mark.parametrize(
    "held",
    [{"identity": None}, {"identity": "?"}, {"owner": "cp-1"}, {"owner": None}, {"owner": f"cp-1 ({'0' * 32})"}],
    ids=str,
)
def test_one_of_which_nobody_told_who_it_was_is_not_known_to_be_back(held: dict[str, Any]) -> None:
    nodes = [node(), node("00000000-0000-0000-0000-000000000000")]
    assert away.is_node_again(nodes, {**HELD.context, **held}) is False


def test_a_uuid_that_many_boards_share_shows_nobodys_return() -> None:
    held = {"owner": "cp-1 (03000200-0400-0500-0006-000700080009)", "identity": "the one before its reset"}
    nobody: Any = SimpleNamespace()
    assert asyncio.run(away.is_voter_again(nobody, nobody, held)) is False


@pytest.mark.parametrize("machine_type", ["worker", "controlplane"])
@pytest.mark.parametrize("step", ["drain", "reset"])
@pytest.mark.parametrize("found", ["away", "no answer", "back", "free"])
def test_no_node_is_taken_away_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str, step: str, machine_type: str
) -> None:
    """Another ledger took it away, so that this one has no lock of it."""
    acted: list[str] = []
    problems = {"away": HELD, "back": HELD, "no answer": ClusterProblem("the API gives no answer", "w", "d")}

    def check() -> None:
        if found in problems:
            raise problems[found]

    one = OneNode(tmp_path, itertools.repeat(Machine()))
    if machine_type == "controlplane":
        one.take_control_plane_lock()
    one.at(step, machine_type=machine_type)
    one.params["kubeconfig"] = "kubeconfig"
    monkeypatch.setattr(one, "control_plane_lease", lambda holder: SimpleNamespace(check=check))
    monkeypatch.setattr(away, "read_lists", lambda *where, why: [[node()] if found == "back" else []])
    monkeypatch.setitem(ACTS, step, lambda work: acted.append(step) or {})
    if found in ("back", "free"):
        take(one, step)
        assert acted == [step]
    else:
        with pytest.raises(Problem, match=r"is away|no answer"):
            take(one, step)
        assert acted == [] and one.ledger.node(HOST).failed == step


def test_what_may_be_wiped_already_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = OneNode(tmp_path, itertools.repeat(Machine())).at("reset")
    one.ledger.begin(HOST, "reset", machine_type="worker")
    one.ledger.intent(HOST, "reset")
    one.params["kubeconfig"] = "kubeconfig"
    monkeypatch.setitem(ACTS, "reset", lambda work: {})
    assert take(one, "reset")["taken"]
