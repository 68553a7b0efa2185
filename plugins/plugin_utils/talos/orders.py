# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The orders that the collection gives a node: each is sent once, and never repeated."""

from __future__ import annotations

from collections.abc import Sequence

from ..texts import printable
from . import wire
from .answers import ApplyResult
from .calls import Calls


class Orders(Calls):
    """Calls that change a node."""

    async def reset(
        self,
        labels: Sequence[str] = (),
        *,
        graceful: bool,
        reboot: bool,
        mode: str = "system_disk",
        user_disks: Sequence[str] = (),
    ) -> str:
        """Order a wipe; the node answers at once and works in the background.

        Args:
            labels: system partitions to wipe; none means the whole system disk.
            graceful: leave etcd and drain first; etcd errors then stop the reset.
            reboot: False powers the machine off at the end.
            mode: ``all``, ``system_disk`` or ``user_disks``.
            user_disks: device paths to wipe besides.

        Returns:
            The actor id that the node gives its work; may be empty.
        """
        answer = await self._machine(
            "Reset",
            graceful=graceful,
            reboot=reboot,
            # A label without wipe=True is accepted by every version and then not wiped.
            system_partitions_to_wipe=[{"label": label, "wipe": True} for label in labels],
            user_disks_to_wipe=list(user_disks),
            mode=wire.enum_number("machine.ResetRequest.WipeMode", mode),
        )
        return printable(answer.actor_id)

    async def apply_configuration(self, data: bytes, *, mode: str = "auto", dry_run: bool = False) -> ApplyResult:
        """Give the node a machine configuration (YAML), or with ``dry_run`` ask what it would do with it.

        ``mode``: ``auto`` works in every version and state; also ``no_reboot``, ``staged``, ``try``.
        """
        enum = "machine.ApplyConfigurationRequest.Mode"
        answer = await self._machine(
            "ApplyConfiguration", data=data, mode=wire.enum_number(enum, mode), dry_run=dry_run
        )
        return ApplyResult(
            warnings=[printable(warning, 2000) for warning in answer.warnings],
            mode=wire.enum_name(enum, answer.mode),
            details=answer.mode_details,
        )
