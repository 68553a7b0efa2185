# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines that the operator took out of the fleet: named one by one, with a ticket, and shown in every report.

A machine is retired by its UUID. A name may be another machine's by now, and silence alone retires nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..evidence.identity import doubts_of, spelled
from ..problem import Problem


class RetirementProblem(Problem):
    """What is said of a retired machine cannot be used."""

    kind = "retirement"


@dataclass(frozen=True)
class Retirement:
    """One machine that is out of the fleet since a day (``YYYY-MM-DD``)."""

    uuid: str
    since: str
    ticket: str
    reason: str

    @property
    def machine(self) -> str:
        """The UUID in the spelling by which machines are compared."""
        return spelled("uuid", self.uuid)

    @property
    def text(self) -> str:
        """The same in a line."""
        return shown(self.as_dict())

    def as_dict(self) -> dict[str, str]:
        """``{uuid, since, ticket, reason}``."""
        return {"uuid": self.uuid, "since": self.since, "ticket": self.ticket, "reason": self.reason}


def shown(entry: Mapping[str, str]) -> str:
    """What ``as_dict`` gave, in a line."""
    return f"retired since {entry['since']} ({entry['ticket']}): {entry['reason']}"


def read_retirements(given: Iterable[Mapping[str, Any]]) -> tuple[Retirement, ...]:
    """What an operator listed, each ``{uuid, since, ticket, reason}``.

    Raises:
        RetirementProblem: one is incomplete, or does not tell which machine it is about.
    """
    found = tuple(
        Retirement(**{key: str(entry[key]).strip() for key in ("uuid", "since", "ticket", "reason")}) for entry in given
    )
    known: set[str] = set()
    for one in found:
        why = _why_not(one) or ("it stands there twice" if one.machine in known else None)
        if why is not None:
            raise RetirementProblem(
                f"the retired machine {one.uuid or 'without a UUID'} cannot be used: {why}",
                "a machine that is excused by mistake is never looked for again",
                "name it by the UUID that an earlier report has of it, with the day, the ticket and the reason",
            )
        known.add(one.machine)
    return found


def _why_not(one: Retirement) -> str | None:
    doubts = doubts_of(one.uuid, None)
    if doubts:
        return doubts[0]
    if not one.ticket or not one.reason:
        return "it has no ticket, or no reason"
    try:
        day = dt.date.fromisoformat(one.since).isoformat()
    except ValueError:
        day = None
    return None if day == one.since else f"{one.since!r} is no day as YYYY-MM-DD"


def in_force(retirements: Iterable[Retirement], now: dt.datetime) -> dict[str, Retirement]:
    """Those whose day has come, by machine."""
    today = now.astimezone(dt.UTC).date()
    return {one.machine: one for one in retirements if dt.date.fromisoformat(one.since) <= today}
