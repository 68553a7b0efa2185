# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resources of a Talos node: which ones the collection reads, and how their text becomes data.

Types, namespaces and ids are those of pkg/machinery/resources in siderolabs/talos. The server resolves neither
aliases nor default namespaces, so they are spelled out here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from ..problem import missing_library

try:
    import yaml
except ImportError as error:
    _IMPORT_ERROR: ImportError | None = error
else:
    _IMPORT_ERROR = None


@dataclass(frozen=True)
class ResourceKind:
    """Where a resource lives.

    Attributes:
        id: the id of the only instance; None when there are many, or when it depends on the node.
    """

    namespace: str
    type: str
    id: str | None = None


def _runtime(name: str, id: str | None = None) -> ResourceKind:
    return ResourceKind("runtime", f"{name}.runtime.talos.dev", id)


RESOURCES: dict[str, ResourceKind] = {
    "security_state": ResourceKind("runtime", "SecurityStates.talos.dev", "securitystate"),
    "kernel_cmdline": _runtime("KernelCmdlines", "cmdline"),
    "machine_status": _runtime("MachineStatuses", "machine"),
    "version": _runtime("Versions", "version"),
    "extension_statuses": _runtime("ExtensionStatuses"),
    "image_factory_schematic": _runtime("ImageFactorySchematics", "image-factory-schematic"),
    "boot_id": _runtime("BootIDs", "boot-id"),
    "meta_keys": _runtime("MetaKeys"),
    "booted_entry": ResourceKind("runtime", "BootedEntries.talos.dev", "bootedentry"),
    "time_status": ResourceKind("runtime", "TimeStatuses.v1alpha1.talos.dev", "node"),
    "volume_statuses": ResourceKind("runtime", "VolumeStatuses.block.talos.dev"),
    "system_information": ResourceKind("hardware", "SystemInformations.hardware.talos.dev", "systeminformation"),
    "machine_type": ResourceKind("config", "MachineTypes.config.talos.dev", "machine-type"),
    "members": ResourceKind("cluster", "Members.cluster.talos.dev"),
    "identity": ResourceKind("cluster", "Identities.cluster.talos.dev", "local"),
    "nodename": ResourceKind("k8s", "Nodenames.kubernetes.talos.dev", "nodename"),
    "node_status": ResourceKind("k8s", "NodeStatuses.kubernetes.talos.dev"),
    "manifest_status": ResourceKind("controlplane", "ManifestStatuses.kubernetes.talos.dev", "manifests"),
    "etcd_member": ResourceKind("etcd", "EtcdMembers.etcd.talos.dev", "local"),
}


def resource_kind(name: str) -> ResourceKind:
    """The kind called ``name`` in RESOURCES, or the one spelled ``namespace/Type.group``.

    Raises:
        ValueError: neither.
    """
    if name in RESOURCES:
        return RESOURCES[name]
    namespace, slash, type_name = name.partition("/")
    if slash and namespace and "." in type_name:
        return ResourceKind(namespace, type_name)
    raise ValueError(f"{name!r} is neither one of {', '.join(RESOURCES)} nor namespace/Type.group")


@dataclass(frozen=True)
class Resource:
    """One resource as the node gave it.

    Attributes:
        created, updated: UTC; None when the node did not say.
        spec: the content: a mapping, or a text for the few kinds that are one. Hidden in repr, since some kinds hold
            secrets.
    """

    type: str
    namespace: str
    id: str
    version: str
    phase: str
    created: datetime | None
    updated: datetime | None
    owner: str
    labels: dict[str, str]
    spec: dict[str, Any] | str = field(repr=False)


def moment(stamp: Any) -> datetime | None:
    """A protobuf Timestamp as UTC; None for one outside what a date can say (such as Go's zero time).

    Raises:
        nothing: an absurd date is not known, and None says so.
    """
    if stamp.seconds <= -62135596800:
        return None
    try:
        epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017
        return epoch + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError:
        return None


def parse_spec(text: str) -> dict[str, Any] | str:
    """The content of a resource's YAML.

    Raises:
        ValueError: not one YAML document, or one that is neither a mapping nor a text, or one with aliases.
    """
    if _IMPORT_ERROR is not None:
        raise missing_library("PyYAML", _IMPORT_ERROR)
    loader = _loader()
    try:
        if _may_be_a_bomb(text):
            _defuse(text, loader)
        value = yaml.load(text, Loader=loader)
    except (yaml.YAMLError, RecursionError):
        # The parser's message quotes the text, which may be a secret.
        raise ValueError("is not YAML") from None
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("has keys that are no texts")
        return value
    if isinstance(value, str):
        return value
    raise ValueError(f"is a YAML {type(value).__name__}, not a mapping or a text")


_DEEPEST = 100


def _may_be_a_bomb(text: str) -> bool:
    """Cheap upper bounds: honest resources pass without being parsed twice."""
    if "*" in text:
        return True
    indent = max((len(line) - len(line.lstrip(" ")) for line in text.splitlines()), default=0)
    return indent + sum(text.count(opener) for opener in "[{-?") > _DEEPEST


def _defuse(text: str, loader: Any) -> None:
    """Refuse aliases, where a few lines can stand for gigabytes, and nesting that overflows the C loader's stack.

    Talos writes neither. The events are read without recursion, so looking is safe.
    """
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("has aliases")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise ValueError(f"is nested more than {_DEEPEST} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


_LOADER: Any = None


def _loader() -> Any:
    """A safe YAML loader with the core types of YAML 1.2, which is what Go writes: no dates, no yes/no booleans."""
    global _LOADER
    if _LOADER is None:
        # The C loader costs a sixth; with the pure one, parsing would cost more than the network.
        base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        loader: Any = type("Loader", (base,), {"yaml_implicit_resolvers": {}})

        prefix = "tag:yaml.org,2002:"
        for tag, pattern, first in (
            ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
            ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
            ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", list("-+0123456789")),
            (
                "float",
                r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
                list("-+.0123456789"),
            ),
        ):
            loader.add_implicit_resolver(prefix + tag, re.compile(f"^(?:{pattern})$"), first)
        loader.add_constructor(prefix + "int", _integer)
        _LOADER = loader
    return _LOADER


def _integer(loader: Any, node: Any) -> int:
    text = loader.construct_scalar(node)
    # PyYAML would read 010 as octal and 1:30 as sixty-based; Go means neither.
    return int(text, 16) if text.startswith("0x") else int(text)
