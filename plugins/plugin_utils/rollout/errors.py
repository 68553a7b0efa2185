# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be wrong with the ledger, its steps and its locks."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from typing import Any

from ..problem import Problem
from .owner import shown


class LedgerProblem(Problem):
    """The ledger cannot be read or written."""

    kind = "ledger"


class LedgerBroken(LedgerProblem):
    """The hash chain does not hold: the file was changed by something else than this program."""

    kind = "ledger_broken"


class StepRefused(LedgerProblem):
    """The step is out of order, already done, or another one is open."""

    kind = "step_refused"


class LockHeld(LedgerProblem):
    """Somebody else holds the lock; the problem names the owner and the node."""

    kind = "lock_held"


class SecretRefused(LedgerProblem):
    """A fact looks like key material; ledgers are read by many people."""

    kind = "secret_refused"


def unusable(path: str | os.PathLike[str], error: OSError) -> LedgerProblem:
    """The problem of a ledger file that the system does not let us use."""
    return LedgerProblem(
        f"the ledger {os.fspath(path)} cannot be used: {error.strerror or error}",
        "no step may start without its entry on the disk",
        "make the directory writable and free space for it",
        file=os.fspath(path),
    )


def refused(node: str, step: str, why: str) -> StepRefused:
    """The problem of a step that may not be taken now."""
    return StepRefused(
        f"step {step} of {node} is refused: {why}",
        "steps run once and in order, so that a run that was killed can go on",
        "resume the rollout; it goes on where the ledger says",
        node=node,
        step=step,
    )


def held(kind: str, lock: Mapping[str, Any], now: dt.datetime) -> LockHeld:
    """The problem of a lock (``{node, owner, since, expires}``) that somebody else holds."""
    stale = dt.datetime.fromisoformat(lock["expires"]) <= now
    return LockHeld(
        f"{shown(lock['owner'])} holds the {kind} lock for {lock['node']}"
        + (f"; it expired at {lock['expires']}" if stale else f" until {lock['expires']}"),
        "its node may be half-way through a reinstall"
        if stale
        else "one controller and one control plane at a time keep etcd's quorum and the order of the rollout",
        f"finish {lock['node']} first (the rollout resumes it), or release the lock with a reason after looking at it"
        if stale
        else "wait for it; when that controller is gone for good, take the lock over with a reason",
        lock=kind,
        owner=lock["owner"],
        node=lock["node"],
        expires=lock["expires"],
        stale=stale,
    )
