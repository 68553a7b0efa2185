# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one table of the ways a wiped machine comes up again; policy, role, modules and documentation agree with it."""

from __future__ import annotations

from dataclasses import dataclass

from ..problem import Problem


class UnknownBootPath(Problem):
    """A node is to be booted in a way that nobody can carry out."""

    kind = "boot_path"


@dataclass(frozen=True)
class BootPath:
    """How a wiped machine boots.

    ``labels``: the partitions that are wiped; none means the whole system disk. Without META a machine counts as not
    installed and installs anew. ``minimum``: the first Talos release whose wiped node comes up in maintenance mode this
    way, None for any. ``needs_hook``: whether a command of the operator boots the machine.
    """

    name: str
    what: str
    labels: tuple[str, ...]
    minimum: str | None
    needs_hook: bool


BOOT_PATHS = (
    BootPath(
        "in_place",
        "the old system comes up in maintenance mode and installs the new one over itself",
        ("META", "STATE", "EPHEMERAL"),
        "v1.12.0",
        needs_hook=False,
    ),
    BootPath("hook", "your command boots the machine from a medium", (), None, needs_hook=True),
)
BY_NAME = {path.name: path for path in BOOT_PATHS}


def boot_path(name: str | None, node: str, *, has_hook: bool) -> BootPath:
    """The boot path of a node, if it can be gone.

    Raises:
        UnknownBootPath: there is no such path, or its hook is not set.
    """
    path = BY_NAME.get(name or "")
    if path is None:
        raise UnknownBootPath(
            f"{node} is to be booted by {name or 'no known path'}, which cannot be done here",
            "the wiped machine would stay down",
            f"set talos_boot_path to {' or '.join(BY_NAME)}",
            node=node,
        )
    if path.needs_hook and not has_hook:
        raise UnknownBootPath(
            f"{node} is to be booted by the hook, and there is no hook",
            "the wiped machine would stay down",
            "set the boot hook, or another boot path",
            node=node,
        )
    return path
