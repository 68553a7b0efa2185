# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The scenario file: what fleet to simulate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import quick_yaml

from . import versions
from .denials import expand

FAULTS = frozenset(
    {
        "unreachable",
        "slow",
        "hanging_stream",
        "reset_mid_stream",
        "wrong_certificate",
        "expired_certificate",
        "not_tls",
        "auditd_dead",
        "audit_disabled",
        "cluster_id",
        "auditd_disabled",
        "wrapped_ring",
        "lost_records",
        "extension",
        "install_fails",
        "wrong_machine",
        "permission_denied",
        "garbage_yaml",
        "torn_log",
        "clock_skew",
        "no_ntp",
        "boot_during_read",
        "member_remove_fails",
        "needs_reboot",
        "trial",
        "drain_blocked",
        "reset_ignored",
        "enforcing_boot_fails",
    }
)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(value: Any) -> float:
    """Read seconds from a number or a text such as ``90s``, ``15m``, ``72h`` or ``7d``."""
    if isinstance(value, (int, float)):
        return float(value)
    match = re.fullmatch(r"(-?\d+(?:\.\d+)?)([smhd]?)", str(value).strip())
    if match is None:
        raise ValueError(f"not a duration: {value!r}")
    return float(match[1]) * _UNITS.get(match[2] or "s", 1)


@dataclass
class NodeSpec:
    """One node of a scenario."""

    name: str
    role: str
    talos: str
    zone: str
    uptime: float | None
    schematic: dict[str, Any]
    kernel_args: list[str] = field(default_factory=list)
    extensions: list[str] = field(default_factory=list)
    denials: list[Any] = field(default_factory=list)
    enforcing_denials: list[Any] = field(default_factory=list)
    kernel_lines: list[str] = field(default_factory=list)
    faults: dict[str, Any] = field(default_factory=dict)
    audit_log: Path | None = None
    dmesg: Path | None = None
    bootloader: str = "uki"
    firmware: str = "disk"
    medium: dict[str, Any] | None = None
    platform: str = "metal"
    mode: str = "metal"
    secure_boot: bool = False
    state: str = "running"
    user_disks: list[str] = field(default_factory=list)
    user_volumes: list[str] = field(default_factory=list)
    config: str | None = None
    clock_offset: float = 0.0
    pods_per_hour: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass
class Scenario:
    """A whole fleet."""

    name: str
    cluster: str
    time_scale: float
    network: str
    nodes: dict[str, NodeSpec]
    raw: dict[str, Any]
    directory: Path


_NODE_KEYS = {
    "role",
    "talos",
    "zone",
    "uptime",
    "schematic",
    "kernel_args",
    "extensions",
    "denials",
    "enforcing_denials",
    "kernel_lines",
    "faults",
    "audit_log",
    "dmesg",
    "bootloader",
    "firmware",
    "medium",
    "platform",
    "mode",
    "secure_boot",
    "state",
    "user_disks",
    "user_volumes",
    "config",
    "extra",
    "pods",
    "labels",
    "count",
    "clock_offset",
    "pods_per_hour",
}

_TOP_KEYS = {"name", "cluster", "time_scale", "network", "factory", "kubernetes", "etcd", "nodes"}


def _node(name: str, given: Mapping[str, Any], default: Mapping[str, Any], directory: Path) -> NodeSpec:
    unknown = set(given) - _NODE_KEYS
    if unknown:
        raise ValueError(f"node {name}: unknown keys {sorted(unknown)}")

    def pick(key: str, fallback: Any) -> Any:
        return given.get(key, default.get(key, fallback))

    def file(key: str) -> Path | None:
        value = pick(key, None)
        return (directory / value) if value else None

    faults = {**(default.get("faults") or {}), **(given.get("faults") or {})}
    wrong = set(faults) - FAULTS
    if wrong:
        raise ValueError(f"node {name}: unknown faults {sorted(wrong)}")
    role = given.get("role", "worker")
    if role not in ("controlplane", "worker"):
        raise ValueError(f"node {name}: role must be controlplane or worker")
    dmesg = file("dmesg")
    uptime = duration(pick("uptime", "72h"))
    spec = NodeSpec(
        name=name,
        role=role,
        talos=str(pick("talos", "v1.14.1")),
        zone=str(pick("zone", "")),
        uptime=None if dmesg is not None and "uptime" not in given else uptime,
        schematic=dict(pick("schematic", {}) or {}),
        kernel_args=list(pick("kernel_args", [])),
        extensions=list(pick("extensions", [])),
        denials=list(pick("denials", [])),
        enforcing_denials=list(pick("enforcing_denials", [])),
        kernel_lines=list(pick("kernel_lines", [])),
        faults={key: value for key, value in faults.items() if value is not False},
        audit_log=file("audit_log"),
        dmesg=dmesg,
        bootloader=str(pick("bootloader", "uki")),
        firmware=str(pick("firmware", "disk")),
        medium=pick("medium", None),
        platform=str(pick("platform", "metal")),
        mode=str(pick("mode", "metal")),
        secure_boot=bool(pick("secure_boot", False)),
        state=str(pick("state", "running")),
        user_disks=list(pick("user_disks", ["/dev/sdb"])),
        user_volumes=list(pick("user_volumes", [])),
        config=pick("config", None),
        clock_offset=duration(pick("clock_offset", 0)),
        pods_per_hour=float(pick("pods_per_hour", 0)),
        extra={
            **(default.get("extra") or {}),
            **(given.get("extra") or {}),
            **{k: given[k] for k in ("pods", "labels") if k in given},
        },
    )
    versions.parse(spec.talos)
    expand(spec.denials + spec.enforcing_denials)
    return spec


def load(source: Mapping[str, Any] | str | Path) -> Scenario:
    """Read a scenario from a mapping, YAML text or a YAML file.

    Raises ValueError for anything unknown, so that a misspelt key is not silently a healthy fleet.
    """
    directory = Path.cwd()
    if isinstance(source, Path) or (isinstance(source, str) and "\n" not in source):
        path = Path(source)
        directory = path.resolve().parent
        source = path.read_text()
    document = dict(source) if isinstance(source, Mapping) else quick_yaml.load(source)
    if not isinstance(document, dict) or not document.get("nodes"):
        raise ValueError("a scenario is a mapping with at least one node under 'nodes'")
    unknown = set(document) - _TOP_KEYS - _NODE_KEYS
    if unknown:
        raise ValueError(f"unknown keys {sorted(unknown)}")
    nodes: dict[str, NodeSpec] = {}
    for name, given in document["nodes"].items():
        given = dict(given or {})
        count = int(given.pop("count", 0))
        # "worker-%d: {count: 100}" stands for a hundred alike nodes.
        for full in [name % index for index in range(1, count + 1)] if count else [name]:
            nodes[full] = _node(full, given, document, directory)
    cluster = document.get("cluster") or {}
    return Scenario(
        name=str(document.get("name", "fleet")),
        cluster=str(cluster.get("name", document.get("name", "fleet"))),
        time_scale=float(document.get("time_scale", 60)),
        network=str(document.get("network", "auto")),
        nodes=nodes,
        raw=document,
        directory=directory,
    )
