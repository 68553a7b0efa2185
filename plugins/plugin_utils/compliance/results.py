# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each rule says of each node, and of the fleet.

A result has one of the statuses below. ``unknown`` is a result like any other and is counted as one: it is never a
pass, in any format.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..gate.functions import iso, moment
from ..gate.policy import Policy
from ..gate.verdict import document_for, run_checks
from ..gate.waiver import Waiver
from ..gate.waivers import Waivers
from ..nested import value_at
from .profile import Profile, Rule
from .retired import Retirement

PASS, FAIL, UNKNOWN = "pass", "fail", "unknown"
NOT_APPLICABLE, WAIVED, INCONSISTENT = "not_applicable", "waived", "inconsistent"
#: Worst first: the status of a node is the worst of its results.
STATUSES = (FAIL, UNKNOWN, INCONSISTENT, WAIVED, NOT_APPLICABLE, PASS)
NODE_STATUSES = tuple(status for status in STATUSES if status != INCONSISTENT)
_OF_GATE = {"pass": PASS, "fail": FAIL, "unknown": UNKNOWN, "waived": WAIVED, "skipped": NOT_APPLICABLE}


@dataclass
class Subject:
    """All that is at hand about one row of the report.

    Attributes:
        name: the node's inventory name.
        sources: who names it: inventory, evidence, ledger, previous report.
        evidence: its sealed document, checked; None when there is none.
        evidence_path: where that document lies.
        unread: why there is none, where somebody tried.
        zone: the failure domain, as the inventory says it.
        verdict: the gate's newest saved verdict on it, with its path under ``path``.
        proof: what the ledger's prove step recorded, ``{proven, enforcing, reinstalled, witnesses, reinstall}``.
        timeline: ``[{at, what}]``.
        config: the node's machine configuration file, for formats that need a place to point at.
        probe_asked: whether the operator asked for enforcement probes.
        probe: the newest one that ended, of this machine in this boot (``audit.store.probes``); None for none.
        retired_asked: whether the operator named any machine that is out of the fleet.
        retired: what was said of this one; None where it is in the fleet.
    """

    name: str
    sources: set[str] = field(default_factory=set)
    evidence: Mapping[str, Any] | None = None
    evidence_path: str | None = None
    unread: str | None = None
    zone: str | None = None
    verdict: Mapping[str, Any] | None = None
    proof: Mapping[str, Any] | None = None
    timeline: list[dict[str, str]] = field(default_factory=list)
    config: str | None = None
    probe_asked: bool = False
    probe: Mapping[str, Any] | None = None
    retired_asked: bool = False
    retired: Retirement | None = None


@dataclass(frozen=True)
class Ground:
    """What all nodes are judged by. ``clash`` names rows whose evidence is of one machine."""

    profile: Profile
    policy: Policy
    waivers: Waivers
    now: dt.datetime
    clash: Mapping[str, str] = field(default_factory=dict)


def judge_node(subject: Subject, ground: Ground) -> list[dict[str, Any]]:
    """The results of one node, in the order of the profile: ``[{rule, status, observed, expected, reason, evidence,
    waivers}]``.

    ``evidence`` is ``{path, sha256}`` or None, ``waivers`` the waivers that the result rests on.
    """
    evidence = subject.evidence
    if subject.retired is not None and evidence is None:
        text = subject.retired.text
        return [_result(subject, rule, NOT_APPLICABLE, "the machine is out", text, []) for rule in ground.profile.rules]
    doubt = _why_not_known(subject, ground)
    if doubt is not None or evidence is None:
        return [_result(subject, rule, UNKNOWN, "nothing is known", doubt or "", []) for rule in ground.profile.rules]
    document = document_for(evidence, ground.policy, target=None, waivers=ground.waivers, now=ground.now)
    proof = subject.proof
    document["proof"] = {key: proof.get(key) for key in ("proven", "enforcing", "reinstalled")} if proof else None
    document["probe"] = _probe(subject, ground)
    document["retired"] = {
        "asked": subject.retired_asked,
        "machine": subject.retired is not None,
        "text": subject.retired.text if subject.retired is not None else "not retired",
    }
    labels = {waiver.id: dict(waiver.labels) for waiver in ground.waivers.waivers}
    used = [{**one, "labels": labels[one["waiver_id"]]} for one in ground.waivers.used(document["audit"])]
    results = []
    checked = run_checks([rule.check for rule in ground.profile.rules], document, ground.now)
    for rule, check in zip(ground.profile.rules, checked, strict=True):
        status = _OF_GATE[check["result"]]
        reason = "" if status == PASS else rule.rationale
        results.append(_result(subject, rule, status, check["found"], reason, used if status == WAIVED else []))
    return results


def _probe(subject: Subject, ground: Ground) -> dict[str, Any]:
    """What rules may ask about the enforcement probe: nothing of one that is too old."""
    probe = subject.probe
    if probe is not None and not _is_recent(probe["finished_at"], ground):
        probe = None
    rows = probe["attempts"] if probe is not None else []
    return {
        "asked": subject.probe_asked,
        "id": probe["id"] if probe is not None else None,
        "outcome": probe["outcome"] if probe is not None else None,
        "observed": [f"{row['id']} {row['outcome']}: {row['observed']}" for row in rows] if probe is not None else None,
    }


def _is_recent(text: Any, ground: Ground) -> bool:
    return -60 <= (ground.now - moment(str(text))).total_seconds() <= ground.profile.max_evidence_age


def _why_not_known(subject: Subject, ground: Ground) -> str | None:
    if subject.evidence is None:
        return subject.unread or "no evidence of this node is at hand"
    if subject.name in ground.clash:
        return ground.clash[subject.name]
    try:
        recent = _is_recent(subject.evidence.get("collected_at"), ground)
    except ValueError:
        return "its evidence does not say when it was collected"
    if not recent:
        return (
            f"its evidence is of {subject.evidence['collected_at']}, and what is older than"
            f" {ground.profile.max_evidence_age} seconds or from the future says nothing about now"
        )
    return None


def _result(
    subject: Subject, rule: Rule, status: str, observed: str, reason: str, waivers: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    sealed = subject.evidence.get("sha256") if subject.evidence is not None else None
    return {
        "rule": rule.id,
        "status": status,
        "observed": observed,
        "expected": rule.expected,
        "reason": reason,
        "evidence": {"path": subject.evidence_path, "sha256": sealed} if sealed else None,
        "waivers": [dict(waiver) for waiver in waivers],
    }


def judge_fleet(rule: str, nodes: Mapping[str, str]) -> dict[str, Any]:
    """One rule over the whole fleet.

    Args:
        rule: its id.
        nodes: the status of each node.

    Returns:
        ``{rule, status, common, outliers}``. Where all nodes agree the status is theirs. Where not, it is
        ``inconsistent``, ``common`` is the most frequent status (of equals the worst) and ``outliers`` lists the other
        nodes as ``[{node, status}]``. Nodes to which the rule does not apply are no outliers. An empty fleet is
        ``unknown``.
    """
    counted = {name: status for name, status in nodes.items() if status != NOT_APPLICABLE}
    if not counted:
        status = NOT_APPLICABLE if nodes else UNKNOWN
        return {"rule": rule, "status": status, "common": status, "outliers": []}
    frequent = Counter(counted.values())
    common = min(frequent, key=lambda status: (-frequent[status], STATUSES.index(status)))
    outliers = [{"node": name, "status": status} for name, status in sorted(counted.items()) if status != common]
    return {"rule": rule, "status": INCONSISTENT if outliers else common, "common": common, "outliers": outliers}


def worst(statuses: Sequence[str]) -> str:
    """The worst of some statuses; ``unknown`` of none. What does not apply counts only where nothing else does."""
    applying = [status for status in statuses if status != NOT_APPLICABLE]
    return min(applying or statuses, key=STATUSES.index, default=UNKNOWN)


def clashes(subjects: Sequence[Subject]) -> dict[str, str]:
    """Rows that hold evidence of one machine, with the reason why neither can be believed."""
    owners: dict[tuple[str, str], list[str]] = {}
    for subject in subjects:
        for key in ("uuid", "identity"):
            value = value_at(subject.evidence, "node", key)
            if isinstance(value, str) and value:
                owners.setdefault((key, value.lower()), []).append(subject.name)
    found: dict[str, str] = {}
    for (key, value), names in owners.items():
        if len(names) > 1:
            for name in names:
                found.setdefault(name, f"{', '.join(sorted(names))} are one machine by {key} {value}")
    return found


def waiver_rows(waivers: Iterable[Waiver], now: dt.datetime, max_days: int | None = None) -> list[dict[str, Any]]:
    """Every waiver that the operator gave: ``[{id, owner, ticket, reason, expires, in_force, unsound, labels}]``.

    ``in_force`` is a matter of time alone; ``unsound`` says why it is not applied all the same, by the days that the
    policy allows and by its owner (None where it is applied, or where no ``max_days`` are given).
    """
    return [
        {
            "id": waiver.id,
            "owner": waiver.owner,
            "ticket": waiver.ticket,
            "reason": waiver.reason,
            "expires": iso(waiver.expires),
            "in_force": waiver.granted <= now < waiver.expires,
            "unsound": _unsound(waiver, now, max_days),
            "labels": dict(waiver.labels),
        }
        for waiver in sorted(waivers, key=lambda waiver: waiver.id)
    ]


def _unsound(waiver: Waiver, now: dt.datetime, max_days: int | None) -> str | None:
    finding = waiver.ages_badly(now, max_days) if max_days is not None else None
    return finding.text if finding is not None else None
