# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the reset may still go ahead on a verdict: everything it was given for, compared with the live node."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from ..canonical import is_sealed, sha256_of
from ..evidence.schema import TARGET_KEYS
from ..talos.boots import ANOTHER, SAME, compare, of_evidence
from . import signing
from .errors import VerdictRefused
from .functions import iso, moment
from .verdict import ELIGIBLE, SCHEMA, decide

_AGAIN = "collect new evidence and ask the gate for a new verdict"


def recheck(
    verdict: Mapping[str, Any], live: Mapping[str, Any], now: dt.datetime, required_key: bytes | str | None = None
) -> None:
    """Refuse a verdict that does not fit the live node, down to the last bound value.

    Args:
        verdict: what ``judge`` returned, perhaps signed.
        live: what is true now: ``{node, identity, uuid, boot_id, boot_time, look, talos_version, target, config_sha256,
        policy_sha256,
            evidence, coverage, denials}``. ``evidence`` is the saved evidence document, read again from disk (its hash
            is computed anew); ``denials`` are the denials of a log read just now (``[{signature, count}]``),
            ``coverage`` the coverage verdict of that read. A value that is missing or null is a refusal. ``boot_id``
            may be null only where the verdict has none either (Talos before 1.14); then ``look`` (``boots.Look`` as
            plain data) is compared with the evidence's.
        now: the current time (aware).
        required_key: an Ed25519 public key (PEM). When given, a verdict without its signature is refused.

    Raises:
        VerdictRefused: naming the bound value in ``context["bound"]``.
    """
    check_document(verdict, now, required_key)
    bound = verdict["binds"]
    _same("node", verdict["node"], live.get("node"))
    for name in ("identity", "uuid", "talos_version", "policy_sha256", "config_sha256"):
        _same(name, bound.get(name), live.get(name))
    target = live.get("target")
    for name in TARGET_KEYS:
        _same(f"target.{name}", bound["target"].get(name), target.get(name) if isinstance(target, Mapping) else None)
    evidence = live.get("evidence")
    if not isinstance(evidence, Mapping):
        raise _refused(
            "evidence_sha256", "the evidence behind the verdict cannot be read", "bring the evidence file back"
        )
    _same("evidence_sha256", bound.get("evidence_sha256"), sha256_of(evidence))
    if not is_sealed(evidence):
        raise _refused("evidence_sha256", "the evidence file does not match its own hash", _AGAIN)
    _same_boot(bound, evidence["boot"], live)
    # The time of boot decides nothing, as it moves with the clock; but the verdict may not say another than was seen.
    _same("boot_time", bound.get("boot_time"), evidence["boot"]["time"])
    _no_new_denials(verdict, evidence, live)


def check_document(verdict: Mapping[str, Any], now: dt.datetime, required_key: bytes | str | None) -> None:
    """What a verdict itself must be, whatever node it is presented for: whole, signed, eligible, and of now.

    Args:
        required_key: the public key that must have signed it, in PEM; None where none has to.

    Raises:
        VerdictRefused: it is not that.
        SignatureProblem: it is not signed by that key.
    """
    if verdict.get("schema") != SCHEMA:
        raise _refused("schema", f"the verdict has schema {verdict.get('schema')!r}, not {SCHEMA}", _AGAIN)
    if verdict.get("sha256") != sha256_of(verdict, without=signing.OUTSIDE):
        raise _refused("sha256", "the verdict does not match its own hash: it was changed after it was given", _AGAIN)
    if not _is_whole(verdict):
        raise _refused("sha256", "the verdict does not have the form that this gate gives one", _AGAIN)
    if required_key is not None:
        signing.verify(verdict, required_key)
    if verdict.get("decision") != ELIGIBLE or decide(verdict.get("checks") or ()) != ELIGIBLE:
        raise _refused(
            "decision", f"the verdict is {verdict.get('decision')}, not {ELIGIBLE}", "do what its checks say"
        )
    try:
        issued, expires = moment(verdict["issued_at"]), moment(verdict["expires_at"])
    except (KeyError, TypeError, ValueError):
        raise _refused("expires_at", "the verdict does not say from when to when it holds", _AGAIN) from None
    if now < issued:
        raise _refused(
            "issued_at", f"the verdict was given at {iso(issued)}, which is in the future", "set this machine's clock"
        )
    if now >= expires:
        raise _refused("expires_at", f"the verdict expired at {iso(expires)}", _AGAIN)
    if not isinstance(verdict.get("binds"), Mapping) or not isinstance(verdict["binds"].get("target"), Mapping):
        raise _refused("binds", "the verdict is bound to nothing", _AGAIN)


def _is_whole(verdict: Mapping[str, Any]) -> bool:
    """Whether what is looked at in a verdict has its form; its hash anybody can make."""
    lists = [verdict.get("checks") or [], verdict.get("waived") or []]
    fates = verdict.get("denials")
    return (
        isinstance(verdict.get("node"), str)
        and all(isinstance(found, list) and all(isinstance(one, Mapping) for one in found) for found in lists)
        and (fates is None or (isinstance(fates, Mapping) and all(map(_are_texts, fates.values()))))
    )


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _same(name: str, bound: Any, live: Any) -> None:
    if bound is None:
        raise _refused(name, f"the verdict is not bound to any {name}", _AGAIN)
    if live is None:
        raise _refused(
            name, f"the present {name} is not known (the verdict was given for {bound})", "find out, then retry"
        )
    if bound != live:
        raise _refused(name, f"the verdict was given for {name} {bound}, and now it is {live}", _AGAIN)


def _same_boot(bound: Mapping[str, Any], judged: Mapping[str, Any], live: Mapping[str, Any]) -> None:
    if bound.get("boot_id") is not None or live.get("boot_id") is not None:
        _same("boot_id", bound.get("boot_id"), live.get("boot_id"))
        return
    answer = compare(of_evidence(judged), of_evidence({"look": live.get("look")}))
    if answer == ANOTHER:
        raise _refused(
            "boot_time",
            f"the node rebooted: it says now that it booted at {live.get('boot_time')}; the verdict is for the boot of"
            f" {bound.get('boot_time')}",
            _AGAIN,
        )
    if answer != SAME:
        raise _refused("boot_time", "it is not known whether this is still the boot that was judged", _AGAIN)


def _no_new_denials(verdict: Mapping[str, Any], evidence: Mapping[str, Any], live: Mapping[str, Any]) -> None:
    if live.get("coverage") != "complete":
        raise _refused(
            "denials",
            f"the log read just now is {live.get('coverage') or 'of unknown coverage'}, not complete",
            "find out which records are missing; a denial could be among them",
        )
    seen = live.get("denials")
    if not isinstance(seen, list):
        raise _refused("denials", "the present denials are not known", "read the audit log again")
    before = {denial["signature"]: denial["count"] for denial in evidence["audit"]["denials"] or ()}
    fates = verdict.get("denials") or {}
    settled = {*fates.get("waived", ()), *fates.get("benign", ())}
    new = sorted(
        str(denial.get("signature"))
        for denial in seen
        if denial.get("signature") not in settled
        and not (isinstance(denial.get("count"), int) and denial["count"] <= before.get(denial.get("signature"), 0))
    )
    if new:
        listed = ", ".join(new[:5]).encode("unicode_escape").decode("ascii")
        raise _refused("denials", f"there are denials that the evidence does not have: {listed}", _AGAIN, denials=new)


def _refused(bound: str, found: str, do: str, **context: Any) -> VerdictRefused:
    return VerdictRefused(
        found,
        "a verdict holds only for the node, boot, image and configuration it was given for",
        do,
        bound=bound,
        **context,
    )
