# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the answer to a reset says: a node that says no was not wiped, and a call that was cut off says nothing."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import order, wipe
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.step import take
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall.work import NotKnown
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import boots
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import (
    DeadlineExceeded,
    PermissionRefused,
    Refused,
    Unreachable,
    WriteNeedsLook,
)

from .machines import Machine, OneNode


def refused(code: int | None) -> Refused:
    return Refused("r", "w", "d", grpc_status=code)


def reset(
    directory: Path, monkeypatch: pytest.MonkeyPatch, problem: Problem, raised: type[Problem], says: str
) -> OneNode:
    """The work on a node whose reset was answered with ``problem``, and that answers nobody afterwards."""

    async def judged(*arguments: Any) -> None:
        """It passes."""

    async def looked(*arguments: Any) -> boots.Look:
        return boots.Look()

    async def answered(*arguments: Any, **how: Any) -> None:
        raise problem

    async def present(client: Any) -> dict[str, Any]:
        return {}

    def send(action: Any, given: order.Order, where: Any) -> None:
        client: Any = SimpleNamespace(reset=answered)
        here: Any = SimpleNamespace(host="worker-1", check=False)
        asyncio.run(order._act(here, given, where, client, {"node": {"machine_type": "worker"}}, {}))

    monkeypatch.setattr(order, "_judge", judged)
    monkeypatch.setattr(order, "_last_look", looked)
    monkeypatch.setattr(wipe, "send", send)
    monkeypatch.setattr(wipe, "verify_image", lambda work, target, present: "sha256:d")
    monkeypatch.setattr(wipe, "prepared", lambda work, target: SimpleNamespace(facts={"sha256": "c" * 64}))
    monkeypatch.setattr(wipe, "_way", lambda work: None)
    monkeypatch.setattr(wipe, "present_image", present)
    work = OneNode(directory, itertools.chain([Machine()], itertools.repeat(None))).at("reset")
    with pytest.raises(raised, match=says):
        take(work, "reset")
    return work


@pytest.mark.parametrize(
    "problem",
    [
        refused(13),
        refused(8),
        refused(10),
        refused(15),
        refused(None),
        DeadlineExceeded("f", "w", "d"),
        Unreachable("f", "w", "d"),
    ],
    ids=["internal", "exhausted", "aborted", "data loss", "no code", "deadline", "unreachable"],
)
def test_what_was_cut_off_may_have_arrived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Problem) -> None:
    work = reset(tmp_path, monkeypatch, problem, NotKnown, "whether worker-1 was wiped is not known")
    known = work.ledger.node("worker-1")
    assert known.may_be_wiped and known.open == "reset"


@pytest.mark.parametrize(
    "problem",
    [refused(9), refused(3), refused(2), PermissionRefused("f", "w", "d"), WriteNeedsLook("f", "w", "d")],
    ids=["precondition", "argument", "unknown", "permission", "no look"],
)
def test_a_node_that_says_no_was_not_wiped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Problem) -> None:
    known = reset(tmp_path, monkeypatch, problem, type(problem), str(problem)).ledger.node("worker-1")
    assert not known.may_be_wiped and known.failed == "reset"
