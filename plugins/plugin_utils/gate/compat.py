# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The compatibility table: which CNI, CSI driver, add-on and extension works under enforcing on which Talos version."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..nested import value_at
from ..talos.versions import parse_version
from .documents import read_yaml
from .errors import PolicyProblem

SCHEMA = 1
KINDS = ("cni", "csi", "addons", "extensions")
VERDICTS = ("works", "breaks", "unknown")
DATA = Path(__file__).parent / "data" / "compatibility.yml"
_ENTRY = {"kind", "name", "title", "rows"}
_ROW = {"since", "until", "versions_since", "versions_until", "verdict", "source", "date", "workaround", "find_out"}


@dataclasses.dataclass(frozen=True)
class Table:
    """The table: ``(kind, name) -> rows``, the first row that fits decides."""

    rows: Mapping[tuple[str, str], tuple[Mapping[str, Any], ...]]
    find_out: str

    def look_up(self, kind: str, name: str, version: str | None, talos: str | None) -> dict[str, Any]:
        """``{name, version, verdict, source, date, workaround, find_out}`` of one component on one Talos version.

        What the table does not list, a Talos version that is not known, and a component version that a row asks for
        and that is not known, are ``unknown``.
        """
        answer: dict[str, Any] = {
            "name": name,
            "version": version,
            "verdict": "unknown",
            "source": None,
            "date": None,
            "workaround": None,
            "find_out": self.find_out,
        }
        for row in self.rows.get((kind, name), ()):
            fits = _within(talos, row.get("since"), row.get("until"))
            if fits:
                fits = _within(version, row.get("versions_since"), row.get("versions_until"))
            if fits is None:
                return answer
            if fits:
                return {**answer, **{key: row[key] for key in answer if row.get(key) is not None}}
        return answer

    def rate(self, evidence: Mapping[str, Any], target: Mapping[str, Any] | None) -> dict[str, Any]:
        """What the evidence found, rated for the target version: ``{cni, csi, addons, extensions}``, or null."""
        talos = value_at(target, "version")
        found = {kind: value_at(evidence, "kubernetes", kind) for kind in ("cni", "csi", "addons")}
        found["extensions"] = value_at(evidence, "talos", "extensions")
        return {kind: self._rated(kind, items, talos) for kind, items in found.items()}

    def _rated(self, kind: str, items: Any, talos: Any) -> list[dict[str, Any]] | None:
        if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
            return None
        return [self.look_up(kind, str(item.get("name")), item.get("version"), talos) for item in items]


def load(path: str | Path | None = None) -> Table:
    """Read a table; without a path the one that ships with the collection.

    Raises:
        PolicyProblem: it cannot be read, or a row is not complete.
    """
    return _load(Path(path) if path is not None else DATA)


@functools.lru_cache(maxsize=8)
def _load(path: Path) -> Table:
    try:
        raw = read_yaml(path, "compatibility table")
    except (ValueError, yaml.YAMLError) as problem:
        raise _invalid(path, f"it cannot be read: {' '.join(str(problem).split())}") from None
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA or set(raw) != {"schema", "find_out", "entries"}:
        raise _invalid(path, f"it does not hold exactly `schema: {SCHEMA}`, `find_out` and `entries`")
    rows: dict[tuple[str, str], tuple[Mapping[str, Any], ...]] = {}
    for entry in raw["entries"]:
        if (
            not isinstance(entry, dict)
            or set(entry) - _ENTRY
            or entry.get("kind") not in KINDS
            or not entry.get("rows")
        ):
            raise _invalid(path, f"an entry has no kind of {', '.join(KINDS)}, no rows, or keys that are not known")
        key = (entry["kind"], str(entry.get("name")))
        if key in rows:
            raise _invalid(path, f"{' '.join(key)} is there twice")
        for row in entry["rows"]:
            _check_row(row, key, path)
        rows[key] = tuple({**row, "date": row["date"].isoformat()} for row in entry["rows"])
    return Table(rows, str(raw["find_out"]))


def _check_row(row: Any, key: tuple[str, str], path: Path) -> None:
    name = " ".join(key)
    if not isinstance(row, dict) or set(row) - _ROW or row.get("verdict") not in VERDICTS:
        raise _invalid(path, f"a row of {name} has no verdict of {', '.join(VERDICTS)}, or keys that are not known")
    if not isinstance(row.get("source"), str) or not _is_day(row.get("date")):
        raise _invalid(path, f"a row of {name} has no source or no date")
    for field in ("since", "until", "versions_since", "versions_until"):
        if row.get(field) is not None and _version(row[field]) is None:
            raise _invalid(path, f"{field} of a row of {name} is not a version")


def _within(version: Any, since: str | None, until: str | None) -> bool | None:
    """Whether ``since <= version < until``; None when it depends on a version that is not known."""
    if since is None and until is None:
        return True
    parsed = _version(version)
    if parsed is None:
        return None
    return (since is None or parsed >= _version(since)) and (until is None or parsed < _version(until))


def _version(text: Any) -> Any:
    try:
        return parse_version(text)
    except (ValueError, TypeError, AttributeError):
        return None


def _invalid(path: Path, why: str) -> PolicyProblem:
    return PolicyProblem(
        f"the compatibility table {path} cannot be used: {why}",
        "a row that is misread could call a workload safe that breaks",
        "correct the table; docs/policies.md describes its fields",
        table=str(path),
    )


def _is_day(value: Any) -> bool:
    # To isinstance a timestamp is a date as well.
    return isinstance(value, dt.date) and not isinstance(value, dt.datetime)
