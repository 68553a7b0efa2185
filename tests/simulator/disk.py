# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is on a machine's disk or boot medium: the system, the partitions, and the identity that lies on one."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from . import versions

GIB = 1 << 30


@dataclass
class System:
    """An operating system image, on the disk or on a boot medium."""

    version: str
    schematic: str
    arguments: list[str]
    extensions: list[str] = field(default_factory=list)

    @property
    def schematic_id(self) -> str:
        """Id of the schematic this system was built from."""
        return versions.schematic_id(self.schematic)


def build_system(version: str, schematic: dict[str, Any], platform: str, extra: list[str] | None = None) -> System:
    """The system that the Image Factory would build; ``extra`` are arguments beyond the schematic (GRUB only)."""
    customization = schematic.get("customization") or {}
    arguments = versions.command_line(
        version, platform, [*(customization.get("extraKernelArgs") or []), *(extra or [])]
    )
    extensions = (customization.get("systemExtensions") or {}).get("officialExtensions") or []
    return System(version, versions.canonical_schematic(schematic), arguments, list(extensions))


@dataclass
class Partition:
    """One partition of the system disk."""

    label: str
    index: int
    size: int
    filesystem: str
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    partition_uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    wiped: bool = False


LAYOUT = (
    ("EFI", 1, 2 * GIB, "vfat"),
    ("META", 2, 1 << 20, "talosmeta"),
    ("STATE", 3, 100 << 20, "xfs"),
    ("EPHEMERAL", 4, 96 * GIB, "xfs"),
)
GRUB_LAYOUT = (
    ("EFI", 1, 100 << 20, "vfat"),
    ("BIOS", 2, 1 << 20, ""),
    ("BOOT", 3, 2 * GIB, "xfs"),
    ("META", 4, 1 << 20, "talosmeta"),
    ("STATE", 5, 100 << 20, "xfs"),
    ("EPHEMERAL", 6, 96 * GIB, "xfs"),
)


def node_identity(data: bytes) -> str:
    """A node identity as Talos writes it (jxskiss/base62): six bits a letter, or five where six have no letter."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    number, left, text = int.from_bytes(data, "big"), len(data) * 8, ""
    while left > 0:
        width = min(left, 6)
        value = number & (1 << width) - 1
        if value & 0x1E == 0x1E and (left > 6 or value > 0x1F):
            width, value = 5, value & 0x1F
        text += alphabet[value]
        number, left = number >> width, left - width
    return text
