# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report that people look at: one HTML file, complete without script, nothing loaded from anywhere.

Jinja2 escapes every value. Style and script are the only active parts, named in the content security policy by their
hashes, so that nothing that slipped into a value could run or be styled.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from ..results import FAIL, INCONSISTENT, NODE_STATUSES, NOT_APPLICABLE, PASS, STATUSES, UNKNOWN, WAIVED
from . import details
from .texts import WORDS, fleet_name, listed, visible

_DATA = Path(__file__).parent.parent / "data"
_SYMBOLS = {PASS: "✓", FAIL: "✗", UNKNOWN: "?", WAIVED: "~", NOT_APPLICABLE: "-", INCONSISTENT: "≠"}
_CELL, _ACROSS, _LEFT = 26, 40, 140


def render(report: Mapping[str, Any]) -> bytes:
    """The report as one HTML document."""
    report = visible(report)
    css, js = ((_DATA / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    policy = f"default-src 'none'; style-src {_hash(css)}; script-src {_hash(js)}; base-uri 'none'; form-action 'none'"
    environment = Environment(loader=FileSystemLoader(_DATA), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    remedies = {rule["id"]: rule["remedy"] for rule in report["rules"]}
    page = environment.get_template("report.html.j2").render(
        report=report,
        # The only two values that are not escaped: files of this package.
        css=Markup(css),
        js=Markup(js),
        csp=policy,
        words={**WORDS, INCONSISTENT: "inconsistent"},
        symbols=_SYMBOLS,
        node_statuses=NODE_STATUSES,
        statuses=STATUSES,
        grid=_grid(report["nodes"]),
        line=_line([*report["history"], {"counts": report["counts"]["results"]}]),
        details=[
            {"row": row, "facts": details.facts(row), "reasons": details.reasons(row, remedies)}
            for row in report["nodes"]
        ],
        listed=listed,
        fleet=fleet_name(report),
        nodes=_by_status(list(enumerate(report["nodes"], 1)), NODE_STATUSES, lambda item: item[1]["status"]),
        results=_by_status(
            [(row, item) for row in report["nodes"] for item in row["results"]],
            NODE_STATUSES,
            lambda item: item[1]["status"],
        ),
        rules=_by_status(
            list(zip(report["rules"], report["fleet"], strict=True)), STATUSES, lambda item: item[1]["status"]
        ),
        sources=_sources(report),
        waves=[_wave(wave) for wave in report["waves"]],
    )
    return page.encode("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _by_status(items: Sequence[Any], statuses: Sequence[str], status_of: Any) -> list[tuple[str, list[Any]]]:
    """Items in groups, the worst first; a status that nothing has gives no group."""
    groups = [(status, [item for item in items if status_of(item) == status]) for status in statuses]
    return [group for group in groups if group[1]]


def _grid(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Where each node's square stands: zones below each other, a line for every 40 nodes."""
    zones: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for index, row in enumerate(rows, 1):
        zones.setdefault(row["zone"] or "", []).append((index, row))
    placed, y = [], 4
    for name, members in sorted(zones.items()):
        cells = [
            {
                "index": index,
                "node": row["node"],
                "status": row["status"],
                "x": _LEFT + (number % _ACROSS) * _CELL,
                "y": y + (number // _ACROSS) * _CELL,
            }
            for number, (index, row) in enumerate(members)
        ]
        called = f"zone {name}" if name else "no zone"
        placed.append({"name": called if len(called) <= 20 else f"{called[:19]}…", "y": y + 15, "cells": cells})
        y += ((len(members) - 1) // _ACROSS + 1) * _CELL + 8
    across = min(_ACROSS, max(map(len, zones.values()), default=0))
    return {"width": _LEFT + across * _CELL, "height": y, "zones": placed} if placed else None


def _line(history: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The share of passed results over time; nothing to draw for one report."""
    if len(history) < 2:
        return None
    width = 600
    points = []
    for number, item in enumerate(history):
        counts = item["counts"]
        share = counts["pass"] / counts["total"] if counts["total"] else 0.0
        points.append(f"{number * width / (len(history) - 1):.1f},{55 - 50 * share:.1f}")
    return {"width": width, "points": " ".join(points)}


def _sources(report: Mapping[str, Any]) -> list[tuple[str, int, list[str]]]:
    """Who names how many nodes, and which; the nodes with sound evidence come last."""
    found = [
        (source, number, [row["node"] for row in report["nodes"] if source in row["sources"]])
        for source, number in report["population"]["sources"].items()
    ]
    read = [row["node"] for row in report["nodes"] if row["evidence"] is not None]
    return [*found, ("with evidence", len(read), read)] if read else found


def _wave(wave: Mapping[str, Any]) -> dict[str, Any]:
    moved = [name for name in wave["nodes"] if name in wave["moved"]]
    waiting = [name for name in wave["nodes"] if name not in wave["moved"]]
    return {"number": wave["number"], "kind": wave["kind"], "moved": moved, "waiting": waiting}
