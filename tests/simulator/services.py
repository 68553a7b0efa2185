# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gRPC methods of a simulated node, with their roles, and what each answers."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from . import lifecycle, resources, versions
from .audit_writer import ServiceEvent, start_events
from .etcd import EtcdError
from .proto import make, timestamp
from .rings import AuditRing

if TYPE_CHECKING:
    from .node import Node

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


# -- facts about the machine --


@machine("Version", EMPTY, "machine.VersionResponse")
async def _version(node: Node, _request: Any, _caller: Caller) -> Any:
    info = make(
        "machine.VersionInfo",
        tag=node.version,
        sha=hashlib.sha256(node.version.encode()).hexdigest()[:8],
        built="",
        go_version="go1.26.1",
        os="linux",
        arch="amd64",
    )
    answer = make("machine.Version", version=info)
    answer.platform.name = node.spec.platform
    answer.platform.mode = node.spec.mode
    if node.config_applied:
        answer.features.rbac = bool(node.spec.extra.get("rbac", True))
    return make("machine.VersionResponse", messages=[answer])


@machine("Hostname", EMPTY, "machine.HostnameResponse")
async def _hostname(node: Node, _request: Any, _caller: Caller) -> Any:
    return make("machine.HostnameResponse", messages=[make("machine.Hostname", hostname=node.hostname)])


@machine("SystemStat", EMPTY, "machine.SystemStatResponse")
async def _system_stat(node: Node, _request: Any, _caller: Caller) -> Any:
    assert node.boot is not None
    # Counted since boot, whatever the clock says: two processors, most of the time idle.
    up = max(0.0, node.clock.running() - node.boot.started)
    busy = {"user": up * 0.03, "system": up * 0.02}
    stat = make(
        "machine.SystemStat",
        boot_time=node.boot_time(),
        cpu_total=make("machine.CPUStat", idle=up * 1.95, **busy),
        cpu=[make("machine.CPUStat", idle=up * 1.95 / 2, **{name: part / 2 for name, part in busy.items()})] * 2,
        context_switches=20_000 + int(up * 900),
        process_created=300 + int(up * 2),
        process_running=2,
    )
    return make("machine.SystemStatResponse", messages=[stat])


@machine("Memory", EMPTY, "machine.MemoryResponse")
async def _memory(_node: Node, _request: Any, _caller: Caller) -> Any:
    info = make(
        "machine.MemInfo", memtotal=8_000_000, memfree=4_000_000, memavailable=6_000_000, buffers=1000, cached=900_000
    )
    return make("machine.MemoryResponse", messages=[make("machine.Memory", meminfo=info)])


@machine("Mounts", EMPTY, "machine.MountsResponse")
async def _mounts(node: Node, _request: Any, _caller: Caller) -> Any:
    stats = [
        make(
            "machine.MountStat",
            filesystem=f"{node.disk_path}{part.index}",
            size=part.size,
            available=part.size // 2,
            mounted_on=on,
        )
        for label, on in (("STATE", "/system/state"), ("EPHEMERAL", "/var"))
        if (part := node.partitions.get(label)) is not None
    ]
    return make("machine.MountsResponse", messages=[make("machine.Mounts", stats=stats)])


_PROCESSES = (
    ("init", "/usr/bin/init", "init_t"),
    ("udevd", "/usr/bin/systemd-udevd", "udev_t"),
    ("containerd", "/usr/bin/containerd", "sys_containerd_t"),
    ("apid", "/apid", "apid_t"),
    ("containerd", "/usr/bin/containerd", "pod_containerd_t"),
    ("kubelet", "/usr/local/bin/kubelet", "kubelet_t"),
    ("pause", "/pause", "pod_t"),
)


@machine("Processes", EMPTY, "machine.ProcessesResponse")
async def _processes(node: Node, _request: Any, _caller: Caller) -> Any:
    entries = list(_PROCESSES if node.config_applied else _PROCESSES[:4])
    if node.role == "controlplane" and node.config_applied:
        entries += [("etcd", "/usr/local/bin/etcd", "etcd_t"), ("trustd", "/trustd", "trustd_t")]
    result = []
    for index, (command, executable, domain) in enumerate(entries):
        label = "" if node.selinux == "disabled" else f"system_u:system_r:{domain}:s0"
        result.append(
            make(
                "machine.ProcessInfo",
                pid=1 if index == 0 else 400 + index * 37,
                ppid=0 if index == 0 else 1,
                state="S",
                threads=8,
                command=command,
                executable=executable,
                args=executable,
                label=label,
            )
        )
    return make("machine.ProcessesResponse", messages=[make("machine.Process", processes=result)])


# -- services and logs --


@dataclass
class ServiceState:
    """One service as ServiceList shows it; ``healthy`` None means unknown."""

    id: str
    state: str
    healthy: bool | None
    events: list[ServiceEvent]


def service_states(node: Node) -> list[ServiceState]:
    """All services of a node in its present stage."""
    assert node.boot is not None
    logs = node.kernel_logs()
    result = []
    if logs.events:
        state = logs.events[-1].state
        result.append(ServiceState("auditd", state, True if state == "Running" else None, logs.events))
    names = ["apid", "containerd", "machined", "syslogd", "udevd"]
    if node.config_applied and not node.maintenance:
        names += ["cri", "kubelet"] + (["etcd", "trustd"] if node.role == "controlplane" else [])
    if not versions.at_least(node.version, "1.13") and node.maintenance:
        names.remove("apid")
    for name in names:
        result.append(ServiceState(name, "Running", True, start_events(node.clock.wall(node.boot.started + 4))))
    return sorted(result, key=lambda service: service.id)


@machine("ServiceList", EMPTY, "machine.ServiceListResponse")
async def _service_list(node: Node, _request: Any, _caller: Caller) -> Any:
    services = []
    for service in service_states(node):
        events = [
            make("machine.ServiceEvent", msg=event.message, state=event.state, ts=timestamp(event.time))
            for event in service.events
        ]
        health = make("machine.ServiceHealth", unknown=service.healthy is None, healthy=service.healthy is True)
        if service.healthy is not None:
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
    ids = [service.id for service in service_states(node)]
    if node.kernel_logs().auditd is None and "auditd" in ids:
        ids.remove("auditd")
    return make("machine.LogsContainersResponse", messages=[make("machine.LogsContainer", ids=ids)])


def tail(data: bytes, lines: int) -> bytes:
    """The last ``lines`` lines; 0 gives nothing at all, which is the trap of the request's default."""
    if lines < 0:
        return data
    return b"".join(data.splitlines(keepends=True)[-lines:]) if lines else b""


async def _chunks(node: Node, data: bytes) -> AsyncIterator[Any]:
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
        raise GRPCError(Status.UNKNOWN, f'container "{request.id}" not found')
    logs = node.kernel_logs()
    if request.id == "auditd":
        ring = logs.auditd
    elif any(service.id == request.id for service in service_states(node)):
        ring = AuditRing()
        ring.write(f"{request.id}: started\n".encode())
    else:
        ring = None
    if ring is None:
        raise GRPCError(Status.UNKNOWN, f'log "{request.id}" was not registered')
    position = ring.written
    async for chunk in _chunks(node, tail(ring.read(), request.tail_lines)):
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
        lifecycle.swap_boot(node)


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


# -- files --

_FILES: dict[str, tuple[bool, str]] = {
    "/": (True, "rootfs_t"),
    "/proc": (True, "proc_t"),
    "/proc/cmdline": (False, "proc_t"),
    "/sys": (True, "sysfs_t"),
    "/sys/fs/selinux": (True, "selinuxfs_t"),
    "/sys/fs/selinux/enforce": (False, "selinuxfs_t"),
    "/var": (True, "ephemeral_t"),
    "/var/lib": (True, "ephemeral_t"),
    "/var/lib/kubelet": (True, "ephemeral_t"),
    "/var/log": (True, "var_log_t"),
    "/var/log/auditd.log": (False, "var_log_t"),
    "/run": (True, "run_t"),
    "/system": (True, "system_t"),
    "/system/state": (True, "system_state_t"),
    "/usr": (True, "rootfs_t"),
    "/usr/bin/init": (False, "init_exec_t"),
}


def _content(node: Node, path: str) -> bytes | None:
    if path == "/proc/cmdline":
        return (" ".join(node.arguments) + "\n").encode()
    if path == "/proc/sys/kernel/random/boot_id":
        return f"{node.boot_id}\n".encode()
    if path == "/sys/fs/selinux/enforce" and node.selinux != "disabled":
        return b"1" if node.selinux == "enforcing" else b"0"
    persisted = versions.at_least(node.version, "1.12") and node.config_applied and not node.maintenance
    if path == "/var/log/auditd.log" and persisted:
        ring = node.kernel_logs().auditd
        return ring.read() if ring is not None else None
    return b"" if path == "/usr/bin/init" else None


@machine("Read", "machine.ReadRequest", DATA, roles=ADMINS, stream=True)
async def _read(node: Node, request: Any, _caller: Caller) -> AsyncIterator[Any]:
    data = _content(node, request.path)
    if data is None:
        if _FILES.get(request.path, (False, ""))[0]:
            raise GRPCError(Status.UNKNOWN, "path must be a regular file")
        raise GRPCError(Status.NOT_FOUND, f"stat {request.path}: no such file or directory")
    async for chunk in _chunks(node, data):
        yield chunk


@machine("List", "machine.ListRequest", "machine.FileInfo", stream=True)
async def _list(node: Node, request: Any, _caller: Caller) -> AsyncIterator[Any]:
    root = request.root or "/"
    if root != "/" and root.endswith("/"):
        root = root.rstrip("/")
    if root not in _FILES:
        yield make("machine.FileInfo", name=root, relative_name=root, error=f"lstat {root}: no such file or directory")
        return
    depth = request.recursion_depth if request.recursion_depth > 0 else (99 if request.recurse else 1)
    labels = node.spec.extra.get("labels", {})
    for path, (is_dir, label) in sorted({**_FILES, **{p: (False, t) for p, t in labels.items()}}.items()):
        relative = path[len(root) :].strip("/") if root != "/" else path.strip("/")
        inside = path == root or path.startswith(root.rstrip("/") + "/")
        if not inside or (relative.count("/") + 1 if relative else 0) > depth:
            continue
        data = None if is_dir else _content(node, path)
        if not is_dir and data is None:
            continue
        info = make(
            "machine.FileInfo",
            name=path,
            relative_name=relative or ".",
            size=len(data or b""),
            mode=0o40755 if is_dir else 0o100644,
            modified=int(node.clock.wall()),
            is_dir=is_dir,
        )
        if request.report_xattrs and node.selinux != "disabled":
            info.xattrs.add(name="security.selinux", data=f"system_u:object_r:{labels.get(path, label)}:s0\0".encode())
        yield info


# -- life cycle --


@machine("Reset", "machine.ResetRequest", "machine.ResetResponse", roles=ADMINS)
async def _reset(node: Node, request: Any, _caller: Caller) -> Any:
    actor = lifecycle.reset(node, request)
    return make("machine.ResetResponse", messages=[make("machine.Reset", actor_id=actor)])


@machine("ApplyConfiguration", "machine.ApplyConfigurationRequest", "machine.ApplyConfigurationResponse", roles=READERS)
async def _apply(node: Node, request: Any, caller: Caller) -> Any:
    if not node.maintenance and ADMIN not in caller.roles:
        raise GRPCError(Status.PERMISSION_DENIED, "not authorized")
    return make("machine.ApplyConfigurationResponse", messages=[lifecycle.apply(node, request)])


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
    answer = make("machine.Upgrade", ack="Upgrade request received", actor_id=lifecycle.new_actor())
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
        raise GRPCError(Status.ALREADY_EXISTS, "Talos is already installed")
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


# -- etcd --


def _control_plane(node: Node, api: str) -> None:
    if not node.config_applied:
        raise GRPCError(Status.UNIMPLEMENTED, f"machine type is not set, cannot use {api} API")
    if node.role != "controlplane":
        raise GRPCError(Status.UNIMPLEMENTED, f"{api} is only available on control plane nodes")


def _etcd_members(node: Node) -> list[Any]:
    return [
        make(
            "machine.EtcdMember",
            id=member.id,
            hostname=member.name,
            peer_urls=[f"https://{member.address}:2380"],
            client_urls=[f"https://{member.address}:2379"],
            is_learner=member.learner,
        )
        for member in node.fleet.etcd.members.values()
    ]


ETCD_READERS = READERS | {ETCD_BACKUP}


@machine("EtcdMemberList", "machine.EtcdMemberListRequest", "machine.EtcdMemberListResponse", roles=ETCD_READERS)
async def _etcd_member_list(node: Node, _request: Any, _caller: Caller) -> Any:
    _control_plane(node, "member list")
    if not node.fleet.etcd.quorum():
        raise GRPCError(Status.UNKNOWN, "etcdserver: no leader")
    members = _etcd_members(node)
    answer = make("machine.EtcdMembers", legacy_members=[member.hostname for member in members], members=members)
    return make("machine.EtcdMemberListResponse", messages=[answer])


@machine("EtcdStatus", EMPTY, "machine.EtcdStatusResponse", roles=ETCD_READERS)
async def _etcd_status(node: Node, _request: Any, _caller: Caller) -> Any:
    _control_plane(node, "etcd status")
    etcd = node.fleet.etcd
    member = etcd.members.get(node.name)
    if member is None or not member.up:
        raise GRPCError(Status.UNKNOWN, "failed to query etcd status: context deadline exceeded")
    leader = etcd.members.get(etcd.leader)
    etcd.index += 1
    behind = 2000 if member.learner else 0
    status = make(
        "machine.EtcdMemberStatus",
        protocol_version="3.6.4",
        db_size=31_744_000,
        db_size_in_use=21_000_000,
        leader=leader.id if leader else 0,
        raft_index=etcd.index,
        raft_term=etcd.term,
        raft_applied_index=etcd.index - behind,
        is_learner=member.learner,
        member_id=member.id,
    )
    if leader is None:
        status.errors.append("etcdserver: no leader")
    if versions.at_least(node.version, "1.11"):
        status.storage_version = "3.6.0"
    return make("machine.EtcdStatusResponse", messages=[make("machine.EtcdStatus", member_status=status)])


@machine("EtcdAlarmList", EMPTY, "machine.EtcdAlarmListResponse", roles=ETCD_READERS)
async def _etcd_alarms(node: Node, _request: Any, _caller: Caller) -> Any:
    _control_plane(node, "etcd alarm list")
    etcd = node.fleet.etcd
    alarms = [
        make("machine.EtcdMemberAlarm", member_id=etcd.members[name].id, alarm=alarm)
        for name, alarm in etcd.alarms.items()
        if name in etcd.members
    ]
    return make("machine.EtcdAlarmListResponse", messages=[make("machine.EtcdAlarm", member_alarms=alarms)])


@machine(
    "EtcdForfeitLeadership",
    "machine.EtcdForfeitLeadershipRequest",
    "machine.EtcdForfeitLeadershipResponse",
    roles=ADMINS,
)
async def _etcd_forfeit(node: Node, _request: Any, _caller: Caller) -> Any:
    _control_plane(node, "etcd forfeit leadership")
    try:
        leader = node.fleet.etcd.forfeit(node.name)
    except EtcdError as error:
        raise GRPCError(Status.UNKNOWN, f"failed to forfeit leadership: {error}") from error
    return make(
        "machine.EtcdForfeitLeadershipResponse", messages=[make("machine.EtcdForfeitLeadership", member=leader)]
    )


@machine(
    "EtcdRemoveMemberByID", "machine.EtcdRemoveMemberByIDRequest", "machine.EtcdRemoveMemberByIDResponse", roles=ADMINS
)
async def _etcd_remove(node: Node, request: Any, _caller: Caller) -> Any:
    _control_plane(node, "etcd remove member")
    if "member_remove_fails" in node.faults:
        raise GRPCError(Status.UNKNOWN, "failed to remove member: etcdserver: unhealthy cluster")
    try:
        node.fleet.etcd.remove(request.member_id)
    except KeyError:
        raise GRPCError(Status.NOT_FOUND, "etcdserver: member not found") from None
    except EtcdError as error:
        raise GRPCError(Status.UNKNOWN, f"failed to remove member: {error}") from error
    return make("machine.EtcdRemoveMemberByIDResponse", messages=[make("machine.EtcdRemoveMemberByID")])


@machine("EtcdLeaveCluster", "machine.EtcdLeaveClusterRequest", "machine.EtcdLeaveClusterResponse", roles=ADMINS)
async def _etcd_leave(node: Node, _request: Any, _caller: Caller) -> Any:
    _control_plane(node, "etcd leave")
    try:
        lifecycle.leave_etcd(node)
    except EtcdError as error:
        raise GRPCError(Status.UNKNOWN, f"failed to leave cluster: {error}") from error
    return make("machine.EtcdLeaveClusterResponse", messages=[make("machine.EtcdLeaveCluster")])


@machine(
    "EtcdSnapshot", "machine.EtcdSnapshotRequest", DATA, roles=frozenset({ADMIN, OPERATOR, ETCD_BACKUP}), stream=True
)
async def _etcd_snapshot(node: Node, _request: Any, _caller: Caller) -> AsyncIterator[Any]:
    _control_plane(node, "etcd snapshot")
    if not node.fleet.etcd.quorum():
        raise GRPCError(Status.UNKNOWN, "failed reading etcd snapshot: etcdserver: no leader")
    # A database dump followed by its SHA-256, the layout that a verifier expects of the real thing.
    body = (b"simulated etcd database " * 2000)[: 64 * 512]
    async for chunk in _chunks(node, body + hashlib.sha256(body).digest()):
        yield chunk


# -- other services --


@method("/time.TimeService/Time", EMPTY, "time.TimeResponse")
@method("/time.TimeService/TimeCheck", "time.TimeRequest", "time.TimeResponse")
async def _time(node: Node, request: Any, _caller: Caller) -> Any:
    now = node.fleet.clock.wall()
    skew = 90.0 if "clock_skew" in node.faults else node.clock.wall() - now
    server = getattr(request, "server", "") or "time.cloudflare.com"
    answer = make("time.Time", server=server, localtime=timestamp(now + skew), remotetime=timestamp(now))
    return make("time.TimeResponse", messages=[answer])


@method("/cluster.ClusterService/HealthCheck", "cluster.HealthCheckRequest", "cluster.HealthCheckProgress", stream=True)
async def _health(node: Node, request: Any, _caller: Caller) -> AsyncIterator[Any]:
    named = {*request.cluster_info.control_plane_nodes, *request.cluster_info.worker_nodes}
    # Without names Talos checks the cluster's members: a machine that never joined is none.
    members = [
        other
        for other in node.fleet.nodes.values()
        if (other.address in named if named else other.spec.state == "running" or other.config_applied)
    ]
    checks = (
        ("etcd to be healthy", node.fleet.etcd.quorum()),
        ("apid to be ready", all(other.state == "running" for other in members)),
        ("all k8s nodes to report ready", all(other.ready for other in members)),
    )
    for text, passed in checks:
        yield make("cluster.HealthCheckProgress", message=f"waiting for {text}: ...")
        if not passed:
            raise GRPCError(Status.DEADLINE_EXCEEDED, "context deadline exceeded")
        yield make("cluster.HealthCheckProgress", message=f"waiting for {text}: OK")


@method("/storage.StorageService/Disks", EMPTY, "storage.DisksResponse")
async def _disks(node: Node, _request: Any, _caller: Caller) -> Any:
    known = resources.TYPES["Disks.block.talos.dev"].produce(node)
    disks = [
        make(
            "storage.Disk",
            size=spec["size"],
            model=spec["model"],
            device_name=spec["dev_path"],
            serial=spec["serial"],
            wwid=spec["wwid"],
            type=1,
            system_disk=node.meta_installed and spec["dev_path"] == node.disk_path,
        )
        for spec in known.values()
    ]
    return make("storage.DisksResponse", messages=[make("storage.Disks", disks=disks)])


@method(
    "/storage.StorageService/BlockDeviceWipe",
    "storage.BlockDeviceWipeRequest",
    "storage.BlockDeviceWipeResponse",
    roles=READERS,
    since="1.9",
)
async def _wipe(node: Node, request: Any, caller: Caller) -> Any:
    if not node.maintenance and ADMIN not in caller.roles:
        raise GRPCError(Status.PERMISSION_DENIED, "not authorized")
    for device in request.devices:
        path = f"/dev/{device.device}"
        if path == node.disk_path and node.meta_installed:
            raise GRPCError(Status.FAILED_PRECONDITION, f'blockdevice "{device.device}" is a system disk')
        if path != node.disk_path and path not in node.spec.user_disks:
            raise GRPCError(Status.NOT_FOUND, f'blockdevice "{device.device}" not found')
        if path == node.disk_path:
            node.disk, node.partitions = None, {}
    node.notify()
    return make("storage.BlockDeviceWipeResponse", messages=[make("storage.BlockDeviceWipe")])


# -- COSI --


def _access(node: Node, kind: str, namespace: str, caller: Caller) -> resources.ResourceType:
    """The access policy: unknown types and namespaces look like missing permission, not like missing things."""
    known = resources.find(node, kind)
    if known is None:
        raise GRPCError(Status.PERMISSION_DENIED, f'resource type "{kind}" is not supported')
    if known.sensitive and ADMIN not in caller.roles:
        raise GRPCError(Status.PERMISSION_DENIED, "not authorized")
    if namespace not in resources.NAMESPACES:
        raise GRPCError(Status.PERMISSION_DENIED, f'namespace "{namespace}" is not supported')
    return known


@method("/cosi.resource.State/Get", "cosi.resource.GetRequest", "cosi.resource.GetResponse")
async def _get(node: Node, request: Any, caller: Caller) -> Any:
    known = _access(node, request.type, request.namespace, caller)
    specs = resources.collect(node, known, request.namespace)
    if request.id not in specs:
        text = (
            f"failed to get resource: resource {request.type}({request.namespace}/{request.id}@undefined) doesn't exist"
        )
        raise GRPCError(Status.NOT_FOUND, text.removeprefix("failed to get resource: "))
    found = resources.message(node, known, request.namespace, request.id, specs[request.id])
    return make("cosi.resource.GetResponse", resource=found)


def _matches(identifier: str, options: Any) -> bool:
    if options.HasField("id_query") and options.id_query.regexp and not re.search(options.id_query.regexp, identifier):
        return False
    # No simulated resource has labels: only terms that want their absence can hold.
    queries = list(options.label_query)
    return not queries or any(all(term.invert or term.op == 2 for term in query.terms) for query in queries)


@method("/cosi.resource.State/List", "cosi.resource.ListRequest", "cosi.resource.ListResponse", stream=True)
async def _list_resources(node: Node, request: Any, caller: Caller) -> AsyncIterator[Any]:
    known = _access(node, request.type, request.namespace, caller)
    for identifier, spec in sorted(resources.collect(node, known, request.namespace).items()):
        if _matches(identifier, request.options):
            found = resources.message(node, known, request.namespace, identifier, spec)
            yield make("cosi.resource.ListResponse", resource=found)


CREATED, UPDATED, DESTROYED, BOOTSTRAPPED = 0, 1, 2, 3


@method("/cosi.resource.State/Watch", "cosi.resource.WatchRequest", "cosi.resource.WatchResponse", stream=True)
async def _watch(node: Node, request: Any, caller: Caller) -> AsyncIterator[Any]:
    known = _access(node, request.type, request.namespace, caller)
    single = request.id if request.HasField("id") else None
    options = request.options
    if single is not None and (options.bootstrap_contents or options.label_query):
        raise GRPCError(Status.UNIMPLEMENTED, "bootstrap contents are not supported for a single resource")

    def snapshot() -> dict[str, tuple[Any, str]]:
        specs = resources.collect(node, known, request.namespace)
        wanted = [single] if single is not None else sorted(specs)
        return {
            identifier: (specs[identifier], resources.to_yaml(node, known, specs[identifier]))
            for identifier in wanted
            if identifier in specs and _matches(identifier, options)
        }

    def event(kind: int, identifier: str, spec: Any, version: int) -> Any:
        found = resources.message(node, known, request.namespace, identifier, spec, version)
        if kind == DESTROYED:
            found.ClearField("spec")
        return make("cosi.resource.Event", resource=found, event_type=kind)

    yield make("cosi.resource.WatchResponse")
    seen = snapshot()
    counts = dict.fromkeys(seen, 1)
    if single is not None:
        # Watching one resource begins with what it is now, or with the tombstone of what is not there.
        spec = seen[single][0] if single in seen else {}
        yield make("cosi.resource.WatchResponse", event=[event(CREATED if seen else DESTROYED, single, spec, 1)])
    elif options.bootstrap_contents:
        for identifier, (spec, _text) in seen.items():
            yield make("cosi.resource.WatchResponse", event=[event(CREATED, identifier, spec, 1)])
        if request.api_version >= 1:
            yield make("cosi.resource.WatchResponse", event=[make("cosi.resource.Event", event_type=BOOTSTRAPPED)])
    while True:
        woken = node.changed
        current = snapshot()
        for identifier, (spec, text) in current.items():
            if identifier not in seen:
                counts[identifier] = 1
                yield make("cosi.resource.WatchResponse", event=[event(CREATED, identifier, spec, 1)])
            elif seen[identifier][1] != text:
                counts[identifier] = counts.get(identifier, 1) + 1
                yield make("cosi.resource.WatchResponse", event=[event(UPDATED, identifier, spec, counts[identifier])])
        for identifier in seen.keys() - current.keys():
            yield make(
                "cosi.resource.WatchResponse", event=[event(DESTROYED, identifier, {}, counts.get(identifier, 1))]
            )
        seen = current
        await woken.wait()


async def _no_writes(_node: Node, _request: Any, _caller: Caller) -> Any:
    raise GRPCError(Status.PERMISSION_DENIED, "write access is not allowed")


for _name, _since in (
    ("Create", "1.8"),
    ("Update", "1.8"),
    ("Destroy", "1.8"),
    ("Teardown", "1.14"),
    ("TeardownAndDestroy", "1.14"),
):
    method(f"/cosi.resource.State/{_name}", EMPTY, EMPTY, roles=ADMINS, since=_since)(_no_writes)
