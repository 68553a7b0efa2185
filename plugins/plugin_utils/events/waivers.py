# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The waivers of a fleet, watched beside its nodes: one that expires is drift, as in a compliance report."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..compliance.drift import expired_waivers
from ..compliance.results import waiver_rows
from ..gate.errors import WaiverProblem
from ..gate.waiver_files import load_waivers
from ..operator_files import FileProblem
from ..private_files import NotPrivate, write_private
from .cursor import CursorProblem, reason_of
from .event import Event, event

_FLEET = {"node": None, "uuid": None, "boot": None}


class WaiverWatch:
    """The waivers of one file, compared with how they stood when they were last looked at.

    Args:
        path: the operator's file of waivers.
        state: the directory of the event source, in which that is kept.

    Raises:
        WaiverProblem, FileProblem: the file cannot be used.
        CursorProblem: what was kept cannot be read.
    """

    def __init__(self, path: str | Path, state: Path) -> None:
        self._path, self._kept = path, state / "waivers"
        load_waivers(path)
        try:
            self._last: list[dict[str, Any]] = json.loads(self._kept.read_bytes()) if self._kept.exists() else []
            sound = all(isinstance(row["id"], str) and isinstance(row["in_force"], bool) for row in self._last)
        except OSError as error:
            raise _unusable(self._kept, reason_of(error)) from error
        except (ValueError, KeyError, TypeError, RecursionError):
            sound = False
        if not sound:
            raise _unusable(self._kept, "it is not what was kept there")
        self._unread = False

    def look(self, now: dt.datetime) -> tuple[list[Event], Callable[[], None]]:
        """What happened to the waivers since the last look, and what to call once all of it was taken.

        A file that cannot be read any more is said once, until it can.
        """
        try:
            rows = waiver_rows(load_waivers(self._path), now)
        except (WaiverProblem, FileProblem) as problem:
            told = {"drift": None, "found": problem.found, "do": problem.do}
            events = [] if self._unread else [event("evidence_lost", _FLEET, problem.found, told)]
            return events, lambda: setattr(self, "_unread", True)
        ends = {row["id"]: row["expires"] for row in rows}
        events = [
            event(
                "drift",
                _FLEET,
                # One that was renewed may expire again.
                (item["before"], ends[item["before"]]),
                {key: item[key] for key in ("found", "before", "after", "do")} | {"drift": item["kind"]},
            )
            for item in expired_waivers(self._last, rows)
        ]
        return events, lambda: self._keep(rows)

    def _keep(self, rows: list[dict[str, Any]]) -> None:
        self._unread = False
        if rows == self._last:
            return
        try:
            write_private(self._kept, json.dumps(rows).encode())
        except (OSError, NotPrivate) as error:
            raise _unusable(self._kept, reason_of(error)) from error
        self._last = rows


def _unusable(path: Path, why: str) -> CursorProblem:
    return CursorProblem(
        f"what is kept of the waivers in {path} cannot be used: {why}",
        "without it a waiver that expires would be missed, or reported twice",
        "make the directory writable, or move the damaged file away",
    )
