# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel arguments of a machine configuration: which of them would get lost with the new installation.

Where they come from (Talos ``cmd/installer``, PR 14106): with systemd-boot from the UKI, and
``machine.install.extraKernelArgs`` is ignored; with GRUB from ``extraKernelArgs``, unless ``grubUseUKICmdline`` is true
(1.12+), which excludes ``extraKernelArgs``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from .. import kernel_args, references
from .document import Configuration
from .places import UNATTENDED

Boot = Literal["uki", "grub"]


def problems(
    config: Configuration, boot: Boot, version: str, goal: kernel_args.Goal, schematic_args: Sequence[str]
) -> list[str]:
    """Why the kernel arguments of a configuration do not come to what the target image says; empty when they do.

    Args:
        boot: what the new installation boots with.
        version: the Talos version to install.
        goal: what the new system is to be.
        schematic_args: the ``extraKernelArgs`` of the installer's schematic.
    """
    found: list[str] = []
    args = config.get(None, "machine", "install", "extraKernelArgs")
    if args is not None and (not isinstance(args, list) or not all(isinstance(arg, str) for arg in args)):
        return ["machine.install.extraKernelArgs is not a list of strings"]
    args = args or []
    words = [word for arg in args for word in kernel_args.split(arg)]
    baked = [word for arg in schematic_args for word in kernel_args.split(arg)]
    in_schematic = kernel_args.ENFORCING in baked
    if goal == "enforcing" and not in_schematic:
        where = (
            " (it is in machine.install.extraKernelArgs, which a UKI ignores)" if kernel_args.ENFORCING in words else ""
        )
        found.append(f"the installer's schematic has no enforcing=1{where}")
    if goal == "permissive" and in_schematic:
        found.append("the installer's schematic has enforcing=1")
    if boot == "uki" or config.document(UNATTENDED) is not None:
        # The list counted while the node booted by GRUB, and a new installation may boot by a UKI for the first time.
        ignored = [word for word in words if word not in baked and word != kernel_args.ENFORCING]
        if ignored:
            found.append(
                "a UKI ignores machine.install.extraKernelArgs; add these to the schematic, or take them out: "
                f"{', '.join(kernel_args.masked(word) for word in ignored)}"
            )
        return found
    if references.parse_version(version) < (1, 12, 0):
        found.append(f"GRUB takes the schematic's kernel arguments from Talos 1.12 on only, not {version}")
    lost = [
        word
        for word in words
        if word not in baked and not kernel_args.conflicts(word) and word != kernel_args.ENFORCING
    ]
    if lost:
        shown = ", ".join(kernel_args.masked(word) for word in lost)
        found.append(f"kernel arguments would be lost, add them to the schematic: {shown}")
    return found
