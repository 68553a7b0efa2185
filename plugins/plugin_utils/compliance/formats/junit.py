# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JUnit XML, for schedulers and CI systems: a suite for each node, and one called ``*`` for the fleet.

Fail is a failure, unknown an error, not applicable and waived are skipped with a text. ElementTree does the escaping.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from ..results import FAIL, INCONSISTENT, NOT_APPLICABLE, UNKNOWN, WAIVED
from .texts import fleet_name, fleet_sentence, sentence, visible


def render(report: Mapping[str, Any]) -> bytes:
    """The report as one JUnit file."""
    report = visible(report)
    root = ElementTree.Element("testsuites", name=report["profile"]["name"])
    for row in report["nodes"]:
        cases = [(item["rule"], item["status"], sentence(item)) for item in row["results"]]
        _suite(root, report, row["node"], cases, {"uuid": row["uuid"], "mode": row["mode"], **report["labels"]})
    cases = [(item["rule"], item["status"], fleet_sentence(item)) for item in report["fleet"]]
    labels = {f"rule.{rule['id']}.{key}": text for rule in report["rules"] for key, text in rule["labels"].items()}
    _suite(root, report, fleet_name(report), cases, {**report["labels"], **labels})
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    ElementTree.indent(root)
    # As text and not with lxml's help, so that the bytes are the same everywhere.
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def _suite(
    root: ElementTree.Element,
    report: Mapping[str, Any],
    name: str,
    cases: list[tuple[str, str, str]],
    properties: Mapping[str, Any],
) -> None:
    suite = ElementTree.SubElement(root, "testsuite", name=name, timestamp=report["generated_at"].rstrip("Z"), time="0")
    statuses = [status for _rule, status, _text in cases]
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(status in (FAIL, INCONSISTENT) for status in statuses)))
    suite.set("errors", str(statuses.count(UNKNOWN)))
    suite.set("skipped", str(sum(status in (NOT_APPLICABLE, WAIVED) for status in statuses)))
    listed = ElementTree.SubElement(suite, "properties")
    for key, value in properties.items():
        ElementTree.SubElement(listed, "property", name=str(key), value="" if value is None else str(value))
    for rule, status, text in cases:
        case = ElementTree.SubElement(suite, "testcase", classname=f"{report['profile']['name']}.{name}", name=rule)
        case.set("time", "0")
        if status in (FAIL, INCONSISTENT):
            ElementTree.SubElement(case, "failure", type=status, message=text)
        elif status == UNKNOWN:
            ElementTree.SubElement(case, "error", type=status, message=text)
        elif status in (NOT_APPLICABLE, WAIVED):
            ElementTree.SubElement(case, "skipped", type=status, message=text)
