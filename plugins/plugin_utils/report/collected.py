# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a collection found, as a table for people at a terminal: what needs a look comes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..audit.store.rates import advice, shortest
from ..texts import printable
from .status import aligned, shared

_HEADINGS = ("node", "coverage", "covers", "denials", "lost", "log lasts", "why it is not complete")
_RATE = _HEADINGS.index("log lasts")


def render(
    nodes: Mapping[str, Mapping[str, Any]],
    unread: Mapping[str, Mapping[str, Any]],
    logs: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """A summary line, the nodes that could not be read, a row for each that could, and how often to collect.

    Args:
        nodes: summaries of evidence documents (``evidence.files.summary_of``) by inventory name.
        unread: ``{found, do}`` by inventory name. A problem that several nodes share is told once.
        logs: what ``audit_log`` returned for the nodes, by inventory name; without it nothing is said of rates.

    Returns:
        Text without control characters that ends with a newline.
    """
    lines = [summary_line(nodes, unread)]
    lines += [part for text in shared(unread) for part in ("", *text)]
    if nodes:
        ordered = sorted(nodes, key=lambda host: (_is_complete(nodes[host]), not _denied(nodes[host]), host))
        rows = [_HEADINGS, *(_row(host, nodes[host], (logs or {}).get(host)) for host in ordered)]
        if logs is None:
            rows = [(*row[:_RATE], *row[_RATE + 1 :]) for row in rows]
        lines += ["", *aligned(rows)]
    if logs is not None:
        lines += ["", advice(logs.values())]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def summary_line(nodes: Mapping[str, Mapping[str, Any]], unread: Mapping[str, Any]) -> str:
    """``"12 nodes: 9 without a gap, 1 not read; 2 with denials, 1 of which they are not known"``."""
    total = len(nodes) + len(unread)
    parts = [f"{sum(map(_is_complete, nodes.values()))} without a gap"]
    parts += [f"{len(unread)} not read"] if unread else []
    denied = sum(1 for node in nodes.values() if node["denials"])
    unknown = sum(1 for node in nodes.values() if node["denials"] is None)
    denials = [
        *([f"{denied} with denials"] if denied else []),
        *(
            [f"{unknown} of which they are not known" if denied else f"the denials of {unknown} are not known"]
            if unknown
            else []
        ),
    ]
    line = f"{total} node{'s' if total != 1 else ''}: {', '.join(parts)}"
    return line + (f"; {', '.join(denials)}" if denials else "")


def _row(host: str, node: Mapping[str, Any], log: Mapping[str, Any] | None) -> tuple[str, ...]:
    coverage = node["coverage"]
    lost, seconds = coverage["lost_at_least"], coverage["seconds"]
    cells = (
        host,
        coverage["verdict"] or "unknown",
        "-" if seconds is None else f"{seconds / 3600:.1f} h",
        _denials(node),
        "unknown" if lost is None else str(lost) if lost else "-",
        "unknown" if log is None else shortest(log),
        _why(coverage["reasons"]),
    )
    return tuple(printable(cell) for cell in cells)


def _why(reasons: Sequence[str]) -> str:
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return printable(reasons[0], 120) + more if reasons else ""


def _is_complete(node: Mapping[str, Any]) -> bool:
    return bool(node["coverage"]["verdict"] == "complete")


def _denied(node: Mapping[str, Any]) -> bool:
    return bool(node["denials"] != 0)


def _denials(node: Mapping[str, Any]) -> str:
    kinds, enforced = node["denials"], node["enforced"]
    if kinds is None:
        return "unknown"
    if not kinds:
        return "-"
    text = f"{kinds} kind{'s' if kinds != 1 else ''}"
    return text + (f", {enforced} enforced" if enforced else "")
