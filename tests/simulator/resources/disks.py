# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks, partitions, volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import versions
from .table import Specs, resource

if TYPE_CHECKING:
    from ..node import Node


@resource("SystemDisks.block.talos.dev", since="1.9")
def _system_disk(node: Node) -> Specs:
    if not node.meta_installed:
        return {}
    return {"system-disk": {"diskID": node.disk_path.rpartition("/")[2], "devPath": node.disk_path}}


def _pretty(size: int) -> str:
    for unit, step in (("GiB", 1 << 30), ("MiB", 1 << 20), ("kiB", 1 << 10)):
        if size >= step:
            return f"{size // step} {unit}"
    return f"{size} B"


@resource("DiscoveredVolumes.block.talos.dev")
def _discovered(node: Node) -> Specs:
    from ..node import GIB

    name = node.disk_path.rpartition("/")[2]
    size = 110 * GIB
    result: Specs = {
        name: {
            "dev_path": node.disk_path,
            "type": "disk",
            "device_path": "/pci0000:00/0000:00:05.0/host2",
            "offset": 0,
            "size": size,
            "pretty_size": _pretty(size),
            "name": "gpt" if node.partitions else "",
        }
    }
    for part in node.partitions.values():
        device = f"{name}{part.index}"
        spec: dict[str, Any] = {
            "dev_path": f"/dev/{device}",
            "type": "partition",
            "device_path": f"/pci0000:00/0000:00:05.0/host2/{device}",
            "parent": name,
            "parent_dev_path": node.disk_path,
            "offset": part.index << 20,
            "size": part.size,
            "pretty_size": _pretty(part.size),
            "name": "" if part.wiped else part.filesystem,
        }
        if not part.wiped:
            spec["uuid"] = part.uuid
            spec["label"] = part.label
        spec |= {"partition_uuid": part.partition_uuid, "partition_label": part.label, "partition_index": part.index}
        result[device] = spec
    return result


@resource("VolumeStatuses.block.talos.dev", aliases=("volumes",))
def _volumes(node: Node) -> Specs:
    result: Specs = {}
    for label in ("META", "STATE", "EPHEMERAL", *(f"u-{name}" for name in node.spec.user_volumes)):
        part = node.partitions.get(label)
        # A volume that only the machine config defines waits for it.
        if part is None or (part.wiped and label != "META"):
            phase = "missing" if label in ("META", "STATE") else "waiting"
            result[label] = {"phase": phase, "type": "partition"}
            continue
        if label not in ("META", "STATE") and not node.config_applied:
            result[label] = {"phase": "waiting", "type": "partition"}
            continue
        result[label] = {
            "phase": "ready",
            "type": "partition",
            "location": f"{node.disk_path}{part.index}",
            "partitionIndex": part.index,
            "parentLocation": node.disk_path,
            "uuid": part.uuid,
            "partitionUUID": part.partition_uuid,
            "size": part.size,
            "prettySize": _pretty(part.size),
            "filesystem": part.filesystem or "none",
        }
        result[label]["phase"] = dict(node.spec.extra.get("volume_phases", {})).get(label, "ready")
    if versions.at_least(node.version, "1.14") and "EPHEMERAL" in node.partitions and node.config_applied:
        # Directory-backed volumes: no location of their own.
        for label in ("CRI", "ETCD", "KUBELET", "LOG"):
            if label != "ETCD" or node.role == "controlplane":
                result[label] = {"phase": "ready", "type": "directory", "parentID": "EPHEMERAL"}
    return result


@resource(
    "Disks.block.talos.dev",
    columns=(
        ("Size", "{.pretty_size}"),
        ("Read Only", "{.readonly}"),
        ("Transport", "{.transport}"),
        ("Rotational", "{.rotational}"),
        ("WWID", "{.wwid}"),
        ("Model", "{.model}"),
        ("Serial", "{.serial}"),
    ),
)
def _disks(node: Node) -> Specs:
    from ..node import GIB

    result: Specs = {}
    paths = [node.disk_path, *node.spec.user_disks]
    for number, path in enumerate(paths):
        name = path.rpartition("/")[2]
        result[name] = {
            "dev_path": path,
            "size": 110 * GIB,
            "pretty_size": "118 GB",
            "io_size": 512,
            "sector_size": 512,
            "readonly": False,
            "cdrom": False,
            "model": "SIMDISK",
            "serial": f"{node.serial}-{number}",
            "wwid": f"naa.5000c500{node.uuid[:8]}{number}",
            "bus_path": "/pci0000:00/0000:00:05.0",
            "sub_system": "/sys/class/block",
            "transport": "sata",
            "symlinks": [f"/dev/disk/by-id/ata-SIMDISK_{node.serial}-{number}"],
        }
    return result
