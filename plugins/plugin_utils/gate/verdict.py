# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the checks, decide, and write the verdict down."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..canonical import is_sealed, sealed
from ..evidence.schema import TARGET_KEYS
from ..nested import value_at
from ..talos.versions import parse_version
from . import compat, shape
from .checks import BLOCK, Check
from .errors import EvidenceRefused
from .expression import Expression, NotKnown
from .functions import iso
from .policy import Policy
from .waivers import Waivers

SCHEMA = 1
PASS, FAIL, UNKNOWN, WAIVED, SKIPPED = "pass", "fail", "unknown", "waived", "skipped"
ELIGIBLE, REFUSED, INCONCLUSIVE = "eligible", "refused", "inconclusive"
_LETS_GO = (PASS, WAIVED, SKIPPED)


def decide(checks: Iterable[Mapping[str, Any]]) -> str:
    """The decision that check results allow: ``eligible``, ``refused`` or ``inconclusive``.

    Args:
        checks: mappings with ``severity`` and ``result``. A missing result, or one of no known kind, is unknown.

    A blocking check that does not apply (``skipped``) neither passes nor stops; with nothing passed there is no pass.
    """
    blocking = [check.get("result") for check in checks if check.get("severity") == BLOCK]
    if FAIL in blocking:
        return REFUSED
    if all(result in _LETS_GO for result in blocking) and (PASS in blocking or WAIVED in blocking):
        return ELIGIBLE
    return INCONCLUSIVE


def stopping(checks: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Those of the checks of a verdict that stand in the way: they block, and fail or are unknown."""
    return [dict(check) for check in checks if check.get("severity") == BLOCK and check.get("result") not in _LETS_GO]


def judge(
    evidence: Mapping[str, Any],
    policy: Policy,
    *,
    target: Mapping[str, Any] | None = None,
    waivers: Waivers | None = None,
    now: dt.datetime,
    node: str | None = None,
    config: Mapping[str, Any] | None = None,
    config_sha256: str | None = None,
    operation: Mapping[str, Any] | None = None,
    table: compat.Table | None = None,
    history: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Judge one node by its evidence.

    Args:
        evidence: a sealed evidence document, schema 1.
        policy: see ``load_policy``.
        target: ``{version, schematic, installer, installer_digest}`` to be installed; by default the evidence's
            ``operation.target``.
        waivers: the operator's waivers, already linted; None for none.
        now: the current time (aware).
        node: the inventory name the verdict is asked for; evidence of another node is refused.
        config: facts of the machine configuration that will be applied, as in the evidence's ``config``; replaces that.
        config_sha256: hash of that configuration; by default ``config.sha256``.
        operation: ``{locked_by, boot_path, approved_local_data}``, replaces keys of the evidence's ``operation``.
        table: the compatibility table; the collection's own by default.
        history: results of the history checks, which compare this evidence with earlier one (``request.judge_past``).

    Returns:
        The verdict, sealed (see docs/policies.md): ``{schema, node, decision, checks, binds, policy, denials, waived,
        issued_at, expires_at, sha256}``.

    Raises:
        EvidenceRefused: the evidence is altered, of another schema or of another node.
    """
    check_evidence(evidence, node)
    # Without waivers a waiver id in the evidence has nothing behind it, and is taken off.
    waivers = waivers if waivers is not None else Waivers((), policy, now)
    document = document_for(
        evidence, policy, target=target, waivers=waivers, now=now, config=config, operation=operation, table=table
    )
    checks = [*run_checks(policy.checks, document, now), *(dict(check) for check in history)]
    return seal_verdict(evidence, document, checks, policy, waivers, now, config_sha256=config_sha256)


def seal_verdict(
    evidence: Mapping[str, Any],
    document: Mapping[str, Any],
    checks: Sequence[Mapping[str, Any]],
    policy: Policy,
    waivers: Waivers,
    now: dt.datetime,
    *,
    config_sha256: str | None = None,
) -> dict[str, Any]:
    """The verdict that check results give, bound to the evidence.

    Args:
        document: what the checks saw (:func:`document_for`).
    """
    value = value_at
    return sealed(
        {
            "schema": SCHEMA,
            "node": value(evidence, "node", "name"),
            "decision": decide(checks),
            "checks": [dict(check) for check in checks],
            "binds": {
                "identity": value(evidence, "node", "identity"),
                "uuid": value(evidence, "node", "uuid"),
                "boot_id": value(evidence, "boot", "id"),
                "boot_time": value(evidence, "boot", "time"),
                "talos_version": value(evidence, "talos", "version"),
                "evidence_sha256": evidence["sha256"],
                "policy_sha256": policy.sha256,
                "target": {key: value(document, "target", key) for key in TARGET_KEYS},
                "config_sha256": config_sha256 if config_sha256 is not None else value(document, "config", "sha256"),
            },
            "policy": policy_note(policy),
            "denials": document["denials"],
            "waived": waivers.used(document["audit"]),
            "issued_at": iso(now),
            "expires_at": iso(now + dt.timedelta(seconds=policy.seconds("verdict_ttl"))),
        }
    )


def policy_note(policy: Policy) -> dict[str, Any]:
    """What a verdict says about its policy: its name, how it differs from the built-in, whether that weakens it."""
    changes = [dict(change) for change in policy.changes]
    return {"name": policy.name, "changes": changes, "weakened": any(change["weaker"] for change in changes)}


def check_evidence(evidence: Mapping[str, Any], node: str | None = None) -> None:
    """Refuse evidence that is not what it says.

    Raises:
        EvidenceRefused: wrong schema, changed after it was sealed, or of another node than ``node``.
    """
    name = _name(evidence)
    if evidence.get("schema") != SCHEMA:
        raise EvidenceRefused(
            f"the evidence of {name} has schema {evidence.get('schema')!r}, and this gate reads schema {SCHEMA}",
            "fields of another schema would be read as missing, or worse, as something else",
            "collect the evidence again with this version of the collection",
            node=name,
        )
    if not is_sealed(evidence):
        raise EvidenceRefused(
            f"the evidence of {name} does not match its own hash",
            "it was changed after it was collected, or the file is damaged",
            "collect the evidence again, and find out who changed the file",
            node=name,
        )
    if node is not None and node != name:
        raise EvidenceRefused(
            f"the evidence is of node {name}, not of {node}",
            "one node's evidence says nothing about another",
            f"collect the evidence of {node}",
            node=node,
        )


def _name(evidence: Mapping[str, Any]) -> str:
    """The node's name in an evidence document, for messages."""
    return str(value_at(evidence, "node", "name") or "an unnamed node")


def document_for(
    evidence: Mapping[str, Any],
    policy: Policy,
    *,
    target: Mapping[str, Any] | None,
    waivers: Waivers,
    now: dt.datetime,
    config: Mapping[str, Any] | None = None,
    operation: Mapping[str, Any] | None = None,
    table: compat.Table | None = None,
) -> dict[str, Any]:
    """The document that expressions see: the evidence, and what the gate adds to it (``shape.ADDED``)."""
    planned: Any = evidence.get("operation")
    if operation is not None:
        planned = {**(planned if isinstance(planned, Mapping) else {}), **operation}
    if target is None:
        target = value_at(planned, "target")
    audit = waivers.applied(evidence.get("audit"), evidence)
    return {
        **evidence,
        "audit": audit,
        "config": dict(config) if config is not None else evidence.get("config"),
        "operation": planned,
        "target": dict(target) if isinstance(target, Mapping) else None,
        "policy": policy.facts,
        "denials": sort_denials(audit),
        "compat": (table or compat.load()).rate(evidence, target),
        "now": iso(now),
    }


def sort_denials(audit: Any) -> dict[str, list[str]] | None:
    """Signatures by fate: ``{open, waived, benign}``, or None when the denials are not known.

    Whatever is not clearly waived or clearly benign is open. Benign is a denial of the reviewed list, which is kept by
    Talos version (the audit package's catalogue), of which no record is doubtful.
    """
    denials = value_at(audit, "denials")
    if not isinstance(denials, list) or not all(isinstance(denial, Mapping) for denial in denials):
        return None
    fates: dict[str, list[str]] = {"open": [], "waived": [], "benign": []}
    for denial in denials:
        if isinstance(denial.get("waiver_id"), str):
            fate = "waived"
        elif denial.get("known_benign") is True and denial.get("doubtful") == 0:
            fate = "benign"
        else:
            fate = "open"
        fates[fate].append(str(denial.get("signature")))
    return {fate: sorted(signatures) for fate, signatures in fates.items()}


def run_checks(checks: Iterable[Check], document: Mapping[str, Any], now: dt.datetime) -> list[dict[str, Any]]:
    """The results ``[{id, title, severity, result, found, reason, remedy, doc}]`` of the checks, in their order."""
    return [_run(check, document, now) for check in checks]


def _run(check: Check, document: Mapping[str, Any], now: dt.datetime) -> dict[str, Any]:
    try:
        result, note = _result(check, document, now)
    except NotKnown as gap:
        result, note = UNKNOWN, str(gap)
    found = check.found.render(document, now)
    return {
        "id": check.id,
        "title": check.text("title"),
        "severity": check.severity,
        "result": result,
        "found": f"{found} ({note})" if note else found,
        "reason": check.text("reason"),
        "remedy": check.text("remedy"),
        "doc": check.text("doc"),
    }


def _result(check: Check, document: Mapping[str, Any], now: dt.datetime) -> tuple[str, str | None]:
    """A result and, where it needs one, a note.

    Raises:
        NotKnown: the check has no answer.
    """
    if not _in_versions(check, document):
        return SKIPPED, None
    if check.applies_when is not None and not _holds(check.applies_when, document, now):
        return SKIPPED, None
    gaps = sorted(
        {gap for path in check.needs for gap in shape.defects(document, path, check.nullable, check.document_shape)}
    )
    if gaps:
        raise NotKnown("; ".join(gaps))
    if check.unknown_when is not None and _holds(check.unknown_when, document, now):
        return UNKNOWN, None
    if not _holds(check.assertion, document, now):
        return FAIL, None
    if check.waived_when is not None and _holds(check.waived_when, document, now):
        return WAIVED, None
    return PASS, None


def _holds(condition: Expression, document: Mapping[str, Any], now: dt.datetime) -> bool:
    value = condition.evaluate(document, now)
    if not isinstance(value, bool):
        raise NotKnown(f"the answer is {type(value).__name__}, neither true nor false")
    return value


def _in_versions(check: Check, document: Mapping[str, Any]) -> bool:
    since, until = check.raw.get("since"), check.raw.get("until")
    if since is None and until is None:
        return True
    try:
        version = parse_version(document["talos"]["version"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise NotKnown("talos.version is not known, and this check depends on it") from None
    return (since is None or version >= parse_version(since)) and (until is None or version < parse_version(until))
