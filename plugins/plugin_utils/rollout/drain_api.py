# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node and its pods as a drain asks the Kubernetes API for them, patiently with a server that comes and goes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..kube import ApiException, HTTPError, items_of, kube_client, request, unread
from ..nested import value_at
from ..problem import Problem
from ..texts import printable
from .disruption import Budget, blocks
from .pods import Pod, name_of, uid_of

#: On a node that a rollout cordoned, so that nobody else's cordon is taken back.
_OURS = "talosops.selinux/cordoned"
#: How the Eviction API words the one refusal with a status of 500 that does not pass.
_TOO_MANY_BUDGETS = "more than one PodDisruptionBudget"
#: An eviction may have to pass admission webhooks, each of which may take up to 30 seconds.
_REQUEST_SECONDS = 35.0

Require = Callable[[Sequence[Mapping[str, Any]]], object]


def anybody(nodes: Sequence[Mapping[str, Any]]) -> None:
    """Any node of the name will do."""


class DrainProblem(Problem):
    """The node could not be cordoned, drained or uncordoned."""

    kind = "drain"


def is_cordoned(node: Mapping[str, Any]) -> bool:
    """Whether a Node object (``core/v1``) takes no new pods."""
    return bool(value_at(node, "spec", "unschedulable"))


def is_ours(node: Mapping[str, Any]) -> bool:
    """Whether a rollout cordoned a node, by the mark that it left with the cordon."""
    return is_cordoned(node) and value_at(node, "metadata", "annotations", _OURS) is not None


class _Changed(Exception):
    """The object is not any more as it was looked at; perhaps by an earlier try whose answer was lost."""

    def __init__(self, error: Exception, *, may_be_ours: bool) -> None:
        super().__init__(str(error))
        self.error, self.may_be_ours = error, may_be_ours


class AnswerLost(Exception):
    """The connection broke before the answer came."""


@contextmanager
def open_api(kubeconfig: str, context: str | None, timeout: float, poll: float) -> Iterator[DrainApi]:
    """Open the API for one drain; arguments and errors as of :func:`drain.cordon`."""
    with kube_client(kubeconfig, context) as client:
        yield DrainApi(client, kubeconfig, timeout, poll)


class DrainApi:
    """One client, and how long to be patient with its server."""

    def __init__(self, client: Any, kubeconfig: str, timeout: float, poll: float) -> None:
        self.timeout = timeout
        self.poll = poll
        self._client = client
        self._kubeconfig = kubeconfig
        self._end = time.monotonic() + timeout
        self._reached = False

    def node(self, name: str) -> dict[str, Any]:
        """The Node object, read just now."""
        return dict(self._call("GET", _node(name), missing=name))

    def set_unschedulable(self, node: str, wanted: bool, check: bool, mark: bool, require: Require) -> bool:
        """Cordon or uncordon a node as :func:`drain.cordon` says; whether that changes anything."""
        ours = False
        while True:
            found = self.node(node)
            require([found])
            if is_cordoned(found) == wanted or (mark and not wanted and not is_ours(found)):
                return ours
            if check:
                return True
            # Bound to the object that was looked at: another machine may take the name over meanwhile.
            seen = {key: found["metadata"][key] for key in ("uid", "resourceVersion")}
            if mark:
                seen["annotations"] = {_OURS: "by a rollout" if wanted else None}
            try:
                self._call("PATCH", _node(node), {"metadata": seen, "spec": {"unschedulable": wanted}}, missing=node)
            except _Changed as changed:
                ours = ours or changed.may_be_ours
                if self.is_over(self.poll):
                    raise self._unread(changed.error) from changed
                time.sleep(self.poll)
            else:
                return True

    def pods(self, node: str) -> list[Pod]:
        """The pods on a node, in order of name."""
        found = self._call("GET", ("api", "v1", "pods"), query={"fieldSelector": f"spec.nodeName={node}"})
        return sorted(self._items(found), key=name_of)

    def budgets(self) -> list[Budget]:
        """All disruption budgets of the cluster."""
        found = self._call("GET", ("apis", "policy", "v1", "poddisruptionbudgets"))
        return self._items(found)

    def evict(self, pod: Pod) -> str | None:
        """Ask for one eviction: None when it was accepted, else why not yet.

        Raises:
            LookupError: the pod is gone already.
            AnswerLost: it may have been accepted or not.
            DrainProblem: no waiting makes it possible.
        """
        metadata = pod["metadata"]
        # A StatefulSet's next pod has the same name; the precondition spares it.
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
            "deleteOptions": {"preconditions": {"uid": uid_of(pod)}},
        }
        try:
            path = ("api", "v1", "namespaces", metadata["namespace"], "pods", metadata["name"], "eviction")
            request(self._client, "POST", path, body, timeout=_REQUEST_SECONDS)
        except ApiException as error:
            if error.status in (404, 409):
                raise LookupError(name_of(pod)) from error
            message = _message(error)
            if error.status == 500 and _TOO_MANY_BUDGETS in message:
                raise _never_leaves(pod, blocks([pod], self.budgets()), message) from error
            if not _is_passing(error):
                raise DrainProblem(
                    f"the Kubernetes API refuses to evict {name_of(pod)}: {error.status} {message}",
                    "a node is only wiped after its pods have left it",
                    "check that the kubeconfig's user may create pods/eviction, then run it again",
                    remaining=[name_of(pod)],
                ) from error
            return message
        except HTTPError as error:
            raise AnswerLost from error
        return None

    def is_over(self, ahead: float = 0.0) -> bool:
        """Whether the time will be over in ``ahead`` seconds."""
        return time.monotonic() + ahead >= self._end

    def _call(
        self,
        method: str,
        path: Sequence[str],
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        missing: str | None = None,
    ) -> Any:
        """The API's answer as plain data.

        A server that answered once is given time to come back, since control planes are part of a rollout; one that
        never answered is most likely a wrong kubeconfig, which no waiting fixes.
        """
        lost = False
        while True:
            try:
                answer = request(self._client, method, path, body, query=query, timeout=_REQUEST_SECONDS)
                self._reached = True
                return answer
            except ApiException as error:
                if error.status == 404 and missing is not None:
                    raise DrainProblem(
                        f"the Kubernetes API of {self._kubeconfig} knows no node named {missing}",
                        "a node is only wiped after its pods have left it",
                        "give the node's name as kubectl get nodes shows it, and the kubeconfig of its cluster",
                        node=missing,
                    ) from error
                if error.status == 409:
                    raise _Changed(error, may_be_ours=lost) from error
                if not _is_passing(error) or self.is_over(self.poll):
                    raise self._unread(error) from error
            except HTTPError as error:
                lost = True
                if not self._reached or self.is_over(self.poll):
                    raise self._unread(error) from error
            except ValueError as error:
                raise self._unread(error) from error
            time.sleep(self.poll)

    def _items(self, answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        try:
            return list(items_of(answer))
        except ValueError as error:
            raise self._unread(error) from error

    def _unread(self, error: Exception) -> Problem:
        return unread(self._kubeconfig, error, "a node is only wiped after its pods have left it")


def _node(name: str) -> tuple[str, ...]:
    return ("api", "v1", "nodes", name)


def _never_leaves(pod: Pod, blocked: Sequence[Mapping[str, Any]], message: str) -> DrainProblem:
    budgets = ", ".join(block["budget"] for block in blocked) or "not known by name any more"
    return DrainProblem(
        f"the pod {name_of(pod)} cannot be evicted, its PodDisruptionBudgets are {budgets}: {message}",
        "Kubernetes refuses to evict a pod that more than one budget selects, however long one waits",
        "correct the selectors of those budgets, then run it again",
        blocked=list(blocked),
        remaining=[name_of(pod)],
    )


def _is_passing(error: Any) -> bool:
    """Whether an API error may be gone at the next try."""
    return bool(error.status == 429 or error.status >= 500)


def _message(error: Any) -> str:
    """The API's own words, printable and short."""
    try:
        status = json.loads(error.body)
        causes = [str(cause["message"]) for cause in value_at(status, "details", "causes") or []]
        text = " ".join([str(status["message"]), *causes])
    except (TypeError, ValueError, KeyError):
        text = f"{error.status} {error.reason}"
    return printable(text)
