# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one report model: every output format shows these rows and these counts, and nothing else."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ..canonical import sealed
from ..gate.verdict import stopping
from .attention import attention

# In the order in which people want to read them.
OUTCOMES = (
    "moved",
    "eligible",
    "failed",
    "refused",
    "inconclusive",
    "pending",
    "not_reached",
    "already_enforcing",
)


def build_model(
    plan: Mapping[str, Any],
    verdicts: Mapping[str, Mapping[str, Any]],
    ledger: Mapping[str, Any] | None,
    proofs: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    title: str = "SELinux enforcing rollout",
    generated_at: str,
    halted: str | None = None,
    check_mode: bool = False,
    policy: Mapping[str, Any] | None = None,
    reached: Sequence[str] = (),
) -> dict[str, Any]:
    """Join plan, verdicts, ledger and proofs into one sealed document.

    Args:
        plan: ``Plan.as_dict()``; its ``nodes`` are the rows.
        verdicts: per node the gate's verdict.
        ledger: ``LedgerState.as_dict()``, or None when nothing was begun.
        proofs: per node the answer of ``rollout.proof.prove``; by default the facts that the ledger's ``prove`` steps
            were finished with, so that the ledger alone makes the report.
        generated_at: ISO time, given so that the same input makes the same bytes.
        halted: why the rollout stopped early, or what halts it.
        check_mode: nothing was to be changed.
        reached: the nodes whose turn is over; one of them that the ledger does not know failed as well.
        policy: what the gate says about its policy (``gate.verdict.policy_note``); None when nothing was judged.

    Returns:
        ``{schema, title, generated_at, check_mode, halted, halts: [{number, reason, who, at}],
        policy: {name, changes, weakened}|None,
        counts: {total, <outcome>...}, nodes, waves, etcd,
        attention: [str], notes: [str], waived: {signatures, records}, ledger: {path, ok, entries, head}|None,
        sha256}``, with ``nodes`` as
        ``[{node, role, zone, decision, outcome, reasons: [{id, found, remedy, doc}], waived: [{signature, count,
        waiver_id, owner, ticket, reason, expires}], witnesses: [{id, ok, found}], reinstall: [{id, ok, found}], step,
        duration: seconds|None}]``. Waived denials are counted apart: under ``waived`` and never in ``counts``.
        A node counts as moved only when every step is done **and** its proof holds.
    """
    known: dict[str, Any] = dict(ledger["nodes"]) if ledger else {}
    # What an earlier plan achieved is no answer to what this one was made for.
    fallen = [
        name
        for name, state in sorted(known.items())
        if state["complete"] and state["seq"] <= plan["after_entry"] and name not in plan["done"]
    ]
    states = {name: state for name, state in known.items() if name not in fallen}
    if proofs is None:
        proofs = {name: state["results"].get("prove", {}) for name, state in states.items()}
    context = _Context(
        excluded={row["name"]: row for row in plan["not_eligible"]},
        planned={name for wave in plan["waves"] for name in wave["nodes"]},
        done=set(plan["done"]),
        reached=set(reached),
        halted=halted,
        check_mode=check_mode,
    )
    rows = [
        _row(
            node,
            verdicts.get(node["name"]) or {},
            states.get(node["name"]) or {},
            proofs.get(node["name"]) or {},
            context,
        )
        for node in plan["nodes"]
    ]
    rows.sort(key=lambda row: OUTCOMES.index(row["outcome"]))
    counted = Counter(row["outcome"] for row in rows)
    return sealed(
        {
            "schema": 1,
            "title": title,
            "generated_at": generated_at,
            "check_mode": check_mode,
            "halted": halted,
            "halts": [dict(halt) for halt in ledger["halts"]] if ledger else [],
            "policy": dict(policy) if policy is not None else None,
            "counts": {"total": len(rows), **{outcome: counted[outcome] for outcome in OUTCOMES}},
            "nodes": rows,
            "waves": list(plan["waves"]),
            "etcd": plan["etcd"],
            "attention": attention(fallen, policy, verdicts, ledger, halted),
            "notes": list(plan["notes"]),
            "waived": _waived(rows),
            "ledger": {key: ledger[key] for key in ("path", "ok", "entries", "head")} if ledger else None,
        }
    )


def _waived(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    items = [item for row in rows for item in row["waived"]]
    return {
        "signatures": len({item["signature"] for item in items}),
        "records": sum(item["count"] or 0 for item in items),
    }


def waived_line(item: Mapping[str, Any]) -> str:
    """A denial that somebody answers for, in words."""
    return (
        f"waived: {item['signature']}, {item['count']} records, by {item['waiver_id']} of {item['owner']} "
        f"({item['ticket']}) until {item['expires']}: {item['reason']}"
    )


def waived_total(waived: Mapping[str, int]) -> str:
    """``"denials waived: 2 kinds, 7 records"``, empty when there are none."""
    if not waived["signatures"]:
        return ""
    return f"denials waived: {waived['signatures']} kinds, {waived['records']} records"


@dataclasses.dataclass(frozen=True)
class _Context:
    """What a node's outcome depends on besides its own records."""

    excluded: Mapping[str, Mapping[str, Any]]
    planned: set[str]
    done: set[str]
    reached: set[str]
    halted: str | None
    check_mode: bool


def _row(
    node: Mapping[str, Any],
    verdict: Mapping[str, Any],
    state: Mapping[str, Any],
    proof: Mapping[str, Any],
    context: _Context,
) -> dict[str, Any]:
    decision = verdict.get("decision") or node["decision"]
    outcome, reasons = _acted(node["name"], state, proof, context) or _judged(node["name"], verdict, decision, context)
    return {
        "node": node["name"],
        "role": node["machine_type"],
        "zone": node["zone"],
        "decision": decision,
        "outcome": outcome,
        "reasons": reasons,
        "waived": [dict(item) for item in verdict.get("waived") or ()],
        "witnesses": [dict(item) for item in proof.get("witnesses", [])],
        "reinstall": [dict(item) for item in proof.get("reinstall", [])],
        "step": state.get("failed") or state.get("open") or (state["done"][-1] if state.get("done") else None),
        "duration": _seconds(state),
    }


def _acted(
    name: str, state: Mapping[str, Any], proof: Mapping[str, Any], context: _Context
) -> tuple[str, list[dict[str, Any]]] | None:
    """What the ledger says of a node; None when it was not begun."""
    if state.get("failed"):
        return "failed", [_failure(state)]
    if state.get("complete"):
        if proof.get("proven") is True:
            return "moved", []
        # All steps are recorded, but nobody can show that it enforces: never report that as moved.
        return ("already_enforcing", []) if name in context.done else ("failed", _unproven(proof))
    if name in context.done:
        return "already_enforcing", []
    if state.get("unfinished"):
        return "pending", [_pending(state)]
    if name in context.reached:
        found = "its turn came and went, and the ledger does not say that anything was done"
        remedy = "look at the output of the run for its error, and run the rollout again"
        return "failed", [_reason("rollout.not_recorded", found, remedy)]
    return None


def _judged(
    name: str, verdict: Mapping[str, Any], decision: Any, context: _Context
) -> tuple[str, list[dict[str, Any]]]:
    excluded = context.excluded.get(name)
    if excluded is not None and decision in ("refused", "inconclusive"):
        return str(decision), _gate_reasons(verdict) or [_as_reason(reason) for reason in excluded["reasons"]]
    if excluded is not None:
        outcome = "inconclusive" if decision != "eligible" else "not_reached"
        return outcome, [_as_reason(reason) for reason in excluded["reasons"]]
    if context.halted:
        found = f"the rollout stopped before it: {context.halted}"
        return "not_reached", [_reason("rollout.halted", found, "find out what stopped it")]
    if context.check_mode and name in context.planned:
        return "eligible", [_reason("rollout.check_mode", "it would be reinstalled", "run again without --check")]
    if name in context.planned:
        return "eligible", [_reason("rollout.planned", "it may be reinstalled", "run talosops.selinux.rollout")]
    return "not_reached", []


def _pending(state: Mapping[str, Any]) -> dict[str, Any]:
    again = "run the rollout again; it goes on from there"
    if state.get("doubt"):
        told = (state.get("failure") or {}).get("do") or again
        return _reason("rollout.not_known", f"step {state['open']} stays open: {state['doubt']}", told)
    step = state.get("open") or (state["done"][-1] if state.get("done") else None)
    words = "was under way when the record ends" if state.get("open") else "is the last step that was done"
    return _reason("rollout.pending", f"step {step} {words}", again)


def _gate_reasons(verdict: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        _reason(check["id"], check.get("found") or check.get("reason"), check.get("remedy"), check.get("doc"))
        for check in stopping(verdict.get("checks", []))
    ]


def _failure(state: Mapping[str, Any]) -> dict[str, Any]:
    facts = state.get("failure") or {}
    told = facts.get("found") or facts.get("message") or facts.get("msg") or "no cause was recorded"
    return _reason(
        f"rollout.{state['failed']}",
        f"step {state['failed']} failed: {told}",
        facts.get("do") or facts.get("remedy") or "fix the cause and run the rollout again; it goes on from there",
    )


def _unproven(proof: Mapping[str, Any]) -> list[dict[str, Any]]:
    missing = [item for item in [*proof.get("witnesses", []), *proof.get("reinstall", [])] if item["ok"] is not True]
    remedy = "look at this node before going on, then collect evidence and prove again"
    if not missing:
        return [_reason("rollout.prove", "every step is done, but there is no proof that it enforces", remedy)]
    return [_reason(f"rollout.prove.{item['id']}", item["found"], remedy) for item in missing]


def _as_reason(reason: Any) -> dict[str, Any]:
    if isinstance(reason, Mapping):
        found = reason.get("found") or reason.get("reason")
        return _reason(str(reason.get("id") or "gate"), found, reason.get("remedy"), reason.get("doc"))
    return _reason("gate", reason, None)


def _reason(identifier: str, found: Any, remedy: Any, doc: Any = None) -> dict[str, Any]:
    return {
        "id": identifier,
        "found": "not known" if found is None else str(found),
        "remedy": None if remedy is None else str(remedy),
        "doc": None if doc is None else str(doc),
    }


def _seconds(state: Mapping[str, Any]) -> int | None:
    if not state.get("started") or not state.get("updated"):
        return None
    span = datetime.fromisoformat(state["updated"]) - datetime.fromisoformat(state["started"])
    return int(span.total_seconds())
