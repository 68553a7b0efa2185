# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rollout's memory: append-only JSON lines, each bound to the line before, from which any run resumes.

One entry is written and synced before and after every step, and one before and after every write call within it, so
that whatever kills the controller, the file tells which step of which node was under way and what may have been sent.
Locks that must outlive a process (one control plane in flight) are entries as well, and so is that somebody halted it.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from . import owner as owners
from .errors import LockHeld, held, refused
from .halts import halt_entry, lift_entry, refuse_halted, stands
from .ledger_file import LedgerFile
from .state import ANSWERS, INTENT, SENT, LedgerState, NodeState
from .steps import BY_NAME, DISRUPTIVE, STEP_NAMES, up_to

CONTROL_PLANE_LOCK = "control-plane"
#: Held for the whole fleet by the controller that runs the rollout; its owner is the one the Ledger was made with.
ROLLOUT_LOCK = "rollout"
#: That controller also holds the Lease in the cluster.
CLUSTER_LOCK = "cluster"
FLEET = "*"
OUTCOMES = ("done", "failed")


class Ledger(LedgerFile):
    """A ledger that this process reads and appends to; arguments as of :class:`LedgerFile`."""

    # -- reading ------------------------------------------------------------------------------------------------

    def read(self) -> LedgerState:
        """The whole state, with every link checked.

        Raises:
            LedgerBroken: when a link does not hold.
        """
        return copy.deepcopy(self._read(lambda state: dataclasses.replace(state, lookup=None), whole=True))

    def node(self, node: str) -> NodeState:
        """What is known of one node; all empty for one the ledger does not know."""
        return copy.deepcopy(self._read(lambda state: state.node(node)))

    def state(self, node: str) -> dict[str, Any]:
        """``NodeState.as_dict`` of one node."""
        return self.node(node).as_dict()

    def lock(self, kind: str) -> dict[str, Any] | None:
        """Who holds a lock, as ``{node, owner, since, expires}``; None when nobody does."""
        found = self._read(lambda state: state.locks.get(kind))
        return dict(found) if found else None

    def open_operations(self) -> dict[str, dict[str, Any]]:
        """The nodes whose operation was begun and neither completed nor closed, with their state.

        Those that ``may_be_wiped`` must be resumed, whatever the gate says now. The others are judged anew: call
        ``restart`` before their first step, so that no old verdict is carried on.
        """
        state = self.read()
        return {name: state.nodes[name].as_dict() for name in state.unfinished}

    # -- steps --------------------------------------------------------------------------------------------------

    def begin(self, node: str, step: str, **facts: Any) -> dict[str, Any]:
        """Record that ``step`` starts now; returns the entry once it is on the disk.

        Beginning the open step again is a resumption and is recorded as such. Beginning ``verify`` on a node whose
        operation is complete opens a new operation. ``wave="canary"`` marks a canary. ``machine_type`` (controlplane,
        init or worker) must have been given in this or an earlier entry of the operation before a step changes the
        world: such a step of a control plane demands the control-plane lock.

        Raises:
            StepRefused: out of order, already done, another step of this node is open, or the machine type is
                not known or changed.
            LockHeld: a control plane without its lock, a worker that would start while a control plane is away, or
                another controller that holds the rollout lock.
            Halted: a halt stands, and the node was certainly not wiped.
            SecretRefused, LedgerBroken, LedgerProblem
        """

        def entry(state: LedgerState) -> dict[str, Any]:
            known = state.node(node)
            if known.complete and step == STEP_NAMES[0]:
                known = NodeState()
            self._require_turn(state)
            _refuse_disorder(node, step, known)
            refuse_halted(node, step, known, state)
            self._refuse_without_lock(node, step, {known.machine_type, facts.get("machine_type")} - {None, ""}, state)
            return {"kind": "begin", "node": node, "step": step, "resumed": known.open == step, "facts": facts}

        return self._append(entry, facts, node)

    def intent(self, node: str, step: str, **facts: Any) -> dict[str, Any]:
        """Record that the write of the open step is about to be sent; from here on it may have been.

        Raises:
            StepRefused: when this step is not the open one.
            LockHeld: another controller took the rollout over.
            Halted: a halt stands, and the node was certainly not wiped. Whoever halted the rollout before this entry
                knows that the write was not sent.
            SecretRefused, LedgerBroken, LedgerProblem
        """
        return self._write_call(INTENT, node, step, facts)

    def sent(self, node: str, step: str, **facts: Any) -> dict[str, Any]:
        """Record that the write of the open step was sent, and accepted; errors as of :meth:`intent`."""
        return self._write_call(SENT, node, step, facts)

    def look(self, node: str, step: str, answer: str, **facts: Any) -> dict[str, Any]:
        """Record what a look at the node said about the effect of ``step``.

        ``happened`` changes nothing but the record. ``did_not`` takes back that the step's write may have been sent,
        and puts the operation before that step again. ``unknown`` leaves the step open; ``found`` says why.

        Raises:
            StepRefused: for a step or an answer that does not exist.
            SecretRefused, LedgerBroken, LedgerProblem
        """

        def entry(state: LedgerState) -> dict[str, Any]:
            self._require_turn(state)
            if step not in BY_NAME or answer not in ANSWERS:
                raise refused(node, step, f"there is no such step, or no such answer as {answer!r}")
            return {"kind": "look", "node": node, "step": step, "answer": answer, "facts": facts}

        return self._append(entry, facts, node)

    def finish(self, node: str, step: str, outcome: str, **facts: Any) -> dict[str, Any]:
        """Record how the open ``step`` ended: done or failed.

        Raises:
            StepRefused: when this step is not the open one, or the outcome is neither.
            LockHeld: another controller took the rollout over.
            SecretRefused, LedgerBroken, LedgerProblem
        """

        def entry(state: LedgerState) -> dict[str, Any]:
            self._require_turn(state)
            known = state.node(node)
            if outcome not in OUTCOMES:
                raise refused(node, step, f"{outcome!r} is not an outcome ({', '.join(OUTCOMES)})")
            if known.open != step:
                raise refused(node, step, f"it is not open (open: {known.open or 'none'})")
            return {"kind": "finish", "node": node, "step": step, "outcome": outcome, "facts": facts}

        return self._append(entry, facts, node)

    def fail(self, node: str, step: str, **facts: Any) -> dict[str, Any]:
        """Record that ``step`` failed before it could begin, such as for a lock; ``wave`` as for :meth:`begin`.

        Raises:
            StepRefused: for a step that does not exist.
            LockHeld: another controller took the rollout over.
            SecretRefused, LedgerBroken, LedgerProblem
        """

        def entry(state: LedgerState) -> dict[str, Any]:
            self._require_turn(state)
            if step not in BY_NAME:
                raise refused(node, step, "there is no such step")
            return {"kind": "fail", "node": node, "step": step, "facts": facts}

        return self._append(entry, facts, node)

    def restart(self, node: str, reason: str) -> dict[str, Any] | None:
        """Abort an operation whose reset certainly had no effect, so that evidence and verdict are made anew.

        Returns None when there is nothing to abort.

        Raises:
            StepRefused: once the reset may have been sent: the operation can only go on, or be closed by a person.
        """
        known = self.node(node)
        if not known.unfinished:
            return None
        if known.may_be_wiped:
            raise refused(node, STEP_NAMES[0], "the reset may have been sent, so the operation must go on from there")
        return self.close(node, reason)

    def close(self, node: str, reason: str) -> dict[str, Any]:
        """End a node's operation by decision of a person: its failure no longer counts and nothing resumes it.

        Raises:
            StepRefused: without a reason.
            LockHeld: another controller is at work, perhaps on this node; one that surely ended is none.
        """
        if not reason.strip():
            raise refused(node, "close", "no reason was given")

        def entry(state: LedgerState) -> dict[str, Any]:
            running = state.locks.get(ROLLOUT_LOCK)
            if running and not owners.is_gone(running["owner"]):
                self._require_turn(state)
            return {"kind": "close", "node": node, "facts": {"reason": reason}}

        return self._append(entry, {"reason": reason}, node)

    # -- halts --------------------------------------------------------------------------------------------------

    def halts(self) -> list[dict[str, Any]]:
        """The halts that nobody lifted, as ``{number, reason, who, at}``."""
        return self._read(lambda state: [dict(halt) for halt in state.halts])

    def refuse_halted(self, node: str, step: str) -> None:
        """Return unless a halt keeps the node from going on with a step.

        Raises:
            Halted: one stands, and the node was certainly not wiped.
        """
        self._read(lambda state: refuse_halted(node, step, state.node(node), state))

    def halt(self, reason: str, who: str, *, check: bool = False) -> dict[str, Any] | None:
        """Halt the rollout, whoever holds its lock: no node that was not wiped is taken further.

        Returns the entry, with ``check`` the one that would be written; None when the same halt stands already.

        Raises:
            HaltRefused: without a reason or a name, or where no rollout wrote to the ledger yet.
            SecretRefused, LedgerBroken, LedgerProblem
        """
        facts = {"reason": reason, "who": who}
        # Looked at before anything is opened for writing, which would make a ledger where there is none.
        planned = self._read(lambda state: halt_entry(state, **facts))
        if self._read(lambda state: stands(state, **facts)):
            return None
        return planned if check else self._append(lambda state: halt_entry(state, **facts), facts)

    def lift(self, numbers: Sequence[int], reason: str, who: str, *, check: bool = False) -> dict[str, Any]:
        """Record a person's decision that the halts of these numbers no longer stand; ``check`` as for :meth:`halt`.

        Raises:
            HaltRefused: one of them does not stand, or without numbers, a reason or a name.
            SecretRefused, LedgerBroken, LedgerProblem
        """
        facts = {"reason": reason, "who": who}
        planned = self._read(lambda state: lift_entry(state, numbers, **facts))
        return planned if check else self._append(lambda state: lift_entry(state, numbers, **facts), facts)

    # -- locks --------------------------------------------------------------------------------------------------

    def acquire(
        self, kind: str, node: str, owner: str, expires: datetime, *, take_over: str | None = None
    ) -> dict[str, Any]:
        """Take, or extend, the lock ``kind`` for ``node`` until ``expires``.

        A lock past its time, or of a process that has surely ended, is stale. Its node may be gone half-way, so only an
        operation on the **same** node, or on any node once the old one's operation is complete or closed, takes it
        over; the entry then names the owner before.

        Args:
            take_over: a person's reason to take somebody else's lock over.

        Raises:
            LockHeld: naming the owner, the node and the time.
        """
        if expires.tzinfo is None:
            raise refused(node, kind, "the lock's end carries no time zone")

        def entry(state: LedgerState) -> dict[str, Any]:
            lock = state.locks.get(kind)
            taken_over = None
            if lock and (lock["node"], lock["owner"]) != (node, owner):
                stale = datetime.fromisoformat(lock["expires"]) <= self._now() or owners.is_gone(lock["owner"])
                settled = lock["node"] == node or not state.node(lock["node"]).unfinished
                if not (stale and settled) and not (take_over or "").strip():
                    raise held(kind, lock, self._now())
                taken_over = lock
            return {
                "kind": "acquire",
                "lock": kind,
                "node": node,
                "owner": owner,
                "expires": expires.astimezone(UTC).isoformat(),
                "taken_over_from": taken_over,
                "because": take_over,
            }

        return self._append(entry, {"because": take_over})

    def release(self, kind: str, node: str, owner: str, *, broken_because: str | None = None) -> dict[str, Any] | None:
        """Release the lock; None when nobody holds it.

        Args:
            broken_because: a person's reason to break somebody else's lock.

        Raises:
            LockHeld: when somebody else holds it and no reason to break it was given.
        """
        if self.lock(kind) is None:
            return None

        def entry(state: LedgerState) -> dict[str, Any]:
            lock = state.locks.get(kind)
            if lock and (lock["node"], lock["owner"]) != (node, owner) and not (broken_because or "").strip():
                raise held(kind, lock, self._now())
            return {
                "kind": "release",
                "lock": kind,
                "node": node,
                "owner": owner,
                "broken_because": broken_because,
                "held": lock,
            }

        return self._append(entry, {"broken_because": broken_because})

    # -- inside -------------------------------------------------------------------------------------------------

    def _write_call(self, how: str, node: str, step: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        def entry(state: LedgerState) -> dict[str, Any]:
            self._require_turn(state)
            known = state.node(node)
            if known.open != step:
                raise refused(node, step, f"it is not open (open: {known.open or 'none'})")
            if how == INTENT:
                refuse_halted(node, step, known, state)
            return {"kind": how, "node": node, "step": step, "facts": dict(facts)}

        return self._append(entry, facts, node)

    def _require_turn(self, state: LedgerState) -> None:
        running = state.locks.get(ROLLOUT_LOCK)
        if running and running["owner"] != self.owner and datetime.fromisoformat(running["expires"]) > self._now():
            raise held(ROLLOUT_LOCK, running, self._now())

    def _refuse_without_lock(self, node: str, step: str, machine_types: set[Any], state: LedgerState) -> None:
        if not BY_NAME[step].changes_world and len(machine_types) < 2:
            return
        lock = state.locks.get(CONTROL_PLANE_LOCK)
        if machine_types not in ({"worker"}, {"controlplane"}, {"init"}):
            known = " and ".join(sorted(map(str, machine_types))) or "nothing"
            raise refused(node, step, f"whether it is a control plane is not known (recorded: {known})")
        if machine_types != {"worker"}:
            if lock is None or lock["node"] != node:
                raise LockHeld(
                    f"step {step} of control plane {node} was asked for without the {CONTROL_PLANE_LOCK} lock"
                    + (f", which {owners.shown(lock['owner'])} holds for {lock['node']}" if lock else ""),
                    "two control planes in flight cost etcd its quorum",
                    "acquire the lock for this node first",
                    node=node,
                )
        elif step in DISRUPTIVE and lock is not None:
            raise LockHeld(
                f"step {step} of {node} was asked for while {owners.shown(lock['owner'])} has control plane"
                f" {lock['node']} in flight",
                "nothing else may disappear while a control plane is away",
                "wait until that control plane is back, or finish it first",
                node=node,
                holder=lock["owner"],
            )


def _refuse_disorder(node: str, step: str, known: NodeState) -> None:
    if step not in STEP_NAMES:
        raise refused(node, step, f"there is no such step ({', '.join(STEP_NAMES)})")
    if known.open not in (None, step):
        raise refused(node, step, f"step {known.open} is still open")
    if step in known.done:
        raise refused(node, step, "it is already done")
    missing = [name for name in up_to(step) if name not in known.done]
    if missing:
        raise refused(node, step, f"not done yet: {', '.join(missing)}")
