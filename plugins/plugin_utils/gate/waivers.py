# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The waivers of a run: what they cover, and what is wrong with them. A waived denial stays in every output."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..audit.knowledge import catalogue as known_denials
from ..nested import value_at
from .errors import WaiverProblem
from .functions import iso, moment
from .policy import Policy
from .waiver import MATCH, Finding, Waiver
from .waiver_files import load_waivers


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
        entry = self._catalogue.match(denial, version if isinstance(version, str) else None)
        return entry.id if entry is not None and entry.breaking else None

    def _breaking_by_name(self, waiver: Waiver) -> str | None:
        """The breaking family that a waiver names, even when no such denial was seen in this run."""
        if waiver.signature is not None:
            parts = waiver.signature.split(":")
            if len(parts) != len(MATCH):
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
            family = self._breaking(dict(zip(MATCH, values, strict=True)), None)
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


def _denials(evidence: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    denials = value_at(evidence, "audit", "denials")
    return [denial for denial in denials if isinstance(denial, Mapping)] if isinstance(denials, list) else []


def _last(denial: Mapping[str, Any]) -> dt.datetime | None:
    try:
        return moment(denial["last"])
    except (KeyError, TypeError, ValueError):
        return None
