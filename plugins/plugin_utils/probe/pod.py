# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects of one probe: a namespace, a policy that denies its network, and a Job of one pod bound to one node.

A Job, so that the cluster itself ends the pod and removes it when nobody else does any more.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from dataclasses import dataclass
from typing import Any

from ..problem import Problem
from . import attempts

LABEL = "talosops.selinux/enforcement-probe"
OWNER = "talosops.selinux/owner"
EXPIRES = "talosops.selinux/expires"
PREFIX = "talos-selinux-probe-"
NAME = "probe"
#: Seconds after which the cluster removes a finished Job with its pod; its message has been read long before.
TTL_SECONDS = 300
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:-]{0,400}@sha256:[0-9a-f]{64}")
_DEVICE = re.compile(r"/dev(/[A-Za-z0-9_-][A-Za-z0-9_.:-]{0,60}){1,4}")


class ImageProblem(Problem):
    """The image of the probe is not pinned."""

    kind = "probe_image"


@dataclass(frozen=True)
class Plan:
    """What one probe is made of.

    Attributes:
        id: 16 hexadecimal digits that no other probe has.
        machine: its machine id, by which the namespace is named: so two probes of one machine cannot run at once. (A
            UUID may be one that a vendor gave to many.)
        node: the machine's name in Kubernetes.
        image: by digest.
        device: of the STATE partition, None where it is not known.
        owner: the process that removes all of it (``rollout.owner``).
        seconds: how long the pod may exist, its start included.
        expires: when all of it may be removed by anybody.
    """

    id: str
    machine: str
    node: str
    image: str
    device: str | None
    owner: str
    seconds: int
    expires: dt.datetime

    @property
    def namespace(self) -> str:
        """The namespace's name."""
        return PREFIX + hashlib.sha256(self.machine.encode()).hexdigest()[:16]


def require_digest(image: str) -> None:
    """Return when the image is named by its digest.

    Raises:
        ImageProblem: it is not.
    """
    if not _IMAGE.fullmatch(image):
        raise ImageProblem(
            f"the image {image} of the probe is not named by its digest alone",
            "it runs with all privileges on a node, and a tag may be another image tomorrow",
            "name it as REGISTRY/NAME@sha256:DIGEST; docs/enforcement-probe.md says what it has to hold",
        )


def device_of(location: Any) -> str | None:
    """A device's path as a node gives it; None unless it is one."""
    return location if isinstance(location, str) and _DEVICE.fullmatch(location) else None


def namespace(plan: Plan) -> dict[str, Any]:
    """The namespace. Pod security is named, as clusters forbid privileged pods by default."""
    levels = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": plan.namespace,
            "labels": {**_labels(plan), **levels},
            "annotations": {OWNER: plan.owner, EXPIRES: plan.expires.isoformat(timespec="seconds")},
        },
    }


def network_policy(plan: Plan) -> dict[str, Any]:
    """Denies every connection, for network plugins that enforce policies. The container asks for none anyway."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": NAME, "labels": _labels(plan)},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }


def job(plan: Plan) -> dict[str, Any]:
    """The Job. Nothing in it is tried twice, and the scheduler has no say: the pod is bound to its node."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": NAME, "labels": _labels(plan)},
        "spec": {
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,
            "activeDeadlineSeconds": plan.seconds,
            "ttlSecondsAfterFinished": TTL_SECONDS,
            "template": {"metadata": {"labels": _labels(plan)}, "spec": _pod(plan)},
        },
    }


def _pod(plan: Plan) -> dict[str, Any]:
    variables = {"PROBE_ID": plan.id, "PROBE_STATE": plan.device or ""}
    return {
        "nodeName": plan.node,
        "restartPolicy": "Never",
        "activeDeadlineSeconds": plan.seconds,
        "terminationGracePeriodSeconds": 1,
        "hostPID": True,
        "hostNetwork": False,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # With this policy Kubernetes asks for a server; where there is none, no name is found.
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "tolerations": [{"operator": "Exists"}],
        "containers": [
            {
                "name": NAME,
                "image": plan.image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", attempts.script()],
                "env": [{"name": name, "value": value} for name, value in variables.items()],
                "securityContext": {"privileged": True, "runAsUser": 0, "runAsGroup": 0},
                "resources": {
                    "requests": {"cpu": "10m", "memory": "32Mi"},
                    "limits": {"cpu": "500m", "memory": "64Mi"},
                },
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                # As Talos' own test mounts it. Read-only it would have to be remounted, which the policy refuses.
                "volumeMounts": [{"name": "host", "mountPath": "/host"}],
            }
        ],
        "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
    }


def _labels(plan: Plan) -> dict[str, str]:
    return {"app.kubernetes.io/managed-by": "talosops.selinux", LABEL: plan.id}
