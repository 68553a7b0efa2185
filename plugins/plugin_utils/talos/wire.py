# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The methods of the Talos API that the collection uses, and classes of their messages, made at run time.

Generated code would tie the collection to one protobuf major version and register generic file names in the
process-wide pool, where other collections live too. Here the tables of ``messages.py`` are turned into descriptors in
a private pool; that works with protobuf 4.21 and later.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from ..problem import missing_library
from .messages import ENUMS, MESSAGES

try:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from google.protobuf.message import DecodeError
except ImportError as error:
    _IMPORT_ERROR: ImportError | None = error

    class DecodeError(Exception):  # type: ignore[no-redef]  # so that it can be named without protobuf
        """Stands in for protobuf's error so that the module can be imported without it."""
else:
    _IMPORT_ERROR = None

__all__ = ["METHODS", "DecodeError", "Method", "classes", "enum_name", "enum_number", "message"]


@dataclass(frozen=True)
class Method:
    """One gRPC method: its path, its messages, and how careful a caller must be.

    Attributes:
        writes: True when a call may change the node, so that it is never sent twice.
        most_bytes: of one message of the answer; a longer one is refused before it is read.
    """

    path: str
    request: str
    reply: str
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
    return _machine(name, request, "common.Data", most_bytes=MAX_MESSAGE)


_EMPTY = "google.protobuf.Empty"

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("/cosi.resource.State/Get", "cosi.resource.GetRequest", "cosi.resource.GetResponse"),
        Method("/cosi.resource.State/List", "cosi.resource.ListRequest", "cosi.resource.ListResponse"),
        _machine("Version", _EMPTY, "machine.VersionResponse"),
        _data("Logs", "machine.LogsRequest"),
        _data("Dmesg", "machine.DmesgRequest"),
        _data("Read", "machine.ReadRequest"),
        _machine("ServiceList", _EMPTY, "machine.ServiceListResponse"),
        _machine("Events", "machine.EventsRequest", "machine.Event"),
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
METHODS["ListFiles"] = _machine("List", "machine.ListRequest", "machine.FileInfo")


def message(name: str) -> Any:
    """The message class called ``name`` in MESSAGES, for example ``message("machine.LogsRequest")``.

    Raises:
        MissingLibrary: protobuf is not installed.
        KeyError: no such message in the table.
    """
    return classes()[name]


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
def classes() -> dict[str, Any]:
    """The class of every message in MESSAGES, by its name.

    Raises:
        MissingLibrary: protobuf is not installed.
    """
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
