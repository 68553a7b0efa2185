# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for etcd: when a wish is fulfilled, what is waited through, and what is said when it does not come."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import etcd_info
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import Unreachable
from ansible_collections.talosops.selinux.plugins.plugin_utils.waiting import NotYet

from .made import made


def member(name: str, **changes: Any) -> dict[str, Any]:
    return {"id": f"id-{name}", "hostname": name, "is_learner": False, "healthy": True, **changes}


def etcd(*members: dict[str, Any], agreed: bool | None = True, healthy: bool | None = True) -> dict[str, Any]:
    return {"agreed": agreed, "healthy": healthy, "members": list(members)}


@pytest.mark.parametrize(
    ("wish", "seen", "fulfilled"),
    [
        ("healthy", etcd(member("a")), True),
        ("healthy", etcd(member("a"), healthy=False), False),
        ("healthy", etcd(member("a"), healthy=None), False),
        ("healthy", etcd(member("a"), agreed=None), False),
        ("healthy", etcd(member("a"), agreed=False), False),
        ("healthy", etcd(member("x", is_learner=True)), True),
        ("voter", etcd(member("a")), True),
        ("voter", etcd(member("b"), member("a")), True),
        ("voter", etcd(member("b")), False),
        ("voter", etcd(member("a", is_learner=True)), False),
        ("voter", etcd(member("a", is_learner=None)), False),
        ("voter", etcd(member("a", healthy=False)), False),
        ("voter", etcd(member("a", healthy=None)), False),
        ("voter", etcd(member("a"), member("a")), False),
        ("voter", etcd(member("a"), healthy=False), False),
        ("voter", etcd(member("a"), agreed=False), False),
        ("gone", etcd(member("b")), True),
        ("gone", etcd(member("b"), healthy=False), True),
        ("gone", etcd(member("a")), False),
        ("gone", etcd(member("b"), agreed=None), False),
    ],
)
@pytest.mark.parametrize("named", ["a", "id-a"])
def test_a_wish_is_fulfilled(wish: str, seen: dict[str, Any], fulfilled: bool, named: str) -> None:
    assert made(etcd_info, wait_for=wish, member=named)._fulfilled(wish, seen) is fulfilled


def looking(answers: list[Any], **params: Any) -> Any:
    """An action that sees these answers one after another, and the last one for ever."""
    action = made(etcd_info, wait_sleep=0.001, **params)

    def look() -> dict[str, Any]:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {"etcd": answer}

    action._look = look
    return action


def test_without_a_wish_it_is_looked_at_once() -> None:
    assert looking([etcd(healthy=False)], wait_for=None).act() == {"etcd": etcd(healthy=False)}


def test_it_is_waited_through_what_a_node_that_boots_answers() -> None:
    answers = [Unreachable("refused", "w", "d"), etcd(healthy=False), etcd(member("a"))]
    assert looking(answers, wait_for="healthy", wait_timeout=60).act()["etcd"]["healthy"] is True
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"wait_for": "healthy", "member": None}, r"waited 0\.01 seconds for etcd to be healthy; last seen: .*False"),
        ({"wait_for": "voter", "member": "cp-1"}, "for etcd member cp-1 to be voter;"),
        ({"wait_for": "gone", "member": "id-x"}, "for etcd member id-x to be gone;"),
    ],
)
def test_what_was_waited_for_is_told(params: dict[str, Any], words: str) -> None:
    with pytest.raises(NotYet, match=words) as raised:
        looking([etcd(agreed=False)], wait_timeout=0.01, **params).act()
    assert raised.value.do.startswith("look at etcd on the other control planes")
