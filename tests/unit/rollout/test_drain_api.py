# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a drain asks the Kubernetes API: what is sent, what is tried again, and what ends it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.kube import ClusterProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout import drain, drain_api
from scripted_kube import LOST, ScriptedKube, listed, refusal

MARK = "talosops.selinux/cordoned"


def node(cordoned: bool | None = None, *, mark: bool = False, version: str = "1") -> dict[str, Any]:
    """A Node object."""
    metadata = {"name": "n", "uid": "u", "resourceVersion": version, "annotations": {MARK: "x"} if mark else {}}
    return {"metadata": metadata, "spec": {} if cordoned is None else {"unschedulable": cordoned}}


Talk = Callable[..., tuple[drain_api.DrainApi, ScriptedKube]]


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch) -> Talk:
    """Makes an API that answers so, and what it was asked."""

    def make(*answers: Any, timeout: float = 60.0) -> tuple[drain_api.DrainApi, ScriptedKube]:
        kube = ScriptedKube(monkeypatch, *answers, seconds=35.0)
        return drain_api.DrainApi(kube, "kubeconfig", timeout, 5.0), kube

    return make


def asked(*requirements: Any) -> tuple[list[Any], Callable[[Any], None]]:
    """A requirement that keeps what it was shown."""
    shown: list[Any] = []
    return shown, shown.extend


@pytest.mark.parametrize(
    ("found", "wanted", "mark", "sent"),
    [
        (node(), True, False, {"spec": {"unschedulable": True}, "annotations": None}),
        (node(False), True, True, {"spec": {"unschedulable": True}, "annotations": {MARK: "by a rollout"}}),
        (node(True), True, True, None),
        (node(True), True, False, None),
        (node(True), False, False, {"spec": {"unschedulable": False}, "annotations": None}),
        (node(True, mark=True), False, True, {"spec": {"unschedulable": False}, "annotations": {MARK: None}}),
        # Somebody else's cordon is not taken back.
        (node(True), False, True, None),
        (node(False), False, True, None),
        (node(), False, False, None),
    ],
)
def test_a_cordon_is_bound_to_the_object_that_was_looked_at(
    found: dict[str, Any], wanted: bool, mark: bool, sent: dict[str, Any] | None, talk: Talk
) -> None:
    for check in (True, False):
        api, kube = talk(found)
        shown, require = asked()
        assert api.set_unschedulable("n", wanted, check, mark, require) is (sent is not None)
        assert shown == [found]
        patches = [(path, body) for method, path, body in kube.requests if method == "PATCH"]
        if check or sent is None:
            assert patches == []
            continue
        metadata = {"uid": "u", "resourceVersion": "1"}
        metadata |= {"annotations": sent["annotations"]} if sent["annotations"] else {}
        assert patches == [("api/v1/nodes/n", {"metadata": metadata, "spec": sent["spec"]})]


def test_a_node_that_changed_meanwhile_is_looked_at_again(talk: Talk) -> None:
    api, kube = talk(node(version="1"), refusal(409), node(version="2"), node(True))
    shown, require = asked()
    assert api.set_unschedulable("n", True, False, False, require) is True
    assert [one["metadata"]["resourceVersion"] for one in shown] == ["1", "2"]
    assert kube.requests[-1].body["metadata"]["resourceVersion"] == "2"
    assert kube.slept == [5.0]


@pytest.mark.parametrize(("answers", "ours"), [([refusal(409)], False), ([LOST, refusal(409)], True)])
def test_a_cordon_that_is_there_after_a_lost_answer_may_be_ours(answers: list[Any], ours: bool, talk: Talk) -> None:
    api, _kube = talk(node(), *answers, node(True))
    assert api.set_unschedulable("n", True, False, False, drain_api.anybody) is ours


def test_a_node_that_changes_for_ever_ends_with_the_time(talk: Talk) -> None:
    api, kube = talk(node(), refusal(409), node(), refusal(409), node(), refusal(409), timeout=12.0)
    with pytest.raises(ClusterProblem, match="kubeconfig cannot be read: Because"):
        api.set_unschedulable("n", True, False, False, drain_api.anybody)
    assert (len(kube.requests), kube.slept) == (6, [5.0, 5.0])


def test_the_requirement_is_asked_before_anything_is_sent(talk: Talk) -> None:
    api, kube = talk(node())

    def require(_nodes: Any) -> None:
        raise ClusterProblem("another machine", "w", "d")

    with pytest.raises(ClusterProblem, match="another machine"):
        api.set_unschedulable("n", True, False, False, require)
    assert kube.methods == ["GET"]


@pytest.mark.parametrize(
    ("answers", "slept"),
    [
        ([refusal(500), refusal(503), refusal(429), listed()], [5.0, 5.0, 5.0]),
        ([listed()], []),
    ],
)
def test_what_passes_is_waited_for(answers: list[Any], slept: list[float], talk: Talk) -> None:
    api, kube = talk(*answers)
    assert api.budgets() == []
    assert {path for _method, path, _body in kube.requests} == {"apis/policy/v1/poddisruptionbudgets"}
    assert kube.slept == slept


@pytest.mark.parametrize("answer", [refusal(403), refusal(400), refusal(404), refusal(499), LOST, ValueError("x")])
def test_what_does_not_pass_ends_it_at_once(answer: Any, talk: Talk) -> None:
    api, kube = talk(answer)
    with pytest.raises(ClusterProblem, match="kubeconfig cannot be read") as raised:
        api.budgets()
    assert (len(kube.requests), kube.slept) == (1, [])
    assert raised.value.why == "a node is only wiped after its pods have left it"


def test_a_server_that_answered_once_is_given_time_to_come_back(talk: Talk) -> None:
    api, kube = talk(node(), LOST, LOST, node(True))
    api.node("n")
    assert api.node("n") == node(True)
    assert kube.slept == [5.0, 5.0]
    api, kube = talk(node(), LOST, timeout=12.0)
    api.node("n")
    with pytest.raises(ClusterProblem):
        api.node("n")
    assert kube.slept == [5.0, 5.0]


def test_a_server_that_is_overloaded_for_ever_ends_with_the_time(talk: Talk) -> None:
    api, kube = talk(refusal(503), timeout=15.0)
    with pytest.raises(ClusterProblem):
        api.node("n")
    assert kube.slept == [5.0, 5.0]


def test_a_node_that_is_not_there_is_named(talk: Talk) -> None:
    api, _kube = talk(refusal(404))
    with pytest.raises(drain_api.DrainProblem, match="of kubeconfig knows no node named n") as raised:
        api.node("n")
    assert raised.value.context["node"] == "n"


def pod(name: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "demo", "name": name, "uid": f"uid-{name}", "labels": {"app": "web"}}}


def test_pods_are_asked_for_by_their_node_and_come_in_order(talk: Talk) -> None:
    api, kube = talk(listed(pod("b"), pod("a")))
    assert [one["metadata"]["name"] for one in api.pods("n")] == ["a", "b"]
    assert kube.asked == [("GET", "api/v1/pods?fieldSelector=spec.nodeName%3Dn")]
    api, kube = talk({"items": "none"})
    with pytest.raises(ClusterProblem):
        api.pods("n")


def test_an_eviction_spares_the_next_pod_of_the_name(talk: Talk) -> None:
    api, kube = talk({})
    assert api.evict(pod("a")) is None
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "a", "namespace": "demo"},
        "deleteOptions": {"preconditions": {"uid": "uid-a"}},
    }
    assert kube.requests == [("POST", "api/v1/namespaces/demo/pods/a/eviction", body)]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (refusal(429, "it would violate\x1b the budget"), "it would violate\\x1b the budget"),
        (
            refusal(429, "no", details={"causes": [{"message": "one"}, {"message": "two"}]}),
            "no one two",
        ),
        (refusal(429, "no", details={"causes": None}), "no"),
        (refusal(429, None), "429 Because"),
        (refusal(503, "later"), "later"),
        (refusal(500, "an error"), "an error"),
    ],
)
def test_why_a_pod_does_not_go_yet(error: Any, message: str, talk: Talk) -> None:
    api, _kube = talk(error)
    assert api.evict(pod("a")) == message


@pytest.mark.parametrize("status", [404, 409])
def test_a_pod_that_is_gone_is_gone(status: int, talk: Talk) -> None:
    api, _kube = talk(refusal(status))
    with pytest.raises(LookupError, match="demo/a"):
        api.evict(pod("a"))


def test_an_eviction_that_no_waiting_makes_possible_ends_the_drain(talk: Talk) -> None:
    api, _kube = talk(refusal(403, "forbidden"))
    with pytest.raises(drain_api.DrainProblem, match="refuses to evict demo/a: 403 forbidden") as raised:
        api.evict(pod("a"))
    assert raised.value.context["remaining"] == ["demo/a"]
    several = "This pod has more than one PodDisruptionBudget, which is not supported"
    budgets = [
        {
            "metadata": {"namespace": "demo", "name": name, "generation": 1},
            "spec": {"selector": {"matchLabels": {"app": "web"}}},
            "status": {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1},
        }
        for name in ("one", "two")
    ]
    for found, named in ((budgets, "demo/one, demo/two"), ([], "not known by name any more")):
        api, _kube = talk(refusal(500, several), listed(*found))
        with pytest.raises(drain_api.DrainProblem, match=f"its PodDisruptionBudgets are {named}: This pod has more"):
            api.evict(pod("a"))


def test_an_answer_to_an_eviction_may_be_lost(talk: Talk) -> None:
    api, _kube = talk(LOST)
    with pytest.raises(drain_api.AnswerLost):
        api.evict(pod("a"))


def test_the_time_is_over_before_a_wait_would_end_it(talk: Talk) -> None:
    api, _kube = talk(node(), timeout=10.0)
    assert [api.is_over(ahead) for ahead in (0.0, 9.9, 10.0)] == [False, False, True]
    drain_api.time.sleep(10.0)
    assert api.is_over()


def test_an_eviction_whose_answer_was_lost_counts_and_one_of_a_pod_that_is_gone_does_not() -> None:
    class Api:
        poll = 0.0

        def evict(self, one: dict[str, Any]) -> None:
            raise {"a": drain_api.AnswerLost(), "b": LookupError("b")}[one["metadata"]["name"]]

        def pods(self, _node: str) -> list[dict[str, Any]]:
            return []

        def is_over(self, _ahead: float = 0.0) -> bool:
            return False

    evicted: dict[str, Any] = {}
    api: Any = Api()
    drain._evict_all(api, "n", [pod("a"), pod("b")], evicted, lambda: None)
    assert list(evicted) == ["uid-a"]


def test_what_a_drain_does_of_which_the_end_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    for check in (False, True):

        class Api:
            def set_unschedulable(self, *_how: Any) -> bool:
                return True

            def pods(self, _node: str) -> list[Any]:
                raise ClusterProblem("it is away", "w", "d")

        monkeypatch.setattr(drain, "open_api", lambda *_where, api=Api: contextlib.nullcontext(api()))
        with pytest.raises(ClusterProblem) as raised:
            drain.drain("kubeconfig", None, "n", check=check)
        context = raised.value.context
        assert (context["node"], context["cordoned"], context["evicted"]) == ("n", not check, [])


def test_what_a_cordon_and_its_end_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for: list[Any] = []

    class Api:
        def set_unschedulable(self, *how: Any) -> bool:
            asked_for.append(how)
            return True

        def node(self, name: str) -> dict[str, Any]:
            return {"of": name}

    where: list[Any] = []
    monkeypatch.setattr(drain, "open_api", lambda *how: where.append(how) or contextlib.nullcontext(Api()))
    assert drain.look("k", "c", "n") == {"of": "n"}
    assert drain.cordon("k", "c", "n") is True
    assert drain.uncordon("k", None, "n", timeout=1.0, poll=2.0, check=True, mark=True, require=len) is True
    assert asked_for == [("n", True, False, False, drain_api.anybody), ("n", False, True, True, len)]
    assert where == [("k", "c", 60.0, 2.0), ("k", "c", 600.0, 5.0), ("k", None, 1.0, 2.0)]


@pytest.mark.parametrize(
    ("one", "cordoned", "ours"),
    [
        (node(), False, False),
        (node(True), True, False),
        (node(True, mark=True), True, True),
        (node(None, mark=True), False, False),
    ],
)
def test_whose_a_cordon_is(one: dict[str, Any], cordoned: bool, ours: bool) -> None:
    assert (drain_api.is_cordoned(one), drain_api.is_ours(one)) == (cordoned, ours)
