# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a waiver file (docs/waivers.md), and refuse one that is not complete."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..talos.versions import parse_version
from .documents import read_yaml
from .errors import WaiverProblem
from .functions import moment
from .waiver import MATCH, RELEASE, Waiver

SCHEMA = 1
_FIELDS = {"id", "signature", "match", "scope", "reason", "owner", "ticket", "granted", "expires", "labels"}
_SCOPE = ("clusters", "nodes", "talos")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def load_waivers(path: str | Path) -> list[Waiver]:
    """The waivers of a file, in its order.

    Raises:
        WaiverProblem: it cannot be read, or a waiver is not complete.
    """
    try:
        raw = read_yaml(path, "waiver file")
    except (ValueError, yaml.YAMLError) as problem:
        raise _invalid(path, f"it cannot be read: {' '.join(str(problem).split())}") from None
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA or set(raw) != {"schema", "waivers"}:
        raise _invalid(path, f"it does not hold exactly `schema: {SCHEMA}` and `waivers`")
    if not isinstance(raw["waivers"], list):
        raise _invalid(path, "its waivers are not a list")
    waivers = [_waiver(item, path) for item in raw["waivers"]]
    ids = [waiver.id for waiver in waivers]
    for identifier in ids:
        if ids.count(identifier) > 1:
            raise _invalid(path, f"the waiver {identifier} is there twice")
    return waivers


def _waiver(item: Any, path: str | Path) -> Waiver:
    if not isinstance(item, dict) or not isinstance(item.get("id"), str) or not _ID.fullmatch(item["id"]):
        raise _invalid(path, "a waiver has no id of letters, digits, dots, hyphens and underscores")
    name = item["id"]
    unknown = sorted(str(key) for key in set(item) - _FIELDS)
    if unknown:
        raise _invalid(path, f"the waiver {name} has unknown keys: {', '.join(unknown)}")
    if ("signature" in item) == ("match" in item):
        raise _invalid(path, f"the waiver {name} does not have exactly one of signature and match")
    for field in ("reason", "ticket"):
        if not isinstance(item.get(field), str) or not item[field].strip():
            raise _invalid(path, f"the waiver {name} has no {field}")
    signature = item.get("signature")
    if "signature" in item and (not isinstance(signature, str) or not signature.strip()):
        raise _invalid(path, f"the signature of the waiver {name} is not a text")
    match = _lists(item.get("match", {}), f"match of the waiver {name}", MATCH, path)
    if "match" in item and set(match) != set(MATCH):
        raise _invalid(path, f"the match of the waiver {name} does not name all of {', '.join(MATCH)}")
    scope = _lists(item.get("scope"), f"scope of the waiver {name}", _SCOPE, path)
    if not scope:
        raise _invalid(path, f"the waiver {name} has no scope: give clusters, nodes or talos versions")
    for version in scope.get("talos", ()):
        if not RELEASE.fullmatch(version):
            try:
                parse_version(version)
            except ValueError:
                raise _invalid(path, f"{version!r} in the scope of the waiver {name} is no Talos version") from None
    labels = item.get("labels", {})
    if not isinstance(labels, dict) or not all(isinstance(text, str) for pair in labels.items() for text in pair):
        raise _invalid(path, f"the labels of the waiver {name} are not a mapping of texts to texts")
    owner = item.get("owner")
    return Waiver(
        id=name,
        signature=signature,
        match=match,
        scope=scope,
        reason=item["reason"],
        # A missing owner is a lint of its own name, not a broken file.
        owner=owner if isinstance(owner, str) else "",
        ticket=item["ticket"],
        granted=_day(item, "granted", path),
        expires=_day(item, "expires", path),
        labels=labels,
    )


def _lists(raw: Any, what: str, keys: Sequence[str], path: str | Path) -> dict[str, tuple[str, ...]]:
    if not isinstance(raw, dict) or not set(raw) <= set(keys):
        raise _invalid(path, f"the {what} is not a mapping with keys among {', '.join(keys)}")
    for key, values in raw.items():
        if not isinstance(values, list) or not values or not all(isinstance(v, str) and v for v in values):
            raise _invalid(path, f"{key} in the {what} is not a list of texts")
    return {key: tuple(values) for key, values in raw.items()}


def _day(item: Mapping[str, Any], field: str, path: str | Path) -> dt.datetime:
    """A date (midnight UTC) or an ISO 8601 time with its zone."""
    value = item.get(field)
    try:
        if isinstance(value, dt.datetime) and value.tzinfo is not None:
            return value
        if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
            return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
        if isinstance(value, str):
            return moment(f"{value}T00:00:00Z" if len(value) == len("2026-01-01") else value)
    except ValueError:
        pass
    raise _invalid(path, f"{field} of the waiver {item['id']} is neither a date (2026-12-31) nor a time with its zone")


def _invalid(path: str | Path, why: str) -> WaiverProblem:
    return WaiverProblem(
        f"the waiver file {path} cannot be used: {why}",
        "a waiver that is not understood to the letter could cover more than its owner meant",
        "correct the file; docs/waivers.md describes every field",
        file=str(path),
    )
