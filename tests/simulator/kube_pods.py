# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pods as the controllers of a simulated cluster make them, and as a kubelet reports them."""

from __future__ import annotations

from collections.abc import Sequence

from .kube_objects import CONTROL_PLANE, Object

ONLY_ON = "simulator.talosops/only-on"
"""The annotation that names the one node that may run a pod."""
_STARTED = "simulator.talosops/started"


def pending(workload: Object, metadata: Object, local_volumes: Sequence[Object]) -> Object:
    """A pod of a workload that waits for a node; ``metadata`` is what the API server gives it."""
    container: Object = {"name": workload["name"], "image": workload["image"]}
    if workload.get("privileged"):
        container["securityContext"] = {"privileged": True}
    volumes: list[Object] = []
    if workload.get("empty_dir"):
        volumes.append({"name": "scratch", "emptyDir": {}})
    if workload.get("host_path"):
        volumes.append({"name": "host", "hostPath": {"path": workload["host_path"], "type": "DirectoryOrCreate"}})
    annotations: dict[str, str] = {}
    if workload.get("started"):
        annotations[_STARTED] = str(workload["started"])
    if workload.get("volume"):
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": workload["volume"]}})
        where = next((one["node"] for one in local_volumes if one["name"] == workload["volume"]), None)
        if where is not None:
            annotations[ONLY_ON] = where
    if workload.get("node"):
        annotations[ONLY_ON] = str(workload["node"])
    spec: Object = {"containers": [container], "volumes": volumes, "restartPolicy": "Always"}
    if workload.get("host"):
        spec["hostNetwork"] = True
    if workload.get("selinux"):
        spec["securityContext"] = {"seLinuxOptions": dict(workload["selinux"])}
    if workload["kind"] == "DaemonSet" or workload["namespace"] == "kube-system":
        spec["tolerations"] = [{"key": CONTROL_PLANE, "operator": "Exists", "effect": "NoSchedule"}]
    metadata = {**metadata, "labels": dict(workload["labels"]), "annotations": annotations}
    if "owner" in workload:
        metadata["ownerReferences"] = [workload["owner"]]
    waiting = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    status = {"phase": "Pending", "conditions": [waiting]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def run(pod: Object, node: str, *, host_ip: str, started: str) -> None:
    """Let a node run a pod from the moment ``started`` on, if the pod's workload names no other."""
    pod["spec"]["nodeName"] = node
    container = pod["spec"]["containers"][0]
    pod["status"] = {
        "phase": "Running",
        "hostIP": host_ip,
        "startTime": pod["metadata"]["annotations"].pop(_STARTED, started),
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": started}
            for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": container["image"],
                "ready": True,
                "started": True,
                "restartCount": 0,
            }
        ],
    }
    pod["status"]["containerStatuses"][0]["state"] = {"running": {"startedAt": pod["status"]["startTime"]}}
