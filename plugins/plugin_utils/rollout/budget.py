# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet-wide error budget: when to stop touching further nodes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..problem import Problem


class BadBudget(Problem):
    """A number of nodes that is neither a count nor a percentage."""

    kind = "bad_budget"


def number(text: str) -> int | str:
    """What an option says: a count as a number, and anything else, such as a percentage, as it stands."""
    return int(text) if text.isdecimal() else text


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


def exceeded(failed: Iterable[str], canaries: Iterable[str], *, max_failures: int | str = 0, fleet: int) -> str | None:
    """Why no further node may be touched; None while one may.

    Args:
        failed: nodes whose last operation failed, in this run or an earlier one.
        canaries: nodes that are or were canaries (``LedgerState.canaries`` and the plan's).
        max_failures: how many failed nodes are tolerated, a count or a percentage of ``fleet``.
        fleet: how many nodes the rollout is about.
    """
    nodes = sorted(set(failed))
    bad_canaries = sorted(set(canaries) & set(nodes))
    limit = share(max_failures, fleet, "max_failures")
    if bad_canaries:
        return f"the canar{'y' if len(bad_canaries) == 1 else 'ies'} {', '.join(bad_canaries)} failed"
    if len(nodes) > limit:
        return f"{len(nodes)} of {fleet} nodes failed ({', '.join(nodes)}) and at most {limit} may"
    return None
