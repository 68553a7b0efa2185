# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Canonical JSON and the hash that seals a document, so that an auditor can recompute it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

SEAL = "sha256"


def canonical_json(value: Any) -> bytes:
    """The one byte form of a JSON value: sorted keys, no blanks, ASCII only, no NaN or infinity.

    Raises:
        ValueError: for a float that JSON cannot carry, and for data that is nested too deeply.
        TypeError: for a value that is not plain JSON data.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return text.encode("ascii")


def parse_json(data: bytes | str) -> Any:
    """The value of a JSON text in UTF-8 that anybody may have written.

    Raises:
        ValueError: it is no JSON, or what no sealed document holds: numbers without an end, or a depth without one.
    """
    try:
        return _DECODER.decode(data if isinstance(data, str) else data.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _endless(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _endless(text[:20])


_DECODER = json.JSONDecoder(parse_constant=_endless, parse_float=_finite)


def sha256_of(document: Mapping[str, Any], without: tuple[str, ...] = (SEAL,)) -> str:
    """Lower-case hex SHA-256 of the document's canonical JSON, leaving out the top-level keys ``without``."""
    return hashlib.sha256(canonical_json({k: v for k, v in document.items() if k not in without})).hexdigest()


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the document with its ``sha256`` set."""
    return {**document, SEAL: sha256_of(document)}


def is_sealed(document: Mapping[str, Any]) -> bool:
    """Whether the document carries the hash of its own content."""
    return document.get(SEAL) == sha256_of(document)
