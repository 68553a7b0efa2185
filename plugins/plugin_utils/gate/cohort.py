# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge a machine that was never installed, which has no evidence of its own, by its cohort."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..canonical import sealed, sha256_of
from ..evidence.schema import TARGET_KEYS
from . import shape
from .binding import check_document
from .checks import load_checks
from .errors import VerdictRefused
from .functions import iso
from .policy import Policy
from .signing import OUTSIDE
from .verdict import ELIGIBLE, SCHEMA, decide, policy_note, run_checks

_CHECKS = Path(__file__).parent / "data" / "cohort.yml"
#: Checks of the policy that make sense without evidence: they look at the policy, the target and the operator's plan.
_WITHOUT_EVIDENCE = (
    "policy-decides",
    "not-omni-managed",
    "not-under-operation",
    "factory-overlay-floor",
    "target-pinned",
    "machine-config-valid",
    "config-target-image",
    "config-same-cluster",
)
_MEMBER = {
    "node": "string",
    "pool": "string",
    "workload": "string",
    "talos_version": "string",
    "decision": "string",
    "unsound": "string",
}
_SHAPE = {
    "machine": {
        "uuid": "string",
        "fingerprint": "string",
        "stage": "string",
        "installed": "boolean",
        "pool": "string",
        "workload": "string",
    },
    "target": shape.ADDED["target"],
    "cohort": [_MEMBER],
}


def judge_cohort(
    machine: Mapping[str, Any],
    cohort: Sequence[Mapping[str, Any]] | None,
    policy: Policy,
    *,
    target: Mapping[str, Any],
    now: dt.datetime,
    config: Mapping[str, Any] | None,
    operation: Mapping[str, Any],
    cluster: Mapping[str, Any],
    required_key: bytes | str | None = None,
) -> dict[str, Any]:
    """Judge a machine in maintenance mode that was never installed.

    Args:
        machine: ``{name, uuid, fingerprint, stage, installed, pool, workload}``; ``installed`` is false when META is
        missing.
        cohort: ``[{verdict, pool, workload, cluster}]``: the verdicts on the permissive nodes that stand for it, and
            the ids of their clusters by their evidence; None when nobody named any.
        policy: the policy; each member must have been judged by this very one.
        target: ``{version, schematic, installer, installer_digest}`` to be installed, the same for all members.
        now: the current time (aware).
        config, operation, cluster: as in an evidence document; the cluster's id is that of the members, which the
            machine is to become one of.
        required_key: an Ed25519 public key (PEM) that must have signed every member's verdict.

    Returns:
        A verdict as ``judge`` gives it; ``binds.identity`` is null, ``binds.fingerprint`` is the machine's maintenance
        certificate, and ``cohort`` lists ``{node, verdict_sha256, evidence_sha256}``.
    """
    members = None if cohort is None else [_member(entry, policy, target, now, required_key) for entry in cohort]
    document = {"machine": dict(machine), "target": dict(target), "cohort": members}
    planned = {
        "policy": policy.facts,
        "target": dict(target),
        "config": config,
        "operation": operation,
        "cluster": {**cluster, "id": _cluster_of(cohort or ())},
        "now": iso(now),
    }
    own = [check for check in policy.checks if check.id in _WITHOUT_EVIDENCE]
    checks = [
        *run_checks(load_checks(_CHECKS, _SHAPE), document, now),
        *run_checks(own, planned, now),
    ]
    verdicts = [entry["verdict"] for entry in cohort or () if isinstance(entry.get("verdict"), Mapping)]
    return sealed(
        {
            "schema": SCHEMA,
            "node": machine.get("name"),
            "decision": decide(checks),
            "checks": checks,
            "binds": {
                "identity": None,
                "uuid": machine.get("uuid"),
                "fingerprint": machine.get("fingerprint"),
                "boot_id": None,
                "boot_time": None,
                "talos_version": target.get("version"),
                "evidence_sha256": None,
                "policy_sha256": policy.sha256,
                "target": {key: target.get(key) for key in TARGET_KEYS},
                "config_sha256": config.get("sha256") if config is not None else None,
            },
            "cohort": [
                {
                    "node": verdict.get("node"),
                    "verdict_sha256": verdict.get("sha256"),
                    "evidence_sha256": (verdict.get("binds") or {}).get("evidence_sha256"),
                }
                for verdict in verdicts
            ],
            "policy": policy_note(policy),
            "denials": None,
            "waived": [],
            "issued_at": iso(now),
            "expires_at": iso(now + dt.timedelta(seconds=policy.seconds("verdict_ttl"))),
        }
    )


def _cluster_of(cohort: Sequence[Mapping[str, Any]]) -> str | None:
    """The id of the cluster that all members are of; None when they differ, or one does not say."""
    ids = {entry.get("cluster") for entry in cohort}
    return ids.pop() if len(ids) == 1 else None


def _member(
    entry: Mapping[str, Any],
    policy: Policy,
    target: Mapping[str, Any],
    now: dt.datetime,
    required_key: bytes | str | None,
) -> dict[str, Any]:
    """One member as the checks see it; ``unsound`` says what is wrong with its verdict, empty when nothing is."""
    verdict = entry.get("verdict")
    if not isinstance(verdict, Mapping):
        return {**dict.fromkeys(_MEMBER), "node": "unnamed"}
    binds = verdict.get("binds")
    bound = binds if isinstance(binds, Mapping) else {}
    return {
        "node": verdict.get("node"),
        "pool": entry.get("pool"),
        "workload": entry.get("workload"),
        "talos_version": bound.get("talos_version"),
        "decision": decide(verdict.get("checks") or ()),
        "unsound": _unsound(verdict, bound, policy, target, now, required_key),
    }


def _unsound(
    verdict: Mapping[str, Any],
    bound: Mapping[str, Any],
    policy: Policy,
    target: Mapping[str, Any],
    now: dt.datetime,
    required_key: bytes | str | None,
) -> str:
    if bound.get("policy_sha256") != policy.sha256:
        return "it was judged by another policy"
    if bound.get("target") != {key: target.get(key) for key in TARGET_KEYS}:
        return "it was judged for another target"
    if not isinstance(bound.get("evidence_sha256"), str):
        return "it rests on no evidence"
    decision = decide(verdict.get("checks") or ())
    if verdict.get("decision") != decision:
        return "its decision is not the one that its checks give"
    if decision != ELIGIBLE and verdict.get("sha256") == sha256_of(verdict, without=OUTSIDE):
        # Its decision has a check of its own; here only the document counts.
        return ""
    try:
        check_document(verdict, now, required_key)
    except VerdictRefused as refusal:
        return refusal.found
    return ""
