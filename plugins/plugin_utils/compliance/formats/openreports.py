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
from collections.abc import Mapping
from typing import Any

from ...gate.functions import moment
from ..results import FAIL, NOT_APPLICABLE, PASS, UNKNOWN, WAIVED
from .texts import sentence, visible

MOST_BYTES = 10_000
_RESULTS = {PASS: "pass", FAIL: "fail", UNKNOWN: "error", WAIVED: "warn", NOT_APPLICABLE: "skip"}
_LENGTHS = (1000, 400, 160, 60, 0)


def render(report: Mapping[str, Any], *, namespace: str) -> dict[str, bytes]:
    """A Report for each node, by file name."""
    report = visible(report)
    return {f"{_name(report, row)}.json": _fitted(report, row, namespace) for row in report["nodes"]}


def _fitted(report: Mapping[str, Any], row: Mapping[str, Any], namespace: str) -> bytes:
    for length in _LENGTHS:
        data = json.dumps(_object(report, row, namespace, length), indent=1).encode() + b"\n"
        if len(data) <= MOST_BYTES:
            break
    return data


def _name(report: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """A valid object name that no two nodes share."""
    plain = re.sub(r"[^a-z0-9-]+", "-", row["node"].lower()).strip("-")[:40] or "node"
    return f"{plain}-{hashlib.sha256(row['node'].encode()).hexdigest()[:8]}"


def _object(report: Mapping[str, Any], row: Mapping[str, Any], namespace: str, length: int) -> dict[str, Any]:
    severities = {rule["id"]: rule["severity"] for rule in report["rules"]}
    seconds = int(moment(report["generated_at"]).astimezone(dt.UTC).timestamp())
    counted = Counter(_RESULTS[item["status"]] for item in row["results"])
    return {
        "apiVersion": "openreports.io/v1alpha1",
        "kind": "Report",
        "metadata": {
            "name": _name(report, row),
            "namespace": namespace,
            "annotations": {"talosops.selinux/report-sha256": report["sha256"]},
        },
        "source": report["versions"]["tool"]["name"],
        "scope": {"apiVersion": "v1", "kind": "Node", "name": row["node"]},
        "summary": {name: counted[name] for name in ("pass", "fail", "warn", "error", "skip")},
        "results": [
            {
                "source": report["versions"]["tool"]["name"],
                "policy": report["profile"]["name"],
                "rule": item["rule"],
                "result": _RESULTS[item["status"]],
                "scored": item["status"] != NOT_APPLICABLE,
                "severity": severities[item["rule"]],
                "category": "SELinux",
                "timestamp": {"seconds": seconds, "nanos": 0},
                **({"message": sentence(item)[:length]} if length and item["status"] != PASS else {}),
                "properties": {"status": item["status"], "since": item["since"]},
            }
            for item in row["results"]
        ],
    }
