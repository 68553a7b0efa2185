# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables of messages and enums agree with the upstream definitions, and nothing in it can start an upgrade."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import messages, wire
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PROTOS = Path(__file__).parent / "protos"
FILES = ["google.rpc.proto", "common.proto", "cosi.resource.proto", "machine.proto", "time.proto"]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> descriptor_pool.DescriptorPool:
    """The extracts of the upstream definitions, compiled by protoc."""
    target = tmp_path_factory.mktemp("protoc") / "all.binpb"
    well_known = Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{PROTOS}", f"-I{well_known}", "--include_imports", f"--descriptor_set_out={target}"]
    assert protoc.main([*arguments, *FILES, "google/protobuf/empty.proto"]) == 0
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def _shape(descriptor: Any) -> dict[str, tuple[Any, ...]]:
    proto = descriptor_pb2.DescriptorProto()
    descriptor.CopyToProto(proto)
    maps = {nested.name: nested for nested in proto.nested_type if nested.options.map_entry}
    shape = {}
    for field in proto.field:
        kind: Any = field.type_name.lstrip(".")
        entry = maps.get(kind.rpartition(".")[2])
        if entry is not None:
            kind = ("map", *((part.name, part.number, part.type) for part in entry.field))
        shape[field.name] = (field.number, field.type, field.label, field.proto3_optional, kind)
    return shape


@pytest.mark.parametrize("name", sorted(messages.MESSAGES))
def test_fields_match_upstream(reference: Any, name: str) -> None:
    assert _shape(wire.message(name).DESCRIPTOR) == _shape(reference.FindMessageTypeByName(name))


@pytest.mark.parametrize("name", sorted(messages.ENUMS))
def test_enums_match_upstream(reference: Any, name: str) -> None:
    upstream = {value.name: value.number for value in reference.FindEnumTypeByName(name).values}
    assert messages.ENUMS[name] == upstream


def _values(descriptor: Any, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    proto = descriptor_pb2.DescriptorProto()
    descriptor.CopyToProto(proto)
    kinds = descriptor_pb2.FieldDescriptorProto
    scalars = {
        kinds.TYPE_STRING: st.text(max_size=20),
        kinds.TYPE_BYTES: st.binary(max_size=40),
        kinds.TYPE_BOOL: st.booleans(),
        kinds.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
        kinds.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
        kinds.TYPE_UINT32: st.integers(0, 2**32 - 1),
        kinds.TYPE_UINT64: st.integers(0, 2**64 - 1),
        kinds.TYPE_DOUBLE: st.floats(allow_nan=False),
    }
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for field, described in zip(proto.field, descriptor.fields, strict=True):
        if described.message_type is not None and described.message_type.GetOptions().map_entry:
            fields[field.name] = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2)
            continue
        if field.type == kinds.TYPE_MESSAGE:
            if depth > 2:
                continue
            value: Any = _values(described.message_type, depth + 1)
        elif field.type == kinds.TYPE_ENUM:
            value = st.sampled_from([item.number for item in described.enum_type.values])
        else:
            value = scalars[field.type]
        fields[field.name] = st.lists(value, max_size=2) if field.label == kinds.LABEL_REPEATED else value
    return st.fixed_dictionaries({}, optional=fields)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_bytes_mean_the_same_to_both(reference: Any, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(messages.MESSAGES)))
    ours = wire.message(name)(**data.draw(_values(wire.message(name).DESCRIPTOR)))
    theirs = message_factory.GetMessageClass(reference.FindMessageTypeByName(name))
    raw = ours.SerializeToString(deterministic=True)
    assert theirs.FromString(raw).SerializeToString(deterministic=True) == raw
    assert wire.message(name).FromString(raw) == ours


def test_unknown_fields_are_skipped() -> None:
    raw = wire.message("common.Data")(bytes=b"x").SerializeToString() + b"\xfa\x7f\x03new"
    assert wire.message("common.Data").FromString(raw).bytes == b"x"


def test_no_method_can_start_an_upgrade() -> None:
    assert not [method.path for method in wire.METHODS.values() if "upgrade" in method.path.lower()]
    assert not [method.path for method in wire.METHODS.values() if "Lifecycle" in method.path]


def test_methods_use_known_messages() -> None:
    for method in wire.METHODS.values():
        assert {method.request, method.reply} <= set(messages.MESSAGES)


def test_enum_names_and_numbers() -> None:
    assert wire.enum_number("machine.ResetRequest.WipeMode", "system_disk") == 1
    assert wire.enum_name("machine.ResetRequest.WipeMode", 2) == "user_disks"
    assert wire.enum_name("machine.ResetRequest.WipeMode", 77) == "unknown(77)"
    with pytest.raises(ValueError, match="not one of: all, system_disk"):
        wire.enum_number("machine.ResetRequest.WipeMode", "everything")


def test_the_oldest_protobuf_makes_the_same_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """4.21 has a factory of a pool where later releases have a function."""
    pool = wire.message("common.Data").DESCRIPTOR.file.pool
    older = SimpleNamespace(MessageFactory=lambda of: SimpleNamespace(GetPrototype=lambda descriptor: (of, descriptor)))
    monkeypatch.setattr(wire, "message_factory", older)
    assert wire._class_of(pool, "common.Data") == (pool, wire.message("common.Data").DESCRIPTOR)
