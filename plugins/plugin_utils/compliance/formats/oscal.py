# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""OSCAL assessment results (NIST, 1.1), for governance tools.

Identifiers are made from the report's hash, so that the same report gives the same file. A mapping that is only partial
or supporting is said in each finding: the target is an objective of this profile under the control, never the control.
"""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ...gate.functions import iso, moment
from ..results import FAIL, NOT_APPLICABLE, PASS, UNKNOWN, WAIVED
from ..retired import shown
from .texts import fleet_sentence, labels_of, sentence, visible

VERSION = "1.1.3"
NAMESPACE = "https://github.com/talosops/ansible-selinux/ns/oscal"
_CONTROLS = "NIST 800-53"
_CONTROL = re.compile(r"([A-Z]{2})-(\d+)(?:\((\d+)\))?")


def render(report: Mapping[str, Any]) -> bytes:
    """The report as an OSCAL assessment-results document in JSON."""
    return json.dumps({"assessment-results": _document(visible(report))}, indent=1).encode() + b"\n"


def _document(report: Mapping[str, Any]) -> dict[str, Any]:
    ids = _Ids(report["sha256"])
    controls = _controls(report)
    rules = {rule["id"]: rule for rule in report["rules"]}
    observations = [
        _observation(ids, report, row, rules[item["rule"]], item) for row in report["nodes"] for item in row["results"]
    ]
    return {
        "uuid": ids("document"),
        "metadata": {
            "title": report["title"],
            "last-modified": report["generated_at"],
            "version": report["profile"]["version"],
            "oscal-version": VERSION,
            "props": [_prop(key, value) for key, value in report["labels"].items() if value],
            "roles": [{"id": "assessor", "title": "Who ran the assessment"}],
            "parties": [{"uuid": ids("party"), "type": "person", "name": _name(report["run"]["by"])}],
            "responsible-parties": [{"role-id": "assessor", "party-uuids": [ids("party")]}],
        },
        "import-ap": {"href": f"#{ids('profile')}"},
        "local-definitions": {
            "objectives-and-methods": [
                {"control-id": control, "parts": [_objective(control, rule) for rule, _map in mapped]}
                for control, mapped in controls.items()
            ]
        },
        "results": [
            {
                "uuid": ids("result"),
                "title": report["title"],
                "description": f"{report['population']['nodes']} nodes against {report['profile']['name']}.",
                "start": report["generated_at"],
                "props": [
                    *(_prop(f"nodes-{name}", str(count)) for name, count in report["counts"]["results"].items()),
                    *(_prop(f"rules-{name}", str(count)) for name, count in report["counts"]["rules"].items()),
                ],
                "local-definitions": {"inventory-items": [_inventory(ids, row) for row in report["nodes"]]}
                if report["nodes"]
                else {},
                "reviewed-controls": {
                    "control-selections": [{"include-controls": [{"control-id": control} for control in controls]}]
                    if controls
                    else [{"include-all": {}}]
                },
                **({"observations": observations} if observations else {}),
                "findings": [
                    _finding(ids, report, control, rule, mapping)
                    for control, mapped in controls.items()
                    for rule, mapping in mapped
                ],
            }
        ],
        "back-matter": {
            "resources": [
                {
                    "uuid": ids("profile"),
                    "title": f"Profile {report['profile']['name']} {report['profile']['version']}",
                    "description": "The rules that the nodes were assessed against.",
                    "props": [_prop("sha256", report["profile"]["sha256"])],
                }
            ]
        },
    }


def _name(text: str | None) -> str:
    return (text or "").strip() or "not known"


class _Ids:
    """UUIDs that the report's hash and a name always give again."""

    def __init__(self, sha256: str) -> None:
        self._root = uuid.uuid5(uuid.NAMESPACE_URL, f"{NAMESPACE}/{sha256}")

    def __call__(self, *names: str) -> str:
        return str(uuid.uuid5(self._root, "\n".join(names)))


def _controls(report: Mapping[str, Any]) -> dict[str, list[tuple[Mapping[str, Any], Mapping[str, str]]]]:
    """NIST controls by OSCAL id, each with the rules that map to it."""
    found: dict[str, list[tuple[Mapping[str, Any], Mapping[str, str]]]] = {}
    for rule in report["rules"]:
        for mapping in rule["maps"]:
            match = _CONTROL.fullmatch(mapping["id"]) if mapping["framework"] == _CONTROLS else None
            if match is not None:
                control = f"{match[1].lower()}-{match[2]}" + (f".{match[3]}" if match[3] else "")
                found.setdefault(control, []).append((rule, mapping))
    return dict(sorted(found.items()))


def _objective_id(control: str, rule: Mapping[str, Any]) -> str:
    return f"{control}_obj.{rule['id']}"


def _objective(control: str, rule: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": _objective_id(control, rule),
        "name": "assessment-objective",
        "ns": NAMESPACE,
        "title": rule["title"],
        "prose": f"{rule['rationale']} Expected: {rule['expected']}.",
    }


def _prop(name: str, value: str) -> dict[str, str]:
    safe = re.sub(r"[^A-Za-z0-9._-]", "-", name)
    return {
        "name": safe if re.match(r"[A-Za-z_]", safe) else f"_{safe}",
        "ns": NAMESPACE,
        "value": value.strip() or "-",
    }


def _inventory(ids: _Ids, row: Mapping[str, Any]) -> dict[str, Any]:
    props = [
        _prop(key, str(row[key]))
        for key in ("uuid", "identity", "machine_type", "zone", "talos_version", "mode", "status")
        if row[key]
    ]
    return {
        "uuid": ids("node", row["node"]),
        "description": f"Talos node {row['node']}",
        "props": [
            _prop("name", row["node"]),
            *props,
            *([_prop("retired", shown(row["retired"]))] if row["retired"] else []),
        ],
    }


def _observation(
    ids: _Ids,
    report: Mapping[str, Any],
    row: Mapping[str, Any],
    rule: Mapping[str, Any],
    item: Mapping[str, Any],
) -> dict[str, Any]:
    evidence = item["evidence"]
    relevant = (
        [
            {
                "href": quote(evidence["path"]) if evidence["path"] else f"#{ids('profile')}",
                "description": "The evidence document that the result rests on.",
                "props": [_prop("sha256", evidence["sha256"])],
            }
        ]
        if evidence
        else []
    )
    previous = [_prop("previous_result", item["previous_result"])] if item["previous_result"] else []
    return {
        "uuid": ids("observation", row["node"], item["rule"]),
        "title": f"{row['node']}: {item['rule']}",
        "description": sentence(item),
        "props": [
            _prop("rule", item["rule"]),
            _prop("status", item["status"]),
            _prop("since", item["since"]),
            *previous,
            *(_prop(f"label-{key}", text) for key, text in labels_of(rule, item).items()),
        ],
        "methods": ["TEST"],
        "types": ["finding" if item["status"] in (FAIL, UNKNOWN) else "control-objective"],
        "subjects": [{"subject-uuid": ids("node", row["node"]), "type": "inventory-item", "title": row["node"]}],
        "collected": _collected(row, report),
        **({"relevant-evidence": relevant} if relevant else {}),
    }


def _collected(row: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """When the evidence was collected; when it was judged where there is none, or it does not say."""
    try:
        return iso(moment(str(row["evidence"]["collected_at"]))) if row["evidence"] else str(report["generated_at"])
    except ValueError:
        return str(report["generated_at"])


def _finding(
    ids: _Ids, report: Mapping[str, Any], control: str, rule: Mapping[str, Any], mapping: Mapping[str, str]
) -> dict[str, Any]:
    fleet = next(item for item in report["fleet"] if item["rule"] == rule["id"])
    satisfied = fleet["status"] in (PASS, WAIVED, NOT_APPLICABLE)
    # OSCAL knows two states; why it is not satisfied is in the reason.
    reason = {PASS: "pass", WAIVED: "other", NOT_APPLICABLE: "other", UNKNOWN: "other"}.get(fleet["status"], "fail")
    related = [{"observation-uuid": ids("observation", row["node"], rule["id"])} for row in report["nodes"]]
    return {
        "uuid": ids("finding", control, rule["id"]),
        "title": f"{mapping['id']}: {rule['title']}",
        "description": f"{mapping['strength']}: {mapping['why']}",
        "props": [_prop("strength", mapping["strength"]), _prop("status", fleet["status"])],
        "target": {
            "type": "objective-id",
            "target-id": _objective_id(control, rule),
            "title": rule["title"],
            "description": fleet_sentence(fleet),
            "status": {
                "state": "satisfied" if satisfied else "not-satisfied",
                "reason": reason,
                "remarks": fleet["status"],
            },
        },
        **({"related-observations": related} if related else {}),
    }


def defects(document: Mapping[str, Any]) -> list[str]:
    """References that lead nowhere and UUIDs that stand for two things, which schema validation does not find."""
    defined: list[str] = []
    used: list[str] = []
    targets: list[str] = []
    objectives: list[str] = []

    def walk(value: Any, key: str = "") -> None:
        if isinstance(value, Mapping):
            for name, item in value.items():
                if name == "uuid":
                    defined.append(item)
                elif name.endswith("-uuid"):
                    used.append(item)
                elif name.endswith("-uuids"):
                    used.extend(item)
                elif name == "href" and isinstance(item, str) and item.startswith("#"):
                    used.append(item[1:])
                elif name == "target-id":
                    targets.append(item)
                elif name == "id" and key == "parts":
                    objectives.append(item)
                walk(item, name)
        elif isinstance(value, list):
            for item in value:
                walk(item, key)

    walk(document)
    twice = sorted(item for item, times in Counter(defined).items() if times > 1)
    return [
        *(f"the UUID {item} is defined twice" for item in twice),
        *(f"the reference {item} leads nowhere" for item in sorted(set(used) - set(defined))),
        *(f"the target {item} is no objective" for item in sorted(set(targets) - set(objectives))),
    ]
