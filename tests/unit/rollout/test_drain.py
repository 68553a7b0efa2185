# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which budget holds which pod, as kube-apiserver decides it; which pods are asked to leave, and how often."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout import drain
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.disruption import blocks
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.drain_api import DrainProblem

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


class Api:
    """The pods on a node at each look, and what each was asked; the time is over after so many looks."""

    timeout, poll = 1.0, 0.0

    def __init__(self, *looks: list[dict[str, Any]], refused: dict[str, str] | None = None, over: int = 99) -> None:
        self.looks, self.refused, self.left = list(looks), dict(refused or {}), over
        self.asked: list[str] = []

    def evict(self, pod: dict[str, Any]) -> str | None:
        self.asked.append(pod["metadata"]["name"])
        return self.refused.pop(pod["metadata"]["name"], None)

    def pods(self, node: str) -> list[dict[str, Any]]:
        self.left -= 1
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def budgets(self) -> list[dict[str, Any]]:
        return []

    def is_over(self, ahead: float = 0.0) -> bool:
        return self.left <= 0


def named(name: str, **fields: Any) -> dict[str, Any]:
    return pod(name=name, uid=name, **fields)


def evict(api: Any, *leaving: dict[str, Any]) -> list[str]:
    evicted: dict[str, Any] = {}
    drain._evict_all(api, "worker-1", leaving, evicted, lambda: None)
    return list(evicted)


TERMINATING = {"deletionTimestamp": "2026-11-22T12:00:00Z"}


def test_a_terminating_pod_is_waited_for_and_not_evicted_again() -> None:
    api = Api([named("old", **TERMINATING), named("new", **TERMINATING)], [named("new", **TERMINATING)], [])
    assert evict(api, named("old", **TERMINATING), named("new")) == ["new"]
    assert api.asked == ["new"]


def test_a_check_counts_only_pods_that_a_drain_would_evict(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = {"ownerReferences": [{"kind": "DaemonSet", "name": "d", "controller": True}]}
    api: Any = Api(
        [
            named("daemon", **daemon),
            named("ended", phase="Failed"),
            named("here"),
            named("kept", ownerReferences=[{"kind": "ReplicaSet", "name": "r", "controller": True}]),
            named("leaving", **TERMINATING),
            {**named("scratch"), "spec": {"volumes": [{"name": "v", "emptyDir": {}}]}},
            named("mirror", annotations={"kubernetes.io/config.mirror": "x"}),
        ]
    )
    api.set_unschedulable = lambda node, wanted, check, mark, require: wanted and check
    monkeypatch.setattr(drain, "open_api", lambda *_arguments: contextlib.nullcontext(api))
    found = drain.drain("kubeconfig", None, "worker-1", check=True)
    assert found == {
        "cordoned": True,
        "pods": ["demo/here", "demo/kept", "demo/scratch"],
        "unmanaged": ["demo/here", "demo/scratch"],
        "empty_dirs": ["demo/scratch"],
        "staying": ["demo/daemon", "demo/mirror"],
        "blocked": [],
    }
    assert api.asked == []


def test_a_pod_that_was_told_to_go_is_told_once() -> None:
    api = Api([named("a")], [named("a")], [])
    assert evict(api, named("a")) == ["a"]
    assert api.asked == ["a"]


def test_a_pod_that_may_not_go_yet_is_asked_again() -> None:
    api = Api([named("a")], [], refused={"a": "slow down"})
    assert evict(api, named("a")) == ["a"]
    assert api.asked == ["a", "a"]


def test_a_pod_that_ends_by_itself_is_not_waited_for_and_one_that_was_evicted_is() -> None:
    ended = named("a", phase="Succeeded")
    assert evict(Api([ended], refused={"a": "slow down"}), named("a")) == []
    api = Api([ended], [ended], [])
    assert evict(api, named("a")) == ["a"]
    assert api.looks == [[]]


def test_a_drain_that_ends_with_its_time_has_succeeded() -> None:
    assert evict(Api([], over=1), named("a")) == ["a"]


def test_what_is_left_when_the_time_is_over_is_named() -> None:
    here = [named("a", **TERMINATING), named("b")]
    with pytest.raises(DrainProblem) as refused:
        evict(Api(here, refused={"b": "slow down"}, over=1), *here)
    assert refused.value.context["remaining"] == ["demo/a", "demo/b"]
    assert "demo/a is still terminating; demo/b was not evicted: slow down" in refused.value.found
    with pytest.raises(DrainProblem, match="demo/b was not evicted: there was no time to ask"):
        evict(Api(here, over=0), named("b"))


EXISTS = {"operator": "Exists"}
UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable"}


@pytest.mark.parametrize(
    ("toleration", "waited_for"),
    [
        (None, True),
        ({"key": "node.kubernetes.io/not-ready", **EXISTS}, True),
        ({**EXISTS, "effect": "NoExecute"}, True),
        ({**UNSCHEDULABLE, "operator": "Equal", "value": "yes"}, True),
        (EXISTS, False),
        ({**UNSCHEDULABLE, **EXISTS, "effect": "NoSchedule"}, False),
        ({**UNSCHEDULABLE, "operator": "Equal"}, False),
    ],
)
def test_a_pod_that_was_bound_beside_the_cordon_leaves_too(toleration: Any, waited_for: bool) -> None:
    late = {**named("late"), "spec": {"tolerations": [toleration] if toleration else None}}
    for leaving in ([named("a")], []):
        api = Api([late], [])
        assert evict(api, *leaving) == [uid["metadata"]["name"] for uid in leaving] + ["late"] * waited_for
    # One that was there before the cordon leaves whatever it tolerates.
    assert evict(Api([late], []), late) == ["late"]
    api = Api([late], [], refused={"late": "slow down"})
    assert (evict(api, late), api.asked) == (["late"], ["late", "late"])
