# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about the machine: what runs on it, what it wrote, and what stands on its disks."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any

from ..texts import printable
from . import wire
from .answers import FileInfo, Process, ServiceInfo, SystemStat, Version
from .calls import Calls
from .resources import moment

_MOST_BYTES = 64 * 1024 * 1024
# The longest honest stream is a log of 64 MiB in pieces of 1 KiB.
_MOST_CHUNKS = 200_000


# pkg/machinery/proto and internal/app/machined, Events.
_TASK = "talos/runtime/machine.TaskEvent"
# PATH_MAX of Linux.
_LONGEST_PATH = 4096


class MachineReads(Calls):
    """Reads of the machine service."""

    async def version(self) -> Version:
        """What the node runs."""
        answer = await self._machine("Version")
        if not answer.version.tag:
            raise self._invalid("Version", "no version")
        return Version(
            tag=printable(answer.version.tag),
            sha=printable(answer.version.sha),
            platform=printable(answer.platform.name) or None,
            mode=printable(answer.platform.mode) or None,
            rbac=answer.features.rbac if answer.HasField("features") else None,
            arch=printable(answer.version.arch),
        )

    async def logs(self, service: str, *, tail_lines: int = -1, max_bytes: int = _MOST_BYTES) -> bytes:
        """The whole in-memory log of a Talos service since boot, or since its ring wrapped.

        Args:
            tail_lines: only so many of its last lines; -1 for all.

        Raises:
            NotFound: the service never wrote anything in this boot (it was not started).
            TornStream: the stream broke twice; no part is returned.
            InvalidAnswer: more than ``max_bytes``.
        """
        # tail_lines: the server's default of 0 means "the last 0 lines", a perfect but false silence.
        return await self._data("Logs", max_bytes, namespace="system", id=service, tail_lines=tail_lines)

    async def follow_logs(self, service: str) -> AsyncGenerator[bytes, None]:
        """The log from its start and then as it grows, in pieces that are not lines, without end."""
        fields = {"namespace": "system", "id": service, "tail_lines": -1, "follow": True}
        async with contextlib.aclosing(self._follow("Logs", **fields)) as messages:
            async for message in messages:
                self._check_metadata(message, "Logs")
                yield message.bytes

    async def follow_tasks(self, actor_id: str) -> AsyncGenerator[str, None]:
        """The tasks that the node begins on behalf of an order, from the order's first to as long as it reports them.

        Args:
            actor_id: what the order was answered with; only the node that took it knows it.
        """
        fields = {"tail_events": -1, "with_actor_id": actor_id}
        async with contextlib.aclosing(self._follow("Events", **fields)) as messages:
            async for message in messages:
                self._check_metadata(message, "Events")
                # A peer that sends without end would otherwise keep every deadline from being looked at.
                await asyncio.sleep(0)
                if message.actor_id != actor_id or message.data.type_url != _TASK:
                    continue
                event = wire.message("machine.TaskEvent")()
                try:
                    event.ParseFromString(message.data.value)
                except wire.DecodeError:
                    raise self._invalid("Events", "an event that cannot be read") from None
                if event.action == wire.enum_number("machine.TaskEvent.Action", "START"):
                    yield printable(event.task)

    async def dmesg(self, *, max_bytes: int = _MOST_BYTES) -> list[bytes]:
        """The kernel log, one item for each record: a record may hold line breaks, also at its end.

        Talos sends each record of ``/dev/kmsg`` as a message of its own (internal/app/machined, Dmesg), so the
        message's bounds are the only ones that a text in the log cannot forge.
        """
        return await self._chunks("Dmesg", max_bytes)

    async def read(self, path: str, *, max_bytes: int = _MOST_BYTES) -> bytes:
        """A regular file; needs os:admin."""
        return await self._data("Read", max_bytes, path=path)

    async def _data(self, name: str, max_bytes: int, /, **fields: Any) -> bytes:
        return b"".join(await self._chunks(name, max_bytes, **fields))

    async def _chunks(self, name: str, max_bytes: int, /, **fields: Any) -> list[bytes]:
        def take(message: Any) -> bytes:
            self._check_metadata(message, name)
            return bytes(message.bytes)

        return await self._collect(name, take, most_messages=_MOST_CHUNKS, most_bytes=max_bytes, **fields)

    async def services(self) -> list[ServiceInfo]:
        """The Talos services with their histories."""
        answer = await self._machine("ServiceList")
        return [
            ServiceInfo(
                id=printable(service.id),
                state=printable(service.state),
                events=[
                    {
                        "msg": printable(event.msg),
                        "state": printable(event.state),
                        "ts": _iso(event.ts) if event.HasField("ts") else None,
                    }
                    for event in service.events.events
                ],
                healthy=service.health.healthy if service.HasField("health") and not service.health.unknown else None,
                unknown=service.health.unknown or not service.HasField("health"),
                last_message=printable(service.health.last_message),
            )
            for service in answer.services
        ]

    async def system_stat(self) -> SystemStat:
        """When the node booted, and what it counted since."""
        answer = await self._machine("SystemStat")
        if not answer.boot_time:
            raise self._invalid("SystemStat", "no boot time")
        return SystemStat(
            boot_time=answer.boot_time,
            cpu_seconds=_cpu_seconds(answer),
            processes=answer.process_created or None,
            context_switches=answer.context_switches or None,
        )

    async def local_time(self) -> datetime:
        """What the node's own clock says (UTC).

        Raises:
            TalosError: the node gave no answer; it gives none while it reaches none of its time servers.
        """
        answer = await self._machine("Time")
        when = moment(answer.localtime) if answer.HasField("localtime") else None
        if when is None:
            raise self._invalid("Time", "no time")
        return when

    async def processes(self) -> list[Process]:
        """All processes; never empty, since a node without processes cannot answer."""
        answer = await self._machine("Processes")
        if not answer.processes:
            raise self._invalid("Processes", "no processes")
        return [
            Process(
                pid=process.pid,
                ppid=process.ppid,
                state=printable(process.state),
                command=printable(process.command),
                executable=printable(process.executable),
                args=printable(process.args, 4000),
                label=printable(process.label) or None,
            )
            for process in answer.processes
        ]

    async def list_files(
        self, root: str, recurse: bool = False, depth: int = 0, xattrs: bool = False
    ) -> list[FileInfo]:
        """Files under ``root``; ``depth`` 0 means no limit when ``recurse``; ``xattrs`` tells SELinux labels."""

        def take(message: Any) -> FileInfo:
            self._check_metadata(message, "ListFiles")
            return FileInfo(
                name=printable(message.name, _LONGEST_PATH),
                relative_name=printable(message.relative_name, _LONGEST_PATH),
                size=message.size,
                mode=message.mode,
                modified=message.modified,
                is_dir=message.is_dir,
                link=printable(message.link, _LONGEST_PATH),
                uid=message.uid,
                gid=message.gid,
                xattrs={xattr.name: bytes(xattr.data) for xattr in message.xattrs},
                error=printable(message.error),
            )

        return await self._collect(
            "ListFiles",
            take,
            most_messages=_MOST_CHUNKS,
            most_bytes=_MOST_BYTES,
            root=root,
            recurse=recurse,
            recursion_depth=depth,
            report_xattrs=xattrs,
        )


def _cpu_seconds(stat: Any) -> float | None:
    """CPU time since boot of one processor; time of guests is part of user time (kernel: fs/proc/stat.c)."""
    total = stat.cpu_total
    spent = math.fsum(
        (total.user, total.nice, total.system, total.idle, total.iowait, total.irq, total.soft_irq, total.steal)
    )
    return spent / len(stat.cpu) if stat.cpu and math.isfinite(spent) and spent > 0 else None


def _iso(stamp: Any) -> str | None:
    when: datetime | None = moment(stamp)
    return None if when is None else when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
