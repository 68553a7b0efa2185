# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep one node's audit logs: fetch what is new, follow what comes, and add both to the node's store."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from pathlib import Path
from typing import Any

from ..audit.log import ring
from ..audit.store.judgement import rehearsal
from ..audit.store.rates import as_dicts, rates, warnings
from ..audit.store.store import AuditStore
from ..problem import Problem
from ..talos import boots
from ..talos.boots import SAME, Look, compare
from ..talos.client import NodeClient
from ..talos.errors import NotFound, TalosError
from .files import safe_name

#: The log on the node's disk; one older generation has ``.1`` behind it
#: (Talos: internal/app/machined/pkg/controllers/runtime/log_persistence.go).
_PERSISTED = "/var/log/auditd.log"

#: Asked for first where something is stored: about a tenth of what Talos keeps.
_TAIL_LINES = 400

#: What a follower keeps of the bytes it has stored, to join the next ones to them.
_OVERLAP = 1 << 16

#: More than Talos keeps of a service's log.
_RING = 1 << 21

#: How often the kernel ring is read while the other log is followed.
KERNEL_SECONDS = 60.0


class BootChanged(Problem):
    """The node rebooted while its logs were read."""

    kind = "boot_changed"


async def keep(
    client: NodeClient,
    host: str,
    directory: str | Path,
    *,
    persisted: bool = False,
    follow_seconds: float = 0,
    check: bool = False,
) -> dict[str, Any]:
    """Add what is new of a node's logs to its store.

    Args:
        client: an open client for the node.
        host: the node's inventory name.
        directory: where the stores of all nodes are.
        persisted: also read the log on the node's disk, where the caller may.
        follow_seconds: follow auditd's log for so long first.
        check: add to a throw-away copy, to report what would be.

    Returns:
        ``{boot, read, appended, holes, rates, warnings, followed, persisted_unread}``, as audit_log documents them.

    Raises:
        BootChanged: the node rebooted meanwhile; nothing of the doubtful read is stored.
        StoreError: the store is damaged, or the logs are not of this boot.
        TalosError: the node did not answer.
    """
    # A node that answers nothing says so here, with its own kind of failure, and not that its boot is unknown.
    await client.version()
    before = await _look(client)
    store = AuditStore(Path(directory) / safe_name(host))
    key = store.boot_key(before)
    with contextlib.ExitStack() as stack:
        if check:
            store = stack.enter_context(rehearsal(store, key))
        appended = {"kernel": 0, "service": 0}
        followed = None
        if follow_seconds:
            follower = Follower(client, store, key, before, host)
            followed = await follower.follow(follow_seconds)
            appended["service"] += followed["appended"]
            appended["kernel"] += follower.kernel_appended
        service, tail = await _service(client, store, key)
        records = await client.dmesg()
        logs = {"kernel": ring.lines(records), "service": service}
        disk, persisted_unread = await _on_disk(client) if persisted else (None, None)
        after = dataclasses.replace(await boots.look(client), marks=boots.marks_of(records))
        _same_boot(host, before, after)
        # A tail that was asked for does not begin where the stream began, however short it is.
        begins = {"service": False} if tail else {}
        merged = store.merge_all(key, logs, looks=(before, after), begins=begins)
        if disk is not None:
            logs["persisted"] = disk
            merged["persisted"] = store.merge(key, "persisted", disk, looks=(before, after))
        for source, result in merged.items():
            appended[source] = appended.get(source, 0) + result.appended
        stored = store.read(key)
        measured = rates(stored, boots.uptime(after, after.at) if after.at is not None else None)
        return {
            "boot": key,
            "read": {source: len(data) for source, data in logs.items()},
            "appended": appended,
            "holes": [hole.as_dict() for hole in stored.holes],
            "rates": as_dicts(measured),
            "warnings": warnings(measured),
            "followed": followed,
            "persisted_unread": persisted_unread,
        }


async def _on_disk(client: NodeClient) -> tuple[bytes | None, str | None]:
    """The log on the node's disk, or why it was not read."""
    try:
        return await persisted_log(client), None
    except TalosError as error:
        # Without the right to read files, what the node's memory holds is kept all the same.
        return None, error.found


async def _look(client: NodeClient) -> Look:
    """Which boot answers, the first records of its kernel ring included: they tell it from another without an id."""
    look = await boots.look(client)
    return look if look.boot_id else dataclasses.replace(look, marks=boots.marks_of(await client.dmesg()))


async def _service(client: NodeClient, store: AuditStore, key: str) -> tuple[bytes, bool]:
    """The end of auditd's log where it joins what is stored, else all of it; and whether it is but the end."""
    if store.read(key).streams["service"].segments:
        tail = await client.logs("auditd", tail_lines=_TAIL_LINES)
        if tail and store.joins(key, "service", tail):
            return tail, True
    return await client.logs("auditd"), False


class Follower:
    """Stores one node's auditd log while it grows, and its kernel ring again and again, before it can wrap unread.

    Args:
        client: an open client for the node.
        store: the node's store.
        key: the boot's name in the store (``AuditStore.boot_key``).
        boot: the boot that was asked for before.
        host: the node's inventory name, for words.
    """

    def __init__(self, client: NodeClient, store: AuditStore, key: str, boot: Look, host: str) -> None:
        self.client = client
        self.store = store
        self.key = key
        self.boot = boot
        self.host = host
        self.stored = b""
        self.fresh = b""
        self.appended = 0
        self.kernel_appended = 0
        self.first = True

    async def follow(self, seconds: float) -> dict[str, Any]:
        """Follow until the time is over or the stream ends: ``{seconds, appended, ended}``, ``ended`` null or why."""
        start = kernel_due = time.monotonic()
        ended = None
        async with contextlib.aclosing(self.client.follow_logs("auditd")) as pieces:
            waiting: asyncio.Task[bytes | None] | None = None
            try:
                while (left := start + seconds - time.monotonic()) > 0:
                    if time.monotonic() >= kernel_due:
                        await self._store_kernel()
                        kernel_due = time.monotonic() + KERNEL_SECONDS
                    waiting = waiting or asyncio.ensure_future(anext(pieces, None))
                    # A quiet moment is when to store; a node that never is quiet is stored at every block.
                    done, _unused = await asyncio.wait({waiting}, timeout=min(left, 0.5))
                    if done:
                        piece = waiting.result()
                        waiting = None
                        if piece is None:
                            ended = "the node ended the stream"
                            break
                        self.fresh += piece
                    if not done or len(self.fresh) > (_RING if self.first else _OVERLAP):
                        await self._store()
            except TalosError as error:
                ended = error.found
            finally:
                if waiting is not None:
                    waiting.cancel()
                    await asyncio.wait({waiting})
        await self._store()
        return {"seconds": round(time.monotonic() - start, 1), "appended": self.appended, "ended": ended}

    async def _store_kernel(self) -> None:
        # Talos can follow this log too, but gives no sign when the ring overtakes the reader; whole reads show a hole.
        records = await self.client.dmesg()
        look = dataclasses.replace(await boots.look(self.client), marks=boots.marks_of(records))
        _same_boot(self.host, self.boot, look)
        merged = self.store.merge(self.key, "kernel", ring.lines(records), looks=(self.boot, look))
        self.kernel_appended += merged.appended

    async def _store(self) -> None:
        if not self.fresh:
            return
        if self.first:
            # The stream was opened after the boot was asked for; it is of this boot only if that is still so.
            _same_boot(self.host, self.boot, await boots.look(self.client))
        # Only the first pieces, which are all that the node keeps, can reach back to the beginning.
        begins = None if self.first else False
        merged = self.store.merge(self.key, "service", self.stored + self.fresh, begins=begins)
        self.appended += merged.appended
        self.stored = (self.stored + self.fresh)[-_OVERLAP:]
        self.fresh = b""
        self.first = False


def _same_boot(host: str, before: Look, after: Look) -> None:
    if compare(before, after) != SAME:
        raise BootChanged(
            f"{host} rebooted while its logs were read, or does not say when it booted",
            "records of two boots must not end up in one stream",
            "run the collection again",
        )


async def persisted_log(client: NodeClient) -> bytes:
    """Both generations of the log on the node's disk, as one run of bytes; a missing one is empty.

    Raises:
        TalosError: the node did not answer, or the caller may not read files.
    """
    # The newer one first: when Talos renames it meanwhile, the older one begins with it. Read the other way round,
    # the bytes between the two reads would be missing without a sign.
    newer = await _file(client, _PERSISTED)
    older = await _file(client, f"{_PERSISTED}.1")
    return older if newer and older.startswith(newer) else older + newer


async def _file(client: NodeClient, path: str) -> bytes:
    try:
        return await client.read(path)
    except NotFound:
        return b""
