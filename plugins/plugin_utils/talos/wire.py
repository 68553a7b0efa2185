# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The protobuf messages of the Talos API that the collection uses, described at run time.

Generated code would tie the collection to one protobuf major version and register generic file names in the
process-wide pool, where other collections live too. Here one table is turned into descriptors in a private pool;
that works with protobuf 4.21 and later. Numbers and types come from api/common/common.proto and
api/machine/machine.proto of siderolabs/talos and proto/v1alpha1 of cosi-project/specification.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from ..problem import missing_library

try:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from google.protobuf.message import DecodeError
except ImportError as error:
    _IMPORT_ERROR: ImportError | None = error

    class DecodeError(Exception):  # type: ignore[no-redef]  # so that it can be named without protobuf
        """Stands in for protobuf's error so that the module can be imported without it."""
else:
    _IMPORT_ERROR = None

__all__ = ["ENUMS", "MESSAGES", "METHODS", "DecodeError", "Method", "enum_name", "enum_number", "message"]


@dataclass(frozen=True)
class Method:
    """One gRPC method: its path, its messages, and how careful a caller must be.

    Attributes:
        streams: True when the server answers with a stream of messages.
        writes: True when a call may change the node, so that it is never sent twice.
        most_bytes: of one message of the answer; a longer one is refused before it is read.
    """

    path: str
    request: str
    reply: str
    streams: bool = False
    writes: bool = False
    most_bytes: int = 4 * 1024 * 1024

    @property
    def name(self) -> str:
        """The last part of the path, for messages."""
        return self.path.rpartition("/")[2]


# The limit that Talos and talosctl use (GRPCMaxMessageSize in pkg/machinery/constants).
MAX_MESSAGE = 32 * 1024 * 1024


def _machine(name: str, request: str, reply: str, **how: Any) -> Method:
    return Method(f"/machine.MachineService/{name}", request, reply, **how)


def _data(name: str, request: str) -> Method:
    return _machine(name, request, "common.Data", streams=True, most_bytes=MAX_MESSAGE)


_EMPTY = "google.protobuf.Empty"

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("/cosi.resource.State/Get", "cosi.resource.GetRequest", "cosi.resource.GetResponse"),
        Method("/cosi.resource.State/List", "cosi.resource.ListRequest", "cosi.resource.ListResponse", streams=True),
        _machine("Version", _EMPTY, "machine.VersionResponse"),
        _data("Logs", "machine.LogsRequest"),
        _data("Dmesg", "machine.DmesgRequest"),
        _data("Read", "machine.ReadRequest"),
        _machine("ServiceList", _EMPTY, "machine.ServiceListResponse"),
        _machine("Events", "machine.EventsRequest", "machine.Event", streams=True),
        _machine("SystemStat", _EMPTY, "machine.SystemStatResponse"),
        _machine("Processes", _EMPTY, "machine.ProcessesResponse", most_bytes=MAX_MESSAGE),
        _machine("Reset", "machine.ResetRequest", "machine.ResetResponse", writes=True),
        _machine(
            "ApplyConfiguration",
            "machine.ApplyConfigurationRequest",
            "machine.ApplyConfigurationResponse",
            writes=True,
            # A dry run quotes both configurations.
            most_bytes=MAX_MESSAGE,
        ),
        _machine("EtcdMemberList", "machine.EtcdMemberListRequest", "machine.EtcdMemberListResponse"),
        _machine("EtcdStatus", _EMPTY, "machine.EtcdStatusResponse"),
        _machine("EtcdAlarmList", _EMPTY, "machine.EtcdAlarmListResponse"),
        _machine(
            "EtcdForfeitLeadership",
            "machine.EtcdForfeitLeadershipRequest",
            "machine.EtcdForfeitLeadershipResponse",
            writes=True,
        ),
        _data("EtcdSnapshot", "machine.EtcdSnapshotRequest"),
        Method("/time.TimeService/Time", _EMPTY, "time.TimeResponse"),
    )
}
# The API has two methods called List; the one for files gets a key of its own.
METHODS["ListFiles"] = _machine("List", "machine.ListRequest", "machine.FileInfo", streams=True)

# Enum -> {value name: number}.
ENUMS: dict[str, dict[str, int]] = {
    "common.ContainerDriver": {"CONTAINERD": 0, "CRI": 1},
    "machine.ApplyConfigurationRequest.Mode": {"REBOOT": 0, "AUTO": 1, "NO_REBOOT": 2, "STAGED": 3, "TRY": 4},
    "machine.EtcdMemberAlarm.AlarmType": {"NONE": 0, "NOSPACE": 1, "CORRUPT": 2},
    "machine.ListRequest.Type": {"REGULAR": 0, "DIRECTORY": 1, "SYMLINK": 2},
    "machine.TaskEvent.Action": {"START": 0, "STOP": 1},
    "machine.ResetRequest.WipeMode": {"ALL": 0, "SYSTEM_DISK": 1, "USER_DISKS": 2},
}

_META = {"metadata": "1 common.Metadata"}

# Message -> {field: "number [repeated|optional] type"}. A type with a dot is a message or an enum of these tables.
MESSAGES: dict[str, dict[str, str]] = {
    "google.protobuf.Any": {"type_url": "1 string", "value": "2 bytes"},
    "google.protobuf.Duration": {"seconds": "1 int64", "nanos": "2 int32"},
    "google.protobuf.Empty": {},
    "google.protobuf.Timestamp": {"seconds": "1 int64", "nanos": "2 int32"},
    "google.rpc.Status": {"code": "1 int32", "message": "2 string", "details": "3 repeated google.protobuf.Any"},
    "common.Metadata": {"hostname": "1 string", "error": "2 string", "status": "3 google.rpc.Status"},
    "time.Time": {
        **_META,
        "server": "2 string",
        "localtime": "3 google.protobuf.Timestamp",
        "remotetime": "4 google.protobuf.Timestamp",
    },
    "time.TimeResponse": {"messages": "1 repeated time.Time"},
    "common.Data": {**_META, "bytes": "2 bytes"},
    "cosi.resource.Metadata": {
        "namespace": "1 string",
        "type": "2 string",
        "id": "3 string",
        "version": "4 string",
        "owner": "5 string",
        "phase": "6 string",
        "created": "7 google.protobuf.Timestamp",
        "updated": "8 google.protobuf.Timestamp",
        "finalizers": "9 repeated string",
        "labels": "10 map string string",
        "annotations": "11 map string string",
    },
    "cosi.resource.Spec": {"proto_spec": "1 bytes", "yaml_spec": "2 string"},
    "cosi.resource.Resource": {"metadata": "1 cosi.resource.Metadata", "spec": "2 cosi.resource.Spec"},
    "cosi.resource.GetRequest": {"namespace": "1 string", "type": "2 string", "id": "3 string"},
    "cosi.resource.GetResponse": {"resource": "1 cosi.resource.Resource"},
    "cosi.resource.ListRequest": {"namespace": "1 string", "type": "2 string"},
    "cosi.resource.ListResponse": {"resource": "1 cosi.resource.Resource"},
    "machine.VersionInfo": {
        "tag": "1 string",
        "sha": "2 string",
        "built": "3 string",
        "go_version": "4 string",
        "os": "5 string",
        "arch": "6 string",
    },
    "machine.PlatformInfo": {"name": "1 string", "mode": "2 string"},
    "machine.FeaturesInfo": {"rbac": "1 bool"},
    "machine.Version": {
        **_META,
        "version": "2 machine.VersionInfo",
        "platform": "3 machine.PlatformInfo",
        "features": "4 machine.FeaturesInfo",
    },
    "machine.VersionResponse": {"messages": "1 repeated machine.Version"},
    "machine.LogsRequest": {
        "namespace": "1 string",
        "id": "2 string",
        "driver": "3 common.ContainerDriver",
        "follow": "4 bool",
        "tail_lines": "5 int32",
    },
    "machine.DmesgRequest": {"follow": "1 bool", "tail": "2 bool"},
    "machine.ReadRequest": {"path": "1 string"},
    "machine.ListRequest": {
        "root": "1 string",
        "recurse": "2 bool",
        "recursion_depth": "3 int32",
        "types": "4 repeated machine.ListRequest.Type",
        "report_xattrs": "5 bool",
    },
    "machine.Xattr": {"name": "1 string", "data": "2 bytes"},
    "machine.FileInfo": {
        **_META,
        "name": "2 string",
        "size": "3 int64",
        "mode": "4 uint32",
        "modified": "5 int64",
        "is_dir": "6 bool",
        "error": "7 string",
        "link": "8 string",
        "relative_name": "9 string",
        "uid": "10 uint32",
        "gid": "11 uint32",
        "xattrs": "12 repeated machine.Xattr",
    },
    "machine.EventsRequest": {
        "tail_events": "1 int32",
        "tail_id": "2 string",
        "tail_seconds": "3 int32",
        "with_actor_id": "4 string",
    },
    "machine.Event": {**_META, "data": "2 google.protobuf.Any", "id": "3 string", "actor_id": "4 string"},
    "machine.TaskEvent": {"task": "1 string", "action": "2 machine.TaskEvent.Action"},
    "machine.ServiceEvent": {"msg": "1 string", "state": "2 string", "ts": "3 google.protobuf.Timestamp"},
    "machine.ServiceEvents": {"events": "1 repeated machine.ServiceEvent"},
    "machine.ServiceHealth": {
        "unknown": "1 bool",
        "healthy": "2 bool",
        "last_message": "3 string",
        "last_change": "4 google.protobuf.Timestamp",
    },
    "machine.ServiceInfo": {
        "id": "1 string",
        "state": "2 string",
        "events": "3 machine.ServiceEvents",
        "health": "4 machine.ServiceHealth",
    },
    "machine.ServiceList": {**_META, "services": "2 repeated machine.ServiceInfo"},
    "machine.ServiceListResponse": {"messages": "1 repeated machine.ServiceList"},
    "machine.CPUStat": {
        "user": "1 double",
        "nice": "2 double",
        "system": "3 double",
        "idle": "4 double",
        "iowait": "5 double",
        "irq": "6 double",
        "soft_irq": "7 double",
        "steal": "8 double",
    },
    "machine.SystemStat": {
        **_META,
        "boot_time": "2 uint64",
        "cpu_total": "3 machine.CPUStat",
        "cpu": "4 repeated machine.CPUStat",
        "context_switches": "7 uint64",
        "process_created": "8 uint64",
    },
    "machine.SystemStatResponse": {"messages": "1 repeated machine.SystemStat"},
    "machine.ProcessInfo": {
        "pid": "1 int32",
        "ppid": "2 int32",
        "state": "3 string",
        "threads": "4 int32",
        "cpu_time": "5 double",
        "virtual_memory": "6 uint64",
        "resident_memory": "7 uint64",
        "command": "8 string",
        "executable": "9 string",
        "args": "10 string",
        "label": "11 string",
    },
    "machine.Process": {**_META, "processes": "2 repeated machine.ProcessInfo"},
    "machine.ProcessesResponse": {"messages": "1 repeated machine.Process"},
    "machine.ResetPartitionSpec": {"label": "1 string", "wipe": "2 bool"},
    "machine.ResetRequest": {
        "graceful": "1 bool",
        "reboot": "2 bool",
        "system_partitions_to_wipe": "3 repeated machine.ResetPartitionSpec",
        "user_disks_to_wipe": "4 repeated string",
        "mode": "5 machine.ResetRequest.WipeMode",
    },
    "machine.Reset": {**_META, "actor_id": "2 string"},
    "machine.ResetResponse": {"messages": "1 repeated machine.Reset"},
    "machine.ApplyConfigurationRequest": {
        "data": "1 bytes",
        "mode": "4 machine.ApplyConfigurationRequest.Mode",
        "dry_run": "5 bool",
        "try_mode_timeout": "6 google.protobuf.Duration",
    },
    "machine.ApplyConfiguration": {
        **_META,
        "warnings": "2 repeated string",
        "mode": "3 machine.ApplyConfigurationRequest.Mode",
        "mode_details": "4 string",
    },
    "machine.ApplyConfigurationResponse": {"messages": "1 repeated machine.ApplyConfiguration"},
    "machine.EtcdMemberListRequest": {"query_local": "1 bool"},
    "machine.EtcdMember": {
        "id": "2 uint64",
        "hostname": "3 string",
        "peer_urls": "4 repeated string",
        "client_urls": "5 repeated string",
        "is_learner": "6 bool",
    },
    "machine.EtcdMembers": {**_META, "legacy_members": "2 repeated string", "members": "3 repeated machine.EtcdMember"},
    "machine.EtcdMemberListResponse": {"messages": "1 repeated machine.EtcdMembers"},
    "machine.EtcdMemberStatus": {
        "protocol_version": "1 string",
        "db_size": "2 int64",
        "db_size_in_use": "3 int64",
        "leader": "4 uint64",
        "raft_index": "5 uint64",
        "raft_term": "6 uint64",
        "raft_applied_index": "7 uint64",
        "errors": "8 repeated string",
        "is_learner": "9 bool",
        "member_id": "10 uint64",
        "storage_version": "11 string",
    },
    "machine.EtcdStatus": {**_META, "member_status": "2 machine.EtcdMemberStatus"},
    "machine.EtcdStatusResponse": {"messages": "1 repeated machine.EtcdStatus"},
    "machine.EtcdMemberAlarm": {"member_id": "1 uint64", "alarm": "2 machine.EtcdMemberAlarm.AlarmType"},
    "machine.EtcdAlarm": {**_META, "member_alarms": "2 repeated machine.EtcdMemberAlarm"},
    "machine.EtcdAlarmListResponse": {"messages": "1 repeated machine.EtcdAlarm"},
    "machine.EtcdForfeitLeadershipRequest": {},
    "machine.EtcdForfeitLeadership": {**_META, "member": "2 string"},
    "machine.EtcdForfeitLeadershipResponse": {"messages": "1 repeated machine.EtcdForfeitLeadership"},
    "machine.EtcdSnapshotRequest": {},
}


def message(name: str) -> Any:
    """The message class called ``name`` in MESSAGES, for example ``message("machine.LogsRequest")``.

    Raises:
        MissingLibrary: protobuf is not installed.
        KeyError: no such message in the table.
    """
    return _classes()[name]


def enum_number(enum: str, name: str) -> int:
    """The number of an enum value by its case-insensitive ``name``.

    Raises:
        ValueError: the enum has no such value.
    """
    try:
        return ENUMS[enum][name.upper()]
    except KeyError:
        values = ", ".join(value.lower() for value in ENUMS[enum])
        raise ValueError(f"{name!r} is not one of: {values}") from None


def enum_name(enum: str, number: int) -> str:
    """The lower-case name of an enum value; ``unknown(<n>)`` for a number newer than the table."""
    for name, value in ENUMS[enum].items():
        if value == number:
            return name.lower()
    return f"unknown({number})"


_SCALARS = ("double", "int64", "uint64", "int32", "uint32", "bool", "string", "bytes")


@cache
def _classes() -> dict[str, Any]:
    if _IMPORT_ERROR is not None:
        raise missing_library("protobuf", _IMPORT_ERROR)
    pool = descriptor_pool.DescriptorPool()
    files: dict[str, Any] = {}
    scopes: dict[str, Any] = {}

    def scope(parent: str) -> Any:
        # Lower-case names are packages and become files; the others are messages that hold nested types.
        if parent in scopes:
            return scopes[parent]
        file = descriptor_pb2.FileDescriptorProto(name=f"{parent}.proto", package=parent, syntax="proto3")
        file.dependency.extend(f"{package}.proto" for package in _DEPENDENCIES[parent])
        files[parent] = scopes[parent] = file
        return file

    for full_name, fields in MESSAGES.items():
        parent, _unused, name = full_name.rpartition(".")
        holder = scope(parent)
        nested = holder.message_type if parent in files else holder.nested_type
        scopes[full_name] = descriptor = nested.add(name=name)
        for field_name, text in fields.items():
            _add_field(descriptor, full_name, field_name, text)
    for full_name, values in ENUMS.items():
        parent, _unused, name = full_name.rpartition(".")
        enum = scope(parent).enum_type.add(name=name)
        for value_name, number in values.items():
            enum.value.add(name=value_name, number=number)
    for package in _DEPENDENCIES:
        pool.AddSerializedFile(files[package].SerializeToString())
    return {name: _class_of(pool, name) for name in MESSAGES}


# In an order in which each file finds what it needs.
_DEPENDENCIES: dict[str, tuple[str, ...]] = {
    "google.protobuf": (),
    "google.rpc": ("google.protobuf",),
    "common": ("google.protobuf", "google.rpc"),
    "cosi.resource": ("google.protobuf",),
    "machine": ("google.protobuf", "common"),
    "time": ("google.protobuf", "common"),
}


def _add_field(descriptor: Any, owner: str, name: str, text: str) -> None:
    number, *words = text.split()
    proto = descriptor_pb2.FieldDescriptorProto
    field = descriptor.field.add(name=name, number=int(number), label=proto.LABEL_OPTIONAL)
    if words[0] == "map":
        entry_name = "".join(part.capitalize() for part in name.split("_")) + "Entry"
        entry = descriptor.nested_type.add(name=entry_name)
        entry.options.map_entry = True
        _add_field(entry, f"{owner}.{entry_name}", "key", f"1 {words[1]}")
        _add_field(entry, f"{owner}.{entry_name}", "value", f"2 {words[2]}")
        field.label, field.type, field.type_name = proto.LABEL_REPEATED, proto.TYPE_MESSAGE, f".{owner}.{entry_name}"
        return
    if words[0] == "repeated":
        field.label = proto.LABEL_REPEATED
    elif words[0] == "optional":
        # proto3 keeps presence of a scalar by a one-field oneof.
        field.proto3_optional = True
        field.oneof_index = len(descriptor.oneof_decl)
        descriptor.oneof_decl.add(name=f"_{name}")
    kind = words[-1]
    if kind in _SCALARS:
        field.type = getattr(proto, f"TYPE_{kind.upper()}")
    else:
        field.type = proto.TYPE_ENUM if kind in ENUMS else proto.TYPE_MESSAGE
        field.type_name = f".{kind}"


def _class_of(pool: Any, name: str) -> Any:
    descriptor = pool.FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    # protobuf 4.21 has only the older spelling.
    return getattr(message_factory.MessageFactory(pool), "GetPrototype")(descriptor)  # noqa: B009 (not in the stubs)
