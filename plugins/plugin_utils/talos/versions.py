# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Talos versions: parse and compare."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_PATTERN = re.compile(r"v?([0-9]{1,6})\.([0-9]{1,6})\.([0-9]{1,6})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")


@dataclass(frozen=True, order=True)
class TalosVersion:
    """A Talos version that compares as semantic versions do (a pre-release comes before its release)."""

    order: tuple[object, ...] = field(repr=False)
    major: int = field(compare=False)
    minor: int = field(compare=False)
    patch: int = field(compare=False)
    prerelease: str = field(compare=False, default="")

    def __str__(self) -> str:
        suffix = f"-{self.prerelease}" if self.prerelease else ""
        return f"v{self.major}.{self.minor}.{self.patch}{suffix}"

    @property
    def release(self) -> tuple[int, int]:
        """``(major, minor)``: the release line, which fixes policy, resources and API."""
        return (self.major, self.minor)


def parse_version(text: str) -> TalosVersion:
    """The version named by ``text`` ("v1.14.1", "1.13.7", "v1.14.0-rc.1").

    Raises:
        ValueError: ``text`` is not a complete version.
    """
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a Talos version such as v1.14.1")
    major, minor, patch = (int(match[index]) for index in (1, 2, 3))
    prerelease = match[4] or ""
    # Semantic Versioning 2.0.0, item 11: numbers sort before words, and no pre-release sorts last.
    identifiers = tuple(
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in prerelease.split(".")
    )
    order = (major, minor, patch, 0 if prerelease else 1, identifiers)
    return TalosVersion(order, major, minor, patch, prerelease)
