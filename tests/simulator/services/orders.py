# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls that change a node: reset, configuration, power, META, and the upgrades that nobody may ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from .. import applying, lifecycle
from ..proto import make
from ..work import new_actor
from .table import ADMIN, ADMINS, EMPTY, META_WRITER, OPERATORS, READERS, Caller, machine, method

if TYPE_CHECKING:
    from ..node import Node


@machine("Reset", "machine.ResetRequest", "machine.ResetResponse", roles=ADMINS)
async def _reset(node: Node, request: Any, _caller: Caller) -> Any:
    actor = lifecycle.reset(node, request)
    return make("machine.ResetResponse", messages=[make("machine.Reset", actor_id=actor)])


@machine("ApplyConfiguration", "machine.ApplyConfigurationRequest", "machine.ApplyConfigurationResponse", roles=READERS)
async def _apply(node: Node, request: Any, caller: Caller) -> Any:
    if not node.maintenance and ADMIN not in caller.roles:
        raise GRPCError(Status.PERMISSION_DENIED, "not authorized")
    if request.mode != applying.TRY:
        # Talos forgets to take a trial back before it looks at anything else, also at whether this is a dry run.
        node.faults.pop("trial", None)
    elif "needs_reboot" in node.faults:
        text = "this config change can't be applied in immediate mode\ndiff:\n--- a\n+++ b\n"
        raise GRPCError(Status.INVALID_ARGUMENT, text)
    return make("machine.ApplyConfigurationResponse", messages=[applying.apply(node, request)])


@machine("Reboot", "machine.RebootRequest", "machine.RebootResponse", roles=OPERATORS)
async def _reboot(node: Node, request: Any, _caller: Caller) -> Any:
    actor = lifecycle.reboot(node, request.mode)
    return make("machine.RebootResponse", messages=[make("machine.Reboot", actor_id=actor)])


@machine("Shutdown", "machine.ShutdownRequest", "machine.ShutdownResponse", roles=OPERATORS)
async def _shutdown(node: Node, _request: Any, _caller: Caller) -> Any:
    actor = lifecycle.shutdown(node)
    return make("machine.ShutdownResponse", messages=[make("machine.Shutdown", actor_id=actor)])


@machine("Upgrade", "machine.UpgradeRequest", "machine.UpgradeResponse", roles=ADMINS)
async def _upgrade(node: Node, _request: Any, _caller: Caller) -> Any:
    if not node.meta_installed:
        raise GRPCError(Status.FAILED_PRECONDITION, "Talos is not installed")
    answer = make("machine.Upgrade", ack="Upgrade request received", actor_id=new_actor())
    return make("machine.UpgradeResponse", messages=[answer])


_PROGRESS = "machine.LifecycleServiceInstallResponse"


async def _finished(text: str, code: int) -> AsyncIterator[Any]:
    yield make(_PROGRESS, progress=make("machine.LifecycleServiceInstallProgress", message=text))
    yield make(_PROGRESS, progress=make("machine.LifecycleServiceInstallProgress", exit_code=code))


@method(
    "/machine.LifecycleService/Install",
    "machine.LifecycleServiceInstallRequest",
    _PROGRESS,
    roles=ADMINS,
    stream=True,
    since="1.13",
)
async def _lifecycle_install(node: Node, _request: Any, _caller: Caller) -> AsyncIterator[Any]:
    if node.meta_installed:
        raise GRPCError(Status.ALREADY_EXISTS, "machine is already installed")
    async for message in _finished("installation is not simulated by this method", 1):
        yield message


@method(
    "/machine.LifecycleService/Upgrade",
    "machine.LifecycleServiceUpgradeRequest",
    _PROGRESS,
    roles=ADMINS,
    stream=True,
    since="1.13",
)
async def _lifecycle_upgrade(_node: Node, _request: Any, _caller: Caller) -> AsyncIterator[Any]:
    async for message in _finished("the new system would be written now", 0):
        yield message


@method("/machine.ImageService/List", EMPTY, EMPTY, stream=True, since="1.13")
async def _image_list(_node: Node, _request: Any, _caller: Caller) -> AsyncIterator[Any]:
    # Answers only where a request names a containerd, which nothing here does.
    for message in ():
        yield message
    raise GRPCError(Status.INVALID_ARGUMENT, "invalid containerd namespace NS_UNKNOWN")


@machine("Events", "machine.EventsRequest", "machine.Event", stream=True)
async def _events(node: Node, request: Any, _caller: Caller) -> AsyncIterator[Any]:
    # The empty first event tells the client that the stream is open.
    yield make("machine.Event")
    past = list(node.events)
    if request.tail_id:
        past = [event for event in past if event.id > request.tail_id]
    elif request.tail_events >= 0:
        past = past[-request.tail_events :] if request.tail_events else []
    last = node.events[-1].id if node.events else ""
    while True:
        for event in past:
            if request.with_actor_id and event.actor != request.with_actor_id:
                continue
            message = make("machine.Event", id=event.id, actor_id=event.actor)
            message.data.type_url = f"talos/runtime/{event.type}"
            message.data.value = event.payload
            yield message
        woken = node.changed
        past = [event for event in node.events if event.id > last]
        if past:
            last = past[-1].id
            continue
        node.followed.add(request.with_actor_id)
        await woken.wait()


@machine("MetaWrite", "machine.MetaWriteRequest", "machine.MetaWriteResponse", roles=frozenset({ADMIN, META_WRITER}))
async def _meta_write(node: Node, request: Any, _caller: Caller) -> Any:
    node.meta[request.key] = request.value.decode(errors="replace")
    node.notify()
    return make("machine.MetaWriteResponse", messages=[make("machine.MetaWrite")])


@machine("MetaDelete", "machine.MetaDeleteRequest", "machine.MetaDeleteResponse", roles=frozenset({ADMIN, META_WRITER}))
async def _meta_delete(node: Node, request: Any, _caller: Caller) -> Any:
    if node.meta.pop(request.key, None) is None:
        raise GRPCError(Status.NOT_FOUND, "tag not found")
    node.notify()
    return make("machine.MetaDeleteResponse", messages=[make("machine.MetaDelete")])


@machine(
    "GenerateClientConfiguration",
    "machine.GenerateClientConfigurationRequest",
    "machine.GenerateClientConfigurationResponse",
    roles=ADMINS,
)
async def _generate(node: Node, request: Any, _caller: Caller) -> Any:
    if node.role != "controlplane":
        raise GRPCError(Status.UNIMPLEMENTED, "client configuration is only available on control plane nodes")
    days = request.crt_ttl.seconds / 86400
    if days <= 0:
        raise GRPCError(Status.INVALID_ARGUMENT, "crt_ttl should be positive")
    fleet = node.fleet
    pair = fleet.pki.client(next(iter(request.roles), ADMIN), days=days)
    answer = make(
        "machine.GenerateClientConfiguration",
        ca=fleet.pki.talos.crt,
        crt=pair.crt,
        key=pair.talos_key,
        talosconfig=fleet.talosconfig({"generated": pair}).encode(),
    )
    return make("machine.GenerateClientConfigurationResponse", messages=[answer])
