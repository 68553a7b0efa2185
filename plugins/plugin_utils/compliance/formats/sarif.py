# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SARIF 2.1.0, for code scanning: findings only, each at the file that a person would change.

GitHub rejects a result without a physical location and keeps 5,000 results of a run.
"""

from __future__ import annotations

import hashlib
import json
import os.path
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from ..results import FAIL, UNKNOWN, WAIVED
from .texts import labels_of, sentence, visible

MOST = 5000
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"high": "error", "medium": "warning", "low": "note"}
_RANK = {"error": 0, "warning": 1, "note": 2}


def render(report: Mapping[str, Any], *, root: str, fallback: str) -> bytes:
    """The findings of the report as one SARIF log.

    Args:
        root: the directory that paths are relative to, usually the repository.
        fallback: a file below it, for nodes whose machine configuration is not below it.
    """
    report = visible(report)
    rules = {rule["id"]: rule for rule in report["rules"]}
    places = list(rules)
    found = []
    for row in report["nodes"]:
        for item in row["results"]:
            if item["status"] in (FAIL, UNKNOWN, WAIVED):
                found.append(_result(row, item, rules[item["rule"]], places, _place(row["config"], root, fallback)))
    found.sort(key=lambda item: (_RANK[item["level"]], item["properties"]["node"], item["ruleIndex"]))
    notes = []
    if len(found) > MOST:
        text = (
            f"{len(found) - MOST} of {len(found)} findings were left out, the least severe; the other formats have all."
        )
        notes.append({"level": "warning", "message": {"text": text}})
    run = {
        "tool": {
            "driver": {
                "name": report["versions"]["tool"]["name"],
                "semanticVersion": report["versions"]["tool"]["version"],
                "informationUri": "https://github.com/talosops/ansible-selinux",
                "rules": [_rule(rule) for rule in report["rules"]],
            }
        },
        "automationDetails": {"id": f"{report['profile']['name']}/"},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notes}],
        "columnKind": "unicodeCodePoints",
        "results": found[:MOST],
        "properties": {
            **{key: report[key] for key in ("counts", "labels", "retired")},
            "report_sha256": report["sha256"],
        },
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1).encode() + b"\n"


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": rule["id"],
        "name": "".join(word.capitalize() for word in rule["id"].split("-")),
        "shortDescription": {"text": rule["title"]},
        "fullDescription": {"text": rule["rationale"]},
        "help": {"text": rule["remedy"]},
        "defaultConfiguration": {"level": _LEVELS[rule["severity"]]},
        "properties": {
            "tags": [f"{item['framework']} {item['id']} ({item['strength']})" for item in rule["maps"]],
            "labels": rule["labels"],
        },
    }


def _result(
    row: Mapping[str, Any], item: Mapping[str, Any], rule: Mapping[str, Any], places: list[str], uri: str
) -> dict[str, Any]:
    waived = item["status"] == WAIVED
    machine = row["uuid"] or row["node"]
    return {
        "ruleId": rule["id"],
        "ruleIndex": places.index(rule["id"]),
        "level": "note" if waived else _LEVELS[rule["severity"]],
        "message": {"text": f"{row['node']}: {sentence(item)}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": uri},
                    "region": {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 2},
                }
            }
        ],
        "partialFingerprints": {"nodeAndRule/v1": hashlib.sha256(f"{machine} {rule['id']}".encode()).hexdigest()},
        "properties": {
            "node": row["node"],
            "status": item["status"],
            "since": item["since"],
            "waivers": [waiver["waiver_id"] for waiver in item["waivers"]],
            "labels": labels_of(rule, item),
        },
    }


def _place(config: str | None, root: str, fallback: str) -> str:
    """The URI of the configuration relative to the root; one that leads out of it is not used."""
    if config:
        relative = PurePath(os.path.relpath(config, root))
        if ".." not in relative.parts and not relative.is_absolute():
            return quote(relative.as_posix())
    return quote(fallback)
