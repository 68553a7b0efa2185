# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet-wide error budget: when to stop touching further nodes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..problem import Problem


class RolloutHalted(Problem):
    """Too many nodes failed, or a canary did: no further node may be touched."""

    kind = "rollout_halted"


class BadBudget(Problem):
    """A number of nodes that is neither a count nor a percentage."""

    kind = "bad_budget"


def share(value: int | str, of: int, name: str) -> int:
    """A count of nodes: an integer as it is, ``"25%"`` of ``of`` rounded down (a budget is never exceeded by rounding).

    Raises:
        BadBudget: for anything else, negative numbers and more than 100%.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return int(value)
    match = re.fullmatch(r"\s*(\d{1,6})\s*(%?)\s*", value, re.ASCII) if isinstance(value, str) else None
    if match and match[2] and int(match[1]) <= 100:
        return of * int(match[1]) // 100
    if match and not match[2]:
        return int(match[1])
    raise BadBudget(
        f"{name} is {value!r}",
        "it must be a number of nodes or a percentage from 0% to 100%",
        f"set {name} to something like 1 or 25%",
    )


def assess(
    failed: Iterable[str],
    canaries: Iterable[str],
    *,
    max_failures: int | str = 0,
    fleet: int,
    retrying: str | None = None,
) -> dict[str, Any]:
    """Whether the rollout must stop.

    Args:
        failed: nodes whose last operation failed, in this run or an earlier one (``LedgerState.failed``).
        canaries: nodes that are or were canaries (``LedgerState.canaries`` and the plan's).
        max_failures: how many failed nodes are tolerated, a count or a percentage of ``fleet``.
        fleet: how many nodes the rollout is about.
        retrying: a failed node that is being tried again; its own failure does not stop its own retry.

    Returns:
        ``{halted: bool, reason: str|None, failures: int, limit: int, failed: [str], failed_canaries: [str]}``
    """
    nodes = sorted(set(failed) - {retrying})
    bad_canaries = sorted(set(canaries) & set(nodes))
    limit = share(max_failures, fleet, "max_failures")
    reason = None
    if bad_canaries:
        reason = f"the canary {', '.join(bad_canaries)} failed"
    elif len(nodes) > limit:
        reason = f"{len(nodes)} of {fleet} nodes failed ({', '.join(nodes)}) and at most {limit} may"
    return {
        "halted": reason is not None,
        "reason": reason,
        "failures": len(nodes),
        "limit": limit,
        "failed": nodes,
        "failed_canaries": bad_canaries,
    }


def check(
    failed: Iterable[str],
    canaries: Iterable[str],
    *,
    max_failures: int | str = 0,
    fleet: int,
    retrying: str | None = None,
) -> None:
    """Return when a further node may be touched.

    Raises:
        RolloutHalted: otherwise; see ``assess``.
    """
    answer = assess(failed, canaries, max_failures=max_failures, fleet=fleet, retrying=retrying)
    if answer["halted"]:
        raise RolloutHalted(
            answer["reason"],
            "what broke these nodes would probably break the next one",
            "repair the failed nodes and run again (they are resumed first), or close them in the ledger with a reason",
            failed=answer["failed"],
            limit=answer["limit"],
        )
