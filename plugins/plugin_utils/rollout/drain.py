# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cordon, drain and uncordon a node, within the disruption budgets and saying which of them stands in the way.

Pods leave through the Eviction API (``policy/v1``). Which pods stay follows ``kubectl drain``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..problem import Problem
from .disruption import blocks
from .drain_api import AnswerLost, DrainApi, DrainProblem, Require, anybody, open_api
from .pods import Pod, controller, has_empty_dir, ignores_cordon, is_finished, is_leaving, name_of, stays, uid_of

#: So many pods are named in a message; all of them are in its context.
_NAMED = 10


def look(
    kubeconfig: str, context: str | None, node: str, *, timeout: float = 60.0, poll: float = 2.0
) -> dict[str, Any]:
    """The Node object as plain data, read just now; arguments and errors as of :func:`cordon`."""
    with open_api(kubeconfig, context, timeout, poll) as api:
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
    require: Require = anybody,
) -> bool:
    """Keep new pods off a node.

    Args:
        kubeconfig: path of the kubeconfig file.
        context: its context, or None for the current one.
        node: the node's name in Kubernetes.
        timeout: seconds after which an API server that is overloaded or went away ends it.
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
    with open_api(kubeconfig, context, timeout, poll) as api:
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
    require: Require = anybody,
) -> bool:
    """Let pods onto a node again; arguments, result and errors as of :func:`cordon`."""
    with open_api(kubeconfig, context, timeout, poll) as api:
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
    require: Require = anybody,
    meanwhile: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Cordon a node, evict its pods, and wait until they are gone.

    Pods of DaemonSets and mirror pods stay: they would be back at once. Finished pods stay too: nothing runs in them.
    Everything else is evicted, also pods without a controller and pods with an ``emptyDir``, as a wipe ends both.

    Args:
        kubeconfig: path of the kubeconfig file.
        context: its context, or None for the current one.
        node: the node's name in Kubernetes.
        timeout: seconds after which the drain is aborted.
        poll: seconds between two tries.
        check: only look.
        mark, require: as of :func:`cordon`.
        meanwhile: called between two tries, such as to renew a lock.

    Returns:
        ``{cordoned: bool, pods, unmanaged, empty_dirs, staying: [namespace/name], blocked: [{pod, budget,
        disruptions_allowed: int | None, found}]}``. ``cordoned`` is whether the node was schedulable before,
        ``pods`` are those that were evicted (with ``check`` those that would be), ``unmanaged`` and ``empty_dirs``
        are those among them without a controller and with data in an emptyDir. ``blocked`` is what the budgets did
        not allow when the drain started.

    Raises:
        DrainProblem: there is no such node, a pod can never be evicted, or pods were left when the time was over. Its
            context has ``node``, ``cordoned``, ``evicted``, ``blocked`` and ``remaining``.
        ClusterProblem: the API refuses, or gave no answer in time.
        MissingLibrary: without the ``kubernetes`` library.
    """
    with open_api(kubeconfig, context, timeout, poll) as api:
        cordoned = api.set_unschedulable(node, True, check, mark, require)
        evicted: dict[str, Pod] = {}
        try:
            pods = api.pods(node)
            leaving = [pod for pod in pods if _must_leave(pod)]
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


def _evict_all(
    api: DrainApi, node: str, leaving: Sequence[Pod], evicted: dict[str, Pod], meanwhile: Callable[[], object]
) -> None:
    """Evict pods and wait until they are gone; ``evicted`` is filled on the way, so that a failure can report it.

    The scheduler may bind a pod just after the cordon, so pods that appear later leave too; not those that any cordon
    lets pass, which would come back for ever.
    """
    waiting = {uid_of(pod): pod for pod in leaving}
    known = set(waiting)
    refusals: dict[str, str] = {}
    accepted: set[str] = set()
    while True:
        for uid, pod in waiting.items():
            if uid in accepted or is_leaving(pod) or api.is_over():
                continue
            try:
                refusal = api.evict(pod)
            except LookupError:
                continue
            except AnswerLost:
                # Asking again does no harm, and a pod that left is counted as evicted.
                evicted[uid] = pod
                continue
            if refusal is None:
                evicted[uid] = pod
                accepted.add(uid)
            else:
                refusals[uid] = refusal
        waiting = {
            uid: pod
            for uid, pod in ((uid_of(pod), pod) for pod in api.pods(node))
            if uid in accepted or (_must_leave(pod) and (uid in known or not ignores_cordon(pod)))
        }
        if not waiting:
            return
        if api.is_over(api.poll):
            raise _not_drained(api, node, list(waiting.values()), refusals)
        known |= set(waiting)
        meanwhile()
        time.sleep(api.poll)


def _must_leave(pod: Pod) -> bool:
    return not stays(pod) and not is_finished(pod)


def _not_drained(api: DrainApi, node: str, pods: Sequence[Pod], refusals: Mapping[str, str]) -> DrainProblem:
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
