# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Canonical JSON and the hash that seals a document, so that an auditor can recompute it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SEAL = "sha256"


def canonical_json(value: Any) -> bytes:
    """The one byte form of a JSON value: sorted keys, no blanks, ASCII only, no NaN or infinity.

    Raises:
        ValueError: for a float that JSON cannot carry.
        TypeError: for a value that is not plain JSON data.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def sha256_of(document: Mapping[str, Any], without: tuple[str, ...] = (SEAL,)) -> str:
    """Lower-case hex SHA-256 of the document's canonical JSON, leaving out the top-level keys ``without``."""
    return hashlib.sha256(canonical_json({k: v for k, v in document.items() if k not in without})).hexdigest()


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the document with its ``sha256`` set."""
    return {**document, SEAL: sha256_of(document)}


def is_sealed(document: Mapping[str, Any]) -> bool:
    """Whether the document carries the hash of its own content."""
    return document.get(SEAL) == sha256_of(document)
