# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Services, their logs, and the kernel log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from .. import booting, versions
from ..proto import make, timestamp
from ..rings import AuditRing
from ..service_list import service_states
from .table import DATA, EMPTY, Abort, Caller, machine

if TYPE_CHECKING:
    from ..node import Node


CHUNK = 1024


@machine("ServiceList", EMPTY, "machine.ServiceListResponse")
async def _service_list(node: Node, _request: Any, _caller: Caller) -> Any:
    services = []
    for service in service_states(node):
        events = [
            make("machine.ServiceEvent", msg=event.message, state=event.state, ts=timestamp(event.time))
            for event in service.events
        ]
        health = make("machine.ServiceHealth", unknown=service.healthy is None, healthy=service.healthy is True)
        if service.healthy is not None or service.state == "Waiting":
            health.last_change.CopyFrom(timestamp(service.events[-1].time))
        services.append(
            make(
                "machine.ServiceInfo",
                id=service.id,
                state=service.state,
                events=make("machine.ServiceEvents", events=events),
                health=health,
            )
        )
    return make("machine.ServiceListResponse", messages=[make("machine.ServiceList", services=services)])


@machine("LogsContainers", EMPTY, "machine.LogsContainersResponse")
async def _logs_containers(node: Node, _request: Any, _caller: Caller) -> Any:
    ids = [service.id for service in service_states(node) if service.state != "Waiting"]
    ids += ["controller-runtime", "dns-resolve-cache", "early-startup", "kernel"]
    if node.kernel_logs().auditd is None and "auditd" in ids:
        ids.remove("auditd")
    return make("machine.LogsContainersResponse", messages=[make("machine.LogsContainer", ids=ids)])


def tail(data: bytes, lines: int) -> bytes:
    """The last ``lines`` lines; 0 gives nothing at all, which is the trap of the request's default."""
    if lines < 0:
        return data
    return b"".join(data.splitlines(keepends=True)[-lines:]) if lines else b""


async def chunks(node: Node, data: bytes) -> AsyncIterator[Any]:
    """Send bytes in chunks of 1024, with the faults that hit a stream half-way."""
    half = (len(data) // 2 // CHUNK) * CHUNK
    for offset in range(0, len(data), CHUNK):
        if offset >= half:
            if "hanging_stream" in node.faults:
                await asyncio.Event().wait()
            if "reset_mid_stream" in node.faults and offset:
                raise Abort
            if "torn_log" in node.faults and offset:
                raise GRPCError(Status.UNKNOWN, "buffer overrun, read position overwritten: out of sync")
        yield make(DATA, bytes=data[offset : offset + CHUNK])


@machine("Logs", "machine.LogsRequest", DATA, stream=True)
async def _logs(node: Node, request: Any, _caller: Caller) -> AsyncIterator[Any]:
    if request.namespace != "system" and request.id != "kubelet":
        if node.maintenance and versions.at_least(node.version, "1.14"):
            text = "transport: Error while dialing: dial unix:///run/containerd/containerd.sock: timeout"
            raise GRPCError(Status.UNKNOWN, f'connection error: desc = "{text}"')
        raise GRPCError(Status.UNKNOWN, f'container "{request.id}" not found')
    logs = node.kernel_logs()
    if request.id == "auditd":
        ring = logs.auditd
    elif any(service.id == request.id for service in service_states(node)):
        ring = AuditRing()
        ring.write(_service_log(node, request.id))
    else:
        ring = None
    if ring is None:
        raise GRPCError(Status.UNKNOWN, f'log "{request.id}" was not registered')
    position = ring.written
    async for chunk in chunks(node, tail(ring.read(), request.tail_lines)):
        yield chunk
    while request.follow:
        woken = node.changed
        current = node.kernel_logs().auditd if request.id == "auditd" else ring
        if current is not ring:
            return
        fresh = ring.since(position)
        position = ring.written
        for offset in range(0, len(fresh), CHUNK):
            yield make(DATA, bytes=fresh[offset : offset + CHUNK])
        await woken.wait()
    if "boot_during_read" in node.faults and request.id == "auditd":
        booting.swap_boot(node)


def _service_log(node: Node, name: str) -> bytes:
    """What the other services log: nothing here reads it, but it has the size of a log."""
    events = [event for service in service_states(node) if service.id in (name, "machined") for event in service.events]
    lines = [f"[talos] service[{name}]({event.state}): {event.message}\n" for event in events]
    return "".join(lines * 4).encode()


@machine("Dmesg", "machine.DmesgRequest", DATA, stream=True)
async def _dmesg(node: Node, request: Any, _caller: Caller) -> AsyncIterator[Any]:
    ring = node.kernel_logs().kernel
    count = ring.written
    records = [] if request.tail else ring.read()
    for index, record in enumerate(node.shown(records)):
        if index >= len(records) // 2 and "hanging_stream" in node.faults:
            await asyncio.Event().wait()
        yield make(DATA, bytes=record)
    while request.follow:
        woken = node.changed
        for record in node.shown(ring.since(count)):
            yield make(DATA, bytes=record)
        count = ring.written
        await woken.wait()
