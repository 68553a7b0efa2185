# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An order to wipe is for what was judged, before any node is asked, and until the last moment before the write."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.errors import VerdictRefused
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.reinstall import order
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.answers import SystemStat
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import Unreachable


def send(directory: Path, patch: pytest.MonkeyPatch, *, judged: str | None, wiped: str) -> list[str]:
    """Order a wipe for one boot path on evidence of another; who was asked."""
    verdict = directory / "verdict.json"
    verdict.write_text(json.dumps({}))
    asked: list[str] = []
    document = {"node": {"machine_type": "worker"}, "operation": {"boot_path": judged}}
    patch.setattr(order.files, "load", lambda path: document)
    action: Any = SimpleNamespace(ask=lambda question, where: asked.append("node"))
    given = order.Order("evidence.json", str(verdict), wiped, "c", "d", "strict", None, None, None, None, None)
    order.send(action, given, SimpleNamespace())  # type: ignore[arg-type]  # nobody is reached
    return asked


@pytest.mark.parametrize(("judged", "wiped"), [("in_place", "hook"), ("hook", "in_place"), (None, "in_place")], ids=str)
def test_a_node_judged_for_another_boot_path_is_not_wiped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judged: str | None, wiped: str
) -> None:
    with pytest.raises(VerdictRefused, match="was judged for the boot path"):
        send(tmp_path, monkeypatch, judged=judged, wiped=wiped)


def test_the_boot_path_that_was_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert send(tmp_path, monkeypatch, judged="hook", wiped="hook") == ["node"]


class Node:
    """A node that may become another machine, boot or installation, or silent, the moment the ledger is written."""

    def __init__(self, **then: Any) -> None:
        self.now: dict[str, Any] = {"identity": "judged", "uuid": "u", "boot_id": "b"}
        self.then = then
        self.resets: list[tuple[str, ...]] = []

    async def spec(self, name: str) -> dict[str, Any]:
        if self.now.get("silent"):
            raise Unreachable("nobody answers", "w", "d")
        return {"identity": {"nodeId": self.now["identity"]}, "system_information": {"uuid": self.now["uuid"]}}[name]

    async def get(self, name: str) -> Any:
        return SimpleNamespace(spec={"bootID": self.now["boot_id"]})

    async def system_stat(self) -> SystemStat:
        return SystemStat(boot_time=1)

    async def reset(self, labels: tuple[str, ...], **how: Any) -> str:
        self.resets.append(labels)
        return "actor"


def act(node: Node, patch: pytest.MonkeyPatch, told: list[str]) -> order.Sent:
    """Order the wipe of a node that changes right after the intent was recorded."""

    async def judged(*arguments: Any) -> None:
        """It passes."""

    def intent() -> None:
        told.append("intent")
        node.now |= node.then

    patch.setattr(order, "_judge", judged)
    given = order.Order(
        *("e", "v", "in_place", "c", "d", "strict", None, None, None, None, None),
        record_intent=intent,
        record_sent=lambda actor: told.append(f"sent {actor}"),
        record_unsent=lambda found: told.append(f"unsent: {found}"),
    )
    evidence = {"node": {"machine_type": "worker", "identity": "judged", "uuid": "u"}, "boot": {"id": "b", "look": {}}}
    action: Any = SimpleNamespace(host="worker-1", check=False)
    nobody: Any = None
    return asyncio.run(order._act(action, given, nobody, node, evidence, {}))  # type: ignore[arg-type]  # stands in


@pytest.mark.parametrize(
    ("then", "found"),
    [
        ({"identity": "of another"}, "another machine or boot answers for worker-1"),
        ({"uuid": "of another"}, "another machine or boot answers for worker-1"),
        ({"boot_id": "later"}, "another machine or boot answers for worker-1"),
        ({"silent": True}, "nobody answers"),
    ],
    ids=["machine", "uuid", "boot", "silent"],
)
def test_what_changed_while_the_intent_was_recorded_is_not_wiped(
    monkeypatch: pytest.MonkeyPatch, then: dict[str, Any], found: str
) -> None:
    told: list[str] = []
    node = Node(**then)
    with pytest.raises(Problem, match=found):
        act(node, monkeypatch, told)
    assert node.resets == []
    assert [entry.partition(":")[0] for entry in told] == ["intent", "unsent"] and found in told[1]


def test_what_stayed_the_same_is_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    node = Node()
    assert act(node, monkeypatch, told).actor_id == "actor"
    assert len(node.resets) == 1 and told == ["intent", "sent actor"]


@pytest.mark.parametrize(
    ("reached", "told"),
    [
        ("nothing", ["taken", "released"]),
        ("intent", ["taken", "intent"]),
        ("unsent", ["taken", "intent", "unsent: it changed", "released"]),
    ],
)
def test_a_control_planes_lock_stays_once_its_reset_may_have_been_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reached: str, told: list[str]
) -> None:
    """What happens is recorded with whoever ordered it, whether or not the lock hangs on it."""
    said: list[str] = []
    (tmp_path / "verdict.json").write_text("{}")
    document = {"node": {"machine_type": "controlplane"}, "operation": {"boot_path": "in_place"}}
    lock = SimpleNamespace(release=lambda: said.append("released"))
    monkeypatch.setattr(order.files, "load", lambda path: document)
    monkeypatch.setattr(order, "_refuse_own_branch", lambda host, where: None)
    monkeypatch.setattr(order, "_cluster_lock", lambda *_given: lock)
    monkeypatch.setattr(order, "_take_lock", lambda *_given: said.append("taken"))

    def act(action: Any, recorded: order.Order, *_given: Any) -> None:
        if reached != "nothing":
            recorded.record_intent()
        if reached == "unsent":
            recorded.record_unsent("it changed")
        raise Problem("it broke", "w", "d")

    monkeypatch.setattr(order, "_act", act)
    given = order.Order(
        *("evidence.json", str(tmp_path / "verdict.json"), "in_place", "c", "d", "strict"),
        *(None, None, None, None, None),
        record_intent=lambda: said.append("intent"),
        record_unsent=lambda found: said.append(f"unsent: {found}"),
    )
    action: Any = SimpleNamespace(host="cp-1", check=False, ask=lambda question, where: question(None))
    with pytest.raises(Problem, match="it broke"):
        order.send(action, given, SimpleNamespace())  # type: ignore[arg-type]  # nobody is reached
    assert said == told
