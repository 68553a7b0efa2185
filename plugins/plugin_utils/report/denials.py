# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Denials as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..texts import printable


def knowledge(coverage: Mapping[str, Any]) -> list[str]:
    """The lines that say how much is known, to stand above the table."""
    return [
        f"coverage: {coverage['verdict']}, lost at least {coverage['lost_at_least']}",
        *(f"  {reason['id']}: {printable(reason['text'])}" for reason in coverage["reasons"]),
    ]


def render(denials: Sequence[Mapping[str, Any]] | None, *, unread: str | None = None) -> str:
    """One line for each denial, the most frequent first, with the first thing to do about it.

    Args:
        denials: denial dictionaries as the audit package makes them, with what ``advise`` added; None where it is not
            known whether there are any.
        unread: why the target policy could not be read, or None.
    """
    lines = [f"the target policy was not read: {printable(unread, 2000)}"] if unread else []
    if not denials:
        lines.append("no denials" if denials is not None else "not known whether there are denials: a log was not read")
        return "\n".join(lines)
    # Where several nodes were asked: a denial of all nodes is a different matter than one of a single node.
    spread = any("nodes" in denial for denial in denials)
    rows: list[tuple[str, ...]] = [
        (
            "count",
            *(("nodes",) if spread else ()),
            *("mode", "source", "target", "class", "permissions", "commands", "known as", "remedy"),
        )
    ]
    for denial in sorted(denials, key=lambda item: (-item["count"], item["signature"])):
        rows.append(
            (
                str(denial["count"]),
                *((str(len(denial.get("nodes", ()))),) if spread else ()),
                {True: "permissive", False: "enforced", None: "unknown"}[denial["permissive"]],
                *(printable(str(denial[key]), 40) for key in ("source_type", "target_type", "class")),
                printable(" ".join(denial["permissions"]), 60),
                printable(", ".join(denial["comms"][:3]), 40),
                _note(denial),
                _remedy(denial),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    benign = [denial for denial in denials if denial["known_benign"]]
    if benign:
        records = sum(denial["count"] for denial in benign)
        lines.append(f"known-benign: {len(benign)} of {len(denials)} denials ({records} records)")
    return "\n".join(lines)


def _note(denial: Mapping[str, Any]) -> str:
    notes = [printable(denial["catalogue_id"], 2000)] if denial["catalogue_id"] else []
    if denial["known_benign"]:
        notes.append("known-benign")
    if denial["constraint"]:
        notes.append(f"no rule can allow it ({denial['constraint']})")
    if denial.get("userspace"):
        notes.append("said by a program, not the kernel")
    if denial["doubtful"]:
        notes.append(f"{denial['doubtful']} doubtful")
    if denial.get("policy_verdict"):
        notes.append(f"target policy: {denial['policy_verdict']}")
    return ", ".join(notes) or "-"


def _remedy(denial: Mapping[str, Any]) -> str:
    """The first remedy; a rule, or why there can be none, only where there is no other."""
    suggestion = denial.get("suggestion")
    if not suggestion:
        return "-"
    if suggestion["remedies"]:
        first = suggestion["remedies"][0]
        value = f" ({printable(str(first['value']), 60)})" if first["value"] and first["kind"] != "waiver" else ""
        return printable(first["do"], 120) + value
    if suggestion["cil"]:
        return printable(suggestion["cil"]["rule"], 120)
    return f"no rule: {printable(suggestion['cil_refused']['reason'], 120)}"
