# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One waiver: the denials that a named person accepts, where, and until when."""

from __future__ import annotations

import dataclasses
import datetime as dt
import fnmatch
import re
from collections.abc import Mapping
from typing import Any

from ..nested import value_at
from ..talos.versions import parse_version
from .functions import iso

MATCH = ("source_type", "target_type", "class", "permissions")
"""The parts of a denial that a waiver names, in the order of a signature."""
RELEASE = re.compile(r"v?\d+\.\d+")
"""A release line such as ``v1.14``."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing wrong with a waiver. ``lint`` is ``expired``, ``too-long``, ``unused``, ``too-broad``, ``no-owner`` or
    ``breaking``."""

    waiver: str
    lint: str
    text: str


@dataclasses.dataclass(frozen=True)
class Waiver:
    """One waiver. It names a signature, or matches every denial whose four parts are among the given ones.

    ``labels`` are free texts by name, which reports pass on.
    """

    id: str
    signature: str | None
    match: Mapping[str, tuple[str, ...]]
    scope: Mapping[str, tuple[str, ...]]
    reason: str
    owner: str
    ticket: str
    granted: dt.datetime
    expires: dt.datetime
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def covers(self, denial: Mapping[str, Any]) -> bool:
        """Whether the denial is one of those the waiver means, wherever it happened."""
        if any(denial.get(part) is None for part in MATCH):
            # Whether it breaks anything is not known.
            return False
        if self.signature is not None:
            return denial.get("signature") == self.signature
        permissions = denial.get("permissions")
        if not isinstance(permissions, list) or not permissions:
            return False
        return set(permissions) <= set(self.match["permissions"]) and all(
            denial.get(part) in self.match[part] for part in MATCH[:3]
        )

    def in_scope(self, evidence: Mapping[str, Any]) -> bool:
        """Whether the node, its cluster and its Talos version are where the waiver holds. What is not known is not."""
        facts = {
            "clusters": value_at(evidence, "cluster", "name"),
            "nodes": value_at(evidence, "node", "name"),
            "talos": value_at(evidence, "talos", "version"),
        }
        return all(
            isinstance(facts[part], str) and any(_fits(part, pattern, facts[part]) for pattern in patterns)
            for part, patterns in self.scope.items()
        )

    def ages_badly(self, now: dt.datetime, max_days: int) -> Finding | None:
        """What is wrong with its time or its owner, on its own; None when nothing is."""
        if now >= self.expires:
            return Finding(self.id, "expired", f"it expired at {iso(self.expires)}")
        if self.granted > now:
            return Finding(self.id, "too-long", f"it was granted at {iso(self.granted)}, which is in the future")
        if self.expires - self.granted > dt.timedelta(days=max_days):
            return Finding(self.id, "too-long", f"it holds for longer than the {max_days} days the policy allows")
        if not self.owner.strip():
            return Finding(self.id, "no-owner", "it has no owner")
        return None


def _fits(part: str, pattern: str, value: str) -> bool:
    if part != "talos":
        return fnmatch.fnmatchcase(value, pattern)
    try:
        version = parse_version(value)
        if RELEASE.fullmatch(pattern):
            major, minor = pattern.removeprefix("v").split(".")
            return version.release == (int(major), int(minor))
        return version == parse_version(pattern)
    except ValueError:
        return False
