# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Denials as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .model import clean


def render(denials: Sequence[Mapping[str, Any]], coverage: Mapping[str, Any] | None = None) -> str:
    """One line for each denial, the most frequent first, under a line that says how much is known.

    Args:
        denials: denial dictionaries as the audit package makes them.
        coverage: the coverage they were found under; None to leave that line out.
    """
    lines = []
    if coverage is not None:
        lines.append(f"coverage: {coverage['verdict']}, lost at least {coverage['lost_at_least']}")
        lines += [f"  {reason['id']}: {clean(reason['text'])}" for reason in coverage["reasons"]]
    if not denials:
        lines.append("no denials")
        return "\n".join(lines)
    rows = [("count", "mode", "source", "target", "class", "permissions", "commands", "known as")]
    for denial in sorted(denials, key=lambda item: (-item["count"], item["signature"])):
        rows.append(
            (
                str(denial["count"]),
                {True: "permissive", False: "enforced", None: "unknown"}[denial["permissive"]],
                *(clean(str(denial[key]), 40) for key in ("source_type", "target_type", "class")),
                clean(" ".join(denial["permissions"]), 60),
                clean(", ".join(denial["comms"][:3]), 40),
                _note(denial),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def _note(denial: Mapping[str, Any]) -> str:
    notes = [clean(denial["catalogue_id"])] if denial["catalogue_id"] else []
    if denial["known_benign"]:
        notes.append("harmless")
    if denial["constraint"]:
        notes.append(f"no rule can allow it ({denial['constraint']})")
    if denial["doubtful"]:
        notes.append(f"{denial['doubtful']} doubtful")
    return ", ".join(notes) or "-"
