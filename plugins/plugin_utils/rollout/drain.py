# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cordon, drain and uncordon a node, within the disruption budgets and saying which of them stands in the way.

Pods leave through the Eviction API (``policy/v1``). Which pods stay follows ``kubectl drain``.
"""

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
from .pods import Pod, controller, has_empty_dir, is_finished, is_leaving, name_of, stays, uid_of

#: On a node that a rollout cordoned, so that nobody else's cordon is taken back.
_OURS = "talosops.selinux/cordoned"
#: How the Eviction API words the one refusal with a status of 500 that does not pass.
_TOO_MANY_BUDGETS = "more than one PodDisruptionBudget"
#: An eviction may have to pass admission webhooks, each of which may take up to 30 seconds.
_REQUEST_SECONDS = 35.0
#: So many pods are named in a message; all of them are in its context.
_NAMED = 10

Require = Callable[[Sequence[Mapping[str, Any]]], object]


def _anybody(nodes: Sequence[Mapping[str, Any]]) -> None:
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


def look(
    kubeconfig: str, context: str | None, node: str, *, timeout: float = 60.0, poll: float = 2.0
) -> dict[str, Any]:
    """The Node object as plain data, read just now; arguments and errors as of :func:`cordon`."""
    with _api(kubeconfig, context, timeout, poll) as api:
        return api.node(node)


def cordon(
    kubeconfig: str,
    context: str | None,
    node: str,
    *,
    timeout: float = 600.0,
    poll: float = 5.0,
    check: bool = False,
    mark: bool = False,
    require: Require = _anybody,
) -> bool:
    """Keep new pods off a node.

    Args:
        kubeconfig: path of the kubeconfig file.
        context: its context, or None for the current one.
        node: the node's name in Kubernetes.
        timeout: seconds after which an API server that is overloaded or went away is given up.
        poll: seconds between two tries.
        check: only look.
        mark: leave a mark with the cordon (:func:`is_ours`), or take back none but a marked one.
        require: raises unless the Node object, read just before it is changed, is the machine that is meant.

    Returns:
        Whether that changes anything.

    Raises:
        DrainProblem: there is no such node.
        ClusterProblem: the API refuses, or gave no answer in time.
        MissingLibrary: without the ``kubernetes`` library.
    """
    with _api(kubeconfig, context, timeout, poll) as api:
        return api.set_unschedulable(node, True, check, mark, require)


def uncordon(
    kubeconfig: str,
    context: str | None,
    node: str,
    *,
    timeout: float = 600.0,
    poll: float = 5.0,
    check: bool = False,
    mark: bool = False,
    require: Require = _anybody,
) -> bool:
    """Let pods onto a node again; arguments, result and errors as of :func:`cordon`."""
    with _api(kubeconfig, context, timeout, poll) as api:
        return api.set_unschedulable(node, False, check, mark, require)


def drain(
    kubeconfig: str,
    context: str | None,
    node: str,
    *,
    timeout: float = 600.0,
    poll: float = 5.0,
    check: bool = False,
    mark: bool = False,
    require: Require = _anybody,
    meanwhile: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Cordon a node, evict its pods, and wait until they are gone.

    Pods of DaemonSets and mirror pods stay: they would be back at once. Finished pods stay too: nothing runs in them.
    Everything else is evicted, also pods without a controller and pods with an ``emptyDir``, as a wipe ends both.

    Args:
        kubeconfig: path of the kubeconfig file.
        context: its context, or None for the current one.
        node: the node's name in Kubernetes.
        timeout: seconds after which the drain is given up.
        poll: seconds between two tries.
        check: only look.
        mark, require: as of :func:`cordon`.
        meanwhile: called between two tries, such as to renew a lock.

    Returns:
        ``{cordoned: bool, pods, unmanaged, empty_dirs, staying: [namespace/name], blocked: [{pod, budget,
        disruptions_allowed: int | None, found}]}``. ``cordoned`` tells whether the node was schedulable before,
        ``pods`` are those that were evicted (with ``check`` those that would be), ``unmanaged`` and ``empty_dirs``
        are those among them without a controller and with data in an emptyDir. ``blocked`` is what the budgets did
        not allow when the drain began.

    Raises:
        DrainProblem: there is no such node, a pod can never be evicted, or pods were left when the time was over. Its
            context has ``node``, ``cordoned``, ``evicted``, ``blocked`` and ``remaining``.
        ClusterProblem: the API refuses, or gave no answer in time.
        MissingLibrary: without the ``kubernetes`` library.
    """
    with _api(kubeconfig, context, timeout, poll) as api:
        cordoned = api.set_unschedulable(node, True, check, mark, require)
        evicted: dict[str, Pod] = {}
        try:
            pods = api.pods(node)
            leaving = [pod for pod in pods if not stays(pod) and not is_finished(pod)]
            blocked = blocks(leaving, api.budgets())
            if check:
                evicted = {uid_of(pod): pod for pod in leaving if not is_leaving(pod)}
            else:
                _evict_all(api, node, leaving, evicted, meanwhile)
        except Problem as problem:
            problem.context.update(node=node, cordoned=not check, evicted=[name_of(pod) for pod in evicted.values()])
            raise
    gone = list(evicted.values())
    return {
        "cordoned": cordoned,
        "pods": [name_of(pod) for pod in gone],
        "unmanaged": [name_of(pod) for pod in gone if controller(pod) is None],
        "empty_dirs": [name_of(pod) for pod in gone if has_empty_dir(pod)],
        "staying": [name_of(pod) for pod in pods if stays(pod)],
        "blocked": blocked,
    }


class _Api:
    """One client, and how long to be patient with its server."""

    def __init__(self, client: Any, kubeconfig: str, timeout: float, poll: float) -> None:
        self.timeout = timeout
        self.poll = poll
        self._client = client
        self._kubeconfig = kubeconfig
        self._end = time.monotonic() + timeout
        self._reached = False

    def node(self, name: str) -> dict[str, Any]:
        return dict(self._call("GET", _node(name), missing=name))

    def set_unschedulable(self, node: str, wanted: bool, check: bool, mark: bool, require: Require) -> bool:
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
        found = self._call("GET", ("apis", "policy", "v1", "poddisruptionbudgets"))
        return self._items(found)

    def evict(self, pod: Pod) -> str | None:
        """Ask for one eviction: None when it was accepted, else why not yet.

        Raises:
            LookupError: the pod is gone already.
            _AnswerLost: it may have been accepted or not.
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
            raise _AnswerLost from error
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


class _Changed(Exception):
    """The object is not any more as it was looked at; perhaps by an earlier try whose answer was lost."""

    def __init__(self, error: Exception, *, may_be_ours: bool) -> None:
        super().__init__(str(error))
        self.error, self.may_be_ours = error, may_be_ours


class _AnswerLost(Exception):
    """The connection broke before the answer came."""


@contextmanager
def _api(kubeconfig: str, context: str | None, timeout: float, poll: float) -> Iterator[_Api]:
    with kube_client(kubeconfig, context) as client:
        yield _Api(client, kubeconfig, timeout, poll)


def _evict_all(
    api: _Api, node: str, leaving: Sequence[Pod], evicted: dict[str, Pod], meanwhile: Callable[[], object]
) -> None:
    """Evict pods and wait until they are gone; ``evicted`` is filled on the way, so that a failure can tell it."""
    waiting = {uid_of(pod): pod for pod in leaving}
    refusals: dict[str, str] = {}
    accepted: set[str] = set()
    while waiting:
        for uid, pod in waiting.items():
            if uid in accepted or is_leaving(pod) or api.is_over():
                continue
            try:
                refusal = api.evict(pod)
            except LookupError:
                continue
            except _AnswerLost:
                # Asking again does no harm, and a pod that left is counted as evicted.
                evicted[uid] = pod
                continue
            if refusal is None:
                evicted[uid] = pod
                accepted.add(uid)
            else:
                refusals[uid] = refusal
        here = {uid_of(pod): pod for pod in api.pods(node)}
        waiting = {uid: here[uid] for uid in waiting if uid in here and (uid in accepted or not is_finished(here[uid]))}
        if waiting and api.is_over(api.poll):
            raise _not_drained(api, node, list(waiting.values()), refusals)
        if waiting:
            meanwhile()
            time.sleep(api.poll)


def _not_drained(api: _Api, node: str, pods: Sequence[Pod], refusals: Mapping[str, str]) -> DrainProblem:
    blocked = blocks(pods, api.budgets())
    reasons = [block["found"] for block in blocked]
    for pod in pods:
        if is_leaving(pod):
            reasons.append(f"{name_of(pod)} is still terminating")
        elif all(block["pod"] != name_of(pod) for block in blocked):
            reasons.append(f"{name_of(pod)} was not evicted: {refusals.get(uid_of(pod), 'there was no time to ask')}")
    more = f"; and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
    return DrainProblem(
        f"the node {node} was not drained within {api.timeout:g} seconds: {'; '.join(reasons[:_NAMED])}{more}",
        "a node is only wiped after its pods have left it, within their disruption budgets",
        "check that those workloads are healthy on other nodes or have more replicas than their budget holds, "
        "then run it again",
        blocked=blocked,
        remaining=[name_of(pod) for pod in pods],
    )


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
