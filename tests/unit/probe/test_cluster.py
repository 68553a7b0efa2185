# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a probe asks of the cluster, request by request: what it takes for its own, and for an end."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.kube import ClusterProblem
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe import cluster, pod
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe.cluster import (
    Ended,
    ProbeApi,
    ProbeRemains,
    ProbeRunning,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.owner import of_process
from scripted_kube import LOST, Refusal, ScriptedKube, listed, refusal

HERE = str(of_process(os.getpid()))
GONE = HERE.rsplit(":", 1)[0] + ":1"
LATER, OVER = "2999-01-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00"
PLAN = pod.Plan("0123456789abcdef", "machine", "worker-1", "a@sha256:0", None, HERE, 60, dt.datetime(2999, 1, 1))
SPACE = PLAN.namespace

Talk = Callable[..., tuple[ProbeApi, ScriptedKube]]


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch) -> Talk:
    """Makes an API that answers so, and what it was asked."""

    def make(*answers: Any) -> tuple[ProbeApi, ScriptedKube]:
        kube = ScriptedKube(monkeypatch, *answers, seconds=35.0)
        return ProbeApi(kube, "kubeconfig", 2.0), kube

    return make


def space(name: Any = SPACE, uid: Any = "u", owner: Any = GONE, expires: Any = LATER, **more: Any) -> dict[str, Any]:
    """A namespace of a probe."""
    notes = {key: value for key, value in ((pod.OWNER, owner), (pod.EXPIRES, expires)) if value is not None}
    metadata = {"name": name, "uid": uid, "labels": {pod.LABEL: PLAN.id}, "annotations": notes}
    return {"metadata": {**metadata, **more}}


@pytest.mark.parametrize(
    ("found", "left"),
    [
        (space(), True),
        (space(owner=HERE), False),
        (space(owner=HERE, expires=OVER), True),
        (space(owner=HERE, expires="soon"), False),
        (space(owner=HERE, expires="2026-01-01T00:00:00"), False),
        (space(owner="host"), False),
        (space(owner=None), False),
        (space(expires=None), False),
        (space(name="default"), False),
        (space(name=None), False),
        (space(uid=None), False),
        (space(labels={}), False),
        (space(labels=None), False),
        (space(annotations=None), False),
        ({}, False),
    ],
)
def test_what_is_a_leftover_of_a_probe(found: dict[str, Any], left: bool, talk: Talk) -> None:
    api, kube = talk(listed(found))
    assert api.leftovers() == ([found] if left else [])
    assert kube.asked == [("GET", f"api/v1/namespaces?{urlencode({'labelSelector': pod.LABEL})}")]


def test_a_time_that_is_only_just_over_may_be_another_clocks(talk: Talk) -> None:
    now = dt.datetime.now(dt.UTC)
    for seconds, left in ((50, False), (70, True)):
        found = space(owner=HERE, expires=(now - dt.timedelta(seconds=seconds)).isoformat())
        api, _kube = talk(listed(found))
        assert bool(api.leftovers()) is left


def test_all_nodes(talk: Talk) -> None:
    api, kube = talk(listed({"a": 1}))
    assert api.nodes() == [{"a": 1}]
    assert kube.asked == [("GET", "api/v1/nodes")]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refusal(403, "forbidden\x1b"), r"refuses to list nodes: 403 forbidden\\x1b"),
        (refusal(500, None), "refuses to list nodes: 500 Because"),
        (LOST, "kubeconfig cannot be read"),
        ({"items": 1}, "kubeconfig cannot be read"),
    ],
)
def test_an_answer_that_is_none(answer: Any, words: str, talk: Talk) -> None:
    api, _kube = talk(answer)
    with pytest.raises(ClusterProblem, match=words) as raised:
        api.nodes()
    assert raised.value.why == "without it a node's enforcement cannot be probed"
    if isinstance(answer, Refusal):
        assert raised.value.context["status"] == answer.status
        assert "user of kubeconfig may list nodes; docs/enforcement-probe.md" in raised.value.do


def test_a_leftover_is_removed_and_waited_for(talk: Talk) -> None:
    api, kube = talk(space(), {}, space(deletionTimestamp="now"), refusal(404))
    api.remove(space(), timeout=60)
    path = f"api/v1/namespaces/{SPACE}"
    assert kube.asked == [("GET", path), ("DELETE", path), ("GET", path), ("GET", path)]
    assert kube.slept == [2.0, 2.0]
    body = {"preconditions": {"uid": "u"}, "propagationPolicy": "Background"}
    assert kube.requests[1].body == body


@pytest.mark.parametrize("found", [space(uid="another"), refusal(404)])
def test_another_namespace_of_the_name_is_left_alone(found: Any, talk: Talk) -> None:
    api, kube = talk(found)
    api.remove(space(), timeout=60)
    assert kube.methods == ["GET"]


@pytest.mark.parametrize("labels", [{pod.LABEL: "another"}, {}, None])
def test_what_another_probe_made_is_left_alone(labels: Any, talk: Talk) -> None:
    api, kube = talk(space(labels=labels))
    api.clear(PLAN, timeout=60)
    assert kube.methods == ["GET"]
    api, kube = talk(space(), {}, refusal(404))
    api.clear(PLAN, timeout=60)
    assert kube.methods == ["GET", "DELETE", "GET"]


@pytest.mark.parametrize(
    ("answers", "last", "asked"),
    [
        ([space(deletionTimestamp="now")], "it is being removed", 3),
        ([refusal(403, "forbidden")], "403 forbidden", 1),
        ([refusal(500, "broken")], "500 broken", 3),
        ([LOST], "HTTPError", 3),
        ([{"kind": "Status"}], "ClusterProblem", 3),
        ([space(), refusal(409)], "it is being removed", 6),
    ],
)
def test_what_stays_is_named_with_what_keeps_it(answers: list[Any], last: str, asked: int, talk: Talk) -> None:
    given = answers * 9 if len(answers) > 1 else answers
    api, kube = talk(*given)
    with pytest.raises(ProbeRemains, match=f"the namespace {SPACE} of a probe is still there: {last}") as raised:
        api.clear(PLAN, timeout=5.9)
    assert raised.value.context["namespace"] == SPACE
    assert len(kube.asked) == asked
    assert kube.slept == [2.0] * (2 if asked > 1 else 0)


def test_a_namespace_keeps_a_second_probe_away(talk: Talk) -> None:
    api, kube = talk({})
    api.make(PLAN, timeout=60)
    assert kube.asked == [("POST", "api/v1/namespaces")]
    assert [one.body for one in kube.requests] == [pod.namespace(PLAN)]
    api, kube = talk(refusal(409), space(owner="host:7:boot:ns:1"))
    with pytest.raises(ProbeRunning, match=f"is being probed by process 7 of host, until {LATER[:10]}") as raised:
        api.make(PLAN, timeout=60)
    assert raised.value.context["namespace"] == SPACE
    api, kube = talk(refusal(409), space(annotations=None))
    with pytest.raises(ProbeRunning, match=r"the machine is being probed\. "):
        api.make(PLAN, timeout=60)


def test_a_namespace_that_is_being_removed_is_waited_for(talk: Talk) -> None:
    leaving = space(deletionTimestamp="now")
    api, kube = talk(refusal(409), leaving, refusal(409), refusal(404), {})
    api.make(PLAN, timeout=60)
    assert kube.methods == ["POST", "GET", "POST", "GET", "POST"]
    assert kube.slept == [2.0, 2.0]
    api, kube = talk(*[refusal(409), leaving] * 9)
    with pytest.raises(ProbeRunning):
        api.make(PLAN, timeout=5.9)
    assert (len(kube.asked), kube.slept) == (6, [2.0, 2.0])


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([refusal(403)], "refuses to create namespaces: 403 no"),
        ([LOST], "cannot be read"),
        ([ValueError("x")], "cannot be read"),
        ([refusal(409), refusal(403)], "refuses to get namespaces: 403 no"),
        ([refusal(409), LOST], "cannot be read"),
        ([refusal(409), {"kind": "Status"}], "cannot be read"),
    ],
)
def test_a_namespace_that_cannot_be_made(answers: list[Any], words: str, talk: Talk) -> None:
    api, _kube = talk(*answers)
    with pytest.raises(ClusterProblem, match=words):
        api.make(PLAN, timeout=60)


def test_the_job_comes_last(talk: Talk) -> None:
    api, kube = talk({})
    api.begin(PLAN)
    assert kube.asked == [
        ("POST", f"apis/networking.k8s.io/v1/namespaces/{SPACE}/networkpolicies"),
        ("POST", f"apis/batch/v1/namespaces/{SPACE}/jobs"),
    ]
    assert [one.body for one in kube.requests] == [pod.network_policy(PLAN), pod.job(PLAN)]
    for answers, verb in (([refusal(403)], "create networkpolicies.networking"), ([{}, refusal(403)], "create jobs.b")):
        api, kube = talk(*answers)
        with pytest.raises(ClusterProblem, match=f"refuses to {verb}"):
            api.begin(PLAN)


ENDED = {"exitCode": 0, "message": "report", "startedAt": "2026-11-22T12:00:00Z", "finishedAt": "2026-11-22T12:00:05Z"}


def a_pod(state: Any = None, node: Any = "worker-1", phase: str = "Running", **status: Any) -> dict[str, Any]:
    return {
        "spec": {"nodeName": node},
        "status": {"phase": phase, "containerStatuses": [{"state": state or {}}], **status},
    }


def without(key: str) -> dict[str, Any]:
    return {"terminated": {name: value for name, value in ENDED.items() if name != key}}


@pytest.mark.parametrize(
    ("pods", "ended", "waits"),
    [
        ([a_pod({"terminated": ENDED})], Ended("report", "", 1795348800.0, 1795348806.0), ""),
        ([], "0 pods are in the namespace of the probe", ""),
        ([a_pod(), a_pod()], "2 pods are in the namespace of the probe", ""),
        ([a_pod(node="other\x1b")], r"the pod was bound to the node other\x1b", ""),
        ([a_pod(node=None)], "the pod was bound to the node None", ""),
        ([a_pod(without("startedAt"))], "the kubelet does not say when the container ran", ""),
        ([a_pod({"terminated": {**ENDED, "finishedAt": "soon"}})], "the kubelet does not say when", ""),
        ([a_pod({"terminated": {**ENDED, "exitCode": 1, "reason": "Error"}})], "ended without a report: Error", ""),
        ([a_pod(without("message"))], "ended without a report: for no known reason", ""),
        ([a_pod({"terminated": {**ENDED, "message": ""}})], "ended without a report: for no known reason", ""),
        ([a_pod({"terminated": {**ENDED, "message": 7, "reason": "a b"}})], "without a report: for no known", ""),
        ([a_pod(phase="Failed", reason="Evicted")], "the pod failed: Evicted", ""),
        *(
            ([a_pod({"waiting": {"reason": reason}})], f"the container cannot be started: {reason}", "")
            for reason in (
                *("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"),
                *("CreateContainerConfigError", "CreateContainerError", "RunContainerError"),
            )
        ),
        ([a_pod({"waiting": {"reason": "ContainerCreating"}})], None, "ContainerCreating"),
        ([a_pod({"waiting": {"reason": "x" * 61}})], None, "for no known reason"),
        ([a_pod()], None, "the pod is Running"),
        ([a_pod(containerStatuses=None)], None, "the pod is Running"),
        ([a_pod(containerStatuses=[{"state": {"terminated": ENDED}}] * 2)], None, "the pod is Running"),
        ([{}], "the pod was bound to the node None", ""),
    ],
)
def test_how_a_container_ended(pods: list[Any], ended: Any, waits: str) -> None:
    found, last = cluster._look(pods, PLAN)
    if isinstance(ended, str):
        assert found is not None
        assert found.message is None
        assert ended in found.why
    else:
        assert found == ended
    assert last == waits


def test_a_container_is_waited_for(talk: Talk) -> None:
    waiting, done = listed(a_pod({"waiting": {"reason": "ContainerCreating"}})), listed(a_pod({"terminated": ENDED}))
    api, kube = talk(listed(), LOST, refusal(500), waiting, done)
    assert api.wait(PLAN).message == "report"
    assert {one.path for one in kube.requests} == {f"api/v1/namespaces/{SPACE}/pods"}
    assert kube.slept == [2.0] * 4


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([listed()], "did not end within 60 seconds: no pod was made for its Job; an admission webhook may"),
        ([listed(a_pod())], "did not end within 60 seconds: the pod is Running"),
        ([listed(a_pod()), LOST], "did not end within 60 seconds: the Kubernetes API of kubeconfig cannot be read"),
        (
            [listed(a_pod()), listed()],
            "the pod was removed before its report was read, by somebody or by the cluster after 60 seconds: "
            "the pod is Running",
        ),
    ],
)
def test_a_container_that_does_not_end(answers: list[Any], why: str, talk: Talk) -> None:
    api, kube = talk(*answers)
    ended = api.wait(PLAN)
    assert ended.message is None
    assert why in ended.why
    assert len(kube.asked) == (30 if "did not end" in why else 2)


def test_what_is_refused_stays_refused(talk: Talk) -> None:
    api, kube = talk(refusal(403))
    with pytest.raises(ClusterProblem, match="refuses to list pods: 403"):
        api.wait(PLAN)
    assert len(kube.asked) == 1
