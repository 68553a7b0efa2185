# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One node's reinstall as its steps see it: the options, the ledger, the node and its peers."""

from __future__ import annotations

import dataclasses
import datetime as dt
import multiprocessing
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..actions import TalosAction, Target
from ..evidence import files
from ..problem import Problem
from ..rollout.cluster_lock import ClusterLock
from ..rollout.errors import LockHeld
from ..rollout.ledger import CLUSTER_LOCK, CONTROL_PLANE_LOCK, FLEET, ROLLOUT_LOCK, Ledger
from ..rollout.owner import Owner, is_gone, of_process
from ..talos import fleet
from ..talos.client import NodeClient, connect_maintenance
from ..talos.errors import TalosError
from ..waiting import poll

#: How long a lock holds without being renewed: longer than any single question to a fleet takes.
LEASE = dt.timedelta(minutes=30)
#: How long the lock of a control plane in the directory names its controller; without one it waits for the next.
CONTROL_PLANE_TIME = dt.timedelta(hours=2)
#: A lock is renewed when it has less than this left.
_RENEW = LEASE * 2 / 3
#: How soon a renewal that failed is tried again, in seconds.
_PATIENCE = 60.0
ROLLOUT_LEASE = "talosops-selinux-rollout"
CONTROL_PLANE_LEASE = "talosops-selinux-control-plane"

#: The ledger's file in the rollout's directory.
LEDGER = "ledger.jsonl"

V = TypeVar("V")


class StepProblem(Problem):
    """A step cannot be taken, or did not have its effect."""

    kind = "step"


class NotKnown(Problem):
    """Whether a step had its effect cannot be told; it stays open."""

    kind = "not_known"


class Work:
    """What the steps of one node share; made anew by every task, since facts pass by the ledger alone."""

    def __init__(self, action: TalosAction, host: str | None = None) -> None:
        self.action = action
        self.params: Mapping[str, Any] = action.params
        self.host = host or action.host
        self.ledger = Ledger(self.directory / LEDGER, owner=str(_controller(self.host)))
        #: What earlier steps left, whether this one may already have had its effect, and how far its writes came.
        self.facts: dict[str, Any] = {}
        self.look_first = False
        self.again = False
        self.failed_before = False
        #: Whether the step changed the node or the cluster.
        self.changed = False
        #: How the last attempt failed.
        self.failure: dict[str, Any] | None = None
        self.writes: dict[str, str] = {}
        self._again_at = 0.0

    # -- where things are ---------------------------------------------------------------------------------------

    @property
    def directory(self) -> Path:
        """The rollout's directory."""
        return Path(self.params["directory"])

    @property
    def control_plane(self) -> bool:
        """Whether the node is a control plane, by its evidence."""
        return bool(self.facts.get("machine_type") == "controlplane")

    @property
    def address(self) -> str:
        """Where the node is reached now."""
        return self.where().address

    def where(self, address: str | None = None) -> Target:
        """The way to the node, or with its settings to another ``address``.

        Where endpoints are used, a control plane's other members are endpoints too, and the control plane itself is
        none: once it is wiped it forwards nothing.
        """
        target = self.action.target(self.host, address=address)
        peers = [peer["address"] for peer in self.facts.get("peers") or ()]
        if target.route == "direct" or not peers:
            return target
        own = self.action.target(self.host).address
        endpoints = [*peers, *(endpoint for endpoint in target.context.endpoints if endpoint not in (own, *peers))]
        return dataclasses.replace(target, context=dataclasses.replace(target.context, endpoints=endpoints))

    @property
    def node_name(self) -> str:
        """The node's name in Kubernetes, by its evidence."""
        return str(self.facts["hostname"])

    def judged(self) -> dict[str, Any]:
        """The evidence that the verdict was given for, as it was saved then.

        Raises:
            EvidenceProblem: it cannot be read, or another document lies in its place.
        """
        return files.document_of({"path": self.facts["evidence"], "sha256": self.facts["evidence_sha256"]})

    # -- asking -------------------------------------------------------------------------------------------------

    def ask(self, question: Callable[[NodeClient], Awaitable[V]], target: Target | None = None) -> V:
        """Ask the node, or another ``target``, over mutual TLS.

        Raises:
            TalosError: no answer.
        """
        return self.action.ask(question, target or self.where())

    def ask_maintenance(self, question: Callable[[NodeClient], Awaitable[V]], *, fingerprint: str | None = None) -> V:
        """Ask the machine at the node's address in maintenance mode; without a fingerprint nobody vouches for it.

        Raises:
            TalosError: no answer.
        """
        client = connect_maintenance(
            self.address, fingerprints=[fingerprint] if fingerprint else [], trust_unverified=fingerprint is None
        )

        async def visit() -> V:
            async with client:
                return await question(client)

        return fleet.run(visit())

    def wait(self, look: Callable[[], V], done: Callable[[V], bool], *, timeout: float, waiting_for: str, do: str) -> V:
        """Look again and again until ``done``, holding the rollout's lock all the while.

        Raises:
            NotYet: the time is over.
        """

        def held() -> V:
            self.hold_cluster()
            return look()

        return poll(
            held,
            done,
            timeout=timeout,
            sleep=self.params["poll_seconds"],
            waiting_for=waiting_for,
            do=do,
            patient_with=(TalosError,),
        )

    # -- locks --------------------------------------------------------------------------------------------------

    def cluster_lock(self, name: str, holder: str) -> ClusterLock:
        """A lock that every controller of the cluster sees."""
        return ClusterLock(self.params["kubeconfig"], self.params["kube_context"], name, holder)

    def control_plane_lease(self, holder: str) -> ClusterLock:
        """The lock of the control planes in the cluster; ``holder`` as of :func:`in_flight`."""
        return control_plane_lease(self.params["kubeconfig"], self.params["kube_context"], holder)

    def hold(self, *, take_over: str | None = None) -> None:
        """Take the rollout's lock in its directory, or renew it when a third of its time is over.

        Args:
            take_over: a person's reason to take it from a controller that does not come back.

        Raises:
            LockHeld: somebody else has it.
        """
        lock, left = self._ours(ROLLOUT_LOCK)
        if lock is None:
            self._refuse_renewed(take_over)
        self.ledger.run = lock["run"] if lock else uuid.uuid4().hex[:12]
        if not _holds_for_now(left):
            self._acquire(ROLLOUT_LOCK, take_over)

    def hold_cluster(self, *, take_over: str | None = None, sure: bool = False) -> None:
        """Hold the rollout's lock, and take or renew the one in the cluster, without which nothing there is changed.

        While a control plane is away its API may be too, so a lock that cannot be renewed fails only when it runs out.

        Args:
            sure: ask the cluster however long the lock still holds: somebody may have taken it over, and the kubeconfig
                may lead to another cluster by now.

        Raises:
            LockHeld: somebody else has one of them.
            ClusterProblem: the Kubernetes API gave no answer.
        """
        self.hold(take_over=take_over)
        lock, left = self._ours(CLUSTER_LOCK)
        still = dt.timedelta() < left <= LEASE
        if not sure and (_holds_for_now(left) or (still and time.monotonic() < self._again_at)):
            return
        about = str(self.directory.absolute())
        try:
            self.cluster_lock(ROLLOUT_LEASE, self.ledger.owner).acquire(LEASE, take_over=take_over, about=about)
        except LockHeld:
            raise
        except Problem:
            if sure or not still:
                raise
            self._again_at = time.monotonic() + _PATIENCE
            return
        if not _holds_for_now(left):
            self._acquire(CLUSTER_LOCK, "the Lease in the cluster is ours" if lock is None else None)

    def _refuse_renewed(self, take_over: str | None) -> None:
        """Return unless the lock in the directory is over by this clock only, which may be ahead.

        Raises:
            LockHeld: its controller still holds the lock in the cluster, by the API server's clock.
            ClusterProblem: the Kubernetes API gave no answer.
        """
        other = self.ledger.lock(ROLLOUT_LOCK)
        over = other is not None and dt.datetime.fromisoformat(other["expires"]) <= dt.datetime.now(dt.UTC)
        if other and over and self.params.get("kubeconfig") and not (is_gone(other["owner"]) or take_over):
            self.cluster_lock(ROLLOUT_LEASE, self.ledger.owner).check()

    def let_go(self) -> None:
        """Release the rollout's locks, as far as they are ours."""
        try:
            if self._ours(CLUSTER_LOCK)[0]:
                self.cluster_lock(ROLLOUT_LEASE, self.ledger.owner).release()
                self.ledger.release(CLUSTER_LOCK, FLEET, self.ledger.owner)
        finally:
            if self._ours(ROLLOUT_LOCK)[0]:
                self.ledger.release(ROLLOUT_LOCK, FLEET, self.ledger.owner)

    def _ours(self, kind: str) -> tuple[dict[str, Any] | None, dt.timedelta]:
        """A lock that this controller holds, and how long still; None when it does not."""
        lock = self.ledger.lock(kind)
        if lock is None or lock["owner"] != self.ledger.owner:
            return None, dt.timedelta()
        return lock, dt.datetime.fromisoformat(lock["expires"]) - dt.datetime.now(dt.UTC)

    def _acquire(self, kind: str, take_over: str | None) -> None:
        self.ledger.acquire(kind, FLEET, self.ledger.owner, dt.datetime.now(dt.UTC) + LEASE, take_over=take_over)

    def take_control_plane_lock(self) -> None:
        """Take the lock that keeps a second control plane from being away, for this node.

        Raises:
            LockHeld: another control plane has it.
        """
        lock = self.ledger.lock(CONTROL_PLANE_LOCK)
        resumed = lock is not None and lock["node"] == self.host
        self.ledger.acquire(
            CONTROL_PLANE_LOCK,
            self.host,
            self.ledger.owner,
            dt.datetime.now(dt.UTC) + CONTROL_PLANE_TIME,
            take_over="whoever holds the rollout resumes its nodes" if resumed else None,
        )

    def release_control_plane_lock(self) -> None:
        """Release the control plane's lock, in the directory and in the cluster, if it is held for this node."""
        lock = self.ledger.lock(CONTROL_PLANE_LOCK)
        if lock is not None and lock["node"] == self.host:
            if self.facts.get("uuid") and self.params.get("kubeconfig"):
                self.control_plane_lease(in_flight(self.host, self.facts["uuid"])).release()
            self.ledger.release(CONTROL_PLANE_LOCK, self.host, lock["owner"])


def _holds_for_now(left: dt.timedelta) -> bool:
    """Whether a lock needs no renewal yet. More time than any lock is given is what a clock that was set back shows."""
    return _RENEW < left <= LEASE


def _controller(host: str) -> Owner:
    """The process that lives as long as the playbook; Ansible runs each task in a child of it.

    Raises:
        StepProblem: it has ended. A lock taken in its name, or in that of what adopted this task, would look held for
            as long as it has time left.
    """
    started_by, owner = multiprocessing.parent_process(), of_process(os.getppid())
    # One that is just ending keeps its children for a moment, but shows no start time, by which others would find that
    # it is gone; where there is no /proc, nobody shows one.
    ending = not owner.start and bool(of_process(os.getpid()).start)
    if ending or (started_by is not None and started_by.pid != owner.pid):
        raise StepProblem(
            f"the playbook that was to take {host} further has ended",
            "nobody would take up what this task does",
            "run the rollout again; it goes on from its ledger",
            node=host,
        )
    return owner


def control_plane_lease(kubeconfig: str, context: str | None, holder: str) -> ClusterLock:
    """The lock that is held in the cluster for a control plane from its reset until it is known to be back."""
    return ClusterLock(kubeconfig, context, CONTROL_PLANE_LEASE, holder, lasting=True)


def in_flight(host: str, uuid: str) -> str:
    """The holder of the cluster's control plane lock: the machine that is away, whoever took it away."""
    return f"{host} ({uuid})"
