# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fixed configuration for a node that was wiped and waits in maintenance mode.

What a verdict binds protects the wipe. When the wipe is done and only the way forward is left, another text must be
acceptable, as long as it makes the same node of the machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .disks import Disk, selection

_SAME = (
    ("machine_type", "role"),
    ("hostname", "host name"),
)
#: Parts of the install section that may differ, as long as they lead to the disk that was judged.
_DISK = ("kind", "disk", "disk_selector")


def acceptable_repair(
    judged: Mapping[str, Any],
    fixed: Mapping[str, Any],
    *,
    disks: Sequence[Disk] | None = None,
    system_disk: str | None = None,
) -> list[str]:
    """Why a fixed configuration must not be applied in place of the judged one; empty when it may be.

    Args:
        judged: the facts (`facts.facts`) of the configuration that the verdict was given for.
        fixed: the facts of the configuration that is to be applied, judged anew with the same version and node.
        disks, system_disk: the node's disks and the name of the one that its system was on, by the same evidence.

    Returns:
        One sentence for each reason. What either side does not say, and the other does, is a reason.
    """
    problems = [f"the fixed configuration is not valid: {problem}" for problem in fixed["problems"]]
    problems += [
        f"the fixed configuration has another {name} than the one that was judged"
        for key, name in _SAME
        if judged.get(key) != fixed.get(key)
    ]
    problems += _install_problems(judged.get("install"), fixed.get("install"), disks, system_disk)
    before, after = judged.get("cluster") or {}, fixed.get("cluster") or {}
    problems += [
        f"the fixed configuration is for another cluster: its {key.replace('_', ' ')} is not the one that was judged"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]
    if not before:
        problems.append("nobody recorded which cluster the judged configuration was for")
    return problems


def _install_problems(judged: Any, fixed: Any, disks: Sequence[Disk] | None, system_disk: str | None) -> list[str]:
    """Why a fixed install section is not the judged one, nor one that leads to the same disk."""
    if judged == fixed:
        return []
    another = "the fixed configuration has another install section than the one that was judged"
    if not judged or not fixed or any(judged[key] != fixed[key] for key in judged if key not in _DISK):
        return [another]
    found = selection(fixed, disks) if system_disk is not None else None
    if found == [system_disk]:
        return []
    selects = "is not known to select" if found is None else f"selects {', '.join(found) or 'no disk'} and not"
    return [f"{another}, which {selects} the disk that was judged"]
