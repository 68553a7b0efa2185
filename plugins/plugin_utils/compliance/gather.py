# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring together what a compliance report is made of: population, evidence, verdicts, proofs, earlier reports."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..audit.store import probes as kept_probes
from ..audit.store.store import AuditStore
from ..canonical import is_sealed, parse_json
from ..evidence import files
from ..evidence.identity import same_uuid, spelled
from ..gate.saved import newest_verdicts
from ..nested import value_at
from ..problem import Problem
from ..rollout.ledger_file import contents
from ..rollout.state import LedgerState, NodeState
from .bundle import REPORT
from .past import machine_of
from .results import Subject
from .retired import Retirement

_REPORT = "previous report"
_UNREADABLE = (OSError, ValueError)
Named = Callable[[str, str], Subject]


@dataclass(frozen=True)
class Gathered:
    """All that a report is made of.

    Attributes:
        subjects: one for each node that any source names.
        waves: those of the newest rollout.
        ledger: the lines of the rollout's ledger that were read; nothing where there is none.
        cited: ``{path, sha256, entries}`` of these lines, or None.
    """

    subjects: list[Subject]
    waves: list[dict[str, Any]]
    ledger: bytes = b""
    cited: dict[str, Any] | None = None


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
    retired: Mapping[str, Retirement] | None = None,
) -> Gathered:
    """One subject for each node that any source names, the waves of the newest rollout, and its ledger.

    Args:
        hosts: the inventory's hosts.
        evidence: ``{host: entry}`` of this run (``evidence.files.entry_of``). A saved document is read from its file.
        unread: ``{host: problem}`` of this run.
        directory: where evidence and verdicts are kept.
        zones, configs: by host what the inventory says.
        ledger: path of the rollout's ledger, or None.
        previous: the last report; a node that only it names gets a row, once.
        probes: the audit stores of all nodes, with the enforcement probes in them; None where nobody asked for any.
        retired: the machines that are out of the fleet (``retired.in_force``), each with a row; None where none is.

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
    state, lines = contents(ledger) if ledger is not None else (LedgerState(""), b"")
    state.require_chain()
    _with_ledger(named, state, lines)
    verdicts = newest_verdicts(directory)
    for subject in subjects.values():
        subject.verdict = verdicts.get(str(value_at(subject.evidence, "node", "identity")))
        if subject.verdict is not None:
            decision = subject.verdict.get("decision")
            subject.timeline.append({"at": str(subject.verdict["issued_at"]), "what": f"gate: {decision}"})
    _with_past(named, subjects, verdicts.values(), previous)
    if retired is not None:
        _retire(named, subjects, retired, _claims(state, verdicts.values(), previous))
    cited = {"path": str(ledger), "sha256": hashlib.sha256(lines).hexdigest(), "entries": state.entries}
    return Gathered(
        list(subjects.values()), _waves(directory, state, subjects), lines, cited if state.entries else None
    )


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


def _with_ledger(named: Named, state: LedgerState, lines: bytes) -> None:
    """Proofs and timelines from the ledger."""
    for node, known in state.nodes.items():
        subject = named(node, "ledger")
        proof = known.results.get("prove")
        # A proof of an operation that was started over since says nothing about now, nor does one of a machine that had
        # this name, or of an installation that is no more.
        if proof is not None and "prove" in known.done and _is_of(proof.get("installation"), subject.evidence):
            subject.proof = {
                key: proof.get(key) for key in ("proven", "enforcing", "reinstalled", "witnesses", "reinstall")
            }
    for entry in map(json.loads, lines.splitlines()):
        name, step = entry.get("node"), entry.get("step")
        if not isinstance(name, str) or name not in state.nodes or not isinstance(step, str):
            continue
        subject = named(name, "ledger")
        if not _is_another(subject, state.nodes[name]):
            what = f"{step} {entry.get('outcome') or entry.get('kind')}"
            subject.timeline.append({"at": str(entry.get("at")), "what": what})


def _is_another(subject: Subject, known: NodeState) -> bool:
    """Whether the machine of a row is surely not the one that the ledger knows by its name."""
    machine, recorded = _machine(subject), known.facts.get("uuid")
    return machine is not None and isinstance(recorded, str) and not same_uuid(machine, recorded)


def _with_past(
    named: Named,
    subjects: Mapping[str, Subject],
    verdicts: Iterable[Mapping[str, Any]],
    previous: Mapping[str, Any] | None,
) -> None:
    """A row for each machine that only a saved verdict or the last report names."""
    known = (value_at(subject.evidence, "node", "uuid") for subject in subjects.values())
    machines = {uuid.lower() for uuid in known if isinstance(uuid, str)}
    for verdict in verdicts:
        name = str(verdict.get("node"))
        if name not in subjects and str(value_at(verdict, "binds", "uuid")).lower() not in machines:
            named(name, "verdict").unread = "nothing names this node but a verdict that the gate saved"
    for row in previous["nodes"] if previous else ():
        # Only what something else named then: a row that is kept by reports alone would never end. A machine that is
        # here under another name was renamed, and has its row.
        if row["node"] not in subjects and set(row["sources"]) - {_REPORT} and machine_of(row) not in machines:
            named(row["node"], _REPORT).unread = "nothing names this node any more but the last report"


def _is_of(installation: Any, evidence: Mapping[str, Any] | None) -> bool:
    machine, identity = (value_at(evidence, "node", key) for key in ("uuid", "identity"))
    return same_uuid(value_at(installation, "uuid"), machine) and value_at(installation, "identity") == identity


def _claims(
    state: LedgerState, verdicts: Iterable[Mapping[str, Any]], previous: Mapping[str, Any] | None
) -> dict[str, set[str]]:
    """Which machines had a name, by the ledger, the saved verdicts and the last report."""
    told = [(name, known.facts.get("uuid")) for name, known in state.nodes.items()]
    told += [(str(verdict.get("node")), value_at(verdict, "binds", "uuid")) for verdict in verdicts]
    told += [(row["node"], machine_of(row)) for row in (previous["nodes"] if previous else ())]
    found: dict[str, set[str]] = {}
    for name, uuid in told:
        if isinstance(uuid, str) and uuid:
            found.setdefault(name, set()).add(spelled("uuid", uuid))
    return found


def _retire(
    named: Named,
    subjects: Mapping[str, Subject],
    retired: Mapping[str, Retirement],
    claims: Mapping[str, set[str]],
) -> None:
    """Give each retired machine its row, and say so in it.

    A host of the inventory that could not be read stays unknown: whatever answers there next is expected to serve.
    """
    answering: dict[str | None, list[Subject]] = {}
    named_once: dict[str, list[Subject]] = {}
    for subject in subjects.values():
        subject.retired_asked = True
        answering.setdefault(_machine(subject), []).append(subject)
        claimed = claims.get(subject.name, set())
        if subject.evidence is None and len(claimed) == 1:
            named_once.setdefault(next(iter(claimed)), []).append(subject)
    for machine, entry in retired.items():
        silent = named_once.get(machine, [])
        own = answering.get(machine, []) + [one for one in silent if "inventory" not in one.sources]
        for one in silent:
            if one not in own:
                one.unread = (
                    f"{one.unread or 'it was not read'}; the inventory names it, and its machine is {entry.text}"
                )
        for one in own or [_row_of(named, subjects, entry)]:
            one.retired = entry
            one.sources.add("retired")


def _row_of(named: Named, subjects: Mapping[str, Subject], entry: Retirement) -> Subject:
    """A row for a machine that nothing names but its retirement, under its UUID, unless that is a host's name."""
    name = entry.uuid if entry.uuid not in subjects else f"{entry.uuid} (retired)"
    return named(name, "retired")


def _machine(subject: Subject) -> str | None:
    uuid = value_at(subject.evidence, "node", "uuid")
    return spelled("uuid", uuid) if isinstance(uuid, str) and uuid else None


def _waves(directory: Path, state: LedgerState, subjects: Mapping[str, Subject]) -> list[dict[str, Any]]:
    """The waves of the newest rollout, by the report that it keeps in its directory; nothing where there is none.

    The ledger says who moved; a node that is seen not to enforce did not, or not for long.
    """
    try:
        rollout = parse_json((directory / REPORT).read_bytes())
        planned = rollout.get("waves") if isinstance(rollout, dict) and is_sealed(rollout) else None
    except _UNREADABLE:
        return []
    if not isinstance(planned, list) or not all(isinstance(value_at(wave, "nodes"), list) for wave in planned):
        return []
    moved = {
        name
        for name, known in state.nodes.items()
        if known.complete
        and not _is_another(subjects[name], known)
        and value_at(subjects[name].evidence, "selinux", "state") in (None, "enforcing")
    }
    return [
        {
            "number": wave["number"],
            "kind": wave["kind"],
            "nodes": list(wave["nodes"]),
            "moved": [name for name in wave["nodes"] if name in moved],
        }
        for wave in planned
    ]


def largest_clock_offset(subjects: Iterable[Subject]) -> float | None:
    """By how many seconds a node's clock differs most from the controller's; None where no node told its time."""
    told = [value_at(subject.evidence, "time", "offset_seconds") for subject in subjects]
    return max((float(offset) for offset in told if isinstance(offset, (int, float))), key=abs, default=None)
