# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wire messages of the simulated nodes, declared at run time from one table.

The table is the simulator's own reading of the Talos and COSI protocol files and lives in a private descriptor pool:
sharing it with the client under test would let one mistake hide the other.
"""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    message_factory,
    timestamp_pb2,
)

_SCALARS = {
    "double": 1,
    "int64": 3,
    "uint64": 4,
    "int32": 5,
    "bool": 8,
    "string": 9,
    "bytes": 12,
    "uint32": 13,
}

# One line per message: "name=number type", "*" marks repeated, "?" proto3 optional, "map" a map of strings,
# "<group>" a oneof member. An indented line continues the message above it.
_TABLE = """
google.rpc.Status: code=1 int32, message=2 string, details=3 *google.protobuf.Any

common.Error: code=1 int32, message=2 string, details=3 *google.protobuf.Any
common.Metadata: hostname=1 string, error=2 string, status=3 google.rpc.Status
common.Data: metadata=1 common.Metadata, bytes=2 bytes
common.ContainerdInstance: driver=1 int32, namespace=2 int32

machine.VersionInfo: tag=1 string, sha=2 string, built=3 string, go_version=4 string, os=5 string, arch=6 string
machine.PlatformInfo: name=1 string, mode=2 string
machine.FeaturesInfo: rbac=1 bool
machine.Version: metadata=1 common.Metadata, version=2 machine.VersionInfo, platform=3 machine.PlatformInfo,
    features=4 machine.FeaturesInfo
machine.VersionResponse: messages=1 *machine.Version

machine.LogsRequest: namespace=1 string, id=2 string, driver=3 int32, follow=4 bool, tail_lines=5 int32
machine.LogsContainer: metadata=1 common.Metadata, ids=2 *string
machine.LogsContainersResponse: messages=1 *machine.LogsContainer
machine.DmesgRequest: follow=1 bool, tail=2 bool
machine.ReadRequest: path=1 string
machine.ListRequest: root=1 string, recurse=2 bool, recursion_depth=3 int32, types=4 *int32, report_xattrs=5 bool
machine.Xattr: name=1 string, data=2 bytes
machine.FileInfo: metadata=1 common.Metadata, name=2 string, size=3 int64, mode=4 uint32, modified=5 int64, is_dir=6
    bool, error=7 string, link=8 string, relative_name=9 string, uid=10 uint32, gid=11 uint32, xattrs=12
    *machine.Xattr

machine.ServiceEvent: msg=1 string, state=2 string, ts=3 google.protobuf.Timestamp
machine.ServiceEvents: events=1 *machine.ServiceEvent
machine.ServiceHealth: unknown=1 bool, healthy=2 bool, last_message=3 string, last_change=4 google.protobuf.Timestamp
machine.ServiceInfo: id=1 string, state=2 string, events=3 machine.ServiceEvents, health=4 machine.ServiceHealth
machine.ServiceList: metadata=1 common.Metadata, services=2 *machine.ServiceInfo
machine.ServiceListResponse: messages=1 *machine.ServiceList

machine.ResetPartitionSpec: label=1 string, wipe=2 bool
machine.ResetRequest: graceful=1 bool, reboot=2 bool, system_partitions_to_wipe=3 *machine.ResetPartitionSpec,
    user_disks_to_wipe=4 *string, mode=5 int32
machine.Reset: metadata=1 common.Metadata, actor_id=2 string
machine.ResetResponse: messages=1 *machine.Reset
machine.ApplyConfigurationRequest: data=1 bytes, mode=4 int32, dry_run=5 bool, try_mode_timeout=6
    google.protobuf.Duration
machine.ApplyConfiguration: metadata=1 common.Metadata, warnings=2 *string, mode=3 int32, mode_details=4 string
machine.ApplyConfigurationResponse: messages=1 *machine.ApplyConfiguration
machine.RebootRequest: mode=1 int32
machine.Reboot: metadata=1 common.Metadata, actor_id=2 string
machine.RebootResponse: messages=1 *machine.Reboot
machine.ShutdownRequest: force=1 bool
machine.Shutdown: metadata=1 common.Metadata, actor_id=2 string
machine.ShutdownResponse: messages=1 *machine.Shutdown
machine.UpgradeRequest: image=1 string, preserve=2 bool, stage=3 bool, force=4 bool, reboot_mode=5 int32
machine.Upgrade: metadata=1 common.Metadata, ack=2 string, actor_id=3 string
machine.UpgradeResponse: messages=1 *machine.Upgrade
machine.EventsRequest: tail_events=1 int32, tail_id=2 string, tail_seconds=3 int32, with_actor_id=4 string
machine.Event: metadata=1 common.Metadata, data=2 google.protobuf.Any, id=3 string, actor_id=4 string
machine.SequenceEvent: sequence=1 string, action=2 int32, error=3 common.Error
machine.PhaseEvent: phase=1 string, action=2 int32
machine.TaskEvent: task=1 string, action=2 int32
machine.ServiceStateEvent: service=1 string, action=2 int32, message=3 string, health=4 machine.ServiceHealth
machine.UnmetCondition: name=1 string, reason=2 string
machine.MachineStatus: ready=1 bool, unmet_conditions=2 *machine.UnmetCondition
machine.MachineStatusEvent: stage=1 int32, status=2 machine.MachineStatus

machine.EtcdMemberListRequest: query_local=1 bool
machine.EtcdMember: id=2 uint64, hostname=3 string, peer_urls=4 *string, client_urls=5 *string, is_learner=6 bool
machine.EtcdMembers: metadata=1 common.Metadata, legacy_members=2 *string, members=3 *machine.EtcdMember
machine.EtcdMemberListResponse: messages=1 *machine.EtcdMembers
machine.EtcdMemberStatus: protocol_version=1 string, db_size=2 int64, db_size_in_use=3 int64, leader=4 uint64,
    raft_index=5 uint64, raft_term=6 uint64, raft_applied_index=7 uint64, errors=8 *string, is_learner=9 bool,
    member_id=10 uint64, storage_version=11 string
machine.EtcdStatus: metadata=1 common.Metadata, member_status=2 machine.EtcdMemberStatus
machine.EtcdStatusResponse: messages=1 *machine.EtcdStatus
machine.EtcdMemberAlarm: member_id=1 uint64, alarm=2 int32
machine.EtcdAlarm: metadata=1 common.Metadata, member_alarms=2 *machine.EtcdMemberAlarm
machine.EtcdAlarmListResponse: messages=1 *machine.EtcdAlarm
machine.EtcdForfeitLeadershipRequest:
machine.EtcdForfeitLeadership: metadata=1 common.Metadata, member=2 string
machine.EtcdForfeitLeadershipResponse: messages=1 *machine.EtcdForfeitLeadership
machine.EtcdRemoveMemberByIDRequest: member_id=1 uint64
machine.EtcdRemoveMemberByID: metadata=1 common.Metadata
machine.EtcdRemoveMemberByIDResponse: messages=1 *machine.EtcdRemoveMemberByID
machine.EtcdLeaveClusterRequest:
machine.EtcdLeaveCluster: metadata=1 common.Metadata
machine.EtcdLeaveClusterResponse: messages=1 *machine.EtcdLeaveCluster
machine.EtcdSnapshotRequest:

machine.CPUStat: user=1 double, nice=2 double, system=3 double, idle=4 double, iowait=5 double, irq=6 double,
    soft_irq=7 double, steal=8 double, guest=9 double, guest_nice=10 double
machine.SystemStat: metadata=1 common.Metadata, boot_time=2 uint64, cpu_total=3 machine.CPUStat, cpu=4
    *machine.CPUStat, irq_total=5 uint64, irq=6 *uint64, context_switches=7 uint64, process_created=8 uint64,
    process_running=9 uint64, process_blocked=10 uint64, soft_irq_total=11 uint64
machine.SystemStatResponse: messages=1 *machine.SystemStat
machine.MemInfo: memtotal=1 uint64, memfree=2 uint64, memavailable=3 uint64, buffers=4 uint64, cached=5 uint64
machine.Memory: metadata=1 common.Metadata, meminfo=2 machine.MemInfo
machine.MemoryResponse: messages=1 *machine.Memory
machine.ProcessInfo: pid=1 int32, ppid=2 int32, state=3 string, threads=4 int32, cpu_time=5 double, virtual_memory=6
    uint64, resident_memory=7 uint64, command=8 string, executable=9 string, args=10 string, label=11 string
machine.Process: metadata=1 common.Metadata, processes=2 *machine.ProcessInfo
machine.ProcessesResponse: messages=1 *machine.Process
machine.MountStat: filesystem=1 string, size=2 uint64, available=3 uint64, mounted_on=4 string
machine.Mounts: metadata=1 common.Metadata, stats=2 *machine.MountStat
machine.MountsResponse: messages=1 *machine.Mounts
machine.Hostname: metadata=1 common.Metadata, hostname=2 string
machine.HostnameResponse: messages=1 *machine.Hostname
machine.GenerateClientConfigurationRequest: roles=1 *string, crt_ttl=2 google.protobuf.Duration
machine.GenerateClientConfiguration: metadata=1 common.Metadata, ca=2 bytes, crt=3 bytes, key=4 bytes, talosconfig=5
    bytes
machine.GenerateClientConfigurationResponse: messages=1 *machine.GenerateClientConfiguration
machine.MetaWriteRequest: key=1 uint32, value=2 bytes
machine.MetaWrite: metadata=1 common.Metadata
machine.MetaWriteResponse: messages=1 *machine.MetaWrite
machine.MetaDeleteRequest: key=1 uint32
machine.MetaDelete: metadata=1 common.Metadata
machine.MetaDeleteResponse: messages=1 *machine.MetaDelete

machine.InstallArtifactsSource: image_name=1 string
machine.InstallDestination: disk=1 string
machine.LifecycleServiceInstallRequest: containerd=1 common.ContainerdInstance, source=2
    machine.InstallArtifactsSource, destination=3 machine.InstallDestination
machine.LifecycleServiceUpgradeRequest: containerd=1 common.ContainerdInstance, source=2
    machine.InstallArtifactsSource
machine.LifecycleServiceInstallProgress: message=1 <response>string, exit_code=2 <response>int32
machine.LifecycleServiceInstallResponse: progress=1 machine.LifecycleServiceInstallProgress

time.TimeRequest: server=1 string
time.Time: metadata=1 common.Metadata, server=2 string, localtime=3 google.protobuf.Timestamp, remotetime=4
    google.protobuf.Timestamp
time.TimeResponse: messages=1 *time.Time

cluster.ClusterInfo: control_plane_nodes=1 *string, worker_nodes=2 *string, force_endpoint=3 string
cluster.HealthCheckRequest: wait_timeout=1 google.protobuf.Duration, cluster_info=2 cluster.ClusterInfo
cluster.HealthCheckProgress: metadata=1 common.Metadata, message=2 string

storage.Disk: size=1 uint64, model=2 string, device_name=3 string, name=4 string, serial=5 string, modalias=6 string,
    uuid=7 string, wwid=8 string, type=9 int32, bus_path=10 string, system_disk=11 bool, subsystem=12 string,
    readonly=13 bool
storage.Disks: metadata=1 common.Metadata, disks=2 *storage.Disk
storage.DisksResponse: messages=1 *storage.Disks
storage.BlockDeviceWipeDescriptor: device=1 string, method=2 int32, skip_volume_check=3 bool, drop_partition=4 bool,
    skip_secondary_check=5 bool
storage.BlockDeviceWipeRequest: devices=1 *storage.BlockDeviceWipeDescriptor
storage.BlockDeviceWipe: metadata=1 common.Metadata
storage.BlockDeviceWipeResponse: messages=1 *storage.BlockDeviceWipe

cosi.resource.Metadata: namespace=1 string, type=2 string, id=3 string, version=4 string, owner=5 string, phase=6
    string, created=7 google.protobuf.Timestamp, updated=8 google.protobuf.Timestamp, finalizers=9 *string,
    annotations=11 map, labels=10 map
cosi.resource.Spec: proto_spec=1 bytes, yaml_spec=2 string
cosi.resource.Resource: metadata=1 cosi.resource.Metadata, spec=2 cosi.resource.Spec
cosi.resource.LabelTerm: key=1 string, op=2 int32, value=3 *string, invert=5 bool
cosi.resource.LabelQuery: terms=1 *cosi.resource.LabelTerm
cosi.resource.IDQuery: regexp=1 string
cosi.resource.GetOptions:
cosi.resource.GetRequest: namespace=1 string, type=2 string, id=3 string, options=4 cosi.resource.GetOptions
cosi.resource.GetResponse: resource=1 cosi.resource.Resource
cosi.resource.ListOptions: label_query=1 *cosi.resource.LabelQuery, id_query=2 cosi.resource.IDQuery
cosi.resource.ListRequest: namespace=1 string, type=2 string, options=3 cosi.resource.ListOptions
cosi.resource.ListResponse: resource=1 cosi.resource.Resource
cosi.resource.WatchOptions: bootstrap_contents=1 bool, tail_events=2 int32, label_query=3 *cosi.resource.LabelQuery,
    id_query=4 cosi.resource.IDQuery, aggregated=5 bool, start_from_bookmark=6 ?bytes, bootstrap_bookmark=7 bool
cosi.resource.WatchRequest: namespace=1 string, type=2 string, id=3 ?string, options=4 cosi.resource.WatchOptions,
    api_version=5 int32
cosi.resource.Event: resource=1 cosi.resource.Resource, event_type=2 int32, old=3 cosi.resource.Resource, error=4
    string, bookmark=5 bytes
cosi.resource.WatchResponse: event=1 *cosi.resource.Event

cosi.resource.meta.NamespaceSpec: description=1 string
cosi.resource.meta.PrintColumn: name=1 string, json_path=2 string
cosi.resource.meta.ResourceDefinitionSpec: resource_type=1 string, display_type=2 string, default_namespace=3 string,
    aliases=4 *string, all_aliases=5 *string, print_columns=6 *cosi.resource.meta.PrintColumn, sensitivity=7 int32
"""

_OPTIONAL = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
_STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_FIELD = re.compile(r"^(\w+)=(\d+) (\*|\?|<\w+>)?([\w.]+)$")


def _build() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for module in (any_pb2, duration_pb2, empty_pb2, timestamp_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    for line in filter(None, _TABLE.replace("\n    ", " ").splitlines()):
        full, _unused, fields = line.partition(":")
        package, _unused, name = full.rpartition(".")
        if package not in files:
            files[package] = descriptor_pb2.FileDescriptorProto(
                name=f"simulator/{package}.proto", package=package, syntax="proto3"
            )
        message = files[package].message_type.add(name=name)
        groups: dict[str, int] = {}
        for text in filter(None, map(str.strip, fields.split(","))):
            match = _FIELD.match(text)
            if match is None:
                raise ValueError(f"bad field {text!r} of {full}")
            field_name, number, mark, kind = match.groups()
            field: Any = message.field.add(name=field_name, number=int(number), label=_OPTIONAL)
            if kind == "map":
                entry = message.nested_type.add(name=f"{field_name.title()}Entry")
                entry.options.map_entry = True
                for index, part in enumerate(("key", "value"), start=1):
                    entry.field.add(name=part, number=index, label=_OPTIONAL, type=_STRING)
                field.label, field.type, field.type_name = 3, 11, f".{full}.{entry.name}"
                continue
            if mark == "*":
                field.label = 3
            elif mark == "?":
                field.proto3_optional = True
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field_name}")
            elif mark:
                group = mark.strip("<>")
                if group not in groups:
                    groups[group] = len(message.oneof_decl)
                    message.oneof_decl.add(name=group)
                field.oneof_index = groups[group]
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type, field.type_name = 11, f".{kind}"
    for package, file in files.items():
        uses = {
            field.type_name.lstrip(".").rpartition(".")[0]
            for message in file.message_type
            for field in message.field
            if field.type_name and not field.type_name.startswith(f".{package}.")
        }
        for used in sorted(uses):
            if used == "google.protobuf":
                file.dependency.extend(f"google/protobuf/{stem}.proto" for stem in ("any", "duration", "timestamp"))
            else:
                file.dependency.append(f"simulator/{used}.proto")
    pending = list(files.values())
    while pending:
        names = {file.name for file in pending}
        ready = [file for file in pending if not names & set(file.dependency)]
        if not ready:
            raise ValueError(f"circular imports among {sorted(names)}")
        for file in ready:
            pool.AddSerializedFile(file.SerializeToString())
            pending.remove(file)
    return pool


_POOL = _build()
_CLASSES: dict[str, Any] = {}


def message_class(name: str) -> Any:
    """Return the message class of a full protobuf name, for example ``machine.VersionResponse``."""
    if name not in _CLASSES:
        _CLASSES[name] = message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))
    return _CLASSES[name]


def make(full_name: str, /, **fields: Any) -> Any:
    """Make a message by its full protobuf name."""
    return message_class(full_name)(**fields)


def timestamp(seconds: float) -> Any:
    """Make a Timestamp from seconds since the epoch."""
    whole = int(seconds // 1)
    return make("google.protobuf.Timestamp", seconds=whole, nanos=int((seconds - whole) * 1e9))
