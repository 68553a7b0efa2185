# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person sees at the end of a run: the nodes that need somebody, and one line that sums up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..results import NOT_APPLICABLE, PASS
from ..retired import shown
from .texts import WORDS, visible

#: More lines than this are a report, and there is one.
_MOST = 40
#: Nodes of which the same is told and that are named.
_MOST_NAMES = 10


def summary_lines(report: Mapping[str, Any]) -> list[str]:
    """The lines, nodes of which the same is to be told in one, the summing one last."""
    report = visible(report)
    alike: dict[str, list[str]] = {}
    for row in report["nodes"]:
        if row["status"] != PASS:
            alike.setdefault(_what(row), []).append(row["node"])
    lines = [f"{_names(nodes)}: {what}" for what, nodes in list(alike.items())[:_MOST]]
    left = sum(len(nodes) for nodes in list(alike.values())[_MOST:])
    if left:
        lines.append(f"and {left} more, see the report")
    lines += [f"drift: {item['kind']} {item['node'] or ''}: {item['found']}" for item in report["drift"][:_MOST]]
    counts = report["counts"]["results"]
    told = ", ".join(f"{counts[status]} {WORDS[status]}" for status in WORDS)
    nodes = report["counts"]["nodes"]
    lines.append(f"{nodes['pass']} of {nodes['total']} nodes pass; {told}; {report['counts']['drift']} drift findings")
    return lines


def _what(row: Mapping[str, Any]) -> str:
    """What a node does not pass; what is not about it is told only where nothing is."""
    statuses = {item["status"] for item in row["results"]}
    if len(statuses) == 1:
        why = shown(row["retired"]) if row["retired"] else row["unread"] or "see the report"
        return f"everything {WORDS[row['status']]}: {why}"
    rules = [item for item in row["results"] if item["status"] not in (PASS, NOT_APPLICABLE)] or row["results"]
    return ", ".join(f"{item['rule']} {WORDS[item['status']]}" for item in rules)


def _names(nodes: Sequence[str]) -> str:
    more = len(nodes) - _MOST_NAMES
    return ", ".join(nodes[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
