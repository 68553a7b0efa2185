# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one compliance report: every format shows these rows and these counts, and nothing else.

The same input gives the same bytes: rows are sorted, times come in as arguments, and nothing of the host is looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..canonical import is_sealed, sealed
from ..gate import shape
from ..gate.functions import iso
from ..gate.verdict import stopping
from ..nested import value_at
from .drift import find_drift
from .past import Past, last_known
from .results import NODE_STATUSES, STATUSES, Ground, Subject, clashes, judge_fleet, judge_node, waiver_rows, worst
from .retired import Retirement

SCHEMA = 1
KIND = "compliance"


def build_report(
    subjects: Sequence[Subject],
    ground: Ground,
    *,
    previous: Mapping[str, Any] | None,
    history: Sequence[Mapping[str, Any]] = (),
    run: Mapping[str, Any],
    versions: Mapping[str, Any],
    waves: Sequence[Mapping[str, Any]] = (),
    labels: Mapping[str, str] | None = None,
    ledger: Mapping[str, Any] | None = None,
    retired: Sequence[Retirement] = (),
) -> dict[str, Any]:
    """Judge every subject and join the results into one sealed document.

    Args:
        subjects: one for each node that any source names.
        ground: profile, policy, waivers and time.
        previous: the last report before this one, of the same profile.
        history: ``[{generated_at, counts}]`` of earlier reports, oldest first.
        run: who ran it and how, ``{by, controller, clock_offset_seconds}``.
        versions: ``{tool, catalogue}`` and their hashes.
        waves: the rollout's waves, ``[{number, kind, nodes, moved}]``.
        labels: free labels of the run (ticket, system id).
        ledger: ``{path, sha256, entries}`` of the rollout's ledger.
        retired: every machine that the operator named as out of the fleet, also one whose day has not come.

    Returns:
        The report, see docs/compliance.md and the published schema.
    """
    ground = Ground(ground.profile, ground.policy, ground.waivers, ground.now, clashes(subjects))
    rows = [_row(subject, ground) for subject in sorted(subjects, key=lambda subject: subject.name)]
    _date_rows(rows, Past(previous["nodes"] if previous else (), _machines(rows)), iso(ground.now))
    fleet = [
        judge_fleet(rule.id, {row["node"]: _status(row, rule.id) for row in rows}) for rule in ground.profile.rules
    ]
    waivers = waiver_rows(ground.waivers.waivers, ground.now, int(ground.policy.settings["waiver_max_days"]))
    drift = find_drift(previous, {"nodes": rows, "waivers": waivers})
    for row in rows:
        row["drift"] = [item["kind"] for item in drift if item["node"] == row["node"]]
    profile = ground.profile
    return sealed(
        {
            "schema": SCHEMA,
            "kind": KIND,
            "title": profile.title,
            "generated_at": iso(ground.now),
            "run": dict(run),
            "versions": dict(versions),
            "profile": {"name": profile.name, "version": profile.version, "sha256": profile.sha256},
            "policy": {"name": ground.policy.name, "sha256": ground.policy.sha256},
            "labels": {**profile.labels, **(labels or {})},
            "ledger": dict(ledger) if ledger is not None else None,
            "previous": {key: previous[key] for key in ("generated_at", "sha256")} if previous else None,
            "rules": [rule.as_dict() for rule in profile.rules],
            "population": _population(subjects),
            "counts": {
                "nodes": _counted((row["status"] for row in rows), NODE_STATUSES),
                "results": _counted((item["status"] for row in rows for item in row["results"]), NODE_STATUSES),
                "rules": _counted((item["status"] for item in fleet), STATUSES),
                "drift": len(drift),
            },
            "fleet": fleet,
            "nodes": rows,
            "families": families(rows),
            "waivers": waivers,
            "retired": _retired(retired, subjects),
            "drift": drift,
            "waves": [dict(wave) for wave in waves],
            "history": [dict(item) for item in history],
        }
    )


def is_report(document: Any) -> bool:
    """Whether this is a compliance report that carries the hash of its own content, and all that a later one reads."""
    return (
        value_at(document, "schema") == SCHEMA
        and value_at(document, "kind") == KIND
        and not any(defect for path in _READ_PATHS for defect in shape.defects(document, path, _MAY_BE_NULL, _READ))
        and is_sealed(document)
    )


_COUNTS = dict.fromkeys(("total", *NODE_STATUSES), "number")
#: What the next report reads of this one, with its JSON types.
_READ: dict[str, Any] = {
    "generated_at": "string",
    "sha256": "string",
    "profile": {"name": "string"},
    "counts": {"results": _COUNTS},
    "history": [{"generated_at": "string", "counts": _COUNTS}],
    "waivers": [{"id": "string", "in_force": "boolean"}],
    "nodes": [
        {
            "node": "string",
            "sources": ["string"],
            "uuid": "string",
            "mode": "string",
            "talos_version": "string",
            "kernel_args": ["string"],
            "coverage": {"verdict": "string"},
            "evidence": {"collected_at": "string"},
            "last_known": {"uuid": "string", "mode": "string", "talos_version": "string", "kernel_args": ["string"]},
            "results": [{"rule": "string", "status": "string", "since": "string"}],
        }
    ],
}
_READ_PATHS = tuple(shape.leaves(_READ))
_KNOWN_OR_NULL = ("uuid", "mode", "talos_version", "kernel_args")
_MAY_BE_NULL = frozenset(
    shape.path_of(f"nodes[].{key}")
    for key in (
        *_KNOWN_OR_NULL,
        *("coverage", "coverage.verdict", "evidence", "evidence.collected_at", "last_known"),
        *(f"last_known.{key}" for key in _KNOWN_OR_NULL),
    )
)


def families(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Denials by signature over all nodes, the widest spread first.

    Returns:
        ``[{signature, source_type, target_type, class, permissions, nodes: [str], records, enforced, waiver_id,
        known_benign}]``; ``enforced`` counts the records of kinds that were denied and not only logged.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        for denial in row["denials"] or []:
            family = found.setdefault(
                denial["signature"],
                {
                    **{key: denial[key] for key in ("signature", "source_type", "target_type", "class")},
                    "permissions": list(denial["permissions"] or []),
                    "nodes": [],
                    "records": 0,
                    "enforced": 0,
                    "waiver_id": denial["waiver_id"],
                    "known_benign": denial["known_benign"],
                },
            )
            # A kind may stand twice for one node: once enforced and once only logged.
            if row["node"] not in family["nodes"]:
                family["nodes"].append(row["node"])
            family["records"] += denial["count"]
            family["enforced"] += denial["count"] if denial["permissive"] is False else 0
    return sorted(found.values(), key=lambda family: (-len(family["nodes"]), -family["records"], family["signature"]))


def _row(subject: Subject, ground: Ground) -> dict[str, Any]:
    results = judge_node(subject, ground)
    evidence = subject.evidence
    trusted = evidence if subject.name not in ground.clash else None
    coverage = value_at(trusted, "audit", "coverage")
    audit = ground.waivers.applied(value_at(trusted, "audit"), trusted) if trusted is not None else None
    verdict = subject.verdict
    return {
        "node": subject.name,
        "status": worst([item["status"] for item in results]),
        "sources": sorted(subject.sources),
        "uuid": value_at(trusted, "node", "uuid") or (subject.retired.uuid if subject.retired is not None else None),
        "identity": value_at(trusted, "node", "identity"),
        "machine_type": value_at(trusted, "node", "machine_type"),
        "zone": subject.zone,
        "talos_version": value_at(trusted, "talos", "version"),
        "mode": value_at(trusted, "selinux", "state"),
        "kernel_args": value_at(trusted, "selinux", "kernel_args"),
        "pid1_label": value_at(trusted, "selinux", "pid1_label"),
        "disagreements": value_at(trusted, "selinux", "disagreements"),
        "coverage": _coverage(coverage, trusted),
        "denials": _denials(audit),
        "gate": _gate(verdict),
        "probe": _probe(subject.probe) if trusted is not None else None,
        "proof": dict(subject.proof) if subject.proof is not None else None,
        "timeline": sorted(subject.timeline, key=lambda item: (item["at"], item["what"])),
        "evidence": {
            "path": subject.evidence_path,
            "sha256": evidence.get("sha256"),
            "collected_at": evidence.get("collected_at"),
        }
        if evidence is not None
        else None,
        "retired": subject.retired.as_dict() if subject.retired is not None else None,
        "unread": subject.unread or ground.clash.get(subject.name),
        "config": subject.config,
        "results": results,
    }


def _coverage(coverage: Any, evidence: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not isinstance(coverage, Mapping):
        return None
    return {
        "verdict": coverage.get("verdict"),
        "since": coverage.get("since"),
        "seconds": coverage.get("seconds"),
        "until": value_at(evidence, "collected_at"),
        "holes": list(coverage.get("holes") or []),
        "reasons": [str(value_at(reason, "text")) for reason in coverage.get("reasons") or []],
    }


_DENIAL_KEYS = (
    "signature", "source_type", "target_type", "class", "permissions", "permissive", "count", "first", "last",
    "catalogue_id", "waiver_id", "known_benign",
)  # fmt: skip


def _denials(audit: Any) -> list[dict[str, Any]] | None:
    denials = value_at(audit, "denials")
    if not isinstance(denials, list):
        return None
    return [{key: denial.get(key) for key in _DENIAL_KEYS} for denial in denials]


def _gate(verdict: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    return {
        "decision": verdict.get("decision"),
        "issued_at": verdict.get("issued_at"),
        "expires_at": verdict.get("expires_at"),
        "sha256": verdict.get("sha256"),
        "path": verdict.get("path"),
        "reasons": [
            {key: check.get(key) for key in ("id", "result", "found", "remedy", "doc")}
            for check in stopping(verdict.get("checks") or ())
        ],
    }


def _probe(probe: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return {key: probe.get(key) for key in ("id", "outcome", "finished_at", "path", "sha256")} if probe else None


def _status(row: Mapping[str, Any], rule: str) -> str:
    return next(str(item["status"]) for item in row["results"] if item["rule"] == rule)


def _machines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return [row["uuid"] for row in rows if row["uuid"]]


def _date_rows(rows: Sequence[dict[str, Any]], past: Past, now: str) -> None:
    """Give every result what it was in the last report and since when it is what it is now, and every node of which no
    mode is known now what was last known of it."""
    for row in rows:
        before = past.of(row)
        row["last_known"] = last_known(before) if row["mode"] is None else None
        known = {item["rule"]: item for item in before["results"]} if before is not None else {}
        for item in row["results"]:
            old = known.get(item["rule"])
            item["previous_result"] = old["status"] if old else None
            item["since"] = old["since"] if old and old["status"] == item["status"] else now


def _retired(retired: Iterable[Retirement], subjects: Iterable[Subject]) -> list[dict[str, Any]]:
    """``[{uuid, since, ticket, reason, node}]``; ``node`` is the row, None before the day has come."""
    rows = {one.retired.machine: one.name for one in subjects if one.retired is not None}
    return [{**one.as_dict(), "node": rows.get(one.machine)} for one in sorted(retired, key=lambda one: one.machine)]


def _population(subjects: Sequence[Subject]) -> dict[str, Any]:
    sources = sorted({source for subject in subjects for source in subject.sources})
    return {
        "nodes": len(subjects),
        "sources": {source: sum(source in subject.sources for subject in subjects) for source in sources},
        "with_evidence": sum(subject.evidence is not None for subject in subjects),
    }


def _counted(statuses: Iterable[str], names: Sequence[str]) -> dict[str, int]:
    counted = Counter(statuses)
    return {"total": sum(counted.values()), **{name: counted[name] for name in names}}
