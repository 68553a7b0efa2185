# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order of a rollout: canary, workers in batches by failure domain, control planes one at a time and last."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..canonical import sealed
from ..evidence import etcd
from ..evidence.identity import spelled
from ..problem import Problem
from . import budget

CONTROL_PLANE_TYPES = ("controlplane", "init")


class UnsafePlan(Problem):
    """A rollout that was asked for, but that must not be run like this."""

    kind = "unsafe_plan"


@dataclass(frozen=True)
class Wave:
    """Nodes that may be in flight together. ``kind`` is resume, canary, workers or control_plane."""

    number: int
    kind: str
    zone: str | None
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Who goes when, who does not go and why.

    ``not_eligible`` rows are ``{name, machine_type, zone, decision, selinux_state, reasons}``; ``etcd`` is None without
    control planes in the waves, else ``{voters, quorum, tolerance, tolerance_after_removal}``.
    """

    waves: tuple[Wave, ...]
    done: tuple[str, ...]
    not_eligible: tuple[dict[str, Any], ...]
    nodes: tuple[dict[str, Any], ...]
    etcd: dict[str, int] | None
    settings: dict[str, Any]
    after_entry: int
    notes: tuple[str, ...]

    @property
    def canaries(self) -> tuple[str, ...]:
        """The names of the canary nodes."""
        return tuple(name for wave in self.waves if wave.kind == "canary" for name in wave.nodes)

    def as_dict(self) -> dict[str, Any]:
        """The plan as sealed plain data."""
        return sealed(
            {
                "schema": 1,
                "waves": [{**asdict(wave), "nodes": list(wave.nodes)} for wave in self.waves],
                "canaries": list(self.canaries),
                "done": list(self.done),
                "not_eligible": list(self.not_eligible),
                "nodes": list(self.nodes),
                "etcd": self.etcd,
                "settings": self.settings,
                "after_entry": self.after_entry,
                "notes": list(self.notes),
            }
        )


def make_plan(
    nodes: Sequence[Mapping[str, Any]],
    *,
    canary: int = 1,
    batch: int | str = 1,
    max_failures: int | str = 0,
    control_planes: bool = True,
    control_plane_batch: int = 1,
    etcd_voters: int | None = None,
    resume: Iterable[str] = (),
    after_entry: int = 0,
) -> Plan:
    """Order a rollout. The same input, in any order, gives the same plan.

    Args:
        nodes: ``{name, machine_type: controlplane|worker|None, zone: str|None, decision: eligible|refused|inconclusive,
            selinux_state, reasons: [...], address, uuid, identity, boot_id}`` each, the last four None where they are
            not known.
        canary: how many workers go first, before any other.
        batch: how many workers may be in flight together, a count or a percentage of the eligible workers.
        max_failures: the error budget, see ``budget.exceeded``; only checked and recorded here.
        control_planes: False leaves the control planes out.
        control_plane_batch: anything but 1 is refused.
        etcd_voters: voting etcd members (:func:`voters`); None when that is not known.
        resume: nodes whose wipe an earlier run began and did not finish. They go first, whatever the gate says now:
            a node between wipe and install cannot give evidence any more.
        after_entry: how many entries the ledger had when the evidence was judged, so that a report can tell a node
            that this plan moved from one that an earlier plan moved and that has fallen back since.

    Raises:
        UnsafePlan: for control planes in parallel, fewer than three etcd voters or nobody knows how many, no canary,
            or twins among the nodes.
        budget.BadBudget: for a batch or max_failures that is no count or percentage.
    """
    rows = sorted((_row(node) for node in nodes), key=lambda row: _natural(row["name"]))
    _refuse_twins(rows)
    if control_plane_batch != 1:
        raise UnsafePlan(
            f"{control_plane_batch} control planes at a time were asked for",
            "every control plane under reinstall is an etcd member less; two at once cost quorum",
            "leave control_plane_batch at 1",
        )
    parts = _sort_out(rows, set(resume), control_planes)
    if parts.workers and (not isinstance(canary, int) or isinstance(canary, bool) or canary < 1):
        raise UnsafePlan(
            f"the canary size is {canary!r}",
            "without a canary the first failure already hits a whole batch",
            "set canary to 1 or more",
        )
    size = max(1, budget.share(batch, len(parts.workers), "batch"))
    limit = budget.share(max_failures, len(rows), "max_failures")
    notes: list[str] = []
    if min(size, len(parts.workers) - canary) > limit + 1:
        notes.append(f"{size} workers at a time can fail together, although only {limit} failures are tolerated")
    arithmetic = None
    resuming = any(row["machine_type"] in CONTROL_PLANE_TYPES for row in parts.unfinished)
    if parts.managers or (resuming and etcd_voters is not None):
        arithmetic = _etcd_arithmetic(etcd_voters, bool(parts.managers), notes)
    zoned = any(row["zone"] is not None for row in rows)
    if zoned and any(row["zone"] is None for row in parts.workers):
        notes.append("workers without a zone go alone, because other nodes have one")
    return Plan(
        waves=_waves(parts, canary, size, zoned),
        done=tuple(parts.done),
        not_eligible=tuple(parts.not_eligible),
        nodes=tuple({key: row[key] for key in ("name", "machine_type", "zone", "decision")} for row in rows),
        etcd=arithmetic,
        settings={"canary": canary, "batch": batch, "max_failures": max_failures, "control_planes": control_planes},
        after_entry=after_entry,
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _Parts:
    """The rows by what becomes of them; ``workers`` and ``managers`` are those that go."""

    unfinished: list[dict[str, Any]]
    done: list[str]
    workers: list[dict[str, Any]]
    managers: list[dict[str, Any]]
    not_eligible: list[dict[str, Any]]


def _sort_out(rows: Sequence[dict[str, Any]], resume: set[str], control_planes: bool) -> _Parts:
    parts = _Parts([row for row in rows if row["name"] in resume], [], [], [], [])
    for row in (row for row in rows if row["name"] not in resume):
        if row["selinux_state"] == "enforcing":
            parts.done.append(row["name"])
            continue
        hindrance = _hindrance(row, control_planes)
        if hindrance is not None:
            shown = {key: row[key] for key in _SHOWN}
            parts.not_eligible.append({**shown, "reasons": [*row["reasons"], *hindrance]})
        else:
            (parts.workers if row["machine_type"] == "worker" else parts.managers).append(row)
    return parts


def _waves(parts: _Parts, canary: int, size: int, zoned: bool) -> tuple[Wave, ...]:
    workers = sorted(
        parts.workers, key=lambda row: (row["zone"] is None, _natural(row["zone"] or ""), _natural(row["name"]))
    )
    groups: list[tuple[str, list[dict[str, Any]]]] = [
        ("resume", [row])
        for row in sorted(parts.unfinished, key=lambda row: row["machine_type"] in CONTROL_PLANE_TYPES)
    ]
    groups += [("canary", group) for group in _chunks(workers[:canary], max(1, canary), zoned)]
    groups += [("workers", group) for group in _chunks(workers[canary:], size, zoned)]
    groups += [("control_plane", [row]) for row in parts.managers]
    return tuple(
        Wave(number, kind, group[0]["zone"], tuple(row["name"] for row in group))
        for number, (kind, group) in enumerate(groups, 1)
    )


_SHOWN = ("name", "machine_type", "zone", "decision", "selinux_state", "reasons")
#: By what two hosts turn out to be one machine, with its name for people.
_IDENTITY = {
    "name": "name",
    "address": "address",
    "uuid": "machine UUID",
    "identity": "node identity",
    "boot_id": "boot id",
}


def _row(node: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": str(node["name"]),
        "machine_type": node.get("machine_type"),
        "zone": node.get("zone") or None,
        "decision": node.get("decision"),
        "selinux_state": node.get("selinux_state"),
        "reasons": list(node.get("reasons") or []),
        **{key: node.get(key) for key in _IDENTITY if key != "name"},
    }


def _refuse_twins(rows: Sequence[Mapping[str, Any]]) -> None:
    for key, what in _IDENTITY.items():
        named: dict[str, list[str]] = {}
        for row in rows:
            if row[key]:
                named.setdefault(spelled(key, str(row[key])), []).append(row["name"])
        for value, names in named.items():
            if len(names) > 1:
                raise UnsafePlan(
                    f"the plan lists {', '.join(names)} with one {what}, {value}"
                    if key != "name"
                    else f"the plan lists {names[0]} more than once",
                    "one machine must be reinstalled at most once, and with its own configuration",
                    "give every machine one inventory host, with its own address",
                    hosts=names,
                )


def _hindrance(row: Mapping[str, Any], control_planes: bool) -> list[dict[str, Any]] | None:
    """None for a node that may go, else the reasons to add to those that the gate already gave (often none)."""
    if row["decision"] != "eligible":
        if row["reasons"]:
            return []
        return [
            _reason(
                "plan.decision",
                f"the gate's decision is {row['decision'] or 'not known'}, and it gives no reason",
                "collect evidence and run the gate for this node",
            )
        ]
    if row["machine_type"] not in ("worker", *CONTROL_PLANE_TYPES):
        return [
            _reason("plan.machine_type", "it is not known whether this is a control plane", "collect evidence again")
        ]
    if row["selinux_state"] != "permissive":
        return [
            _reason(
                "plan.selinux_state",
                f"the SELinux state is {row['selinux_state'] or 'not known'}, not permissive",
                "only a node that ran permissive has evidence; collect it again",
            )
        ]
    if row["machine_type"] in CONTROL_PLANE_TYPES and not control_planes:
        return [
            _reason("plan.control_planes", "control planes were left out of this run", "run again with control planes")
        ]
    return None


def _reason(identifier: str, found: str, remedy: str) -> dict[str, Any]:
    return {"id": identifier, "found": found, "remedy": remedy, "doc": None}


def voters(told: Iterable[int], recorded: Iterable[int]) -> int | None:
    """How many members of etcd vote; None when nobody told.

    Args:
        told: the numbers that control planes tell now; the smallest counts.
        recorded: those that were recorded of control planes that are being reinstalled. Such a member is out of etcd's
            own list until it has joined again.
    """
    now, before = min(told, default=None), max(recorded, default=None)
    return before if now is None else max(now, before or 0)


def _etcd_arithmetic(voting: int | None, starting: bool, notes: list[str]) -> dict[str, int]:
    if voting is None:
        raise UnsafePlan(
            "how many members of etcd vote is not known, and control planes are to be reinstalled",
            "a cluster of one or two members cannot lose one and keep its data safe",
            "check that the control planes' evidence holds etcd, or run with control_planes=false for the workers",
        )
    if voting < 3 and starting:
        raise UnsafePlan(
            f"etcd has {voting} voting member{'s' if voting != 1 else ''}, and control planes are to be reinstalled",
            "a cluster of one or two members cannot lose one and keep its data safe",
            "run with control_planes=false for the workers, and grow the control plane to three members first",
            voters=voting,
        )
    after = etcd.tolerance(voting - 1)
    notes.append(
        f"while one of {voting} etcd members is away, "
        + (
            "the loss of any other one stops the cluster: a fresh, verified snapshot is required"
            if after <= 0
            else f"{after} further loss{'es' if after != 1 else ''} can be survived"
        )
    )
    return {
        "voters": voting,
        "quorum": etcd.quorum(voting),
        "tolerance": etcd.tolerance(voting),
        "tolerance_after_removal": after,
    }


def _chunks(rows: Sequence[dict[str, Any]], size: int, zoned: bool) -> list[list[dict[str, Any]]]:
    """Cut the ordered workers into waves of at most ``size`` that never span two zones."""
    waves: list[list[dict[str, Any]]] = []
    for row in rows:
        # An unlabelled node may stand in any zone, so beside zoned nodes it shares a wave with nobody.
        alone = zoned and row["zone"] is None
        if waves and not alone and len(waves[-1]) < size and waves[-1][0]["zone"] == row["zone"]:
            waves[-1].append(row)
        else:
            waves.append([row])
    return waves


def _natural(text: str) -> tuple[tuple[int, str, int], ...]:
    """Sort key that puts worker-2 before worker-10."""
    parts = (part for part in re.split(r"(\d+)", text) if part)
    return (*((1, "", int(part)) if part.isdecimal() else (0, part, 0) for part in parts), (-1, text, 0))
