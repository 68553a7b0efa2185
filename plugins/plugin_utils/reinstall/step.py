# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Take one step: open its entry, act, and close the entry with what was learned, in one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..problem import Problem
from ..rollout.halts import Halted
from ..rollout.state import DID_NOT, UNKNOWN, NodeState, next_step
from ..rollout.steps import BY_NAME, DISRUPTIVE, FIRST_CHANGE, STEP_NAMES
from . import after, before, install, wipe
from .away import require_nobody_away
from .work import NotKnown, StepProblem, Work

Act = Callable[[Work], dict[str, Any]]
#: What each step does. It looks first where it may already have had its effect, and verifies by effect.
ACTS: Mapping[str, Act] = {
    "verify": before.verify,
    "gate": before.gate,
    "save": before.save,
    "drain": before.drain_node,
    "reset": wipe.reset,
    "boot": wipe.boot,
    "identify": wipe.identify,
    "apply": install.apply,
    "install": install.install,
    "prove": after.prove_node,
    "rejoin": after.rejoin,
    "soak": after.soak,
}


def take(work: Work, name: str) -> dict[str, Any]:
    """Take the step ``name``, unless it is done.

    Returns:
        ``{step, taken, facts, changed}``; ``facts`` are what it left in the ledger, ``changed`` whether it changed the
        node or the cluster.

    Raises:
        Problem: it failed. The ledger says so, or says that its effect is not known.
    """
    known = work.ledger.node(work.host)
    # What takes a node away rests on what the cluster says now of who may, and not on what it said a while ago.
    work.hold_cluster(sure=name in DISRUPTIVE and name not in known.done and not known.may_be_wiped)
    if name == STEP_NAMES[0] and known.unfinished and not known.may_be_wiped:
        # Evidence and verdict of an operation that was stopped before its wipe are made anew.
        start_over(work, "it was stopped before anything was wiped")
        known = work.ledger.node(work.host)
    if name in known.done and not known.complete:
        return {"step": name, "taken": False, "facts": known.results.get(name, {}), "changed": False}
    facts = _take(work, name, known)
    return {"step": name, "taken": True, "facts": facts, "changed": work.changed}


def _take(work: Work, name: str, known: NodeState) -> dict[str, Any]:
    work.facts = known.facts
    following = next_step(known)
    if following is not None:
        work.look_first, work.failed_before = following.look_first, following.failed_before
        work.again = following.interrupted or following.failed_before
    try:
        _begin(work, name, known)
    except Halted:
        # No failure of the node's.
        raise
    except Problem as problem:
        work.ledger.fail(work.host, name, wave=work.params["wave"], **_told(problem))
        raise
    work.writes, work.failure = dict(known.writes), known.failure
    try:
        facts = _act(work, name)
    except Halted:
        raise
    except NotKnown as problem:
        work.ledger.look(work.host, name, UNKNOWN, **_told(problem))
        raise
    except Problem as problem:
        _failed(work, name, problem)
        raise
    except Exception as error:
        # Whatever it was, the node has failed here and a person must read of it.
        strange = StepProblem(
            f"the step {name} of {work.host} ended with an unexpected {type(error).__name__}",
            "it is not known how far it came",
            "run the rollout again, which looks before it acts; report this if it happens again",
            node=work.host,
        )
        _failed(work, name, strange)
        raise strange from error
    work.ledger.finish(work.host, name, "done", **facts)
    if name == STEP_NAMES[-1]:
        work.release_control_plane_lock()
    return facts


def _begin(work: Work, name: str, known: NodeState) -> None:
    """Open the step's entry, once nobody else is away and the locks that it needs are held."""
    if name == FIRST_CHANGE and work.control_plane:
        work.take_control_plane_lock()
    if name in DISRUPTIVE and not known.may_be_wiped:
        require_nobody_away(work)
    machine_type = work.facts.get("machine_type") or known.machine_type
    work.ledger.begin(work.host, name, wave=work.params["wave"], machine_type=machine_type)


def _act(work: Work, name: str) -> dict[str, Any]:
    """Do what the step does, with all facts that its row in the table asks for and no others left."""
    step = BY_NAME[name]
    missing = [fact for fact in step.needs if fact not in work.facts]
    if missing:
        raise StepProblem(
            f"the ledger does not know {', '.join(missing)} of {work.host}",
            f"the step {name} goes by what earlier steps recorded",
            "look at the node and close its operation in the ledger with a reason; then run the rollout again",
            node=work.host,
        )
    facts = ACTS[name](work)
    unexpected = set(facts) - set(step.leaves)
    if unexpected:
        raise AssertionError(f"the step {name} leaves {unexpected}, which its row in steps.py does not name")
    return facts


def _failed(work: Work, name: str, problem: Problem) -> None:
    # A step that found an earlier one to be without effect is closed already.
    if work.ledger.node(work.host).open == name:
        work.ledger.finish(work.host, name, "failed", **_told(problem))


def _told(problem: Problem) -> dict[str, str]:
    return {"kind": problem.kind, "found": problem.found, "why": problem.why, "do": problem.do}


def release(work: Work) -> bool:
    """Leave a node that was certainly not wiped as it was found: schedulable, and without locks.

    Returns:
        Whether the node was uncordoned. Nothing is done for a node that may have been wiped.

    Raises:
        Problem: it could not be undone; the ledger still says what was begun.
    """
    known = work.ledger.node(work.host)
    if not known.unfinished or known.may_be_wiped:
        return False
    work.facts = known.facts
    undone = FIRST_CHANGE in known.writes and before.undo_drain(work)
    if FIRST_CHANGE in known.writes:
        found = "the node was uncordoned again" if undone else "the node has no cordon of the rollout's"
        work.ledger.look(work.host, FIRST_CHANGE, DID_NOT, found=f"{found}, as nothing was wiped")
    work.release_control_plane_lock()
    return undone


def fail_and_release(work: Work, reason: str) -> str:
    """End what failed, and say how the node is left.

    Args:
        reason: what failed, recorded where the step that failed could not do so itself.

    Raises:
        Problem: the node could not be released, or the ledger not be written.
    """
    known = work.ledger.node(work.host)
    if work.ledger.halts() and known.failed is None and not known.may_be_wiped:
        uncordoned = start_over(work, reason)
        return f"{work.host} was not taken further" + (" and is uncordoned again" if uncordoned else "")
    following = next_step(known)
    if known.failed is None and known.doubt is None and following is not None:
        work.ledger.fail(work.host, following.name, wave=work.params["wave"], found=reason)
        known = work.ledger.node(work.host)
    if known.may_be_wiped:
        return (
            f"{work.host} was wiped, or may have been, and stays cordoned: run the rollout again, which goes on with it"
        )
    uncordoned = release(work)
    return f"{work.host} was not wiped" + (" and is uncordoned again" if uncordoned else "")


def start_over(work: Work, reason: str) -> bool:
    """Release a node and close its operation, so that evidence and verdict are made anew; as :func:`release`."""
    undone = release(work)
    work.ledger.restart(work.host, reason)
    return undone
