# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An entry of the known-denial catalogue: which denials it is about, and what experts learnt about them.

A command name, a path and a pod's name are chosen by the workload. They may narrow an entry: all of a
denial's names have to fit, so that one well-behaved process never vouches for another, but for a
breaking entry one is enough, so that it never hides a known outage either.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from .ranges import in_range, version_of


@dataclass(frozen=True)
class Remedy:
    """One way out: ``kind`` from REMEDY_KINDS, ``do`` a sentence, ``value`` what to set, ``version`` for upgrades."""

    kind: str
    do: str
    value: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Example:
    """A real-shaped audit record (one line of text) that the entry must match, and its pod when that is known."""

    record: str
    owner: str | None = None


@dataclass(frozen=True)
class Benign:
    """A review's result: under these versions the denial does no harm, as ``reviewed`` on a day from ``source``."""

    versions: str
    reviewed: date
    source: str


@dataclass(frozen=True)
class Match:
    """What a denial must look like; None means that anything will do.

    ``one_name`` says that one fitting command, path or owner is enough, instead of all of them.
    """

    source: frozenset[str] | None
    target: frozenset[str] | None
    classes: frozenset[str] | None
    permissions: frozenset[str] | None
    comm: re.Pattern[str] | None
    path: re.Pattern[str] | None
    owner: re.Pattern[str] | None
    raw_context: bool | None
    constraint: str | None
    versions: str | None
    one_name: bool

    def __call__(self, denial: Mapping[str, Any], version: str | None) -> bool:
        """Whether ``denial`` (a denial dict) fits; an unknown version leaves ``versions`` open."""
        return (
            (self.source is None or denial["source_type"] in self.source)
            and (self.target is None or denial["target_type"] in self.target)
            and (self.classes is None or denial["class"] in self.classes)
            and (self.permissions is None or _subset(denial["permissions"], self.permissions))
            and (self.comm is None or self._named(denial.get("comms"), self.comm))
            and (self.path is None or self._named(denial.get("paths"), self.path))
            and (self.owner is None or self._named(denial.get("owners"), self.owner))
            and (self.raw_context is None or has_raw_context(denial) is self.raw_context)
            and (self.constraint is None or denial.get("constraint") == self.constraint)
            and (self.versions is None or version is None or in_range(version, self.versions))
        )

    def _named(self, values: Iterable[str] | None, pattern: re.Pattern[str]) -> bool:
        fits = [pattern.search(value) is not None for value in values or ()]
        return any(fits) if self.one_name else bool(fits) and all(fits)

    @property
    def specificity(self) -> tuple[int, ...]:
        """Larger is more specific: a stated fact of the record first, then how narrow the type sets are."""
        return (
            self.constraint is not None,
            self.raw_context is True,
            self.owner is not None,
            self.path is not None,
            self.comm is not None,
            self.permissions is not None,
            self.versions is not None,
            *(_narrowness(values) for values in (self.target, self.source, self.classes, self.permissions)),
        )


@dataclass(frozen=True)
class Entry:
    """One family of denials, as reviewed on ``checked``.

    ``breaking`` says whether enforcing it stops something from working; ``fixed_in`` is the first
    Talos release whose policy no longer denies it, or None when there is none yet.
    """

    id: str
    family: str
    title: str
    match: Match
    cause: str
    breaks: str
    impact: str
    breaking: bool
    remedies: tuple[Remedy, ...]
    issues: tuple[str, ...]
    fixed_in: str | None
    benign: tuple[Benign, ...]
    checked: date
    examples: tuple[Example, ...]

    def benign_for(self, version: str | None) -> bool:
        """Whether a review found this harmless on exactly this Talos version.

        An unknown version and a pre-release are never benign: nobody reviewed them.
        """
        parsed = version_of(version)
        if parsed is None or parsed.prerelease:
            return False
        return any(in_range(str(version), review.versions) for review in self.benign)


def has_raw_context(denial: Mapping[str, Any]) -> bool:
    """Whether the kernel reported a label that its policy does not know (``trawcon=`` or ``srawcon=``).

    Both fields follow ``permissive=`` at the end of a record, so a file name cannot fake them.
    """
    if denial.get("raw_contexts"):
        return True
    for sample in denial.get("samples") or ():
        try:
            raw = base64.b64decode(sample.get("raw") or "")
        except (binascii.Error, ValueError, TypeError):
            continue
        tail = raw.rpartition(b" permissive=")[2]
        if b" trawcon=" in tail or b" srawcon=" in tail:
            return True
    return False


def _subset(values: Iterable[str], allowed: frozenset[str]) -> bool:
    values = set(values)
    return bool(values) and values <= allowed


def _narrowness(values: frozenset[str] | None) -> int:
    return 0 if values is None else 1000 - len(values)
