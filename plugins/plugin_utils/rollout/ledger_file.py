# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file of a ledger: read and appended to by any number of processes, one entry and one sync at a time.

A line that a crash tore is set aside, and what was written is never changed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from ..canonical import canonical_json
from ..private_files import check_private, private_directory
from ..waiting import turns
from . import owner as owners
from .errors import LedgerBroken, LedgerProblem, unusable
from .index import Index, Stale
from .secret_facts import refuse_secrets
from .state import SCHEMA, LedgerState, replay

LOCK_SECONDS = 30.0

T = TypeVar("T")


def verify(path: str | os.PathLike[str]) -> LedgerState:
    """Read a ledger without changing it, and check every link.

    A missing file is an empty ledger. A broken one is answered, not raised: see ``LedgerState.broken_at``.

    Raises:
        LedgerProblem: when the file cannot be read.
    """
    return contents(path)[0]


def contents(path: str | os.PathLike[str]) -> tuple[LedgerState, bytes]:
    """What :func:`verify` answers, and the whole lines that it was read from; errors as there."""
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
        return state, b""
    except OSError as error:
        raise unusable(path, error) from error
    replay(state, data)
    return state, data[: state.size]


def entries(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The entries of a ledger in order.

    Raises:
        LedgerBroken: at the start, when a link does not hold.
    """
    state, data = contents(path)
    state.require_chain()
    for line in data.splitlines():
        yield json.loads(line)


class LedgerFile:
    """The file, as this process knows it.

    Args:
        path: the file; it and its directory are made on the first write, readable for the owner only.
        run: the id of this run, kept in every entry.
        owner: who writes, by default this process.
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
        self.owner = owner or str(owners.of_process(os.getpid()))
        self._now = now
        self._lock_seconds = lock_seconds
        self._index = Index(self.path)
        self._known = LedgerState(path=str(self.path))
        #: Whether every line was replayed here, so that the index is not needed.
        self._whole = False

    def _read(self, read: Callable[[LedgerState], T], *, whole: bool = False) -> T:
        try:
            check_private(self.path)
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if self._known.size:
                raise self._shorter() from None
            return read(LedgerState(path=str(self.path)))
        except OSError as error:
            raise unusable(self.path, error) from error
        try:
            _lock(descriptor, self.path, fcntl.LOCK_SH, self._lock_seconds)
            try:
                return read(self._catch_up(descriptor, whole=whole))
            except Stale:
                return read(self._catch_up(descriptor, whole=True))
        except OSError as error:
            raise unusable(self.path, error) from error
        finally:
            os.close(descriptor)

    def _catch_up(self, descriptor: int, *, whole: bool) -> LedgerState:
        """Replay what was added since this object last looked, from the index or, as a ``whole``, from the start."""
        size = os.fstat(descriptor).st_size
        if whole and not self._whole:
            self._known, self._whole, self._index.stale = LedgerState(path=str(self.path)), True, True
        elif not self._known.size:
            self._index.load(descriptor, self._known)
            self._whole = self._index.stale
        if size < max(self._known.size, self._index.size):
            raise self._shorter()
        known = self._known
        known.lookup = None if self._whole else lambda name: self._index.node(descriptor, name)
        replay(known, _read_all(descriptor, known.size))
        known.require_chain()
        return known

    def _shorter(self) -> LedgerBroken:
        return LedgerBroken(
            f"the ledger {self.path} became shorter while it was in use",
            "entries that were written are gone",
            "restore it from a copy and look for what else writes to it; "
            f"when you put an older one there yourself, remove {self._index.directory} too",
            file=str(self.path),
        )

    def _append(
        self, make: Callable[[LedgerState], dict[str, Any]], facts: Mapping[str, Any], node: str | None = None
    ) -> dict[str, Any]:
        refuse_secrets(facts)
        try:
            private_directory(self.path.parent)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unusable(self.path, error) from error
        try:
            _lock(descriptor, self.path, fcntl.LOCK_EX, self._lock_seconds)
            try:
                state = self._catch_up(descriptor, whole=False)
                if node is not None:
                    state.node(node)
                entry = make(state)
            except Stale:
                state = self._catch_up(descriptor, whole=True)
                entry = make(state)
            if not state.size:
                _sync_directory(self.path.parent)
            if state.torn:
                self._set_aside(descriptor, state)
            return self._write(descriptor, entry, state)
        except OSError as error:
            raise unusable(self.path, error) from error
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
        replay(state, line + b"\n")
        self._index.save(descriptor, state)
        return full

    def _set_aside(self, descriptor: int, state: LedgerState) -> None:
        torn = _read_all(descriptor, state.size)
        digest = hashlib.sha256(torn).hexdigest()
        aside = self.path.with_name(f"{self.path.name}.torn-{state.entries}-{digest[:12]}")
        with open(aside, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as kept:
            kept.write(torn)
            kept.flush()
            os.fsync(kept.fileno())
        _sync_directory(self.path.parent)
        os.ftruncate(descriptor, state.size)
        os.fsync(descriptor)
        state.torn = 0
        self._write(descriptor, {"kind": "recovered", "file": aside.name, "bytes": len(torn), "sha256": digest}, state)


def _lock(descriptor: int, path: str | os.PathLike[str], how: int, seconds: float) -> None:
    for _turn in turns(seconds, 0.02):
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
    raise LedgerProblem(
        f"another process has held {os.fspath(path)} for {seconds:g} seconds",
        "two writers at once would break the chain",
        "find the process that holds the file (fuser) and let it end",
        file=os.fspath(path),
    )


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
