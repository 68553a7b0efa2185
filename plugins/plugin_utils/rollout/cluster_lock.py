# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lock that every controller of a cluster sees: a Lease of the Kubernetes API.

Kubernetes refuses an update that is not based on the newest version of an object (resourceVersion), so of two
controllers that take one lock at the same moment one is told so. The fields follow k8s.io/api/coordination/v1. Their
times are those of the API server's answers (the header ``Date``), since the clocks of two controllers may differ by
more than a lease.
"""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Callable
from typing import Any

from ..kube import ApiException, date_of, request, request_at, session
from .errors import LockHeld
from .owner import is_gone, shown

NAMESPACE = "kube-system"
_LEASES = ("apis", "coordination.k8s.io", "v1", "namespaces", NAMESPACE, "leases")
_ABOUT = "talosops.selinux/about"
_IDENTITY = "talosops.selinux/identity"
_SECONDS = 15.0
#: How often a write is tried again that somebody else's came before.
_TRIES = 12
#: The clocks of two API servers may differ; a lock is only taken for expired when it surely is.
_CLOCKS = dt.timedelta(seconds=60)


class ClusterLock:
    """One Lease, and who holds it.

    Args:
        kubeconfig, context: the cluster.
        name: the Lease's name in ``kube-system``.
        holder: who takes it; the same holder takes it again.
        lasting: whether it is held for something that does not end with its controller: no time and no end of a
            process makes it free, whatever the Lease says.
    """

    def __init__(self, kubeconfig: str, context: str | None, name: str, holder: str, *, lasting: bool = False) -> None:
        self._kubeconfig, self._context = kubeconfig, context
        self.name, self.holder, self.lasting = name, holder, lasting

    def acquire(
        self,
        lease: dt.timedelta | None,
        *,
        take_over: str | None = None,
        about: str = "",
        identity: str | None = None,
        settled: str | None = None,
    ) -> None:
        """Take or renew the lock.

        Args:
            lease: how long it holds without being renewed; None for one that is lasting.
            take_over: a person's reason to take it from another holder.
            about: what the lock is held for, for people.
            identity: of the node's installation that is wiped under the lock.
            settled: the version of a Lease, as of LockHeld, for which nothing is away any more.

        Raises:
            LockHeld: another holder has it.
            ClusterProblem: the API refuses, or gave no answer.
        """

        def work(client: Any) -> None:
            found, now = self._read(client)
            if found is not None:
                self._refuse(found, now, take_over, settled)
            now = now or dt.datetime.now(dt.UTC)
            spec: dict[str, Any] = dict((found or {}).get("spec") or {})
            ours = spec.get("holderIdentity") == self.holder
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {
                    "name": self.name,
                    "namespace": NAMESPACE,
                    "annotations": {
                        _ABOUT: about,
                        **({_IDENTITY: identity} if identity else {}),
                        **({"talosops.selinux/taken-over": take_over} if take_over else {}),
                    },
                    **({"resourceVersion": found["metadata"]["resourceVersion"]} if found else {}),
                },
                "spec": {
                    "holderIdentity": self.holder,
                    **({"leaseDurationSeconds": int(lease.total_seconds())} if lease else {}),
                    "acquireTime": spec["acquireTime"] if ours else _micro(now),
                    "renewTime": _micro(now),
                    "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (not ours),
                },
            }
            if found is None:
                request(client, "POST", _LEASES, body, timeout=_SECONDS)
            else:
                request(client, "PUT", (*_LEASES, self.name), body, timeout=_SECONDS)

        self._call(work)

    def check(self) -> None:
        """Return when nobody else holds the lock; errors as of :meth:`acquire`."""

        def work(client: Any) -> None:
            found, now = self._read(client)
            if found is not None:
                self._refuse(found, now, None)

        self._call(work)

    def release(self) -> None:
        """Release the lock if it is this holder's.

        Raises:
            ClusterProblem: the API refuses, or gave no answer.
        """

        def work(client: Any) -> None:
            found, _now = self._read(client)
            if found is not None and (found.get("spec") or {}).get("holderIdentity") == self.holder:
                # Bound to the version that was read, so that a lock that somebody took over meanwhile stays.
                body = {"preconditions": {"resourceVersion": found["metadata"]["resourceVersion"]}}
                request(client, "DELETE", (*_LEASES, self.name), body, timeout=_SECONDS)

        self._call(work)

    def _read(self, client: Any) -> tuple[dict[str, Any] | None, dt.datetime | None]:
        """The Lease, None where there is none, and the API server's time, None where it gave none."""
        try:
            return request_at(client, "GET", (*_LEASES, self.name), timeout=_SECONDS)
        except ApiException as error:
            if error.status == 404:
                return None, date_of(error.headers)
            raise

    def _refuse(
        self, found: dict[str, Any], now: dt.datetime | None, take_over: str | None, settled: str | None = None
    ) -> None:
        spec = found.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self.holder) or (take_over or "").strip():
            return
        version, told = found["metadata"]["resourceVersion"], found["metadata"].get("annotations") or {}
        if version == settled:
            return
        context = {"lock": self.name, "owner": holder, "identity": told.get(_IDENTITY), "version": version}
        if self.lasting:
            raise _held_for_good(**context)
        if is_gone(holder):
            return
        renewed, seconds = spec.get("renewTime"), spec.get("leaseDurationSeconds")
        expires = None
        if renewed and seconds:
            expires = dt.datetime.fromisoformat(renewed) + dt.timedelta(seconds=seconds)
            # By whose clock else it is over is not known.
            if now is not None and expires + _CLOCKS <= now:
                return
        about = told.get(_ABOUT)
        raise LockHeld(
            f"{shown(holder)} holds the lock {self.name} of this cluster"
            + (f" for {about}" if about else "")
            + (f", until {expires.isoformat(timespec='seconds')} unless it renews it" if expires else ""),
            "one controller and one control plane at a time keep etcd's quorum and the order of the rollout",
            "wait for it; when that controller is gone for good, take the lock over with a reason",
            **context,
        )

    def _call(self, work: Callable[[Any], None]) -> None:
        """Run ``work`` with the API; of several that write at once, those that lost look again and say who won.

        The nodes of one wave renew the same lock, each from a process of its own, so losing a few times is no sign of
        another controller.
        """
        why = "without its lock two controllers could take nodes of one cluster away"
        with session(self._kubeconfig, self._context, why) as client:
            for number in range(1, _TRIES + 1):
                try:
                    work(client)
                    return
                except ApiException as error:
                    if error.status != 409 or number == _TRIES:
                        raise
                time.sleep(random.uniform(0.02, 0.1 * number))


def _held_for_good(*, lock: str, owner: str, **context: Any) -> LockHeld:
    return LockHeld(
        f"the lock {lock} of this cluster is held for {owner}, which was reset or was about to be, and is not known to"
        " be back",
        "two control planes away at once cost etcd its quorum, however long the first one has been away",
        "bring that machine back with the rollout that reset it; when it never comes back, close its operation: the"
        " module rollout_ledger with state closed, kubeconfig and a reason",
        lock=lock,
        owner=owner,
        **context,
    )


def _micro(moment: dt.datetime) -> str:
    """A time in the form of Kubernetes' MicroTime."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
