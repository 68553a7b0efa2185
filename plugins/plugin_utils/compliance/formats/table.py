# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CSV, a line for each result, for spreadsheets: no cell can be taken for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from .texts import fleet_name, labels_of, listed, visible

HEADINGS = (
    "node", "uuid", "zone", "mode", "rule", "severity", "status", "observed", "expected", "reason", "previous_result",
    "since", "evidence", "evidence_sha256", "waivers", "labels",
)  # fmt: skip
#: The last four are the first ones in full width, which spreadsheets of some languages take for them.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def render(report: Mapping[str, Any]) -> bytes:
    """The report as CSV (RFC 4180, UTF-8): results of nodes, then rules of the fleet under the node name ``*``."""
    report = visible(report)
    rules = {rule["id"]: rule for rule in report["rules"]}
    labels = listed(report["labels"])
    text = io.StringIO()
    # Quoted throughout: where a semicolon separates, a text with one would be two cells, the second one unseen by us.
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(HEADINGS)
    for row in report["nodes"]:
        for item in row["results"]:
            evidence, rule = item["evidence"] or {}, rules[item["rule"]]
            cells = [
                row["node"], row["uuid"], row["zone"], row["mode"], item["rule"], rule["severity"],
                item["status"], item["observed"], item["expected"], item["reason"], item["previous_result"],
                item["since"], evidence.get("path"), evidence.get("sha256"),
                "; ".join(waiver["waiver_id"] for waiver in item["waivers"]),
                "; ".join(filter(None, (labels, listed(labels_of(rule, item))))),
            ]  # fmt: skip
            writer.writerow([_safe(cell) for cell in cells])
    fleet = fleet_name(report)
    for item in report["fleet"]:
        outliers = "; ".join(f"{outlier['node']} {outlier['status']}" for outlier in item["outliers"])
        severity = rules[item["rule"]]["severity"]
        cells = [fleet, "", "", "", item["rule"], severity, item["status"], item["common"], "", outliers]
        writer.writerow([_safe(cell) for cell in [*cells, "", report["generated_at"], "", "", "", labels]])
    return text.getvalue().encode()


def _safe(cell: Any) -> str:
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(_FORMULA) else text
