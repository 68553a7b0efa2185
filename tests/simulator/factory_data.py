# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the simulated Image Factory offers when a scenario says nothing else."""

from __future__ import annotations

DEFAULT_VERSIONS: tuple[str, ...] = (
    *(f"v1.9.{patch}" for patch in range(7)),
    *(f"v1.10.{patch}" for patch in range(10)),
    *(f"v1.11.{patch}" for patch in range(7)),
    *(f"v1.12.{patch}" for patch in range(12)),
    *(f"v1.13.{patch}" for patch in range(11)),
    *(f"v1.14.{patch}" for patch in range(4)),
)

# Extension -> (its version, the first Talos release that has it).
DEFAULT_EXTENSIONS: dict[str, tuple[str, str]] = {
    "siderolabs/amd-ucode": ("20260810", "v1.9.0"),
    "siderolabs/drbd": ("9.2.16", "v1.9.0"),
    "siderolabs/gvisor": ("20260713.0", "v1.9.0"),
    "siderolabs/i915": ("20260810", "v1.9.0"),
    "siderolabs/intel-ucode": ("20260812", "v1.9.0"),
    "siderolabs/iscsi-tools": ("v0.2.0", "v1.9.0"),
    "siderolabs/nfsd": ("v1.0.0", "v1.10.0"),
    "siderolabs/qemu-guest-agent": ("10.1.0", "v1.9.0"),
    "siderolabs/tailscale": ("1.88.1", "v1.9.0"),
    "siderolabs/util-linux-tools": ("2.41.1", "v1.9.0"),
    "siderolabs/zfs": ("2.4.0", "v1.9.0"),
}

DEFAULT_OVERLAYS: dict[str, str] = {
    "rpi_generic": "siderolabs/sbc-raspberrypi",
    "turingrk1": "siderolabs/sbc-rockchip",
}
