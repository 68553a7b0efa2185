# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settle what a rollout that was stopped left of a node, before anything is judged."""

from __future__ import annotations

from ..rollout.ledger import CONTROL_PLANE_LOCK
from ..rollout.state import DID_NOT
from ..rollout.steps import POINT_OF_NO_RETURN
from .away import lease_of
from .looks import look_back
from .step import start_over
from .work import Work


def settle_control_plane(work: Work) -> None:
    """Release the lock of a control plane whose reinstall was complete when the controller ended."""
    lock = work.ledger.lock(CONTROL_PLANE_LOCK)
    if lock is None or not work.action.known(lock["node"]):
        return
    of_node = Work(work.action, lock["node"])
    known = of_node.ledger.node(of_node.host)
    if known.complete:
        of_node.facts = known.facts
        of_node.release_control_plane_lock()


def settle(work: Work) -> bool:
    """Whether the node's reinstall must be resumed; one whose reset certainly had no effect is released instead.

    Raises:
        Problem: it could not be released.
    """
    known = work.ledger.node(work.host)
    if POINT_OF_NO_RETURN in known.done:
        return True
    if known.may_be_wiped:
        work.facts = known.facts
        answer, found = look_back(work)
        if answer != DID_NOT:
            # The step looks again, with all its patience, and says so when it still cannot tell.
            return True
        work.ledger.look(work.host, POINT_OF_NO_RETURN, DID_NOT, found=found)
    start_over(work, "the rollout was stopped before anything was wiped; evidence and verdict are made anew")
    return False


def close(work: Work, reason: str) -> None:
    """End a node's operation by decision of a person, as the one writer, and release its locks; nothing resumes it.

    Raises:
        LockHeld: another controller is at work.
        StepRefused: without a reason.
        Problem: the lock in the cluster could not be released. It and the lock in the directory then hold until the
            operation is closed once more.
    """
    work.hold()
    try:
        work.facts = work.ledger.node(work.host).facts
        lease, lock = lease_of(work), work.ledger.lock(CONTROL_PLANE_LOCK)
        work.ledger.close(work.host, reason)
        if lease is not None:
            lease.release()
        if lock is not None and lock["node"] == work.host:
            work.ledger.release(CONTROL_PLANE_LOCK, work.host, lock["owner"])
    finally:
        work.let_go()
