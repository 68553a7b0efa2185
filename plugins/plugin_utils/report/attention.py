# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must not be overlooked at the end of a run, and in what the policy differs from its built-in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..rollout.halts import halt_line
from ..rollout.owner import shown
from ..rollout.steps import FIRST_CHANGE

#: Checks of the gate that compare a node with its own earlier evidence.
_HISTORY = ("upgraded-not-reinstalled", "enforcing-node-upgraded")


def attention(
    fallen: Iterable[str],
    policy: Mapping[str, Any] | None,
    verdicts: Mapping[str, Mapping[str, Any]],
    ledger: Mapping[str, Any] | None,
    halted: str | None,
) -> list[str]:
    """One line for each thing that must not be overlooked.

    Args:
        fallen: nodes that were moved earlier and do not enforce any more.
        policy, verdicts, ledger, halted: as of ``model.build_model``.
    """
    return [
        *(f"{name} was moved earlier but does not enforce any more" for name in fallen),
        *([policy_change(policy, change) for change in policy["changes"] if change["weaker"]] if policy else []),
        *_upgraded(verdicts),
        *([f"the rollout stopped: {halted}"] if halted else []),
        *(_of_ledger(ledger) if ledger is not None else []),
    ]


def policy_change(policy: Mapping[str, Any], change: Mapping[str, Any]) -> str:
    """One difference of the policy to the built-in it extends, in words, with who weakened it and why."""
    where = f"{change['id']}: {change['field']}" if change["id"] is not None else f"setting {change['field']}"
    if change["field"] == "check":
        return f"policy {policy['name']}: the check {change['id']} was added (in {change['in']})"
    old, new = (json.dumps(change[key], ensure_ascii=False, sort_keys=True, default=str) for key in ("from", "to"))
    text = f"policy {policy['name']}: {where} was {old} and is {new} (in {change['in']})"
    if not change["weaker"]:
        return text
    by = change["by"] or {}
    return f"{text}. This is WEAKER, on the word of {by.get('who', 'nobody')}: {by.get('why', 'no reason given')}"


def policy_lines(policy: Mapping[str, Any] | None) -> list[str]:
    """What a report says about its policy: its name, then the differences to the built-in it extends.

    What weakens it stands under ``attention``.
    """
    if policy is None:
        return []
    changes = [policy_change(policy, change) for change in policy["changes"] if not change["weaker"]]
    return [f"judged by the policy {policy['name']}" + ("" if policy["changes"] else ", unchanged"), *changes]


def _upgraded(verdicts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the gate says about how nodes came to enforce; they are done, so their reasons are shown nowhere else."""
    return [
        f"{name}: {check['id']}: {check['found']}. {check['remedy']}"
        for name, verdict in sorted(verdicts.items())
        for check in verdict.get("checks", [])
        if check.get("id") in _HISTORY and check.get("result") in ("fail", "unknown")
    ]


def _of_ledger(ledger: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    if not ledger["ok"]:
        lines.append(f"the ledger's chain is broken: {ledger['broken']}")
    if ledger["torn"]:
        lines.append(f"the ledger ends in {ledger['torn']} bytes of an entry that was never completed")
    lines += [
        f"a torn entry of {item['bytes']} bytes was set aside in {item['file']}" for item in ledger.get("recovered", [])
    ]
    lines += [
        f"{halt_line(halt)}; it stands until somebody lifts it with a reason (rollout_halt with the state lifted)"
        for halt in ledger["halts"]
    ]
    lines += [_unfinished(name, ledger["nodes"][name]) for name in ledger["unfinished"]]
    lines += [
        f"{shown(lock['owner'])} holds the {kind} lock for {lock['node']} until {lock['expires']}"
        for kind, lock in ledger["locks"].items()
    ]
    return lines


def _unfinished(name: str, state: Mapping[str, Any]) -> str:
    where = (
        f"step {state['failed']} failed"
        if state["failed"]
        else f"step {state['open']} is open"
        if state["open"]
        else f"step {state['done'][-1]} is done"
    )
    left = "; it was wiped, or may have been" if state["may_be_wiped"] else ""
    left += "; it may still be cordoned" if FIRST_CHANGE in state["writes"] else ""
    then = "it goes on with this node" if state["may_be_wiped"] else "it judges this node anew"
    return f"{name} is unfinished ({where}){left}. Run the rollout again: {then}"
