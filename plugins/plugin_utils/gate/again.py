# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge a node once more, just before it is wiped: the saved evidence and a live look, both by the whole policy."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..evidence.cluster import unseen
from ..evidence.schema import EVIDENCE
from ..talos import boots
from .checks import load_checks
from .errors import VerdictRefused
from .policy import Policy
from .verdict import (
    ELIGIBLE,
    FAIL,
    PASS,
    SKIPPED,
    UNKNOWN,
    WAIVED,
    check_evidence,
    document_for,
    run_checks,
    seal_verdict,
    stopping,
)
from .waivers import Waivers

_CHECKS = Path(__file__).parent / "data" / "again.yml"
_SHAPE = {"before": EVIDENCE, "after": EVIDENCE, "boot": "string", "own_cordon": "boolean"}
#: The worse of two results of one check decides.
_FROM_WORST = (FAIL, UNKNOWN, WAIVED, PASS, SKIPPED)


def judge_again(
    saved: Mapping[str, Any],
    live: Mapping[str, Any],
    policy: Policy,
    waivers: Waivers | None,
    now: dt.datetime,
    *,
    own_cordon: bool = False,
    node: str | None = None,
) -> dict[str, Any]:
    """A verdict on a node from the evidence that was saved and a look taken just now. It asks nobody.

    Every check of the policy is run on both documents, and the worse result counts. What the live look did not ask for
    (the operator's configuration and operation, and the Kubernetes facts where ``kubernetes.asked`` is false) is taken
    from the saved evidence. The checks of data/again.yml compare the two: same machine, same boot, cordoned by nobody
    else.

    Args:
        saved: the sealed evidence document that the verdict in the file was given for.
        live: a sealed document that ``evidence.collect`` made just now.
        policy: see ``load_policy``.
        waivers: the operator's waivers as they are now; None for none, so that nothing is waived.
        now: the current time (aware).
        own_cordon: whether the rollout itself cordoned the node (its ledger says so).
        node: the inventory name; evidence of another node is refused.

    Returns:
        A verdict as ``judge`` gives it, bound to the saved evidence. Each check's ``found`` says of which look it is.

    Raises:
        EvidenceRefused: a document is altered, of another schema or of another node.
    """
    check_evidence(saved, node)
    check_evidence(live, node)
    waivers = waivers if waivers is not None else Waivers((), policy, now)
    completed = _completed(live, saved)
    document = document_for(completed, policy, target=None, waivers=waivers, now=now)
    then = run_checks(policy.checks, document_for(saved, policy, target=None, waivers=waivers, now=now), now)
    both = [_worse(*pair) for pair in zip(then, run_checks(policy.checks, document, now), strict=True)]
    compared = {"before": saved, "after": live, "boot": _boot(saved, live), "own_cordon": own_cordon}
    checks = [*both, *run_checks(load_checks(_CHECKS, _SHAPE), compared, now)]
    return seal_verdict(saved, document, checks, policy, waivers, now)


def require_eligible(verdict: Mapping[str, Any]) -> None:
    """Return only for a verdict that lets the node go.

    Raises:
        VerdictRefused: naming every check that stops it, with ``context["checks"]``.
    """
    if verdict["decision"] == ELIGIBLE:
        return
    stops = stopping(verdict["checks"])
    raise VerdictRefused(
        f"{verdict['node']} is {verdict['decision']} now: "
        + ("; ".join(f"{check['id']}: {check['found']}" for check in stops) or "no check passed"),
        "a node is wiped only on what is true at that moment, whatever a file says",
        " ".join(dict.fromkeys(check["remedy"] for check in stops)) or "judge the node again",
        bound="decision",
        checks=[check["id"] for check in stops],
    )


def _completed(live: Mapping[str, Any], saved: Mapping[str, Any]) -> dict[str, Any]:
    """The live document, with what a look at the node does not ask for from the saved one."""
    kubernetes = dict(live["kubernetes"])
    if kubernetes.get("asked") is False:
        kubernetes |= {key: saved["kubernetes"].get(key) for key in unseen()}
    return {
        **live,
        "kubernetes": kubernetes,
        "config": live["config"] if live["config"] is not None else saved["config"],
        "operation": {**(saved["operation"] or {}), **(live["operation"] or {})},
    }


def _worse(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    if _FROM_WORST.index(then["result"]) < _FROM_WORST.index(now["result"]):
        return {**then, "found": f"in the saved evidence: {then['found']}"}
    return {**now, "found": f"now: {now['found']}"}


def _boot(saved: Mapping[str, Any], live: Mapping[str, Any]) -> str:
    return boots.compare(boots.of_evidence(saved["boot"]), boots.of_evidence(live["boot"]))
