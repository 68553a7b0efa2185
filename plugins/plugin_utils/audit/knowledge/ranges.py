# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ranges of Talos versions, as the entries of the catalogue write them: ``>=1.14.0,<1.15.0``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from ...talos.versions import TalosVersion, parse_version

_CLAUSE = re.compile(r"(>=|<=|>|<|==)\s*(\S+)\Z")
_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}


def version_of(text: str | None) -> TalosVersion | None:
    """A complete version; None for anything else, also for a build of one's own (``v1.14.0+mine``)."""
    if not isinstance(text, str) or "+" in text:
        return None
    try:
        return parse_version(text)
    except ValueError:
        return None


def clauses_of(text: str) -> list[tuple[str, TalosVersion]]:
    """The comparisons of a range, such as ``(">=", v1.14.0)``.

    Raises:
        ValueError: one of them is none.
    """
    clauses = []
    for part in text.split(","):
        found = _CLAUSE.match(part.strip())
        bound = version_of(found[2]) if found else None
        if found is None or bound is None:
            raise ValueError(f"{part.strip()!r} is not a comparison with a version")
        clauses.append((found[1], bound))
    return clauses


def in_range(text: str, clauses: str) -> bool:
    """Whether a version satisfies all of ``>=1.14.0,<1.15.0``; pre-releases order before their release.

    A text that is no version satisfies nothing.

    Raises:
        ValueError: ``clauses`` is no range.
    """
    version = version_of(text)
    return version is not None and all(_TESTS[test](version, bound) for test, bound in clauses_of(clauses))
