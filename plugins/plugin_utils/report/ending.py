# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a rollout, or its wave, ends: whose turn is over, whether it stops, and why a playbook must fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..rollout import budget
from ..rollout.halts import halt_line
from ..rollout.state import LedgerState


def reached(plan: Mapping[str, Any], state: LedgerState, host: str, after: str) -> list[str]:
    """The nodes whose turn is over.

    Args:
        plan: as ``Plan.as_dict`` gives it.
        host: a host of the wave that ended, where one did.
        after: what ended: ``gate``, ``wave``, ``rollout``, or ``stop`` before the first wave.
    """
    if after in ("gate", "stop"):
        return []
    found: list[str] = []
    for wave in plan["waves"]:
        found += wave["nodes"]
        if after == "wave" and host in wave["nodes"]:
            break
    if state.halts:
        # What a halt kept back, or released, did not fail.
        found = [name for name in found if state.node(name).complete or state.node(name).unfinished]
    return found


def stopped(
    plan: Mapping[str, Any], state: LedgerState, over: Sequence[str], *, after: str, max_failures: int | str
) -> str:
    """Why no further node may be touched; empty when one may.

    Args:
        over: the nodes whose turn is over (:func:`reached`).
    """
    # The failure of an earlier run does not stop the node's own next try.
    ahead = {name for wave in plan["waves"] for name in wave["nodes"]} - set(over) if after == "wave" else set()
    halted = bool(state.halts) and not any(state.node(name).may_be_wiped for name in ahead)
    spent = budget.exceeded(
        [
            *(name for name in state.failed if name not in ahead),
            *(name for name in over if not state.node(name).complete),
        ],
        [*state.canaries, *plan["canaries"]],
        max_failures=max_failures,
        fleet=len(plan["nodes"]),
    )
    return "; ".join([*(halt_line(halt) for halt in state.halts if halted), *filter(None, [spent])])


def failure(after: str, why_stopped: str, model: Mapping[str, Any], over: Sequence[str]) -> str | None:
    """Why the playbook must end with a failure; None when it need not.

    Args:
        why_stopped: see :func:`stopped`.
        model: the report (``model.build_model``).
        over: the nodes whose turn is over (:func:`reached`).
    """
    if after == "gate":
        return None
    if why_stopped:
        return (
            f"The rollout stops: {why_stopped}. Do what the report says and run it again; it goes on from its ledger."
        )
    left = [row["node"] for row in model["nodes"] if row["node"] in over and row["outcome"] != "moved"]
    if after == "rollout" and left:
        return f"{', '.join(left)} did not end moved. Fix what the report says and run the rollout again."
    return None


def unplanned(reason: str, unfinished: Sequence[str]) -> str:
    """What ended a rollout before its first wave, and the nodes that an earlier run left on their way."""
    hosts = ",".join(unfinished)
    waiting = f" An earlier run left {hosts} unfinished: --limit {hosts} goes on without the rest of the fleet."
    return f"The rollout stopped before its first wave: {reason}{waiting if unfinished else ''}"
