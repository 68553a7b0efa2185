# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rollout's memory: append-only JSON lines, each bound to the line before, from which any run resumes.

One entry is written and synced before and after every step, so that whatever kills the controller, the file tells which
step of which node was under way. Locks that must outlive a process (one control plane in flight) are entries as well.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import fcntl
import hashlib
import itertools
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..canonical import canonical_json
from ..problem import Problem

SCHEMA = 1
GENESIS = "0" * 64
CONTROL_PLANE_LOCK = "control-plane"
# Held for the whole fleet by the controller that runs the rollout; its owner is the one the Ledger was made with.
ROLLOUT_LOCK = "rollout"
FLEET = "*"
LOCK_SECONDS = 30.0
OUTCOMES = ("done", "failed", "skipped")


@dataclass(frozen=True)
class Step:
    """One step of a reinstall. A step that changes the world must look before it acts again after a crash."""

    name: str
    changes_world: bool


STEPS = (
    Step("verify", False),
    Step("gate", False),
    Step("save", False),
    Step("drain", True),
    Step("reset", True),
    Step("boot", True),
    Step("identify", False),
    Step("apply", True),
    Step("install", False),
    Step("prove", False),
    Step("rejoin", True),
    Step("soak", True),
)
STEP_NAMES = tuple(step.name for step in STEPS)
# From here on the old installation may be gone: the operation can only be finished, not started over.
POINT_OF_NO_RETURN = "reset"
# A worker must not begin to disappear while a control plane is away.
_DISRUPTIVE = ("drain", "reset")


class LedgerProblem(Problem):
    """The ledger cannot be read or written."""

    kind = "ledger"


class LedgerBroken(LedgerProblem):
    """The hash chain does not hold: the file was changed by something else than this program."""

    kind = "ledger_broken"


class StepRefused(LedgerProblem):
    """The step is out of order, already done, or another one is open."""

    kind = "step_refused"


class LockHeld(LedgerProblem):
    """Somebody else holds the lock; the problem names the owner and the node."""

    kind = "lock_held"


class SecretRefused(LedgerProblem):
    """A fact looks like key material; ledgers are read by many people."""

    kind = "secret_refused"


@dataclass
class NodeState:
    """What the ledger knows of one node's current operation.

    ``results`` holds the facts each step was finished with, ``seq`` the number of the node's last entry and ``by`` who
    wrote it.
    """

    done: list[str] = field(default_factory=list)
    open: str | None = None
    failed: str | None = None
    failure: dict[str, Any] | None = None
    attempts: dict[str, int] = field(default_factory=dict)
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
    def wiped(self) -> bool:
        """Whether the reset was begun, so that the old installation may be gone."""
        return POINT_OF_NO_RETURN in self.attempts

    def as_dict(self) -> dict[str, Any]:
        """The fields, with ``complete``, ``unfinished`` and ``wiped``, as plain data."""
        return {
            "done": list(self.done),
            "open": self.open,
            "failed": self.failed,
            "failure": self.failure,
            "attempts": dict(self.attempts),
            "canary": self.canary,
            "machine_type": self.machine_type,
            "results": dict(self.results),
            "seq": self.seq,
            "started": self.started,
            "updated": self.updated,
            "run": self.run,
            "by": self.by,
            "complete": self.complete,
            "unfinished": self.unfinished,
            "wiped": self.wiped,
        }


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
        }


@dataclass(frozen=True)
class NextStep:
    """Where a node goes on.

    ``interrupted``: the step was begun and never finished; when it also ``changes_world`` the caller must ask the node
    what is already true before acting. ``failed_before``: its last attempt failed.
    """

    name: str
    changes_world: bool
    interrupted: bool
    failed_before: bool

    @property
    def look_first(self) -> bool:
        """Whether the step may already have had its effect."""
        return self.changes_world and (self.interrupted or self.failed_before)

    def as_dict(self) -> dict[str, Any]:
        """``{name, changes_world, interrupted, failed_before, look_first}``."""
        return {
            "name": self.name,
            "changes_world": self.changes_world,
            "interrupted": self.interrupted,
            "failed_before": self.failed_before,
            "look_first": self.look_first,
        }


def is_gone(owner: str | None) -> bool:
    """Whether the process that wrote as this owner (``host:pid``) has surely ended.

    Only its own host can tell, so an owner on another one counts as running, as does a number that was given to a new
    process: a person must then decide.
    """
    host, _unused, pid = (owner or "").rpartition(":")
    if host != socket.gethostname() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OverflowError, PermissionError):
        return False
    return False


def verify(path: str | os.PathLike[str]) -> LedgerState:
    """Read a ledger without changing it, and check every link.

    A missing file is an empty ledger. A broken one is answered, not raised: see ``LedgerState.broken_at``.

    Raises:
        LedgerProblem: when the file cannot be read.
    """
    state = LedgerState(path=str(path))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # Without the lock a line that another process is just writing would look torn.
            _lock(descriptor, path, fcntl.LOCK_SH, LOCK_SECONDS)
            data = _read_all(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return state
    except OSError as error:
        raise _unusable(path, error) from error
    _replay(state, data)
    return state


def entries(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The entries of a ledger in order.

    Raises:
        LedgerBroken: at the start, when a link does not hold.
    """
    state = verify(path)
    _require_chain(state)
    data = Path(path).read_bytes() if state.entries else b""
    for line in data.split(b"\n")[: state.entries]:
        yield json.loads(line)


class Ledger:
    """A ledger file that this process reads and appends to; any number of processes may share it.

    Args:
        path: the file; it and its directory are made on the first write, readable for the owner only.
        run: the id of this run, kept in every entry.
        owner: who writes, by default ``host:pid``.
        now: the clock, for tests.
        lock_seconds: how long to wait for another process that is writing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        run: str | None = None,
        owner: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        lock_seconds: float = LOCK_SECONDS,
    ) -> None:
        self.path = Path(path)
        self.run = run
        self.owner = owner or f"{socket.gethostname()}:{os.getpid()}"
        self._now = now
        self._lock_seconds = lock_seconds
        self._known = LedgerState(path=str(self.path))
        self._replayed = 0

    def read(self) -> LedgerState:
        """The whole state.

        Raises:
            LedgerBroken: when a link does not hold.
        """
        return copy.deepcopy(self._current())

    def state(self, node: str) -> dict[str, Any]:
        """``NodeState.as_dict`` of one node; all empty for a node the ledger does not know."""
        return self._current().nodes.get(node, NodeState()).as_dict()

    def open_operations(self) -> dict[str, dict[str, Any]]:
        """The nodes whose operation was begun and neither completed nor closed, with their state.

        Those that are ``wiped`` must be resumed, whatever the gate says now. The others are judged anew: call
        ``restart`` before their first step, so that no old verdict is carried on.
        """
        state = self._current()
        return {name: state.nodes[name].as_dict() for name in state.unfinished}

    def next_step(self, node: str, steps: Sequence[Step] = STEPS) -> NextStep | None:
        """Where this node goes on; None when every step is done."""
        known = self._current().nodes.get(node, NodeState())
        for step in steps:
            if step.name not in known.done:
                return NextStep(step.name, step.changes_world, known.open == step.name, known.failed == step.name)
        return None

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
            SecretRefused, LedgerBroken, LedgerProblem
        """

        def entry(state: LedgerState) -> dict[str, Any]:
            known = state.nodes.get(node, NodeState())
            if known.complete and step == STEP_NAMES[0]:
                known = NodeState()
            self._refuse_disorder(node, step, known)
            self._refuse_without_lock(node, step, {known.machine_type, facts.get("machine_type")} - {None, ""}, state)
            return {"kind": "begin", "node": node, "step": step, "resumed": known.open == step, "facts": facts}

        return self._append(entry, facts)

    def finish(self, node: str, step: str, outcome: str, **facts: Any) -> dict[str, Any]:
        """Record how the open ``step`` ended: done, failed or skipped (skipped counts as done).

        Raises:
            StepRefused: when this step is not the open one, or the outcome is none of the three.
            SecretRefused, LedgerBroken, LedgerProblem
        """

        def entry(state: LedgerState) -> dict[str, Any]:
            known = state.nodes.get(node, NodeState())
            if outcome not in OUTCOMES:
                raise _refused(node, step, f"{outcome!r} is not an outcome ({', '.join(OUTCOMES)})")
            if known.open != step:
                raise _refused(node, step, f"it is not open (open: {known.open or 'none'})")
            return {"kind": "finish", "node": node, "step": step, "outcome": outcome, "facts": facts}

        return self._append(entry, facts)

    def restart(self, node: str, reason: str) -> dict[str, Any] | None:
        """Give up an operation that has not begun to wipe, so that evidence and verdict are made anew.

        Returns None when there is nothing to give up.

        Raises:
            StepRefused: once the reset was begun: the operation can only go on, or be closed by a person.
        """
        known = self._current().nodes.get(node, NodeState())
        if not known.unfinished:
            return None
        if known.wiped:
            raise _refused(node, STEP_NAMES[0], "the wipe was already begun, so the operation must go on from there")
        return self.close(node, reason)

    def close(self, node: str, reason: str) -> dict[str, Any]:
        """End a node's operation by decision of a person: its failure no longer counts and nothing resumes it.

        Raises:
            StepRefused: without a reason.
        """
        if not reason.strip():
            raise _refused(node, "close", "no reason was given")
        return self._append(
            lambda state: {"kind": "close", "node": node, "facts": {"reason": reason}}, {"reason": reason}
        )

    def acquire(self, kind: str, node: str, owner: str, expires: datetime) -> dict[str, Any]:
        """Take, or extend, the cluster-wide lock ``kind`` (``CONTROL_PLANE_LOCK``) for ``node`` until ``expires``.

        A lock past its time is stale. Its node may be gone half-way, so only an operation on the **same** node, or on
        any node once the old one's operation is complete or closed, takes it over; the entry then names the owner
        before.

        Raises:
            LockHeld: naming the owner, the node and the time.
        """
        if expires.tzinfo is None:
            raise _refused(node, kind, "the lock's end carries no time zone")

        def entry(state: LedgerState) -> dict[str, Any]:
            held = state.locks.get(kind)
            taken_over = None
            if held and (held["node"], held["owner"]) != (node, owner):
                stale = datetime.fromisoformat(held["expires"]) <= self._now()
                settled = not state.nodes.get(held["node"], NodeState()).unfinished
                if not stale or not (held["node"] == node or settled):
                    raise _held(kind, held, stale)
                taken_over = held
            return {
                "kind": "acquire",
                "lock": kind,
                "node": node,
                "owner": owner,
                "expires": expires.astimezone(UTC).isoformat(),
                "taken_over_from": taken_over,
            }

        return self._append(entry, {})

    def release(self, kind: str, node: str, owner: str, *, broken_because: str | None = None) -> dict[str, Any] | None:
        """Give the lock back; None when nobody holds it.

        Args:
            broken_because: a person's reason to break somebody else's lock.

        Raises:
            LockHeld: when somebody else holds it and no reason to break it was given.
        """
        if kind not in self._current().locks:
            return None

        def entry(state: LedgerState) -> dict[str, Any]:
            held = state.locks.get(kind)
            if held and (held["node"], held["owner"]) != (node, owner) and not (broken_because or "").strip():
                raise _held(kind, held, datetime.fromisoformat(held["expires"]) <= self._now())
            return {
                "kind": "release",
                "lock": kind,
                "node": node,
                "owner": owner,
                "broken_because": broken_because,
                "held": held,
            }

        return self._append(entry, {"broken_because": broken_because})

    # -- inside -------------------------------------------------------------------------------------------------

    def _current(self) -> LedgerState:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if self._replayed:
                raise self._shorter() from None
            return LedgerState(path=str(self.path))
        except OSError as error:
            raise _unusable(self.path, error) from error
        try:
            _lock(descriptor, self.path, fcntl.LOCK_SH, self._lock_seconds)
            return self._catch_up(descriptor)
        except OSError as error:
            raise _unusable(self.path, error) from error
        finally:
            os.close(descriptor)

    def _catch_up(self, descriptor: int) -> LedgerState:
        """Replay what was added since this object last looked: a large ledger is read once per object, not per call."""
        if os.fstat(descriptor).st_size < self._replayed:
            raise self._shorter()
        data = _read_all(descriptor, self._replayed)
        _replay(self._known, data)
        _require_chain(self._known)
        self._replayed += len(data) - self._known.torn
        return self._known

    def _shorter(self) -> LedgerBroken:
        return LedgerBroken(
            f"the ledger {self.path} became shorter while it was in use",
            "entries that were written are gone",
            "restore it from a copy and look for what else writes to it",
            file=str(self.path),
        )

    @staticmethod
    def _refuse_disorder(node: str, step: str, known: NodeState) -> None:
        if step not in STEP_NAMES:
            raise _refused(node, step, f"there is no such step ({', '.join(STEP_NAMES)})")
        if known.open not in (None, step):
            raise _refused(node, step, f"step {known.open} is still open")
        if step in known.done:
            raise _refused(node, step, "it is already done")
        missing = [name for name in STEP_NAMES[: STEP_NAMES.index(step)] if name not in known.done]
        if missing:
            raise _refused(node, step, f"not done yet: {', '.join(missing)}")

    def _refuse_without_lock(self, node: str, step: str, machine_types: set[Any], state: LedgerState) -> None:
        running = state.locks.get(ROLLOUT_LOCK)
        if running and running["owner"] != self.owner and datetime.fromisoformat(running["expires"]) > self._now():
            raise _held(ROLLOUT_LOCK, running, False)
        if not next(known.changes_world for known in STEPS if known.name == step) and len(machine_types) < 2:
            return
        held = state.locks.get(CONTROL_PLANE_LOCK)
        if machine_types not in ({"worker"}, {"controlplane"}, {"init"}):
            known = " and ".join(sorted(map(str, machine_types))) or "nothing"
            raise _refused(node, step, f"whether it is a control plane is not known (recorded: {known})")
        if machine_types != {"worker"}:
            if held is None or held["node"] != node:
                raise LockHeld(
                    f"step {step} of control plane {node} was asked for without the {CONTROL_PLANE_LOCK} lock"
                    + (f", which {held['owner']} holds for {held['node']}" if held else ""),
                    "two control planes in flight cost etcd its quorum",
                    "acquire the lock for this node first",
                    node=node,
                )
        elif step in _DISRUPTIVE and held is not None:
            raise LockHeld(
                f"step {step} of {node} was asked for while {held['owner']} has control plane {held['node']} in flight",
                "nothing else may disappear while a control plane is away",
                "wait until that control plane is back, or finish it first",
                node=node,
                holder=held["owner"],
            )

    def _append(self, make: Callable[[LedgerState], dict[str, Any]], facts: Mapping[str, Any]) -> dict[str, Any]:
        refuse_secrets(facts)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(self.path, error) from error
        try:
            _lock(descriptor, self.path, fcntl.LOCK_EX, self._lock_seconds)
            state = self._catch_up(descriptor)
            if not self._replayed:
                _sync_directory(self.path.parent)
            if state.torn:
                self._set_aside(descriptor, state)
            return self._write(descriptor, make(state), state)
        except OSError as error:
            raise _unusable(self.path, error) from error
        finally:
            os.close(descriptor)

    def _write(self, descriptor: int, entry: dict[str, Any], state: LedgerState) -> dict[str, Any]:
        full = {
            "schema": SCHEMA,
            "seq": state.entries + 1,
            "prev": state.head,
            "at": self._now().astimezone(UTC).isoformat(),
            "run": self.run,
            "by": self.owner,
            **entry,
        }
        line = canonical_json(full)
        rest = memoryview(line + b"\n")
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
        _replay(state, line + b"\n")
        self._replayed += len(line) + 1
        return full

    def _set_aside(self, descriptor: int, state: LedgerState) -> None:
        torn = _read_all(descriptor, self._replayed)
        digest = hashlib.sha256(torn).hexdigest()
        aside = self.path.with_name(f"{self.path.name}.torn-{state.entries}-{digest[:12]}")
        with open(aside, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as copy:
            copy.write(torn)
            copy.flush()
            os.fsync(copy.fileno())
        _sync_directory(self.path.parent)
        os.ftruncate(descriptor, self._replayed)
        os.fsync(descriptor)
        state.torn = 0
        self._write(descriptor, {"kind": "recovered", "file": aside.name, "bytes": len(torn), "sha256": digest}, state)


# A key is refused when one of its words names a secret, unless it ends by saying that it is only a name or a hash.
_SECRET_WORD = re.compile(
    "secrets?|tokens?|passwords?|passwd|passphrase|credentials?|bearer|authorization|cookie|keys?|privatekey|apikey"
    "|kubeconfig|talosconfig|machineconfig"
)
_HARMLESS_ENDS = ("sha256", "digest", "fingerprint", "fingerprints", "path", "file", "id", "name")


def refuse_secrets(facts: Any, where: str = "") -> None:
    """Refuse facts whose keys name a secret or whose values look like PEM, at any depth.

    Raises:
        SecretRefused: naming the key, never the value.
        LedgerProblem: for a value that JSON cannot carry.
    """
    if isinstance(facts, Mapping):
        for key, value in facts.items():
            place = f"{where}.{key}" if where else str(key)
            words = [word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", str(key))]
            # "machine_config" and "apiKey" are two words of one name.
            names = [*words, *(first + second for first, second in itertools.pairwise(words))]
            if any(_SECRET_WORD.fullmatch(name) for name in names) and words[-1] not in _HARMLESS_ENDS:
                raise _secret(place)
            refuse_secrets(value, place)
    elif isinstance(facts, (list, tuple)):
        for value in facts:
            refuse_secrets(value, where)
    elif isinstance(facts, str):
        if "-----BEGIN" in facts:
            raise _secret(where)
    elif not (facts is None or isinstance(facts, (bool, int, float))):
        raise LedgerProblem(
            f"the fact {where} is a {type(facts).__name__}",
            "the ledger holds plain JSON data only",
            "pass text, numbers, lists and mappings",
        )


def _secret(where: str) -> SecretRefused:
    return SecretRefused(
        f"the fact {where} looks like a secret",
        "ledgers and reports are read by many people",
        "record a hash or a file name instead",
        fact=where,
    )


def _replay(state: LedgerState, data: bytes) -> None:
    """Add the lines of ``data`` to the state, up to the first one that does not fit."""
    *lines, tail = data.split(b"\n")
    state.torn = len(tail)
    for line in lines:
        number = state.entries + 1
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        trouble = None
        if not isinstance(entry, dict) or entry.get("schema") != SCHEMA:
            trouble = "is not an entry of this ledger's format"
        elif entry.get("prev") != state.head:
            trouble = "does not carry the hash of the line before it"
        elif entry.get("seq") != number:
            trouble = f"has the number {entry.get('seq')!r}"
        else:
            try:
                # The last line has no successor whose link would betray a change of its bytes' form.
                if canonical_json(entry) != line:
                    trouble = "is not in canonical form"
                else:
                    _apply(state, entry)
            except (KeyError, TypeError, ValueError) as error:
                trouble = f"is incomplete ({type(error).__name__})"
        if trouble:
            state.broken_at, state.broken = number, f"line {number} {trouble}"
            return
        state.entries = number
        state.head = hashlib.sha256(line).hexdigest()


def _apply(state: LedgerState, entry: dict[str, Any]) -> None:
    kind = entry["kind"]
    if kind == "begin":
        known = state.nodes.get(entry["node"])
        if known is None or (known.complete and entry["step"] == STEP_NAMES[0]):
            known = state.nodes[entry["node"]] = NodeState(started=entry["at"])
        step = entry["step"]
        known.open, known.failed, known.failure = step, None, None
        known.attempts[step] = known.attempts.get(step, 0) + 1
        known.canary = known.canary or entry["facts"].get("wave") == "canary"
        known.machine_type = entry["facts"].get("machine_type") or known.machine_type
        known.seq, known.updated, known.run, known.by = entry["seq"], entry["at"], entry["run"], entry["by"]
    elif kind == "finish":
        known = state.nodes[entry["node"]]
        known.seq, known.updated, known.run, known.by = entry["seq"], entry["at"], entry["run"], entry["by"]
        known.open = None
        known.results[entry["step"]] = entry["facts"]
        if entry["outcome"] == "failed":
            known.failed, known.failure = entry["step"], entry["facts"]
        else:
            known.done.append(entry["step"])
    elif kind == "close":
        state.nodes.pop(entry["node"], None)
    elif kind == "acquire":
        state.locks[entry["lock"]] = {key: entry[key] for key in ("node", "owner", "expires")} | {"since": entry["at"]}
        datetime.fromisoformat(entry["expires"])
    elif kind == "release":
        state.locks.pop(entry["lock"], None)
    elif kind == "recovered":
        state.recovered.append({key: entry[key] for key in ("seq", "file", "bytes", "sha256")})
    else:
        raise ValueError(kind)


def _require_chain(state: LedgerState) -> None:
    if not state.ok:
        raise LedgerBroken(
            f"the ledger {state.path} is broken: {state.broken}",
            "a ledger that was changed by hand cannot say what was already done to which node",
            "restore it from a copy, or start a new ledger after looking at every node it lists",
            file=state.path,
            line=state.broken_at,
        )


def _lock(descriptor: int, path: str | os.PathLike[str], how: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
        if time.monotonic() >= deadline:
            raise LedgerProblem(
                f"another process has held {os.fspath(path)} for {seconds:g} seconds",
                "two writers at once would break the chain",
                "find the process that holds the file (fuser) and let it end",
                file=os.fspath(path),
            )
        time.sleep(0.02)


def _read_all(descriptor: int, start: int = 0) -> bytes:
    parts = []
    os.lseek(descriptor, start, os.SEEK_SET)
    while part := os.read(descriptor, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _sync_directory(directory: Path) -> None:
    # Without this a new file's name can vanish in a power failure although its content was synced.
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unusable(path: str | os.PathLike[str], error: OSError) -> LedgerProblem:
    return LedgerProblem(
        f"the ledger {os.fspath(path)} cannot be used: {error.strerror or error}",
        "no step may start without its entry on the disk",
        "make the directory writable and free space for it",
        file=os.fspath(path),
    )


def _refused(node: str, step: str, why: str) -> StepRefused:
    return StepRefused(
        f"step {step} of {node} is refused: {why}",
        "steps run once and in order, so that a run that was killed can go on",
        "resume the rollout; it goes on where the ledger says",
        node=node,
        step=step,
    )


def _held(kind: str, held: Mapping[str, Any], stale: bool) -> LockHeld:
    return LockHeld(
        f"{held['owner']} holds the {kind} lock for {held['node']}"
        + (f"; it expired at {held['expires']}" if stale else f" until {held['expires']}"),
        "its node may be half-way through a reinstall"
        if stale
        else "one controller and one control plane at a time keep etcd's quorum",
        f"finish {held['node']} first (the rollout resumes it), or release the lock with a reason after looking at it"
        if stale
        else "wait for it; when that controller is gone for good, release the lock with a reason",
        lock=kind,
        owner=held["owner"],
        node=held["node"],
        expires=held["expires"],
        stale=stale,
    )
