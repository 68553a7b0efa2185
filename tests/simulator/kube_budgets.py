# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disruption budgets of a simulated cluster, and what they allow."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .kube_objects import Key, Object, is_ready, selects, share

BLOCKED_LABEL = "simulator.talosops/blocked-on"
"""The label of a pod that may not leave its node, by a budget that :func:`blocking` makes."""


class Blocked(Exception):
    """A disruption budget forbids the eviction; the text names the budget as Kubernetes does."""


def blocking(pods: Iterable[Object], uid_of: Callable[[str], str]) -> list[Object]:
    """The budgets that the fault ``drain_blocked`` adds, one for a namespace and node with labelled pods."""
    found: dict[Key, Object] = {}
    for pod in pods:
        node = pod["metadata"]["labels"].get(BLOCKED_LABEL)
        space = pod["metadata"]["namespace"]
        if node is None or (space, node) in found:
            continue
        metadata = {"name": f"blocks-{node}", "namespace": space, "uid": uid_of(node)}
        spec = {"maxUnavailable": 0, "selector": {"matchLabels": {BLOCKED_LABEL: node}}}
        found[space, node] = {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata,
            "spec": spec,
        }
    return list(found.values())


def covers(budget: Object, pod: Object) -> bool:
    """Whether a budget is about a pod."""
    return pod["metadata"]["namespace"] == budget["metadata"]["namespace"] and selects(budget["spec"]["selector"], pod)


def with_status(budget: Object, pods: Iterable[Object]) -> Object:
    """A budget with what it allows now, given all pods of the cluster."""
    selected = [pod for pod in pods if covers(budget, pod)]
    expected, healthy = len(selected), len([pod for pod in selected if is_ready(pod)])
    if "minAvailable" in budget["spec"]:
        desired = share(budget["spec"]["minAvailable"], expected)
    else:
        desired = max(0, expected - share(budget["spec"].get("maxUnavailable", 1), expected))
    status = {
        "observedGeneration": 1,
        "expectedPods": expected,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": max(0, healthy - desired),
    }
    return {**budget, "status": status}


def check_eviction(pod: Object, budgets: Iterable[Object], pods: Iterable[Object]) -> None:
    """Ask the budgets of a pod whether it may go.

    Raises:
        Blocked: one of them does not allow it.
    """
    for budget in budgets:
        if not covers(budget, pod):
            continue
        shown = with_status(budget, pods)["status"]
        # As in Kubernetes: a pod that is not ready may go once the others suffice.
        if shown["disruptionsAllowed"] <= 0 and is_ready(pod):
            raise Blocked(
                f"The disruption budget {budget['metadata']['name']} needs {shown['desiredHealthy']} "
                f"healthy pods and has {shown['currentHealthy']} currently"
            )
