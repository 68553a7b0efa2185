# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Metrics for Prometheus' textfile collector. No timestamps: the collector refuses files that carry them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...gate.functions import moment
from .texts import visible

_PREFIX = "talos_selinux_compliance"
_Sample = tuple[Mapping[str, Any], float]


def render(report: Mapping[str, Any]) -> bytes:
    """The report as one textfile."""
    report = visible(report)
    profile = {"profile": report["profile"]["name"]}
    counts = report["counts"]

    metrics: list[tuple[str, str, list[_Sample]]] = [
        ("results", "Results of rules on nodes by status; unknown is not a pass.", _by_status(counts["results"])),
        ("nodes", "Nodes by their worst result.", _by_status(counts["nodes"])),
        ("rules", "Rules over the whole fleet by status.", _by_status(counts["rules"])),
        ("node", "Each node with its worst result and mode.", _nodes(report)),
        ("coverage_seconds", "How long each node's audit log is accounted for.", _coverage(report)),
        ("retired", "Machines that were taken out of the fleet.", _retired(report)),
        ("denial_records", "Records of each kind of denial over the fleet.", _families(report)),
        ("drift_findings", "What changed for the worse since the last report.", [({}, counts["drift"])]),
        ("label", "Free labels of the report, its rules and its waivers.", _labels(report)),
        (
            "last_success_timestamp_seconds",
            "When the last complete run ended.",
            [({}, moment(report["generated_at"]).timestamp())],
        ),
    ]
    lines = [
        line
        for name, text, samples in metrics
        for line in _metric(name, text, [({**profile, **labels}, value) for labels, value in samples])
    ]
    return ("\n".join(lines) + "\n").encode()


def _by_status(counted: Mapping[str, int]) -> list[_Sample]:
    return [({"status": name}, count) for name, count in counted.items() if name != "total"]


def _nodes(report: Mapping[str, Any]) -> list[_Sample]:
    return [
        (
            {
                "node": row["node"],
                "status": row["status"],
                "mode": row["mode"] or "unknown",
                "zone": row["zone"] or "",
            },
            1.0,
        )
        for row in report["nodes"]
    ]


def _coverage(report: Mapping[str, Any]) -> list[_Sample]:
    return [
        ({"node": row["node"], "verdict": row["coverage"]["verdict"]}, float(row["coverage"]["seconds"] or 0))
        for row in report["nodes"]
        if row["coverage"]
    ]


def _retired(report: Mapping[str, Any]) -> list[_Sample]:
    return [
        ({"node": item["node"] or "", **{key: item[key] for key in ("uuid", "since", "ticket")}}, 1.0)
        for item in report["retired"]
    ]


def _families(report: Mapping[str, Any]) -> list[_Sample]:
    return [({"signature": family["signature"]}, family["records"]) for family in report["families"]]


def _labels(report: Mapping[str, Any]) -> list[_Sample]:
    labels = [("report", report["labels"])]
    labels += [(f"rule {rule['id']}", rule["labels"]) for rule in report["rules"]]
    labels += [(f"waiver {waiver['id']}", waiver["labels"]) for waiver in report["waivers"]]
    return [({"of": of, "name": name, "text": text}, 1.0) for of, given in labels for name, text in given.items()]


def _metric(name: str, help_text: str, samples: Iterable[_Sample]) -> list[str]:
    full = f"{_PREFIX}_{name}"
    lines = [f"# HELP {full} {help_text}", f"# TYPE {full} gauge"]
    for labels, value in samples:
        shown = ",".join(f'{key}="{_escaped(str(item))}"' for key, item in labels.items())
        lines.append(f"{full}{{{shown}}} {_number(value)}")
    return lines


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
