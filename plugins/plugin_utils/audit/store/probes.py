# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Enforcement probes of one boot, kept beside its logs: a document for each, ``probe-<id>.json``.

It is written before the probe begins, without records, and replaced when it ended. A document that was changed, or is
of another form, counts as none: the records it might explain are counted like any other.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...canonical import canonical_json, is_sealed, parse_json, sealed
from ...private_files import write_private
from ..log.probe import MOST, caused
from .stream import StoreError

SCHEMA = 1
KIND = "enforcement-probe"
#: Nobody waits longer for a probe that does not say when it ends.
_LONGEST = dt.timedelta(hours=1)
_ID = re.compile(r"[0-9a-f]{16}")


def keep(directory: Path, document: Mapping[str, Any]) -> Path:
    """Write a probe's document (``probe.document`` makes it) below a boot's directory, sealed; where it lies.

    Raises:
        NotPrivate, StoreError: it cannot be kept there.
    """
    if not _ID.fullmatch(document["id"]):
        raise ValueError(f"{document['id']!r} is no id of a probe")
    path = path_of(directory, document["id"])
    try:
        write_private(path, canonical_json(sealed(document)) + b"\n")
    except OSError as error:
        raise StoreError(
            f"the enforcement probe cannot be kept in {path}: {error.strerror}",
            "its records in the audit log would count as denials of the node's workloads",
            "make the directory of the store writable for this user",
        ) from error
    return path


def path_of(directory: Path, probe_id: str) -> Path:
    """Where the document of a probe lies below a boot's directory."""
    return directory / f"probe-{probe_id}.json"


def load(directory: Path) -> list[dict[str, Any]]:
    """The sound documents below a boot's directory, the oldest first."""
    found = []
    for path in directory.glob("probe-*.json"):
        try:
            document = parse_json(path.read_bytes())
        except (OSError, ValueError):
            continue
        if _is_sound(document) and path.name == f"probe-{document['id']}.json":
            found.append(document)
    return sorted(found, key=lambda document: (document["started_at"], document["id"]))


def records(documents: Iterable[Mapping[str, Any]]) -> tuple[bytes, ...]:
    """The records that the probes caused, as lines of auditd's log."""
    return tuple(record.encode("ascii") for document in documents for record in document["records"])


def open_until(documents: Iterable[Mapping[str, Any]]) -> float | None:
    """Until when a probe may still be under way, in seconds since 1970 by the control host's clock; None for none."""
    ends = []
    for document in documents:
        if document["finished_at"] is None:
            start, end = (dt.datetime.fromisoformat(document[key]) for key in ("started_at", "expires_at"))
            ends.append(min(end, start + _LONGEST).timestamp())
    return max(ends, default=None)


def _is_sound(document: Any) -> bool:
    if not isinstance(document, dict) or document.get("schema") != SCHEMA or document.get("kind") != KIND:
        return False
    lines = document.get("records")
    if not isinstance(lines, list) or len(lines) > MOST or not all(_is_record(line) for line in lines):
        return False
    machine, attempts = document.get("machine"), document.get("attempts")
    if not isinstance(machine, dict) or not isinstance(attempts, list) or not all(map(_is_attempt, attempts)):
        return False
    if not all(isinstance(document.get(name), str) for name in ("id", "boot_id", "outcome")):
        return False
    times = ("started_at", "expires_at", *(["finished_at"] if document.get("finished_at") is not None else []))
    return (
        bool(_ID.fullmatch(document["id"]))
        and all(_is_time(document.get(name)) for name in times)
        and is_sealed(document)
    )


def _is_attempt(row: Any) -> bool:
    return isinstance(row, dict) and all(isinstance(row.get(name), str) for name in ("id", "outcome", "observed"))


def _is_record(line: Any) -> bool:
    return isinstance(line, str) and line.isascii() and caused(line.encode("ascii")) is not None


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and dt.datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
