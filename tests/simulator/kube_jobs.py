# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs of one pod, and the kubelets that run it: a step at every look, so that nothing runs while nobody asks.

As in Kubernetes 1.34: ``pkg/controller/job`` (deadline, backoff limit 0), ``pkg/controller/ttlafterfinished``,
``pkg/kubelet`` (deadline of a pod, termination message, reasons of waiting).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field

from .containers import Finished
from .kube_objects import Object, now, reference_to, stamp

#: Runs a container on a node: (node, container) to how it ended.
Run = Callable[[str, Object], Finished]


@dataclass
class Trouble:
    """What goes wrong with the pods of Jobs, by the name of the node.

    Attributes:
        refused: no pod is made: an admission webhook refuses it.
        waiting: node to the reason for which the container is never started.
        evicted: nodes that evict the pod while it runs.
        hangs: nodes on which the container never ends.
        vanishes: nodes whose pod is deleted by somebody while it runs.
    """

    refused: bool = False
    waiting: dict[str, str] = field(default_factory=dict)
    evicted: set[str] = field(default_factory=set)
    hangs: set[str] = field(default_factory=set)
    vanishes: set[str] = field(default_factory=set)


class Jobs:
    """The controllers of Jobs and the kubelets.

    Args:
        jobs, pods: the stores, by namespace and name.
        run: runs a container.
        new_pod: fills in the metadata that the API gives: (namespace, name) to metadata.
    """

    def __init__(
        self,
        jobs: dict[tuple[str, str], Object],
        pods: dict[tuple[str, str], Object],
        run: Run,
        new_pod: Callable[[str, str], Object],
    ) -> None:
        self.trouble = Trouble()
        #: So many seconds have passed at once.
        self.ahead = 0.0
        self._jobs, self._pods = jobs, pods
        self._run, self._new_pod = run, new_pod
        self._had: set[str] = set()

    def step(self, ready: set[str]) -> None:
        """Let every Job, and the pod of every Job, go one step further; ``ready`` are the nodes with a kubelet."""
        for key, job in list(self._jobs.items()):
            pods = [pod for pod in self._pods.values() if _is_of(pod, job)]
            if pods:
                self._kubelet(pods[0], ready)
            self._job(key, job, pods[0] if pods else None)

    def _now(self) -> datetime.datetime:
        return now() + datetime.timedelta(seconds=self.ahead)

    def _over(self, since: str | None, seconds: int | None) -> bool:
        if since is None or seconds is None:
            return False
        return self._now() >= datetime.datetime.fromisoformat(since) + datetime.timedelta(seconds=seconds)

    def _job(self, key: tuple[str, str], job: Object, pod: Object | None) -> None:
        status, spec = job["status"], job["spec"]
        if status.get("conditions"):
            if self._over(status.get("completionTime") or status["conditions"][0]["lastTransitionTime"],
                          spec.get("ttlSecondsAfterFinished")):  # fmt: skip
                del self._jobs[key]
                self._pods.pop((key[0], pod["metadata"]["name"]) if pod else key, None)
            return
        status.setdefault("startTime", stamp(self._now()))
        uid = job["metadata"]["uid"]
        phase = pod["status"]["phase"] if pod is not None else None
        if phase == "Succeeded":
            status["succeeded"] = 1
            status["completionTime"] = stamp(self._now())
            self._finish(job, "Complete", "CompletionsReached")
        elif phase == "Failed" or (pod is None and uid in self._had):
            status["failed"] = 1
            self._finish(job, "Failed", "BackoffLimitExceeded")
        elif self._over(status["startTime"], spec.get("activeDeadlineSeconds")):
            if pod is not None:
                del self._pods[key[0], pod["metadata"]["name"]]
            self._finish(job, "Failed", "DeadlineExceeded")
        elif pod is None and not self.trouble.refused:
            self._had.add(uid)
            self._make_pod(key[0], job)

    def _finish(self, job: Object, kind: str, reason: str) -> None:
        condition = {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": stamp(self._now())}
        job["status"]["conditions"] = [condition]

    def _make_pod(self, namespace: str, job: Object) -> None:
        template = job["spec"]["template"]
        name = f"{job['metadata']['name']}-{job['metadata']['uid'][:5]}"
        metadata = self._new_pod(namespace, name)
        marks = {"batch.kubernetes.io/job-name": job["metadata"]["name"], "job-name": job["metadata"]["name"]}
        metadata["labels"] = {**template.get("metadata", {}).get("labels", {}), **marks}
        metadata["ownerReferences"] = [reference_to(job)]
        status = {"phase": "Pending", "conditions": [], "startTime": stamp(self._now())}
        self._pods[namespace, name] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {**template["spec"]},
            "status": status,
        }

    def _kubelet(self, pod: Object, ready: set[str]) -> None:
        node, status, trouble = pod["spec"].get("nodeName"), pod["status"], self.trouble
        if node not in ready or status["phase"] in ("Succeeded", "Failed"):
            return
        if self._over(status["startTime"], pod["spec"].get("activeDeadlineSeconds")):
            _fail(pod, "DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
        elif node in trouble.waiting:
            waiting = {"reason": trouble.waiting[node], "message": "Back-off pulling image"}
            _contain(pod, {"waiting": waiting})
        elif status["phase"] == "Pending":
            status["phase"] = "Running"
            _contain(pod, {"running": {"startedAt": stamp(self._now())}})
        elif node in trouble.evicted:
            _fail(pod, "Evicted", "The node was low on resource: memory.")
        elif node in trouble.vanishes:
            del self._pods[pod["metadata"]["namespace"], pod["metadata"]["name"]]
        elif node not in trouble.hangs:
            done = self._run(node, pod["spec"]["containers"][0])
            started, finished = (
                stamp(datetime.datetime.fromtimestamp(moment, datetime.UTC)) for moment in (done.started, done.finished)
            )
            terminated = {
                "exitCode": done.exit_code,
                "reason": "Completed" if done.exit_code == 0 else "Error",
                "message": done.message.decode("utf-8", "replace"),
                "startedAt": started,
                "finishedAt": finished,
            }
            status["phase"] = "Succeeded" if done.exit_code == 0 else "Failed"
            _contain(pod, {"terminated": terminated})


def _contain(pod: Object, state: Object) -> None:
    container = pod["spec"]["containers"][0]
    running = {"name": container["name"], "image": container["image"], "imageID": container["image"]}
    pod["status"]["containerStatuses"] = [{**running, "ready": "running" in state, "restartCount": 0, "state": state}]


def _fail(pod: Object, reason: str, message: str) -> None:
    pod["status"] |= {"phase": "Failed", "reason": reason, "message": message}
    pod["status"].pop("containerStatuses", None)


def _is_of(pod: Object, job: Object) -> bool:
    return any(owner["uid"] == job["metadata"]["uid"] for owner in pod["metadata"].get("ownerReferences", []))
