# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SELinux states of a fleet as a table for people at a terminal: what needs a look comes first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..problem import alike
from ..texts import printable
from .table import columns

_HEADINGS = ("node", "version", "mode", "witnesses that disagree")


def render(nodes: Mapping[str, Mapping[str, Any]], unread: Mapping[str, Mapping[str, Any]]) -> str:
    """A summary line, the nodes that could not be read, and a row for each that could.

    Args:
        nodes: ``{selinux, talos_version, disagreements}`` by inventory name.
        unread: ``{found, do}`` by inventory name. A problem that several nodes share is told once.

    Returns:
        Text without control characters that ends with a newline; nodes whose witnesses disagree come first.
    """
    lines = [summary_line(nodes, unread)]
    lines += [part for text in shared(unread) for part in ("", *text)]
    if nodes:
        ordered = sorted(nodes, key=lambda host: (not nodes[host]["disagreements"], host))
        rows = [_HEADINGS, *(_row(host, nodes[host]) for host in ordered)]
        lines += ["", *aligned(rows)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def summary_line(nodes: Mapping[str, Mapping[str, Any]], unread: Mapping[str, Any]) -> str:
    """``"12 nodes: 9 permissive, 2 enforcing, 1 not read; the witnesses of 1 disagree"``."""
    modes = Counter(str(node["selinux"]) for node in nodes.values())
    parts = [
        f"{count} {printable(mode)}" for mode, count in sorted(modes.items(), key=lambda item: (-item[1], item[0]))
    ]
    parts += [f"{len(unread)} not read"] if unread else []
    total = len(nodes) + len(unread)
    line = f"{total} node{'s' if total != 1 else ''}: {', '.join(parts) or 'none'}"
    doubtful = sum(1 for node in nodes.values() if node["disagreements"])
    return line + (f"; the witnesses of {doubtful} disagree" if doubtful else "")


def shared(unread: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """The problems, each with the nodes that have it; the one that most have comes first."""
    return [
        [
            f"not read: {', '.join(printable(host) for host in hosts)}",
            f"  {printable(problem['found'])}",
            f"  do: {printable(str(problem['do']))}",
        ]
        for hosts, problem in alike(unread)
    ]


def _row(host: str, node: Mapping[str, Any]) -> tuple[str, ...]:
    doubts = "; ".join(node["disagreements"])
    return tuple(printable(str(text)) for text in (host, node["talos_version"], node["selinux"], doubts))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of the same number of cells as lines, each column as wide as its widest cell."""
    widths = [max(columns(row[index]) for row in rows) for index in range(len(rows[0]))]
    return [
        "  ".join(text + " " * (width - columns(text)) for text, width in zip(row, widths, strict=True)) for row in rows
    ]
