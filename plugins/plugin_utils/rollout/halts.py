# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Halts: entries of a ledger by which anyone stops its rollout, and which only a recorded decision lifts.

A halt and the entry before a write go through the same file lock, so whoever recorded a halt knows that no write to a
node that was not wiped follows it. A node that was wiped, or may have been, is carried on to its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .errors import LedgerProblem
from .state import LedgerState, NodeState


class Halted(LedgerProblem):
    """Somebody halted the rollout, and nobody lifted that yet."""

    kind = "halted"


class HaltRefused(LedgerProblem):
    """A halt that says nothing, halts nothing, or is to be lifted and does not stand."""

    kind = "halt_refused"


def halt_line(halt: Mapping[str, Any]) -> str:
    """A halt (``{number, reason, who, at}``) in words."""
    return f"halt {halt['number']} by {halt['who']} at {halt['at'][:19]}Z: {halt['reason']}"


def halted(what: str, halts: Sequence[Mapping[str, Any]]) -> Halted:
    """The problem of something that may not start while halts stand."""
    numbers = [halt["number"] for halt in halts]
    return Halted(
        f"{what} is refused, as the rollout is halted ({'; '.join(halt_line(halt) for halt in halts)})",
        "whoever halted it saw something that the rollout itself does not look at",
        f"find out what it was; then lift {', '.join(map(str, numbers))} with a reason (rollout_halt with the state"
        " lifted), and run the rollout again",
        halts=numbers,
    )


def refuse_halted(node: str, step: str, known: NodeState, state: LedgerState) -> None:
    """Return unless a halt keeps a node from a step.

    Raises:
        Halted: one stands, and the node was certainly not wiped.
    """
    if state.halts and not known.may_be_wiped:
        raise halted(f"step {step} of {node}", state.halts)


def stands(state: LedgerState, reason: str, who: str) -> bool:
    """Whether the same halt stands already."""
    return any((halt["reason"], halt["who"]) == (reason, who) for halt in state.halts)


def halt_entry(state: LedgerState, reason: str, who: str) -> dict[str, Any]:
    """The entry of a halt.

    Raises:
        HaltRefused: no reason or name, or a ledger without an entry.
    """
    _refuse_silence(reason, who)
    if not state.entries:
        raise HaltRefused(
            f"there is no rollout in {state.path}",
            "a halt that nobody reads stops nothing",
            "give the directory of the rollout, on the host where its ledger is",
            file=state.path,
        )
    return {"kind": "halt", "reason": reason, "who": who}


def lift_entry(state: LedgerState, numbers: Sequence[int], reason: str, who: str) -> dict[str, Any]:
    """The entry that lifts halts by their numbers, so that none is lifted that nobody looked at.

    Raises:
        HaltRefused: no number, reason or name, or one of the halts does not stand.
    """
    _refuse_silence(reason, who)
    standing = [halt["number"] for halt in state.halts]
    unknown = sorted(set(numbers) - set(standing))
    if unknown or not numbers:
        raise HaltRefused(
            (f"halt {', '.join(map(str, unknown))} does not stand" if unknown else "no halt was named")
            + f" in {state.path}; those that do: {', '.join(map(halt_line, state.halts)) or 'none'}",
            "only what somebody looked at may be lifted",
            "give the numbers of halts that stand",
            halts=standing,
        )
    return {"kind": "lift", "halts": sorted(set(numbers)), "reason": reason, "who": who}


def _refuse_silence(reason: str, who: str) -> None:
    if not reason.strip() or not who.strip():
        raise HaltRefused(
            "it is not said " + ("why" if not reason.strip() else "by whom"),
            "whoever finds the rollout halted, or going on, has to know whom to ask and what about",
            "give a reason and a name (halt_reason and halt_who in the playbook)",
        )
