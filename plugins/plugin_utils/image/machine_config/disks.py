# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which disk of a machine an install section selects, by the same rules as Talos' own.

Talos installs to the first disk that a selector matches, and fails where none does, after the wipe. Sources: the
install sequence and ``DiskMatchExpression`` of Talos 1.14; ``humanize.ParseBytes`` for sizes.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .disk_expression import NotUnderstood, glob, matches

Disk = Mapping[str, Any]
"""A disk as ``evidence.disks.disks_of`` gives it."""

_SIZE = re.compile(r"\s*(>=|<=|>|<|==)?\s*([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*((?:[kmgtpe]i?)?b?)\s*", re.IGNORECASE)
_OPERATORS: dict[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}
_GLOBS = {**{name: name for name in ("model", "serial", "modalias", "uuid", "wwid")}, "busPath": "bus_path"}
_KEYS = (*_GLOBS, "size", "type")
_TYPES: dict[str, Callable[[Disk], bool]] = {
    "nvme": lambda disk: disk["transport"] == "nvme",
    "sd": lambda disk: disk["transport"] == "mmc",
    "hdd": lambda disk: disk["rotational"] is True,
    "ssd": lambda disk: disk["rotational"] is False,
}


def selected(install: Mapping[str, Any] | None, disks: Sequence[Disk]) -> list[str]:
    """The names of the disks that an install section selects, in their order.

    Args:
        install: the ``install`` facts of a machine configuration; None for one without.
        disks: all disks of the machine.

    Raises:
        NotUnderstood: it cannot be told.
    """
    if install is None:
        raise NotUnderstood("there is no install section")
    selector = install["disk_selector"]
    if isinstance(selector, str):
        return [disk["name"] for disk in disks if matches(selector, disk)]
    if selector is not None:
        # Also an empty one: it wins over a path, and fits every disk of the machine's own.
        return [disk["name"] for disk in disks if _fits(selector, disk)]
    if not install["disk"]:
        raise NotUnderstood("no disk is named")
    return [disk["name"] for disk in disks if install["disk"] in (disk["dev_path"], *disk["symlinks"])]


def selection(install: Mapping[str, Any] | None, disks: Sequence[Disk] | None) -> list[str] | None:
    """As `selected`; None where that, or which disks there are, cannot be told."""
    if disks is None:
        return None
    try:
        return selected(install, disks)
    except NotUnderstood:
        return None


def same_disk(one: Disk, other: Disk) -> bool:
    """Whether two looks saw one disk: by what is burnt into it, and else by where it is plugged in."""
    told = ("wwid", "serial", "size") if one["wwid"] or one["serial"] else ("bus_path", "model", "size")
    return all(one[key] == other[key] for key in told)


def _fits(selector: Mapping[str, Any], disk: Disk) -> bool:
    # What has no transport is no disk of the machine's own, such as a mapped device.
    answers = [disk["transport"] != "", disk["readonly"] is False, disk["cdrom"] is False]
    for key, value in selector.items():
        if key in _KEYS and (value is None or (value == "" and key != "size")):
            # As if it were not there.
            continue
        if key in _GLOBS and isinstance(value, str):
            answers.append(glob(value, disk[_GLOBS[key]]))
        elif key == "size" and isinstance(value, str):
            answers.append(_fits_size(value, disk["size"]))
        elif key == "type" and value in _TYPES:
            answers.append(_TYPES[value](disk))
        else:
            raise NotUnderstood(f"diskSelector.{key} is not understood")
    return all(answers)


def _fits_size(text: str, size: int) -> bool:
    found = _SIZE.fullmatch(text)
    if found is None:
        raise NotUnderstood(f"the size {text} is not understood")
    sign, number, unit = found[1] or "==", found[2], found[3].lower()
    power = "kmgtpe".find(unit[:1]) + 1 if unit not in ("", "b") else 0
    wanted = float(number) * (1024 if "i" in unit else 1000) ** power
    if wanted >= 2**64:
        raise NotUnderstood(f"the size {text} is out of range")
    return _OPERATORS[sign](size, int(wanted))
