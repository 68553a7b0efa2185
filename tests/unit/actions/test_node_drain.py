# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each state is what it says in Kubernetes, with the task's patience, and told as what changed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import node_drain

from .made import made

PODS = {"pods": ["default/a"], "unmanaged": [], "empty_dirs": [], "staying": [], "blocked": []}


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("state", "toggled", "pods", "before", "after", "changed"),
    [
        ("cordoned", True, None, False, True, True),
        ("cordoned", False, None, True, True, False),
        ("uncordoned", True, None, True, False, True),
        ("uncordoned", False, None, False, False, False),
        ("drained", True, [], False, True, True),
        ("drained", False, ["default/a"], True, True, True),
        ("drained", False, [], True, True, False),
    ],
)
def test_a_state(
    state: str,
    toggled: bool,
    pods: list[str] | None,
    before: bool,
    after: bool,
    changed: bool,
    check: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def acting(name: str) -> Any:
        def act(*where: Any, **patience: Any) -> Any:
            asked.append((name, where, patience))
            return {**PODS, "pods": pods, "cordoned": toggled} if name == "drain" else toggled

        return act

    for name in ("cordon", "uncordon", "drain"):
        monkeypatch.setattr(node_drain, name, acting(name))
    given = {"name": "k-1", "kubeconfig": "k", "kube_context": "c", "wait_timeout": 7, "wait_sleep": 2}
    action = made(node_drain, check=check, state=state, **given)
    told = {"node": "k-1", "changed": changed} | ({} if pods is None else {**PODS, "pods": pods})
    action._task.diff = False
    assert action.act() == told
    action._task.diff = True
    diff = {"before": {"unschedulable": before}, "after": {"unschedulable": after}}
    assert action.act() == {**told, "diff": diff}
    what = {"cordoned": "cordon", "uncordoned": "uncordon", "drained": "drain"}[state]
    assert asked == [(what, ("k", "c", "k-1"), {"timeout": 7, "poll": 2, "check": check})] * 2
