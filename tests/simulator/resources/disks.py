# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks, partitions, volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..disk import GIB
from .table import Specs, resource

if TYPE_CHECKING:
    from ..node import Node


@resource("SystemDisks.block.talos.dev", since="1.9")
def _system_disk(node: Node) -> Specs:
    if not node.meta_installed:
        return {}
    return {"system-disk": {"diskID": node.disk_path.rpartition("/")[2], "devPath": node.disk_path}}


def pretty(size: int) -> str:
    """A size as people read it, in decimal units."""
    for unit, step in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= step:
            return f"{size / step:.0f} {unit}" if size >= 10 * step else f"{size / step:.1f} {unit}"
    return f"{size} B"


def _disk_paths(node: Node) -> list[str]:
    return [node.disk_path, *node.spec.user_disks]


def _bus_path(number: int) -> str:
    return f"/pci0000:00/0000:00:1f.2/ata{number + 1}/host{number}/target{number}:0:0/{number}:0:0:0"


_PARTITION_TYPES = {"EFI": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "BIOS": "21686148-6449-6e6f-744e-656564454649"}
_LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"


def _whole(path: str, number: int) -> dict[str, Any]:
    size = 110 * GIB
    return {
        "dev_path": path,
        "type": "disk",
        "device_path": f"/sys/devices{_bus_path(number)}/block/{path.rpartition('/')[2]}",
        "offset": 0,
        "size": size,
        "pretty_size": pretty(size),
        "sector_size": 512,
        "io_size": 512,
        "name": "",
    }


@resource("DiscoveredVolumes.block.talos.dev")
def _discovered(node: Node) -> Specs:
    result: Specs = {}
    for number, path in enumerate(_disk_paths(node)):
        result[path.rpartition("/")[2]] = _whole(path, number)
    name = node.disk_path.rpartition("/")[2]
    disk = result[name]
    if node.partitions:
        disk |= {"name": "gpt", "uuid": node.disk_uuid, "block_size": 512, "probed_size": disk["size"] - (1 << 20)}
    offset = 1 << 20
    for part in node.partitions.values():
        device = f"{name}{part.index}"
        spec: dict[str, Any] = {
            "dev_path": f"/dev/{device}",
            "type": "partition",
            "device_path": f"{disk['device_path']}/{device}",
            "parent": name,
            "parent_dev_path": node.disk_path,
            "offset": offset,
            "size": part.size,
            "pretty_size": pretty(part.size),
            "sector_size": 512,
            "io_size": 512,
            "name": "" if part.wiped else part.filesystem,
        }
        if not part.wiped and part.filesystem == "xfs":
            spec |= {"uuid": part.uuid, "label": part.label}
        elif not part.wiped and part.filesystem == "vfat":
            spec["label"] = part.label
        if not part.wiped and part.filesystem in ("xfs", "vfat"):
            spec |= {"block_size": 512, "filesystem_block_size": 4096}
        if not part.wiped and part.filesystem:
            spec["probed_size"] = part.size // 2
        spec |= {
            "partition_uuid": part.partition_uuid,
            "partition_type": _PARTITION_TYPES.get(part.label, _LINUX),
            "partition_label": part.label,
            "partition_index": part.index,
        }
        result[device] = spec
        offset += part.size
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

    result: Specs = {}
    for number, path in enumerate(_disk_paths(node)):
        name = path.rpartition("/")[2]
        serial = f"{node.serial}-{number}"
        wwn = f"5000c500{node.uuid[1:8]}{number}"
        result[name] = {
            "dev_path": path,
            "size": 110 * GIB,
            "pretty_size": pretty(110 * GIB),
            "io_size": 512,
            "sector_size": 512,
            "readonly": False,
            "cdrom": False,
            "model": "SIMDISK",
            "serial": serial,
            "modalias": "scsi:t-0x00",
            "wwid": f"naa.{wwn}",
            "bus_path": _bus_path(number),
            "sub_system": "/sys/class/block",
            "transport": "sata",
            "rotational": True,
            "symlinks": [
                f"/dev/disk/by-diskseq/{number + 1}",
                f"/dev/disk/by-id/ata-SIMDISK_{serial}",
                f"/dev/disk/by-id/wwn-0x{wwn}",
                f"/dev/disk/by-path/pci-0000:00:1f.2-ata-{number + 1}",
                f"/dev/disk/by-path/pci-0000:00:1f.2-ata-{number + 1}.0",
            ],
        }
    return result
