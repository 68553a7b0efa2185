# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which budget holds which pod, as kube-apiserver decides it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.drain import blocks

LABELS = {"app": "web", "tier": "front"}


def pod(*, ready: bool = True, phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "demo", "name": "web-1", "labels": LABELS, **metadata},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def budget(
    selector: dict[str, Any] | None,
    *,
    name: str = "web",
    namespace: str = "demo",
    policy: str | None = None,
    **status: Any,
) -> dict[str, Any]:
    spec = {"selector": selector, "unhealthyPodEvictionPolicy": policy}
    counted = {"observedGeneration": 2, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 2, **status}
    return {
        "metadata": {"namespace": namespace, "name": name, "generation": 2},
        "spec": {key: value for key, value in spec.items() if value is not None},
        "status": {key: value for key, value in counted.items() if value is not None},
    }


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("selector", "holds"),
    [
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "tier": "back"}}, False),
        ({}, True),
        (None, False),
        (expression("app", "In", "web", "cache"), True),
        (expression("app", "In", "cache"), False),
        (expression("app", "NotIn", "cache"), True),
        (expression("gone", "NotIn", "cache"), True),
        (expression("app", "NotIn", "web"), False),
        (expression("app", "Exists"), True),
        (expression("gone", "Exists"), False),
        (expression("gone", "DoesNotExist"), True),
        (expression("app", "DoesNotExist"), False),
        (expression("app", "InSomeLaterKubernetes"), True),
    ],
)
def test_selectors(selector: dict[str, Any] | None, holds: bool) -> None:
    assert bool(blocks([pod()], [budget(selector)])) is holds
    assert blocks([pod()], [budget(selector, namespace="other")]) == []


def test_what_the_eviction_api_lets_pass() -> None:
    held = budget({})
    assert blocks([pod()], [budget({}, disruptionsAllowed=1)]) == []
    for free in (
        pod(phase="Pending"),
        pod(phase="Succeeded"),
        pod(phase="Failed"),
        pod(deletionTimestamp="2026-11-22"),
    ):
        assert blocks([free], [held]) == []
    # A pod that is not ready may go when the others suffice, or when its budget says so.
    assert blocks([pod(ready=False)], [held])
    assert blocks([pod(ready=False)], [budget({}, currentHealthy=2)]) == []
    assert blocks([pod(ready=False)], [budget({}, currentHealthy=0, desiredHealthy=0)])
    assert blocks([pod(ready=False)], [budget({}, policy="AlwaysAllow")]) == []
    assert blocks([pod()], [budget({}, policy="AlwaysAllow")])


def test_what_is_not_known_blocks() -> None:
    (unknown,) = blocks([pod()], [budget({}, disruptionsAllowed=None)])
    assert unknown["disruptions_allowed"] is None and "unknown number" in unknown["found"]
    (stale,) = blocks([pod()], [budget({}, disruptionsAllowed=3, observedGeneration=1)])
    assert "not counted yet" in stale["found"]
    assert blocks([pod()], [budget({}, disruptionsAllowed=3, observedGeneration=None)])


def test_two_budgets_for_one_pod_block_whatever_they_allow() -> None:
    both = [budget({}, name=name, disruptionsAllowed=5) for name in ("one", "two")]
    assert [block["budget"] for block in blocks([pod()], both)] == ["demo/one", "demo/two"]
