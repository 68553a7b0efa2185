# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refuse to reach enforcing by an upgrade, in whatever disguise it comes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..evidence.schema import EVIDENCE
from ..nested import value_at
from . import shape
from .checks import load_checks
from .errors import RequestRefused
from .verdict import SKIPPED, check_evidence, run_checks, stopping

_DATA = Path(__file__).parent / "data"
_REQUEST_SHAPE = {**EVIDENCE, **shape.REQUEST}
_HISTORY_SHAPE = {"before": EVIDENCE, "after": EVIDENCE}


def request_checks(
    request: Mapping[str, Any], evidence: Mapping[str, Any] | None, now: dt.datetime | None = None
) -> list[dict[str, Any]]:
    """The results of all request checks (data/request.yml), as in a verdict.

    Args:
        request: ``{api, path, mode, labels, then}``: the call that will change the node (``Reset``, ``Upgrade``,
            ``LifecycleService/Install``...), the boot path, the reset's mode and partition labels, and what follows
            the wipe (``install`` or ``upgrade``; absent when only the wipe is asked for).
        evidence: the node's evidence, taken now; None when there is none, which refuses.
        now: the current time; the clock's by default.
    """
    document = {**(evidence or {}), "request": {**dict.fromkeys(shape.REQUEST["request"]), **request}}
    return run_checks(load_checks(_DATA / "request.yml", _REQUEST_SHAPE), document, _now(now))


def judge_request(
    request: Mapping[str, Any], evidence: Mapping[str, Any] | None, now: dt.datetime | None = None
) -> list[dict[str, Any]]:
    """Let an operation through, or refuse it. Arguments and result as for :func:`request_checks`.

    Raises:
        RequestRefused: at least one check failed or has no answer; ``context["checks"]`` lists their ids.
    """
    checks = request_checks(request, evidence, now)
    stops = stopping(checks)
    if stops:
        raise RequestRefused(
            "; ".join(f"{check['id']}: {check['found']}" for check in stops),
            " ".join(check["reason"] for check in stops),
            " ".join(check["remedy"] for check in stops),
            checks=[check["id"] for check in stops],
        )
    return checks


def judge_history(
    before: Mapping[str, Any], after: Mapping[str, Any], now: dt.datetime | None = None
) -> list[dict[str, Any]]:
    """Whether a node that enforces now was reinstalled since ``before``, or upgraded (data/history.yml).

    Args:
        before, after: sealed evidence documents of one node.

    Returns:
        Check results, as in a verdict.

    Raises:
        EvidenceRefused: one of them is altered or of another schema.
    """
    check_evidence(before)
    check_evidence(after)
    document = {"before": before, "after": after}
    return run_checks(load_checks(_DATA / "history.yml", _HISTORY_SHAPE), document, _now(now))


def judge_past(
    evidence: Mapping[str, Any], earlier: Iterable[Mapping[str, Any]], now: dt.datetime | None = None
) -> list[dict[str, Any]]:
    """How a node that enforces came to do so, by what was saved of it before.

    Args:
        evidence: a sealed evidence document.
        earlier: those of the same node before it, newest first. The newest is compared, and the newest in which the
            node did not enforce yet: an upgrade stays visible however often it is looked at, until a reinstall.

    Returns:
        The results of the history checks that apply, as in a verdict; none for a node that does not enforce.
    """
    if value_at(evidence, "selinux", "state") != "enforcing":
        return []
    results: dict[str, dict[str, Any]] = {}
    for number, before in enumerate(earlier):
        last = value_at(before, "selinux", "state") != "enforcing"
        if number == 0 or last:
            applied = [check for check in judge_history(before, evidence, now) if check["result"] != SKIPPED]
            results |= {check["id"]: check for check in applied}
        if last:
            break
    return list(results.values())


def _now(now: dt.datetime | None) -> dt.datetime:
    return now if now is not None else dt.datetime.now(dt.UTC)
