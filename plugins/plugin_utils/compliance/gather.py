# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring together what a compliance report is made of: population, evidence, verdicts, proofs, earlier reports."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..audit.store import probes as kept_probes
from ..audit.store.store import AuditStore
from ..canonical import is_sealed
from ..evidence import files
from ..gate.saved import newest_verdicts
from ..nested import value_at
from ..problem import Problem
from ..rollout.ledger_file import entries, verify
from .bundle import MANIFEST
from .model import is_report
from .past import machine_of
from .results import Subject

REPORT = "report.json"
_REPORT = "previous report"
_UNREADABLE = (OSError, ValueError, RecursionError)
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
        evidence: ``{host: entry}`` of this run (``evidence.files.entry_of``). A saved document is read from its file.
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
        _with_evidence(named(host, "evidence"), entry)
    if probes is not None:
        for subject in subjects.values():
            subject.probe_asked, subject.probe = True, _newest_probe(subject, probes)
    for host, problem in unread.items():
        subject = named(host, "evidence")
        subject.unread = str(problem.get("found"))
    moved = _with_ledger(named, ledger) if ledger is not None and ledger.exists() else set()
    verdicts = newest_verdicts(directory)
    for subject in subjects.values():
        subject.verdict = verdicts.get(str(value_at(subject.evidence, "node", "identity")))
        if subject.verdict is not None:
            decision = subject.verdict.get("decision")
            subject.timeline.append({"at": str(subject.verdict["issued_at"]), "what": f"gate: {decision}"})
    known = (value_at(subject.evidence, "node", "uuid") for subject in subjects.values())
    machines = {uuid.lower() for uuid in known if isinstance(uuid, str)}
    for verdict in verdicts.values():
        name = str(verdict.get("node"))
        if name not in subjects and str(value_at(verdict, "binds", "uuid")).lower() not in machines:
            named(name, "verdict").unread = "nothing names this node but a verdict that the gate saved"
    for row in previous["nodes"] if previous else ():
        # Only what something else named then: a row that is kept by reports alone would never end. A machine that is
        # here under another name was renamed, and has its row.
        if row["node"] not in subjects and set(row["sources"]) - {_REPORT} and machine_of(row) not in machines:
            named(row["node"], _REPORT).unread = "nothing names this node any more but the last report"
    return list(subjects.values()), _waves(directory, moved, subjects)


def _with_evidence(subject: Subject, entry: Mapping[str, Any]) -> None:
    try:
        document = files.document_of(entry)
    except Problem as problem:
        subject.unread = problem.found
        return
    if value_at(document, "node", "name") != subject.name:
        subject.unread = f"the evidence {entry['path']} is of {value_at(document, 'node', 'name')}"
        return
    subject.evidence, subject.evidence_path = document, entry["path"]
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
        {**probe, "path": str(kept_probes.path_of(store.directory / key, probe["id"]))}
        for key in store.boots()
        for probe in store.probes(key)
        if probe["finished_at"] is not None and (probe["machine"], probe["boot_id"]) == (machine, boot)
    ]
    return max(found, key=lambda probe: str(probe["finished_at"]), default=None)


def _with_ledger(named: Any, path: Path) -> set[str]:
    """Proofs and timelines from the ledger; the nodes whose steps are all done."""
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
    for entry in entries(path):
        name, step = entry.get("node"), entry.get("step")
        if isinstance(name, str) and name in state.nodes and isinstance(step, str):
            what = f"{step} {entry.get('outcome') or entry.get('kind')}"
            named(name, "ledger").timeline.append({"at": str(entry.get("at")), "what": what})
    return {name for name, known in state.nodes.items() if known.complete}


def _waves(directory: Path, moved: set[str], subjects: Mapping[str, Subject]) -> list[dict[str, Any]]:
    """The waves of the newest rollout, by the report that it keeps in its directory; nothing where there is none.

    The ledger says who moved; a node that is seen not to enforce did not, or not for long.
    """
    try:
        rollout = json.loads((directory / REPORT).read_bytes())
    except _UNREADABLE:
        return []
    planned = rollout.get("waves") if isinstance(rollout, dict) and is_sealed(rollout) else None
    if not isinstance(planned, list) or not all(isinstance(value_at(wave, "nodes"), list) for wave in planned):
        return []
    seen = {name: value_at(subject.evidence, "selinux", "state") for name, subject in subjects.items()}
    return [
        {
            "number": wave["number"],
            "kind": wave["kind"],
            "nodes": list(wave["nodes"]),
            "moved": [name for name in wave["nodes"] if name in moved and seen.get(name) in (None, "enforcing")],
        }
        for wave in planned
    ]


def earlier_reports(output: Path, profile: str, before: str) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The last sound report of a profile below a directory, and the line of those before a moment.

    Reports are looked for as ``<output>/*/report.json``; what cannot be read, or was changed, is none. Each has the
    line of those before it, so that of a long history only what the newest one does not tell is read.

    Args:
        before: the moment; a report of it, or from the future, is left out.

    Returns:
        The report or None, and ``[{generated_at, counts}]``, oldest first.
    """
    last: dict[str, Any] | None = None
    line: dict[str, dict[str, Any]] = {}
    for path in sorted(output.glob(f"[!.]*/{REPORT}"), key=lambda path: path.parent.name, reverse=True):
        if last is not None and len(line) >= _HISTORY:
            break
        if path.parent.name in map(directory_name, line) or _is_of_another(path, profile):
            continue
        document = _report(path)
        if document is None or document["profile"]["name"] != profile or not document["generated_at"] < before:
            continue
        own = {"generated_at": document["generated_at"], "counts": document["counts"]["results"]}
        for row in (own, *document["history"]):
            line.setdefault(row["generated_at"], {"generated_at": row["generated_at"], "counts": dict(row["counts"])})
        if last is None or _order(last) < _order(document):
            last = document
    return last, [line[moment] for moment in sorted(line)][-_HISTORY:]


def directory_name(generated_at: str) -> str:
    """The name of a bundle's directory."""
    return generated_at.replace(":", "")


def _is_of_another(path: Path, profile: str) -> bool:
    """Whether the manifest beside a report says that it is of another profile: it is small where a report is not."""
    try:
        manifest = json.loads(path.with_name(MANIFEST).read_bytes())
    except _UNREADABLE:
        return False
    told = value_at(manifest, "about", "profile", "name")
    return told is not None and told != profile


def _report(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_bytes())
    except _UNREADABLE:
        return None
    return document if is_report(document) else None


def _order(report: Mapping[str, Any]) -> tuple[str, str]:
    return report["generated_at"], report["sha256"]


def largest_clock_offset(subjects: Iterable[Subject]) -> float | None:
    """By how many seconds a node's clock differs most from the controller's; None where no node told its time."""
    told = [value_at(subject.evidence, "time", "offset_seconds") for subject in subjects]
    return max((float(offset) for offset in told if isinstance(offset, (int, float))), key=abs, default=None)
