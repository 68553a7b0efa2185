# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which disk an installation is told to take. Of CEL only texts of a disk that are compared are known."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING, Any

from . import resources

if TYPE_CHECKING:
    from .node import Node

_EQUAL = re.compile(r"disk\.(\w+) == (['\"])(.*?)\2")
_GLOBS = {"model": "model", "serial": "serial", "wwid": "wwid", "busPath": "bus_path"}


class NoDisk(Exception):
    """There is no such disk."""


def require_a_disk(node: Node, install: dict[str, Any], unattended: dict[str, Any] | None) -> None:
    """Raise NoDisk where Talos would find no disk, in its words."""
    disks = list(resources.TYPES["Disks.block.talos.dev"].produce(node).values())
    match = str((((unattended or {}).get("provisioning") or {}).get("diskSelector") or {}).get("match") or "")
    selector, path = install.get("diskSelector"), install.get("disk")
    if match:
        wanted = [(field, text) for field, _quote, text in _EQUAL.findall(match)]
        if not any(all(disk[field] == text for field, text in wanted) for disk in disks):
            raise NoDisk("no disk matched the selector")
    elif selector is not None:
        patterns = [(_GLOBS[key], str(text)) for key, text in selector.items() if key in _GLOBS and text]
        if not any(all(fnmatch.fnmatch(disk[key], text) for key, text in patterns) for disk in disks):
            raise NoDisk(f"no disks matched the expression: {selector}")
    elif path and not any(path in (disk["dev_path"], *disk["symlinks"]) for disk in disks):
        raise NoDisk(f"failed to install: disk {path} not found")
