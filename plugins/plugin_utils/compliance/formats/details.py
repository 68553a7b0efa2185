# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the page says of one node, in as few elements as a fleet of a thousand nodes allows: texts with line breaks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..results import NOT_APPLICABLE, PASS
from ..retired import shown
from .texts import WORDS, waived

_TIME = re.compile(r"\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)Z")


def facts(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """``[(term, text)]``; a term of which nothing is known is left out, a text may have line breaks."""
    found = {
        "Seen in": ", ".join(row["sources"]),
        "Retired": shown(row["retired"]) if row["retired"] else "",
        "Not known": row["unread"],
        "Last known": _last_known(row["last_known"]),
        "Machine": _machine(row),
        "Witnesses": _witnesses(row),
        "Audit log": _coverage(row["coverage"]),
        "Gate": _gate(row["gate"]),
        "New install": _proof(row["proof"]),
        "Probe": _probe(row["probe"]),
        "Evidence": _evidence(row["evidence"]),
        "Timeline": _timeline(row["timeline"]),
    }
    return [(term, text) for term, text in found.items() if text]


def reasons(row: Mapping[str, Any], remedies: Mapping[str, str]) -> list[tuple[str, str]]:
    """``[(status, text)]`` of each result that is none of pass and not applicable, with its remedy.

    Where nothing is known of a node, that is one reason and not one for each rule.
    """
    wrong = [item for item in row["results"] if item["status"] not in (PASS, NOT_APPLICABLE)]
    if wrong and len(wrong) == len(row["results"]) and len({(item["status"], item["reason"]) for item in wrong}) == 1:
        item = wrong[0]
        return [(item["status"], f"every rule: {item['observed']}. {item['reason']}. {_since(item)}")]
    return [(item["status"], _reason(item, remedies[item["rule"]])) for item in wrong]


def _timeline(events: Sequence[Mapping[str, str]]) -> str:
    """A line for each step, with the time of everything that happened in it."""
    lines: list[str] = []
    before: tuple[str, str] | None = None
    for event in events:
        step, _blank, how = event["what"].partition(" ")
        match = _TIME.fullmatch(event["at"])
        if match is not None and how and before == (event["at"][:10], step):
            lines[-1] += f", {match[1]} {how}"
        else:
            lines.append(f"{event['at']} {event['what']}")
        before = (event["at"][:10], step) if match is not None else None
    return "\n".join(lines)


def _reason(item: Mapping[str, Any], remedy: str) -> str:
    text = f"{item['rule']}: found {item['observed']}; expected {item['expected']}. {item['reason']}{waived(item)}"
    return f"{text} Do: {remedy} {_since(item)}"


def _since(item: Mapping[str, Any]) -> str:
    before = item["previous_result"]
    was = f", {WORDS.get(before, before)} before" if before and before != item["status"] else ""
    return f"Since {item['since']}{was}."


def _last_known(known: Mapping[str, Any] | None) -> str:
    if known is None:
        return ""
    return f"{known['mode']}, Talos {known['talos_version'] or 'not known'}, by evidence of {known['collected_at']}"


def _machine(row: Mapping[str, Any]) -> str:
    if not row["uuid"]:
        return ""
    return f"{row['uuid']}, node identity {row['identity'] or 'not known'}, {row['machine_type'] or 'type not known'}"


def _witnesses(row: Mapping[str, Any]) -> str:
    if not row["mode"]:
        return ""
    args = row["kernel_args"]
    given = [arg for arg in args or () if arg.partition("=")[0] == "enforcing"]
    line = "not known" if args is None else " ".join(given) or "without enforcing"
    doubts = row["disagreements"]
    said = "not known" if doubts is None else "; ".join(doubts) or "none"
    return (
        f"SecurityState {row['mode']}; command line {line}; PID 1 {row['pid1_label'] or 'not known'};"
        f" disagreements: {said}"
    )


def _coverage(coverage: Mapping[str, Any] | None) -> str:
    if coverage is None:
        return ""
    seconds = coverage["seconds"]
    long = f"{seconds / 3600:.1f} h" if isinstance(seconds, (int, float)) else "a time not known"
    since = f" from {coverage['since']}" if coverage["since"] else ""
    holes = [
        f"hole in the {hole.get('stream')} log: after {_mark(hole, 'after')}, before {_mark(hole, 'before')}"
        for hole in coverage["holes"]
        if isinstance(hole, Mapping)
    ]
    whole = f"{coverage['verdict']} over {long}{since} until {coverage['until']}"
    return "\n".join([whole, *holes, *coverage["reasons"]])


def _mark(hole: Mapping[str, Any], side: str) -> str:
    serial = hole.get(f"{side}_serial")
    return "no record" if serial is None else f"serial {serial} of {hole.get(side)}"


def _gate(gate: Mapping[str, Any] | None) -> str:
    if gate is None:
        return ""
    lines = [
        f"{reason['id']} {reason['result']}: {reason['found']}. Do: {reason['remedy']}" for reason in gate["reasons"]
    ]
    return "\n".join([f"{gate['decision']}, of {gate['issued_at']} until {gate['expires_at']}", *lines])


def _proof(proof: Mapping[str, Any] | None) -> str:
    if proof is None:
        return ""
    items = [f"{item['id']} {_answer(item['ok'])}" for item in proof["reinstall"] or ()]
    return ", ".join([f"proven {_answer(proof['proven'])}", *items])


def _answer(ok: Any) -> str:
    return "yes" if ok is True else "no" if ok is False else "not known"


def _probe(probe: Mapping[str, Any] | None) -> str:
    if probe is None:
        return ""
    return f"{probe['outcome']} at {probe['finished_at']}, {probe['path'] or probe['id']} SHA-256 {probe['sha256']}"


def _evidence(evidence: Mapping[str, Any] | None) -> str:
    return f"{evidence['path'] or ''} SHA-256 {evidence['sha256']}" if evidence else ""
