# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a ledger says: its entries, replayed into the state of every node and lock."""

from __future__ import annotations

import copy
import datetime as dt
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Self

from ..canonical import canonical_json, parse_json
from .errors import LedgerBroken
from .steps import POINT_OF_NO_RETURN, STEP_NAMES, STEPS, up_to

SCHEMA = 1
GENESIS = "0" * 64
#: What a look at a node can say about a step's effect.
HAPPENED, DID_NOT, UNKNOWN = "happened", "did_not", "unknown"
ANSWERS = (HAPPENED, DID_NOT, UNKNOWN)
#: How far a write call has come: about to be sent, and sent.
INTENT, SENT = "intent", "sent"


Place = tuple[int, int, str]
"""Where a line stands in the ledger: offset, length without the line break, and SHA-256."""


@dataclass
class NodeState:
    """What the ledger knows of one node's current operation.

    ``failure`` is what was told of the last attempt that failed or whose effect is not known (``{found, why, do}``),
    ``results`` holds the facts each step was finished with, ``writes`` how far the write of each step has come
    (``intent`` or ``sent``), ``doubt`` why the open step stays open, ``seq`` the number of the node's last entry and
    ``by`` who wrote it.
    """

    done: list[str] = field(default_factory=list)
    open: str | None = None
    failed: str | None = None
    failure: dict[str, Any] | None = None
    doubt: str | None = None
    attempts: dict[str, int] = field(default_factory=dict)
    writes: dict[str, str] = field(default_factory=dict)
    canary: bool = False
    machine_type: str | None = None
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    seq: int = 0
    started: str | None = None
    updated: str | None = None
    run: str | None = None
    by: str | None = None

    @property
    def complete(self) -> bool:
        """Whether every step is done."""
        return set(STEP_NAMES) <= set(self.done)

    @property
    def unfinished(self) -> bool:
        """Whether something was begun and neither completed nor closed."""
        return bool(self.done or self.open or self.failed) and not self.complete

    @property
    def may_be_wiped(self) -> bool:
        """Whether the reset may have been sent, and no look has shown since that it had no effect."""
        return POINT_OF_NO_RETURN in self.writes or POINT_OF_NO_RETURN in self.done

    @property
    def wiped(self) -> bool:
        """Whether the reset was sent, and no look has shown since that it had no effect."""
        return self.writes.get(POINT_OF_NO_RETURN) == SENT or POINT_OF_NO_RETURN in self.done

    @property
    def facts(self) -> dict[str, Any]:
        """What the steps that are done left for the later ones."""
        found: dict[str, Any] = {}
        for name in STEP_NAMES:
            if name in self.done:
                found.update(self.results.get(name, {}))
        return found

    def stored(self) -> dict[str, Any]:
        """The fields as plain data, from which :meth:`restored` makes the state again."""
        return {one.name: copy.copy(getattr(self, one.name)) for one in fields(self)}

    @classmethod
    def restored(cls, stored: dict[str, Any]) -> Self:
        """The state that ``stored`` was made from."""
        return cls(**stored)

    def as_dict(self) -> dict[str, Any]:
        """The fields, with ``complete``, ``unfinished``, ``may_be_wiped`` and ``wiped``, as plain data."""
        return {
            **self.stored(),
            "complete": self.complete,
            "unfinished": self.unfinished,
            "may_be_wiped": self.may_be_wiped,
            "wiped": self.wiped,
        }


@dataclass(frozen=True)
class NextStep:
    """Where a node goes on.

    ``interrupted``: the step was begun and never finished. ``failed_before``: its last attempt failed.
    """

    name: str
    changes_world: bool
    interrupted: bool
    failed_before: bool

    @property
    def look_first(self) -> bool:
        """Whether the step may already have had its effect."""
        return self.changes_world and (self.interrupted or self.failed_before)


def next_step(known: NodeState) -> NextStep | None:
    """Where the node goes on; None when every step is done."""
    for step in STEPS:
        if step.name not in known.done:
            return NextStep(step.name, step.changes_world, known.open == step.name, known.failed == step.name)
    return None


@dataclass
class LedgerState:
    """A ledger, read from its first line to its last or to the first broken link.

    ``broken_at`` is the line number (from 1) of the first line that does not fit, ``torn`` the number of bytes after
    the last newline: what a crash in the middle of a write leaves behind.
    """

    path: str
    entries: int = 0
    head: str = GENESIS
    broken_at: int | None = None
    broken: str | None = None
    torn: int = 0
    recovered: list[dict[str, Any]] = field(default_factory=list)
    nodes: dict[str, NodeState] = field(default_factory=dict)
    locks: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: The halts that nobody lifted, as ``{number, reason, who, at}``; the number is that of the halt's entry.
    halts: list[dict[str, Any]] = field(default_factory=list)
    #: How many bytes were replayed, and the place of the last line and of each node's last line in them.
    size: int = 0
    last: Place = (0, 0, GENESIS)
    places: dict[str, tuple[int, Place]] = field(default_factory=dict)
    #: Where the state of a node that was not replayed here is found.
    lookup: Callable[[str], NodeState | None] | None = field(default=None, repr=False)

    def node(self, name: str) -> NodeState:
        """The state of one node; all empty for one the ledger does not know."""
        if name not in self.nodes:
            found = self.lookup(name) if self.lookup else None
            if found is None:
                return NodeState()
            self.nodes[name] = found
        return self.nodes[name]

    @property
    def ok(self) -> bool:
        """Whether every link holds."""
        return self.broken_at is None

    @property
    def failed(self) -> list[str]:
        """The nodes whose operation stands at a failed step."""
        return sorted(name for name, node in self.nodes.items() if node.failed)

    @property
    def canaries(self) -> list[str]:
        """The nodes that were the canary of their operation."""
        return sorted(name for name, node in self.nodes.items() if node.canary)

    @property
    def unfinished(self) -> list[str]:
        """The nodes whose operation was begun and neither completed nor closed."""
        return sorted(name for name, node in self.nodes.items() if node.unfinished)

    def require_chain(self) -> None:
        """Return when every link holds.

        Raises:
            LedgerBroken: naming the first line that does not fit.
        """
        if not self.ok:
            raise LedgerBroken(
                f"the ledger {self.path} is broken: {self.broken}",
                "a ledger that was changed by hand cannot say what was already done to which node",
                "restore it from a copy, or start a new ledger after looking at every node it lists",
                file=self.path,
                line=self.broken_at,
            )

    def as_dict(self) -> dict[str, Any]:
        """The state as plain data."""
        return {
            "path": self.path,
            "ok": self.ok,
            "entries": self.entries,
            "head": self.head,
            "broken_at": self.broken_at,
            "broken": self.broken,
            "torn": self.torn,
            "recovered": list(self.recovered),
            "failed": self.failed,
            "canaries": self.canaries,
            "unfinished": self.unfinished,
            "nodes": {name: node.as_dict() for name, node in sorted(self.nodes.items())},
            "locks": {kind: dict(lock) for kind, lock in sorted(self.locks.items())},
            "halts": [dict(halt) for halt in self.halts],
        }


def replay(state: LedgerState, data: bytes) -> None:
    """Add the lines of ``data`` to the state, up to the first one that does not fit."""
    *lines, tail = data.split(b"\n")
    state.torn = len(tail)
    for line in lines:
        number = state.entries + 1
        trouble = _add(state, line, number)
        if trouble:
            state.broken_at, state.broken = number, f"line {number} {trouble}"
            return


def _add(state: LedgerState, line: bytes, number: int) -> str | None:
    """Add one line; the answer says what is wrong with it, None when nothing is."""
    try:
        entry = parse_json(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict) or entry.get("schema") != SCHEMA:
        return "is not an entry of this ledger's format"
    if entry.get("prev") != state.head:
        return "does not carry the hash of the line before it"
    if entry.get("seq") != number:
        return f"has the number {entry.get('seq')!r}"
    try:
        # The last line has no successor whose link would betray a change of its bytes' form.
        if canonical_json(entry) != line:
            return "is not in canonical form"
        apply(state, entry)
    except (KeyError, TypeError, ValueError) as error:
        return f"is incomplete ({type(error).__name__})"
    state.entries = number
    state.head = hashlib.sha256(line).hexdigest()
    state.last = (state.size, len(line), state.head)
    state.size += len(line) + 1
    if entry["kind"] in _OF_NODE or entry["kind"] == "close":
        state.places[entry["node"]] = (number, state.last)
    return None


def apply(state: LedgerState, entry: dict[str, Any]) -> None:
    """Change the state by one entry.

    Raises:
        KeyError, TypeError, ValueError: the entry is not whole.
    """
    kind = entry["kind"]
    if kind in _OF_NODE:
        name = entry["node"]
        known = state.node(name)
        if kind == "begin" and known.complete and entry["step"] == STEP_NAMES[0]:
            known = NodeState()
        if known.seq >= entry["seq"]:
            # An index that was written just before a crash knows it already.
            return
        known.started = known.started or entry["at"]
        state.nodes[name] = known
        _OF_NODE[kind](known, entry)
        known.seq, known.updated, known.run, known.by = entry["seq"], entry["at"], entry["run"], entry["by"]
    elif kind == "close":
        # Kept empty rather than left out, so that an index knows the node's last entry.
        state.nodes[entry["node"]] = NodeState(seq=entry["seq"])
    elif kind == "acquire":
        state.locks[entry["lock"]] = {key: entry[key] for key in ("node", "owner", "expires", "run")} | {
            "since": entry["at"]
        }
        dt.datetime.fromisoformat(entry["expires"])
    elif kind == "release":
        state.locks.pop(entry["lock"], None)
    elif kind == "halt":
        state.halts.append({"number": entry["seq"]} | {key: entry[key] for key in ("reason", "who", "at")})
    elif kind == "lift":
        state.halts = [halt for halt in state.halts if halt["number"] not in entry["halts"]]
    elif kind == "recovered":
        state.recovered.append({key: entry[key] for key in ("seq", "file", "bytes", "sha256")})
    else:
        raise ValueError(kind)


def _begin(known: NodeState, entry: dict[str, Any]) -> None:
    step = entry["step"]
    known.open, known.failed, known.failure, known.doubt = step, None, None, None
    known.attempts[step] = known.attempts.get(step, 0) + 1
    known.canary = known.canary or entry["facts"].get("wave") == "canary"
    known.machine_type = entry["facts"].get("machine_type") or known.machine_type


def _write(known: NodeState, entry: dict[str, Any]) -> None:
    known.writes[entry["step"]] = entry["kind"]


def _look(known: NodeState, entry: dict[str, Any]) -> None:
    step, answer = entry["step"], entry["answer"]
    if answer == UNKNOWN:
        known.doubt, known.failure = str(entry["facts"].get("found")), entry["facts"]
    elif answer == DID_NOT:
        earlier = up_to(step)
        known.done = [name for name in known.done if name in earlier]
        known.results = {name: facts for name, facts in known.results.items() if name in earlier}
        known.writes = {name: how for name, how in known.writes.items() if name in earlier}
        known.doubt = None
        if known.open not in (None, step):
            # A later step found it out: the operation stands before the step that had no effect.
            known.open, known.failed, known.failure = None, step, entry["facts"]


def _finish(known: NodeState, entry: dict[str, Any]) -> None:
    step, facts = entry["step"], entry["facts"]
    known.open, known.doubt = None, None
    known.results[step] = facts
    if entry["outcome"] == "failed":
        known.failed, known.failure = step, facts
    else:
        known.done.append(step)
        known.machine_type = facts.get("machine_type") or known.machine_type


def _fail(known: NodeState, entry: dict[str, Any]) -> None:
    known.failed, known.failure = entry["step"], entry["facts"]
    known.canary = known.canary or entry["facts"].get("wave") == "canary"


_OF_NODE: dict[str, Callable[[NodeState, dict[str, Any]], None]] = {
    "begin": _begin,
    INTENT: _write,
    SENT: _write,
    "look": _look,
    "finish": _finish,
    "fail": _fail,
}
