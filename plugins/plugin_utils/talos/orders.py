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
from .errors import Refused

#: What 1.10 to 1.13 answer in the mode ``try`` to a change that they only apply with a reboot.
_NEEDS_REBOOT = "can't be applied in immediate mode"


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

    async def apply_configuration(self, data: bytes, *, dry_run: bool = False) -> ApplyResult:
        """Give the node a machine configuration (YAML), or with ``dry_run`` ask what it would do with it.

        A dry run asks in the mode ``try``: in every other mode, dry run or not, the node keeps for good what an
        operator applied with ``--mode=try`` and counted on to be taken back (seen on 1.14). Before 1.14 that mode
        refuses what needs a reboot; then ``auto`` is asked, which works in every version and state.
        """
        if not dry_run:
            return await self._apply(data, "auto")
        try:
            return await self._apply(data, "try", dry_run=True)
        except Refused as refused:
            if _NEEDS_REBOOT not in refused.found:
                raise
        return await self._apply(data, "auto", dry_run=True)

    async def _apply(self, data: bytes, mode: str, *, dry_run: bool = False) -> ApplyResult:
        enum = "machine.ApplyConfigurationRequest.Mode"
        answer = await self._machine(
            "ApplyConfiguration", data=data, mode=wire.enum_number(enum, mode), dry_run=dry_run
        )
        return ApplyResult(
            warnings=[printable(warning, 2000) for warning in answer.warnings],
            mode=wire.enum_name(enum, answer.mode),
            details=answer.mode_details,
        )
