# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reports of a profile before this one: the last sound one, and a line of those before it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..canonical import parse_json
from ..nested import value_at
from .bundle import MANIFEST, REPORT
from .model import is_report

_UNREADABLE = (OSError, ValueError)
#: How many earlier reports the line shows.
_MOST = 50


def earlier_reports(output: Path, profile: str, before: str) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The last sound report of a profile below a directory, and the line of those before a moment.

    Reports are looked for as ``<output>/*/report.json``; what cannot be read, or was changed, is none. Each has the
    line of those before it, so that of a long history only what the newest one does not tell is read.

    Args:
        before: the moment; a report of it, or from the future, is left out.

    Returns:
        The report or None, and ``[{generated_at, counts}]``, oldest first.
    """
    last: dict[str, Any] | None = None
    line: dict[str, dict[str, Any]] = {}
    for path in sorted(output.glob(f"[!.]*/{REPORT}"), key=lambda path: path.parent.name, reverse=True):
        if last is not None and len(line) >= _MOST:
            break
        if path.parent.name in map(directory_name, line) or _is_of_another(path, profile):
            continue
        document = _report(path)
        if document is None or document["profile"]["name"] != profile or not document["generated_at"] < before:
            continue
        own = {"generated_at": document["generated_at"], "counts": document["counts"]["results"]}
        for row in (own, *document["history"]):
            line.setdefault(row["generated_at"], {"generated_at": row["generated_at"], "counts": dict(row["counts"])})
        if last is None or _order(last) < _order(document):
            last = document
    return last, [line[moment] for moment in sorted(line)][-_MOST:]


def directory_name(generated_at: str) -> str:
    """The name of a bundle's directory."""
    return generated_at.replace(":", "")


def _is_of_another(path: Path, profile: str) -> bool:
    """Whether the manifest beside a report says that it is of another profile: it is small where a report is not."""
    try:
        manifest = parse_json(path.with_name(MANIFEST).read_bytes())
    except _UNREADABLE:
        return False
    told = value_at(manifest, "about", "profile", "name")
    return told is not None and told != profile


def _report(path: Path) -> dict[str, Any] | None:
    try:
        document = parse_json(path.read_bytes())
        return document if is_report(document) else None
    except _UNREADABLE:
        return None


def _order(report: Mapping[str, Any]) -> tuple[str, str]:
    return report["generated_at"], report["sha256"]
