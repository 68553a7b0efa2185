# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waivers: denials that a named person accepts, for a time, in a place. A waived denial stays in every output."""

from __future__ import annotations

import dataclasses
import datetime as dt
import fnmatch
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..audit.knowledge import catalogue as known_denials
from ..talos.versions import parse_version
from .documents import read_yaml
from .errors import WaiverProblem
from .functions import iso, moment
from .policy import Policy
from .shape import value_at

SCHEMA = 1
_FIELDS = {"id", "signature", "match", "scope", "reason", "owner", "ticket", "granted", "expires", "labels"}
_MATCH = ("source_type", "target_type", "class", "permissions")
_SCOPE = ("clusters", "nodes", "talos")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RELEASE = re.compile(r"v?\d+\.\d+")


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
        if self.signature is not None:
            return denial.get("signature") == self.signature
        permissions = denial.get("permissions")
        if not isinstance(permissions, list) or not permissions:
            return False
        return set(permissions) <= set(self.match["permissions"]) and all(
            denial.get(part) in self.match[part] for part in _MATCH[:3]
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


class Waivers:
    """The waivers of one file, at one moment, under one policy. Only sound ones are ever applied.

    Args:
        waivers: what :func:`load_waivers` read.
        policy: its ``waiver_max_days``, ``waiver_unused_days`` and ``waiver_max_matches`` bound every waiver.
        now: the current time (aware).
        catalogue: the known-denial catalogue; the collection's own by default.
    """

    def __init__(
        self,
        waivers: Sequence[Waiver],
        policy: Policy,
        now: dt.datetime,
        catalogue: known_denials.Catalogue | None = None,
    ) -> None:
        self.waivers = tuple(waivers)
        self._limits = {
            name: int(policy.settings[f"waiver_{name}"]) for name in ("max_days", "unused_days", "max_matches")
        }
        self._now = now
        self._given_catalogue = catalogue

    @functools.cached_property
    def _catalogue(self) -> known_denials.Catalogue:
        return self._given_catalogue if self._given_catalogue is not None else known_denials.load()

    def applied(self, audit: Any, evidence: Mapping[str, Any]) -> Any:
        """A copy of the ``audit`` part of an evidence document with ``waiver_id`` set on each denial that is waived."""
        denials = value_at(audit, "denials")
        if not isinstance(denials, list):
            return audit
        return {**audit, "denials": [self._marked(denial, evidence) for denial in denials]}

    def used(self, audit: Any) -> list[dict[str, Any]]:
        """``[{signature, count, waiver_id, owner, ticket, reason, expires}]`` of what :meth:`applied` gave."""
        by_id = {waiver.id: waiver for waiver in self.waivers}
        denials = value_at(audit, "denials")
        return [
            {
                "signature": denial.get("signature"),
                "count": denial.get("count"),
                "waiver_id": waiver.id,
                "owner": waiver.owner,
                "ticket": waiver.ticket,
                "reason": waiver.reason,
                "expires": iso(waiver.expires),
            }
            for denial in (denials if isinstance(denials, list) else ())
            if isinstance(denial, Mapping) and (waiver := by_id.get(str(denial.get("waiver_id")))) is not None
        ]

    def lint(self, evidence: Iterable[Mapping[str, Any]]) -> list[Finding]:
        """Everything wrong with the waivers, given the evidence of all nodes the run is about.

        A waiver is unused when no denial that it covers was seen in its scope for ``waiver_unused_days``, counted from
        the denial's last record, or from ``granted`` when there is none.
        """
        documents = list(evidence)
        findings = []
        for waiver in self.waivers:
            own = waiver.ages_badly(self._now, self._limits["max_days"])
            if own is not None:
                findings.append(own)
            seen = [
                (denial, value_at(document, "talos", "version"))
                for document in documents
                if waiver.in_scope(document)
                for denial in _denials(document)
                if waiver.covers(denial)
            ]
            findings.extend(self._usage(waiver, [denial for denial, _unused in seen]))
            entry = next((family for family in (self._breaking(*one) for one in seen) if family), None)
            entry = entry or self._breaking_by_name(waiver)
            if entry is not None:
                findings.append(
                    Finding(waiver.id, "breaking", f"the catalogue says that {entry} breaks under enforcing")
                )
        return findings

    def require_sound(self, evidence: Iterable[Mapping[str, Any]], *, whole_fleet: bool = True) -> None:
        """Fail by name on every finding of :meth:`lint`.

        Args:
            evidence: that of the nodes the run is about.
            whole_fleet: whether these are all nodes. Part of a fleet does not show that a waiver is unused.

        Raises:
            WaiverProblem: with all findings in ``context["findings"]``.
        """
        findings = [finding for finding in self.lint(evidence) if whole_fleet or finding.lint != "unused"]
        if findings:
            listed = "; ".join(f"{finding.waiver} ({finding.lint}): {finding.text}" for finding in findings)
            raise WaiverProblem(
                f"waivers that cannot stand: {listed}",
                "a waiver is a debt with a name and a date; one that nobody keeps up hides a denial",
                "renew, narrow or delete each of them; docs/waivers.md explains every lint",
                findings=[dataclasses.asdict(finding) for finding in findings],
            )

    def _marked(self, denial: Any, evidence: Mapping[str, Any]) -> Any:
        if not isinstance(denial, Mapping):
            return denial
        version = value_at(evidence, "talos", "version")
        for waiver in self.waivers:
            if (
                waiver.ages_badly(self._now, self._limits["max_days"]) is None
                and waiver.in_scope(evidence)
                and waiver.covers(denial)
                and self._breaking(denial, version) is None
            ):
                return {**denial, "waiver_id": waiver.id}
        # A waiver id that came with the evidence has no waiver behind it here.
        return {**denial, "waiver_id": None}

    def _usage(self, waiver: Waiver, seen: Sequence[Mapping[str, Any]]) -> Iterable[Finding]:
        signatures = {str(denial.get("signature")) for denial in seen}
        most = self._limits["max_matches"]
        if len(signatures) > most:
            yield Finding(waiver.id, "too-broad", f"it covers {len(signatures)} signatures, and {most} are allowed")
        days = self._limits["unused_days"]
        last = max([waiver.granted, *(when for denial in seen if (when := _last(denial)) is not None)])
        if self._now - last > dt.timedelta(days=days):
            yield Finding(waiver.id, "unused", f"nothing that it covers was seen for {days} days (last: {iso(last)})")

    def _breaking(self, denial: Mapping[str, Any], version: Any) -> str | None:
        if any(denial.get(part) is None for part in _MATCH):
            return None
        entry = self._catalogue.match(denial, version if isinstance(version, str) else None)
        return entry.id if entry is not None and entry.breaking else None

    def _breaking_by_name(self, waiver: Waiver) -> str | None:
        """The breaking family that a waiver names, even when no such denial was seen in this run."""
        if waiver.signature is not None:
            parts = waiver.signature.split(":")
            if len(parts) != len(_MATCH):
                return None
            source, target, kind, permissions = parts
            named = [(source, target, kind, permissions.split("+"))]
        else:
            named = [
                (source, target, kind, list(waiver.match["permissions"]))
                for source in waiver.match["source_type"]
                for target in waiver.match["target_type"]
                for kind in waiver.match["class"]
            ]
        for values in named:
            family = self._breaking(dict(zip(_MATCH, values, strict=True)), None)
            if family is not None:
                return family
        return None


def load(
    path: str | Path,
    *,
    policy: Policy,
    now: dt.datetime,
    catalogue: known_denials.Catalogue | None = None,
) -> Waivers:
    """The waivers of a file, ready to be linted and applied.

    Raises:
        WaiverProblem: as :func:`load_waivers`.
    """
    return Waivers(load_waivers(path), policy, now, catalogue)


def load_waivers(path: str | Path) -> list[Waiver]:
    """Read a waiver file (docs/waivers.md).

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
    match = _lists(item.get("match", {}), f"match of the waiver {name}", _MATCH, path)
    if "match" in item and set(match) != set(_MATCH):
        raise _invalid(path, f"the match of the waiver {name} does not name all of {', '.join(_MATCH)}")
    scope = _lists(item.get("scope"), f"scope of the waiver {name}", _SCOPE, path)
    if not scope:
        raise _invalid(path, f"the waiver {name} has no scope: give clusters, nodes or talos versions")
    for version in scope.get("talos", ()):
        if not _RELEASE.fullmatch(version):
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


def _fits(part: str, pattern: str, value: str) -> bool:
    if part != "talos":
        return fnmatch.fnmatchcase(value, pattern)
    try:
        version = parse_version(value)
        if _RELEASE.fullmatch(pattern):
            major, minor = pattern.lstrip("v").split(".")
            return version.release == (int(major), int(minor))
        return version == parse_version(pattern)
    except ValueError:
        return False


def _denials(evidence: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    denials = value_at(evidence, "audit", "denials")
    return [denial for denial in denials if isinstance(denial, Mapping)] if isinstance(denials, list) else []


def _last(denial: Mapping[str, Any]) -> dt.datetime | None:
    try:
        return moment(denial["last"])
    except (KeyError, TypeError, ValueError):
        return None


def _invalid(path: str | Path, why: str) -> WaiverProblem:
    return WaiverProblem(
        f"the waiver file {path} cannot be used: {why}",
        "a waiver that is not understood to the letter could cover more than its owner meant",
        "correct the file; docs/waivers.md describes every field",
        file=str(path),
    )
