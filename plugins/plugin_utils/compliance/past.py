# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which row of the last report was the same machine, and what was last known of one that could not be read then.

A report keeps of such a machine what the reports before said (``last_known``), so that a node that comes back in
another state has changed, and is not taken for one that nobody knew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
_FACTS = ("mode", "kernel_args", "talos_version")


def machine_of(row: Row) -> str | None:
    """The UUID of a row's machine, also where only an earlier report knew it; None where none did."""
    known = row["uuid"] or (row["last_known"] or {}).get("uuid")
    return str(known).lower() if known else None


class Past:
    """The rows of the last report before this one.

    Args:
        rows: its nodes; nothing for the first report.
        present: the machines of this report, by UUID: none of them is found by an old name.
    """

    def __init__(self, rows: Sequence[Row], present: Sequence[str]) -> None:
        self._by_machine = {machine: row for row in rows if (machine := machine_of(row)) is not None}
        self._by_name = {str(row["node"]): row for row in rows}
        self._present = {uuid.lower() for uuid in present}

    def of(self, row: Row) -> Row | None:
        """The last report's row of the same machine.

        One that does not say its UUID now is found by its name, and so is one that no report knew yet.
        """
        found = self._by_machine.get(str(row["uuid"]).lower()) if row["uuid"] else None
        if found is not None:
            return found
        named = self._by_name.get(row["node"])
        if named is None:
            return None
        machine = machine_of(named)
        return named if machine is None or (not row["uuid"] and machine not in self._present) else None


def last_known(row: Row | None) -> dict[str, Any] | None:
    """What a row of the last report says, or said in its turn to know: ``{uuid, mode, kernel_args, talos_version,
    collected_at}``."""
    if row is None:
        return None
    if row["mode"] is None:
        return dict(row["last_known"]) if row["last_known"] else None
    collected = row["evidence"]["collected_at"] if row["evidence"] else None
    return {"uuid": row["uuid"], **{key: row[key] for key in _FACTS}, "collected_at": collected}
