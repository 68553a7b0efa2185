# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a pod, as the plain data that the Kubernetes API sends, says about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..nested import value_at

Pod = Mapping[str, Any]

_MIRROR = "kubernetes.io/config.mirror"
_CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def stays(pod: Pod) -> bool:
    """Whether a drain leaves a pod where it is: its DaemonSet, or the kubelet, would bring it back at once."""
    return _MIRROR in (pod["metadata"].get("annotations") or {}) or (controller(pod) or {}).get("kind") == "DaemonSet"


def ignores_cordon(pod: Pod) -> bool:
    """Whether the scheduler may bind a pod to a cordoned node, by its tolerations (``core/v1``)."""
    tolerations: Sequence[Mapping[str, Any]] = value_at(pod, "spec", "tolerations") or []
    return any(
        (one.get("operator") == "Exists" or not one.get("value"))
        and all(one.get(key) in (None, "", value) for key, value in _CORDON.items())
        for one in tolerations
    )


def is_finished(pod: Pod) -> bool:
    """Whether nothing runs in a pod any more."""
    return value_at(pod, "status", "phase") in ("Succeeded", "Failed")


def is_leaving(pod: Pod) -> bool:
    """Whether a pod was told to go."""
    return pod["metadata"].get("deletionTimestamp") is not None


def is_ready(pod: Pod) -> bool:
    """Whether a pod counts as available."""
    conditions = value_at(pod, "status", "conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def has_empty_dir(pod: Pod) -> bool:
    """Whether a pod keeps data that ends with it."""
    return any("emptyDir" in volume for volume in value_at(pod, "spec", "volumes") or [])


def controller(pod: Pod) -> Mapping[str, Any] | None:
    """What makes a pod anew when it is gone; None for nothing."""
    owners: Sequence[Mapping[str, Any]] = pod["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), None)


def uid_of(pod: Pod) -> str:
    """A pod's UID, which no later pod of its name has."""
    return str(pod["metadata"]["uid"])


def name_of(item: Mapping[str, Any]) -> str:
    """``namespace/name`` of an object."""
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"
