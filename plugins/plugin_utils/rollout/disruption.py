# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which PodDisruptionBudgets forbid an eviction.

As Kubernetes' ``pkg/registry/core/pod/storage/eviction.go`` decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..nested import value_at
from .pods import Pod, is_finished, is_leaving, is_ready, name_of

Budget = Mapping[str, Any]


def blocks(pods: Sequence[Pod], budgets: Sequence[Budget]) -> list[dict[str, Any]]:
    """Which budgets forbid to evict which pods now: ``{pod, budget, disruptions_allowed, found}`` for each."""
    found = []
    for pod in pods:
        # The Eviction API looks at no budget for these.
        if is_leaving(pod) or is_finished(pod) or value_at(pod, "status", "phase") == "Pending":
            continue
        holding = [budget for budget in budgets if _selects(budget, pod)]
        for budget in holding:
            allowed = value_at(budget, "status", "disruptionsAllowed")
            if not _is_current(budget):
                reason = "which Kubernetes has not counted yet"
            elif not _allows(budget, pod):
                reason = f"which allows {allowed if allowed is not None else 'an unknown number of'} disruptions"
            elif len(holding) > 1:
                reason = "which is not the only one that selects it"
            else:
                continue
            name = name_of(budget)
            found.append(
                {
                    "pod": name_of(pod),
                    "budget": name,
                    "disruptions_allowed": allowed,
                    "found": f"{name_of(pod)} is held by the PodDisruptionBudget {name}, {reason}",
                }
            )
    return found


def _is_current(budget: Budget) -> bool:
    seen, wanted = value_at(budget, "status", "observedGeneration"), value_at(budget, "metadata", "generation")
    return wanted is None or (seen is not None and seen >= wanted)


def _allows(budget: Budget, pod: Pod) -> bool:
    status = budget.get("status") or {}
    if (status.get("disruptionsAllowed") or 0) > 0:
        return True
    if is_ready(pod):
        return False
    if value_at(budget, "spec", "unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    desired = status.get("desiredHealthy") or 0
    return desired > 0 and (status.get("currentHealthy") or 0) >= desired


def _selects(budget: Budget, pod: Pod) -> bool:
    """Whether a budget selects a pod; as of ``policy/v1`` an empty selector selects all, a missing one none."""
    selector = value_at(budget, "spec", "selector")
    if selector is None or budget["metadata"]["namespace"] != pod["metadata"]["namespace"]:
        return False
    labels = pod["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(one, labels) for one in selector.get("matchExpressions") or [])


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    values = expression.get("values") or []
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    # An operator of a later Kubernetes: better a budget too many in the report than one too few.
    return True
