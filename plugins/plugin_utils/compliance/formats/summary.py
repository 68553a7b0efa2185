# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person sees at the end of a run: the nodes that need somebody, and one line that sums up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..results import PASS
from ..retired import shown
from .texts import WORDS, visible

#: More lines than this are a report, and there is one.
_MOST = 40


def summary_lines(report: Mapping[str, Any]) -> list[str]:
    """The lines, the summing one last."""
    report = visible(report)
    wrong = [row for row in report["nodes"] if row["status"] != PASS]
    lines = []
    for row in wrong[:_MOST]:
        rules = [f"{item['rule']} {WORDS[item['status']]}" for item in row["results"] if item["status"] != PASS]
        same = len(rules) == len(row["results"]) and len({rule.rpartition(" ")[2] for rule in rules}) == 1
        why = shown(row["retired"]) if row["retired"] else row["unread"] or "see the report"
        what = f"everything {WORDS[row['status']]}: {why}" if same else ", ".join(rules)
        lines.append(f"{row['node']}: {what}")
    if len(wrong) > _MOST:
        lines.append(f"and {len(wrong) - _MOST} more nodes, see the report")
    lines += [f"drift: {item['kind']} {item['node'] or ''}: {item['found']}" for item in report["drift"][:_MOST]]
    counts = report["counts"]["results"]
    told = ", ".join(f"{counts[status]} {WORDS[status]}" for status in WORDS)
    nodes = report["counts"]["nodes"]
    lines.append(f"{nodes['pass']} of {nodes['total']} nodes pass; {told}; {report['counts']['drift']} drift findings")
    return lines
