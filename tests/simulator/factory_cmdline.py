# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel command lines as the simulated Image Factory builds them.

Written without a look at the collection's own implementation, as ``factory_schematic.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# (platform, architecture) -> arguments; an architecture of None stands for every one.
_PLATFORMS: dict[tuple[str, str | None], tuple[str, ...]] = {
    ("metal", "amd64"): ("console=tty0",),
    ("metal", "arm64"): ("console=ttyAMA0", "console=tty0"),
    ("aws", None): ("console=tty1", "console=ttyS0", "net.ifnames=0"),
    ("nocloud", None): ("console=tty1", "console=ttyS0", "net.ifnames=0"),
    ("openstack", None): ("console=tty1", "console=ttyS0", "net.ifnames=0"),
    ("hcloud", None): ("console=tty1", "console=ttyS0", "net.ifnames=0"),
    ("digital-ocean", None): ("console=ttyS0", "console=tty0", "console=tty1", "net.ifnames=0"),
    ("vmware", "amd64"): (
        "talos.config=guestinfo",
        "console=tty0",
        "console=ttyS0",
        "earlyprintk=ttyS0,115200",
        "net.ifnames=0",
    ),
    ("vmware", "arm64"): ("talos.config=guestinfo", "console=tty0", "console=ttyAMA0", "net.ifnames=0"),
    ("azure", None): (
        "console=ttyS0,115200n8",
        "earlyprintk=ttyS0,115200",
        "rootdelay=300",
        "net.ifnames=0",
        "talos.dashboard.disabled=1",
        "sysctl.kernel.kexec_load_disabled=1",
    ),
    ("gcp", None): (
        "console=ttyS0",
        "net.ifnames=0",
        "talos.dashboard.disabled=1",
        "sysctl.kernel.kexec_load_disabled=1",
    ),
}

PLATFORMS = tuple(dict.fromkeys(name for name, _unused in _PLATFORMS))
ARCHITECTURES = ("amd64", "arm64")
_OVERWRITTEN = frozenset({"console", "talos.platform"})
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-((?:alpha|beta|rc)\.(\d+)))?\Z")


def release(version: str) -> tuple[int, int, int]:
    """``(major, minor, patch)`` of a Talos version; pre-releases count as their release, as in Talos' quirks.

    Raises:
        ValueError: not a Talos version.
    """
    match = _VERSION.match(version)
    if match is None:
        raise ValueError(f"no Talos version: {version!r}")
    return int(match[1]), int(match[2]), int(match[3])


def version_key(version: str) -> tuple[int, int, int, int, str, int]:
    """A key that sorts versions, pre-releases before their release."""
    match = _VERSION.match(version)
    if match is None:
        raise ValueError(f"no Talos version: {version!r}")
    kind, _unused, number = (match[4] or "").partition(".")
    return int(match[1]), int(match[2]), int(match[3]), int(not kind), kind, int(number or 0)


class CommandLine:
    """A kernel command line that groups values by key, as Talos' own builder does.

    A second ``selinux=0`` therefore lands right behind the first ``selinux=1`` and never replaces it.
    """

    def __init__(self, text: str = "") -> None:
        self._values: dict[str, list[str]] = {}
        self.append(text.split())

    def append(self, arguments: Iterable[str]) -> None:
        """Add arguments behind those already there."""
        for argument in arguments:
            key, _unused, value = argument.partition("=")
            self._values.setdefault(key, []).append(value)

    def customize(self, arguments: Iterable[str]) -> None:
        """Add a schematic's ``extraKernelArgs``: ``-name`` and ``-name=value`` remove, consoles are replaced."""
        for key, values in CommandLine(" ".join(arguments))._values.items():
            if key.startswith("-") and len(key) > 1:
                self._remove(key[1:], values)
            elif key in _OVERWRITTEN:
                self._values[key] = values
            else:
                self._values.setdefault(key, []).extend(values)

    def _remove(self, key: str, values: Sequence[str]) -> None:
        if key not in self._values:
            return
        kept = [] if values[0] == "" else [value for value in self._values[key] if value not in values]
        if values[0] == "":
            del self._values[key]
        else:
            self._values[key] = kept

    def arguments(self) -> list[str]:
        """The arguments in order."""
        return [f"{key}={value}" if value else key for key, values in self._values.items() for value in values]

    def __str__(self) -> str:
        return " ".join(self.arguments())


def kernel_command_line(
    schematic: Mapping[str, Any] | None,
    version: str,
    *,
    platform: str = "metal",
    arch: str = "amd64",
    secureboot: bool = False,
    iso: bool = False,
) -> list[str]:
    """The kernel arguments an image of this schematic boots with (``pkg/imager/imager.go``, ``pkg/machinery/kernel``).

    META values, which Talos passes in ``talos.environment``, and overlay arguments are left out.
    """
    at = release(version)
    line = CommandLine(f"talos.platform={platform}")
    base = _PLATFORMS.get((platform, arch), _PLATFORMS.get((platform, None), ()))
    line.append(base)
    if platform == "aws" and at >= (1, 14, 0):
        line.append(["nvme_core.io_timeout=4294967295"])
    if iso and at >= (1, 8, 0):
        line.append(["talos.halt_if_installed=1"])
    defaults: list[tuple[bool, list[str]]] = [
        (at < (1, 14, 0), ["init_on_alloc=1"]),
        (True, ["slab_nomerge", "pti=on", "consoleblank=0"]),
        (at < (1, 14, 0), ["nvme_core.io_timeout=4294967295"]),
        (True, ["printk.devkmsg=on"]),
        (at < (1, 11, 0), ["ima_template=ima-ng", "ima_appraise=fix", "ima_hash=sha512"]),
        (at >= (1, 10, 0), ["selinux=1"]),
        (at >= (1, 12, 0), ["module.sig_enforce=1"]),
        (at >= (1, 13, 0), ["proc_mem.force_override=never"]),
        (secureboot and at < (1, 14, 0), ["lockdown=confidentiality"]),
    ]
    for wanted, arguments in defaults:
        if wanted:
            line.append(arguments)
    if schematic is not None:
        line.customize(schematic["customization"].get("extraKernelArgs", []))
    return line.arguments()
