# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far each machine was told about, so that a source that is killed goes on where it was."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..private_files import NotPrivate, private_directory, write_private
from ..problem import Problem
from ..talos.boots import Look

_UUID = re.compile(r"[0-9A-Fa-f-]{8,64}")
_FACTS: dict[str, Any] = {"mode": str, "kernel_args": (list, type(None)), "talos_version": str}


class CursorProblem(Problem):
    """The state of the event source cannot be read or kept."""

    kind = "event_cursor"


@dataclass(frozen=True)
class Cursor:
    """How far one machine was told about.

    Attributes:
        name: what its boot is called in events: the same for as long as the boot lasts, also where its time moves.
        serial: the last audit serial of ``boot`` that was told about; 0 at the start of a boot.
        facts: ``{mode, kernel_args, talos_version}`` as last seen, for what changes.
        waiting: the serial that was missing near the end of the log at the last visit: it may only be late.
        lost: whether it was said that the node cannot be read.
    """

    uuid: str
    node: str
    boot: Look = field(default_factory=Look)
    name: str = ""
    serial: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    waiting: int | None = None
    lost: bool = False
    seen_at: str | None = None

    def moved(self, **changes: Any) -> Cursor:
        """The same machine, further on."""
        return replace(self, **changes)


class Cursors:
    """The cursors of all machines, a file for each, replaced in one step.

    Args:
        directory: made when missing, readable by its owner only.

    Raises:
        CursorProblem: it cannot be used.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            private_directory(directory)
            self._known = {cursor.uuid: cursor for path in directory.glob("*.json") for cursor in [_read(path)]}
        except (OSError, NotPrivate) as error:
            raise _unusable(directory, reason_of(error)) from error
        #: Whether an earlier run left any: in the very first run no node is new.
        self.first_run = not self._known

    def of_machine(self, uuid: str) -> Cursor | None:
        """The cursor of a machine, or None for one that was never seen."""
        return self._known.get(uuid.lower())

    def of_node(self, node: str) -> Cursor | None:
        """The cursor of the machine that was last seen under a name, for when the node does not answer."""
        # A list first: another thread may be keeping one.
        found = [cursor for cursor in list(self._known.values()) if cursor.node == node]
        return max(found, key=lambda cursor: cursor.seen_at or "", default=None)

    def keep(self, cursor: Cursor) -> None:
        """Write a cursor down; after this nothing before it is told again.

        Raises:
            CursorProblem: it cannot be written.
        """
        try:
            data = json.dumps({**asdict(cursor), "boot": cursor.boot.as_dict()}).encode()
            write_private(self._directory / f"{cursor.uuid}.json", data)
        except (OSError, NotPrivate) as error:
            raise _unusable(self._directory, reason_of(error)) from error
        self._known[cursor.uuid] = cursor


def machine_uuid(value: Any) -> str | None:
    """A machine's UUID, as a cursor has it and as a file may be named; None for anything else."""
    return value.lower() if isinstance(value, str) and _UUID.fullmatch(value) else None


def _read(path: Path) -> Cursor:
    """The cursor of a file; it is named after its machine, so that a copy under another name is not taken for one."""
    try:
        data = json.loads(path.read_bytes())
        cursor = Cursor(**{**data, "boot": Look.of(data["boot"])})
        sound = isinstance(data["boot"], dict) and _is_sound(cursor) and path.stem == cursor.uuid
    except (ValueError, KeyError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise _unusable(path, "it is not the cursor of the machine that it is named after")
    return cursor


def _is_sound(cursor: Cursor) -> bool:
    facts = cursor.facts
    return (
        machine_uuid(cursor.uuid) == cursor.uuid
        and all(isinstance(text, str) for text in (cursor.node, cursor.name))
        and _is_number(cursor.serial)
        and (cursor.waiting is None or _is_number(cursor.waiting))
        and isinstance(cursor.lost, bool)
        and isinstance(cursor.seen_at, (str, type(None)))
        and isinstance(facts, dict)
        and set(facts) == set(_FACTS)
        and all(isinstance(facts[key], kind) for key, kind in _FACTS.items())
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def reason_of(error: OSError | NotPrivate) -> str:
    """Why a file or directory of the event source cannot be used, as a clause."""
    return error.found if isinstance(error, NotPrivate) else str(error.strerror)


def _unusable(path: Path, why: str) -> CursorProblem:
    return CursorProblem(
        f"the state of the event source {path} cannot be used: {why}",
        "without it events would be lost or reported twice",
        "make the directory writable, or move the damaged file away and accept that its node is reported anew",
    )
