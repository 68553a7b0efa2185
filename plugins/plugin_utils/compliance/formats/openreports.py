# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""OpenReports: one ``Report`` for each node, for dashboards that read the cluster's reports (openreports.io/v1alpha1).

Kubernetes objects are kept small: at most 10 KB, the longest messages are cut first.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ...gate.functions import moment
from ..profile import SEVERITIES
from ..results import FAIL, NOT_APPLICABLE, PASS, STATUSES, UNKNOWN, WAIVED
from .texts import labels_of, listed, sentence, visible

MOST_BYTES = 10_000
_RESULTS = {PASS: "pass", FAIL: "fail", UNKNOWN: "error", WAIVED: "warn", NOT_APPLICABLE: "skip"}
_LENGTHS = (1000, 400, 160, 60, 0)
#: Kubernetes' own limit of a name.
_NAME = 253


def render(report: Mapping[str, Any], *, namespace: str) -> dict[str, bytes]:
    """A Report for each node, by file name."""
    report = visible(report)
    return {f"{_name(report, row)}.json": _fitted(report, row, namespace) for row in report["nodes"]}


def _fitted(report: Mapping[str, Any], row: Mapping[str, Any], namespace: str) -> bytes:
    """The Report: with shorter messages where it would be too large, and then with the worst results alone."""
    severities = {rule["id"]: SEVERITIES.index(rule["severity"]) for rule in report["rules"]}
    shown = sorted(row["results"], key=lambda item: (STATUSES.index(item["status"]), severities[item["rule"]]))
    for length in _LENGTHS:
        data = _written(_object(report, row, namespace, row["results"], length))
        if len(data) <= MOST_BYTES:
            return data
    while shown and len(data) > MOST_BYTES:
        shown = shown[: len(shown) * 7 // 8]
        data = _written(_object(report, row, namespace, shown, 0))
    return data


def _written(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode() + b"\n"


def _name(report: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """A valid object name that no two nodes share, nor two profiles of one node."""
    plain = re.sub(r"[^a-z0-9-]+", "-", row["node"].lower()).strip("-")[:40].strip("-") or "node"
    whole = f"{report['profile']['name']}\n{row['node']}"
    return f"{plain}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def _object(
    report: Mapping[str, Any],
    row: Mapping[str, Any],
    namespace: str,
    results: Sequence[Mapping[str, Any]],
    length: int,
) -> dict[str, Any]:
    rules = {rule["id"]: rule for rule in report["rules"]}
    left_out = len(row["results"]) - len(results)
    notes = {
        "report-sha256": report["sha256"],
        "labels": listed(report["labels"])[: max(length, 200)],
        "left-out": f"{left_out} of {len(row['results'])} results, the best; the summary counts all"
        if left_out
        else "",
    }
    seconds = int(moment(report["generated_at"]).astimezone(dt.UTC).timestamp())
    counted = Counter(_RESULTS[item["status"]] for item in row["results"])
    return {
        "apiVersion": "openreports.io/v1alpha1",
        "kind": "Report",
        "metadata": {
            "name": _name(report, row),
            "namespace": namespace,
            "annotations": {f"talosops.selinux/{key}": text for key, text in notes.items() if text},
        },
        "source": report["versions"]["tool"]["name"],
        "scope": {"apiVersion": "v1", "kind": "Node", "name": row["node"][:_NAME]},
        "summary": {name: counted[name] for name in ("pass", "fail", "warn", "error", "skip")},
        "results": [
            {
                "source": report["versions"]["tool"]["name"],
                "policy": report["profile"]["name"],
                "rule": item["rule"],
                "result": _RESULTS[item["status"]],
                "scored": item["status"] != NOT_APPLICABLE,
                "severity": rules[item["rule"]]["severity"],
                "category": "SELinux",
                "timestamp": {"seconds": seconds, "nanos": 0},
                **({"message": sentence(item)[:length]} if length and item["status"] != PASS else {}),
                "properties": {
                    "status": item["status"],
                    "since": item["since"],
                    **{
                        f"label-{key}": text[:length]
                        for key, text in labels_of(rules[item["rule"]], item).items()
                        if length
                    },
                },
            }
            for item in results
        ],
    }
