# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of methods: who may call them, since when, and what the maintenance service offers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from .. import versions

if TYPE_CHECKING:
    from ..node import Node


ADMIN, OPERATOR, READER, ETCD_BACKUP, META_WRITER = (
    "os:admin",
    "os:operator",
    "os:reader",
    "os:etcd:backup",
    "os:meta:writer",
)
READERS = frozenset({ADMIN, OPERATOR, READER})
CHUNK = 1024


@dataclass(frozen=True)
class Caller:
    """Who asks: roles from the certificate's Organization; ``insecure`` without a certificate (maintenance mode)."""

    roles: frozenset[str]
    insecure: bool = False

    @property
    def role(self) -> str:
        """Roles as one text for the call record."""
        return "insecure" if self.insecure else ",".join(sorted(self.roles))


class Abort(Exception):
    """Cut the connection in the middle of a stream."""


Unary = Callable[["Node", Any, Caller], Awaitable[Any]]
Streaming = Callable[["Node", Any, Caller], AsyncIterator[Any]]


@dataclass(frozen=True)
class Method:
    """One method: its message types, the roles that pass, the version it came with."""

    path: str
    request: str
    reply: str
    roles: frozenset[str]
    stream: bool
    since: str
    maintenance_roles: frozenset[str]
    call: Any


METHODS: dict[str, Method] = {}
# Calls that change something in the world; asking for a dry run or a snapshot does not.
WRITES = frozenset(
    f"/machine.MachineService/{name}"
    for name in (
        "Reset",
        "ApplyConfiguration",
        "Reboot",
        "Shutdown",
        "EtcdForfeitLeadership",
        "EtcdRemoveMemberByID",
        "EtcdLeaveCluster",
        "MetaWrite",
        "MetaDelete",
        "Upgrade",
    )
) | {
    "/storage.StorageService/BlockDeviceWipe",
    "/machine.LifecycleService/Install",
    "/machine.LifecycleService/Upgrade",
    "/cosi.resource.State/Create",
    "/cosi.resource.State/Update",
    "/cosi.resource.State/Destroy",
    "/cosi.resource.State/Teardown",
    "/cosi.resource.State/TeardownAndDestroy",
}
# Fan-out by "nodes" wraps each answer with the name of the node it came from.
FAN_OUT = (
    "/machine.MachineService/",
    "/cluster.ClusterService/",
    "/inspect.InspectService/",
    "/storage.StorageService/",
    "/time.TimeService/",
)


def method(
    path: str,
    request: str,
    reply: str,
    *,
    roles: frozenset[str] = READERS,
    stream: bool = False,
    since: str = "1.8",
    maintenance: frozenset[str] = frozenset(),
) -> Callable[[Any], Any]:
    """Register a method; ``maintenance`` are the roles that pass in addition while in maintenance mode."""

    def register(call: Any) -> Any:
        METHODS[path] = Method(path, request, reply, roles, stream, since, maintenance, call)
        return call

    return register


def machine(name: str, request: str, reply: str, **options: Any) -> Callable[[Any], Any]:
    """Register a MachineService method."""
    return method(f"/machine.MachineService/{name}", request, reply, **options)


EMPTY = "google.protobuf.Empty"
DATA = "common.Data"
ADMINS = frozenset({ADMIN})
OPERATORS = frozenset({ADMIN, OPERATOR})

# What the maintenance service up to 1.12 offers without SideroLink.
_OLD_MAINTENANCE = frozenset(
    {
        "/cosi.resource.State/Get",
        "/cosi.resource.State/List",
        "/cosi.resource.State/Watch",
        "/machine.MachineService/ApplyConfiguration",
        "/storage.StorageService/Disks",
        "/storage.StorageService/BlockDeviceWipe",
    }
)
_OLD_MAINTENANCE_SIDEROLINK = frozenset(
    f"/machine.MachineService/{n}" for n in ("Version", "Reset", "Upgrade", "MetaWrite")
)


def authorize(node: Node, known: Method, caller: Caller) -> None:
    """Apply the rule table, or the maintenance service's fixed list. Raises GRPCError."""
    service, _unused, name = known.path.strip("/").partition("/")
    if not versions.at_least(node.version, known.since):
        raise GRPCError(Status.UNIMPLEMENTED, f"unknown service {service}")
    if node.maintenance and not versions.at_least(node.version, "1.13"):
        if known.path == "/storage.StorageService/BlockDeviceWipe" and not versions.at_least(node.version, "1.11"):
            raise GRPCError(Status.UNIMPLEMENTED, "API is not implemented in maintenance mode")
        if known.path in _OLD_MAINTENANCE:
            return
        if known.path in _OLD_MAINTENANCE_SIDEROLINK:
            raise GRPCError(Status.UNIMPLEMENTED, "API is not implemented in maintenance mode")
        if service in ("machine.MachineService", "storage.StorageService", "cosi.resource.State"):
            raise GRPCError(Status.UNIMPLEMENTED, f"method {name} not implemented")
        raise GRPCError(Status.UNIMPLEMENTED, f"unknown service {service}")
    allowed = known.roles | (known.maintenance_roles if node.maintenance else frozenset())
    if not caller.roles & allowed:
        raise GRPCError(Status.PERMISSION_DENIED, "not authorized")
