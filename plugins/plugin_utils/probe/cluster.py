# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A probe's objects in Kubernetes: made, waited for, removed, and found again when nobody removed them.

The namespace holds all of the others, so removing it removes everything. One whose owner is gone, or whose time is
over, is a leftover and is removed by whichever probe comes next.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..kube import ApiException, ClusterProblem, HTTPError, items_of, request, unread
from ..problem import Problem
from ..rollout.owner import is_gone, shown
from ..texts import printable
from ..waiting import turns
from . import pod
from .pod import Plan

_WHY = "without it a node's enforcement cannot be probed"
_REQUEST_SECONDS = 35.0
_NODES = ("api", "v1", "nodes")
_NAMESPACES = ("api", "v1", "namespaces")
#: The clocks of two controllers may differ; a time is only taken for over when it surely is.
_CLOCKS = dt.timedelta(seconds=60)
#: Reasons of a waiting container that no waiting fixes (kubernetes: pkg/kubelet/images, pkg/kubelet/kuberuntime).
_STUCK = frozenset(
    (
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    )
)


class ProbeRunning(Problem):
    """Another probe of the machine is under way."""

    kind = "probe_running"


class ProbeRemains(Problem):
    """What a probe made is still there."""

    kind = "probe_remains"


@dataclass(frozen=True)
class Ended:
    """How the container ended.

    Attributes:
        message: its termination message; None when there is none, and ``why`` says why.
        begin, end: when it ran, in seconds since 1970 by the node's clock.
    """

    message: str | None
    why: str
    begin: float = 0.0
    end: float = 0.0


class ProbeApi:
    """What a probe asks of one cluster.

    Args:
        client: of ``kube.kube_client``.
        kubeconfig: its path, for messages.
        poll: seconds between two looks.
    """

    def __init__(self, client: Any, kubeconfig: str, poll: float) -> None:
        self._client = client
        self._kubeconfig = kubeconfig
        self._poll = poll

    def nodes(self) -> list[dict[str, Any]]:
        """All Node objects."""
        return self._items("list nodes", _NODES)

    def leftovers(self) -> list[dict[str, Any]]:
        """Namespaces of probes whose owner is gone or whose time is over."""
        found = self._items("list namespaces", _NAMESPACES, labelSelector=pod.LABEL)
        return [item for item in found if _is_ours(item) and _is_left(item)]

    def remove(self, namespace: Mapping[str, Any], *, timeout: float) -> None:
        """Remove a leftover, that very one, and wait until it is gone with all that is in it.

        Raises:
            ProbeRemains: it is still there.
        """
        metadata = namespace["metadata"]
        self._remove(metadata["name"], lambda found: bool(found["uid"] == metadata["uid"]), timeout)

    def clear(self, plan: Plan, *, timeout: float) -> None:
        """Remove what a probe made, also where it is not known whether it was made.

        Raises:
            ProbeRemains: it is still there, or nobody can say.
        """
        self._remove(plan.namespace, lambda found: _part(found, "labels").get(pod.LABEL) == plan.id, timeout)

    def _remove(self, name: str, is_meant: Callable[[Mapping[str, Any]], bool], timeout: float) -> None:
        last = "it is not known whether it is there"
        for _turn in turns(timeout, self._poll):
            try:
                found = self._namespace(name)
                if found is None or not is_meant(found["metadata"]):
                    return
                last = "it is being removed"
                if not _is_leaving(found):
                    body = {"preconditions": {"uid": found["metadata"]["uid"]}, "propagationPolicy": "Background"}
                    self._request("DELETE", (*_NAMESPACES, name), body)
            except ApiException as error:
                if error.status not in (404, 409):
                    last = f"{error.status} {_message(error)}"
                if error.status == 403:
                    break
            except (HTTPError, Problem) as error:
                last = type(error).__name__
        raise ProbeRemains(
            f"the namespace {name} of a probe is still there: {last}",
            "the cluster ends its pod and removes it with its Job, but the namespace stays until somebody removes it",
            f"find out what keeps it, and remove it: kubectl delete namespace {name}; the next probe tries that too",
            namespace=name,
        )

    def make(self, plan: Plan, *, timeout: float) -> None:
        """Make the namespace of a probe, which is also what keeps a second one of the same machine away.

        One that is being removed is waited for.

        Raises:
            ProbeRunning: there is one already.
        """
        present: Mapping[str, Any] = {}
        for _turn in turns(timeout, self._poll):
            try:
                self._request("POST", _NAMESPACES, pod.namespace(plan))
                return
            except ApiException as error:
                if error.status != 409:
                    raise self._refused("create namespaces", error) from error
            except (HTTPError, ValueError) as error:
                raise unread(self._kubeconfig, error, _WHY) from error
            present = self._present(plan)
            if not _is_leaving(present):
                break
        raise _running(plan, present)

    def _present(self, plan: Plan) -> dict[str, Any]:
        try:
            return self._namespace(plan.namespace) or {"metadata": {"deletionTimestamp": "it is gone"}}
        except ApiException as error:
            raise self._refused("get namespaces", error) from error
        except (HTTPError, ValueError) as error:
            raise unread(self._kubeconfig, error, _WHY) from error

    def begin(self, plan: Plan) -> None:
        """Make what the namespace holds. The Job comes last: before it nothing runs."""
        space = ("namespaces", plan.namespace)
        for verb, path, body in (
            (
                "create networkpolicies.networking.k8s.io",
                ("apis", "networking.k8s.io", "v1", *space, "networkpolicies"),
                pod.network_policy(plan),
            ),
            ("create jobs.batch", ("apis", "batch", "v1", *space, "jobs"), pod.job(plan)),
        ):
            self._call(verb, "POST", path, body)

    def wait(self, plan: Plan) -> Ended:
        """Wait until the container ended, or it is clear that it will not.

        Raises:
            ClusterProblem: the API refuses to be asked.
        """
        seen, last = False, "no pod was made for its Job; an admission webhook may refuse privileged pods"
        for _turn in turns(plan.seconds, self._poll):
            try:
                found = self._pods(plan.namespace)
                if found:
                    seen = True
                    ended, last = _look(found, plan)
                    if ended is not None:
                        return ended
                elif seen:
                    # The Job's controller removes a pod that runs at its deadline, which is that of this wait.
                    return Ended(
                        None,
                        "the pod was removed before its report was read, by somebody or by the cluster after"
                        f" {plan.seconds} seconds: {last}",
                    )
            except ClusterProblem as problem:
                # A control plane may be away for a moment; what is refused stays refused.
                if problem.context.get("status") == 403:
                    raise
                last = problem.found
        return Ended(None, f"the container did not end within {plan.seconds} seconds: {last}")

    def _pods(self, namespace: str) -> list[dict[str, Any]]:
        return self._items("list pods", (*_NAMESPACES, namespace, "pods"))

    def _namespace(self, name: str) -> dict[str, Any] | None:
        try:
            found = self._request("GET", (*_NAMESPACES, name))
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        if not isinstance(found.get("metadata"), dict):
            raise unread(self._kubeconfig, ValueError("an answer that is no object"), _WHY)
        return found

    def _items(self, verb: str, path: tuple[str, ...], **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._call(verb, "GET", path, query=query)["items"]
        return found

    def _call(
        self, verb: str, method: str, path: tuple[str, ...], body: Mapping[str, Any] | None = None, **how: Any
    ) -> dict[str, Any]:
        try:
            answer = self._request(method, path, body, **how)
            return {"items": items_of(answer)} if method == "GET" else answer
        except ApiException as error:
            raise self._refused(verb, error) from error
        except (HTTPError, ValueError) as error:
            raise unread(self._kubeconfig, error, _WHY) from error

    def _request(
        self, method: str, path: tuple[str, ...], body: Mapping[str, Any] | None = None, **how: Any
    ) -> dict[str, Any]:
        return request(self._client, method, path, body, timeout=_REQUEST_SECONDS, **how)

    def _refused(self, verb: str, error: Any) -> ClusterProblem:
        return ClusterProblem(
            f"the Kubernetes API refuses to {verb}: {error.status} {_message(error)}",
            _WHY,
            f"check that the user of {self._kubeconfig} may {verb}; docs/enforcement-probe.md has the whole role",
            kubeconfig=self._kubeconfig,
            status=error.status,
        )


def _look(pods: Sequence[Mapping[str, Any]], plan: Plan) -> tuple[Ended | None, str]:
    """How the pod's container ended, or None and what it waits for."""
    if len(pods) != 1:
        return Ended(None, f"{len(pods)} pods are in the namespace of the probe"), ""
    spec, status = (_part(pods[0], key) for key in ("spec", "status"))
    if spec.get("nodeName") != plan.node:
        return Ended(None, f"the pod was bound to the node {printable(spec.get('nodeName'), 80)}"), ""
    containers = status.get("containerStatuses")
    state = _part(containers[0], "state") if isinstance(containers, list) and len(containers) == 1 else {}
    terminated, waiting = _part(state, "terminated"), _part(state, "waiting")
    message = terminated.get("message")
    if isinstance(message, str) and message and terminated.get("exitCode") == 0:
        try:
            begin, end = (dt.datetime.fromisoformat(str(terminated[key])) for key in ("startedAt", "finishedAt"))
        except (KeyError, ValueError):
            return Ended(None, "the kubelet does not say when the container ran"), ""
        # Both are in whole seconds.
        return Ended(message, "", begin.timestamp(), end.timestamp() + 1), ""
    if terminated:
        return Ended(None, f"the container ended without a report: {_reason(terminated)}"), ""
    if status.get("phase") == "Failed":
        return Ended(None, f"the pod failed: {_reason(status)}"), ""
    if waiting.get("reason") in _STUCK:
        return Ended(None, f"the container cannot be started: {_reason(waiting)}"), ""
    return None, _reason(waiting) if waiting else f"the pod is {printable(status.get('phase'), 40)}"


def _reason(state: Mapping[str, Any]) -> str:
    """The one word that Kubernetes gives as a reason; its message may quote what others wrote."""
    found = state.get("reason")
    return found if isinstance(found, str) and re.fullmatch(r"[A-Za-z]{1,60}", found) else "for no known reason"


def _running(plan: Plan, present: Mapping[str, Any]) -> ProbeRunning:
    notes = _part(_part(present, "metadata"), "annotations")
    by = f" by {shown(printable(notes[pod.OWNER]))}" if notes.get(pod.OWNER) else ""
    until = f", until {printable(notes[pod.EXPIRES], 40)} at the latest" if notes.get(pod.EXPIRES) else ""
    return ProbeRunning(
        f"the namespace {plan.namespace} is there already: the machine is being probed{by}{until}",
        "records of two probes at once could not be told apart",
        "wait until it has ended; what a killed one left is removed by the next probe",
        namespace=plan.namespace,
    )


def _is_ours(namespace: Mapping[str, Any]) -> bool:
    """Whether a namespace is a probe's by name, label and annotations: others' are never removed."""
    metadata = _part(namespace, "metadata")
    notes, name = _part(metadata, "annotations"), metadata.get("name")
    named = isinstance(name, str) and name.startswith(pod.PREFIX) and isinstance(metadata.get("uid"), str)
    return named and pod.LABEL in _part(metadata, "labels") and pod.OWNER in notes and pod.EXPIRES in notes


def _is_left(namespace: Mapping[str, Any]) -> bool:
    notes = _part(_part(namespace, "metadata"), "annotations")
    if is_gone(str(notes[pod.OWNER])):
        return True
    try:
        return dt.datetime.fromisoformat(str(notes[pod.EXPIRES])) + _CLOCKS <= dt.datetime.now(dt.UTC)
    except (ValueError, TypeError):
        return False


def _is_leaving(namespace: Mapping[str, Any]) -> bool:
    return _part(namespace, "metadata").get("deletionTimestamp") is not None


def _part(value: Any, key: str) -> Mapping[str, Any]:
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _message(error: Any) -> str:
    """The API's own words, printable and short."""
    try:
        return printable(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return printable(error.reason)
