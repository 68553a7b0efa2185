# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disks of a machine, running or waiting in maintenance mode, by which an install section selects one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..talos.resources import Resource

#: The fields of a disk, with what stands for one that Talos leaves out as it is empty (pkg/machinery/resources/block).
FIELDS: dict[str, Any] = {
    "dev_path": "",
    "size": 0,
    "model": "",
    "serial": "",
    "wwid": "",
    "uuid": "",
    "modalias": "",
    "bus_path": "",
    "transport": "",
    "rotational": False,
    "readonly": False,
    "cdrom": False,
    "symlinks": [],
}
#: Talos never leaves these out.
_ALWAYS = ("dev_path", "size", "readonly", "cdrom")


def disks_of(resources: Sequence[Resource] | None) -> list[dict[str, Any]] | None:
    """Each disk as ``name`` and FIELDS, sorted by name; None where not all of them can be read.

    A disk that was left out might be the one that Talos would install to.
    """
    if resources is None:
        return None
    found = []
    for resource in resources:
        spec = resource.spec
        if not isinstance(spec, Mapping) or any(key not in spec for key in _ALWAYS):
            return None
        disk = {key: spec.get(key, empty) for key, empty in FIELDS.items()}
        if any(type(disk[key]) is not type(empty) for key, empty in FIELDS.items()):
            return None
        if not all(isinstance(link, str) for link in disk["symlinks"]):
            return None
        found.append({"name": resource.id, **disk})
    return sorted(found, key=lambda disk: str(disk["name"]))
