# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring together what a compliance report is made of: population, evidence, verdicts, proofs, earlier reports."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..audit.store.store import AuditStore
from ..evidence import files
from ..gate.saved import newest_verdicts
from ..gate.shape import value_at
from ..problem import Problem
from ..rollout.ledger import entries, verify
from .model import is_report
from .results import Subject

REPORT = "report.json"
#: How many earlier reports the line of the history shows.
_HISTORY = 50


def gather(
    hosts: Iterable[str],
    evidence: Mapping[str, Mapping[str, Any]],
    unread: Mapping[str, Mapping[str, Any]],
    *,
    directory: Path,
    zones: Mapping[str, str | None],
    configs: Mapping[str, str | None],
    ledger: Path | None,
    previous: Mapping[str, Any] | None,
    probes: Path | None = None,
) -> tuple[list[Subject], list[dict[str, Any]]]:
    """One subject for each node that any source names, and the waves of the newest rollout.

    Args:
        hosts: the inventory's hosts.
        evidence: ``{host: {path}}`` of this run. Each document is read from its file and checked there.
        unread: ``{host: problem}`` of this run.
        directory: where evidence and verdicts are kept.
        zones, configs: by host what the inventory says.
        ledger: path of the rollout's ledger, or None.
        previous: the last report; a node that only it names gets a row, once.
        probes: the audit stores of all nodes, with the enforcement probes in them; None where nobody asked for any.

    Raises:
        LedgerBroken: the ledger was changed by something else.
    """
    subjects: dict[str, Subject] = {}

    def named(name: str, source: str) -> Subject:
        subject = subjects.setdefault(name, Subject(name))
        subject.sources.add(source)
        return subject

    for host in hosts:
        subject = named(host, "inventory")
        subject.zone, subject.config = zones.get(host), configs.get(host)
    for host, entry in evidence.items():
        _with_evidence(named(host, "evidence"), str(entry["path"]))
    if probes is not None:
        for subject in subjects.values():
            subject.probe_asked, subject.probe = True, _newest_probe(subject, probes)
    for host, problem in unread.items():
        subject = named(host, "evidence")
        subject.unread = str(problem.get("found"))
    waves = _with_ledger(named, ledger) if ledger is not None and ledger.exists() else []
    verdicts = newest_verdicts(directory)
    for subject in subjects.values():
        subject.verdict = verdicts.get(str(value_at(subject.evidence, "node", "identity")))
        if subject.verdict is not None:
            decision = subject.verdict.get("decision")
            subject.timeline.append({"at": str(subject.verdict["issued_at"]), "what": f"gate: {decision}"})
    for row in previous["nodes"] if previous else ():
        # Only what something else named then: a row that is kept by reports alone would never end.
        if row["node"] not in subjects and set(row["sources"]) - {"previous report"}:
            named(row["node"], "previous report").unread = "nothing names this node any more but the last report"
    return list(subjects.values()), waves


def _with_evidence(subject: Subject, path: str) -> None:
    try:
        document = files.load(path)
    except Problem as problem:
        subject.unread = problem.found
        return
    if value_at(document, "node", "name") != subject.name:
        subject.unread = f"the evidence {path} is of {value_at(document, 'node', 'name')}"
        return
    subject.evidence, subject.evidence_path = document, path
    subject.timeline.append({"at": str(document["collected_at"]), "what": "evidence collected"})


def _newest_probe(subject: Subject, stores: Path) -> dict[str, Any] | None:
    """The newest probe that ended, of the machine and the boot that the evidence is of."""
    node = value_at(subject.evidence, "node")
    boot = value_at(subject.evidence, "boot", "id") or value_at(subject.evidence, "kubernetes", "boot_id")
    if not isinstance(node, Mapping) or not boot:
        return None
    store = AuditStore(stores / files.safe_name(subject.name))
    machine = {"uuid": node.get("uuid"), "identity": node.get("identity")}
    found = [
        probe
        for key in store.boots()
        for probe in store.probes(key)
        if probe["finished_at"] is not None and (probe["machine"], probe["boot_id"]) == (machine, boot)
    ]
    return max(found, key=lambda probe: str(probe["finished_at"]), default=None)


def _with_ledger(named: Any, path: Path) -> list[dict[str, Any]]:
    """Proofs and timelines from the ledger, and the waves of its newest run."""
    state = verify(path)
    state.require_chain()
    for node, known in state.nodes.items():
        subject = named(node, "ledger")
        proof = known.results.get("prove")
        # A proof of an operation that was started over since says nothing about now.
        if proof is not None and "prove" in known.done:
            subject.proof = {
                key: proof.get(key) for key in ("proven", "enforcing", "reinstalled", "witnesses", "reinstall")
            }
    waves: dict[int, dict[str, Any]] = {}
    for entry in entries(path):
        name, step = entry.get("node"), entry.get("step")
        if isinstance(name, str) and name in state.nodes and isinstance(step, str):
            what = f"{step} {entry.get('outcome') or entry.get('kind')}"
            named(name, "ledger").timeline.append({"at": str(entry.get("at")), "what": what})
        wave = value_at(entry, "facts", "wave")
        if isinstance(wave, int) and isinstance(name, str):
            known_wave = waves.setdefault(wave, {"number": wave, "kind": "wave", "nodes": [], "moved": []})
            if name not in known_wave["nodes"]:
                known_wave["nodes"].append(name)
    for item in waves.values():
        item["moved"] = [name for name in item["nodes"] if state.nodes[name].complete]
    return [waves[number] for number in sorted(waves)]


def earlier_reports(output: Path, profile: str, before: str) -> list[dict[str, Any]]:
    """The sound reports of a profile below a directory, oldest first, all made before a moment.

    Reports are looked for as ``<output>/*/report.json``. What cannot be read, or was changed, is no report.
    """
    found = []
    for path in output.glob(f"*/{REPORT}"):
        try:
            document = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if is_report(document) and document["profile"]["name"] == profile and document["generated_at"] < before:
            found.append(document)
    return sorted(found, key=lambda document: (document["generated_at"], document["sha256"]))


def history(reports: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a report says of those before it: ``[{generated_at, counts}]``, oldest first."""
    rows = [{"generated_at": item["generated_at"], "counts": dict(item["counts"]["results"])} for item in reports]
    return rows[-_HISTORY:]


def largest_clock_offset(subjects: Iterable[Subject]) -> float | None:
    """By how many seconds a node's clock differs most from the controller's; None where no node told its time."""
    told = [value_at(subject.evidence, "time", "offset_seconds") for subject in subjects]
    return max((float(offset) for offset in told if isinstance(offset, (int, float))), key=abs, default=None)
