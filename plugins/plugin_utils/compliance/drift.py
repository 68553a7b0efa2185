# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What changed for the worse since the last report. One cause is one finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .past import Past, last_known

#: What drift can be found, with what to do about it.
KINDS: dict[str, str] = {
    "fell-back-to-permissive": "find out who booted another image or command line, and reinstall the node",
    "new-permissive-node": "bring the node in through the rollout, or take it out of the cluster",
    "evidence-lost": "find out why the node or its log cannot be read any more, and collect again",
    "command-line-changed": "compare the arguments with those of the schematic, and reinstall what nobody ordered",
    "policy-version-changed": "judge the node again: another Talos release brings another SELinux policy",
    "waiver-expired": "fix what causes its denials, or have its owner renew it",
}
_MODE_ARGUMENTS = ("enforcing",)


def find_drift(previous: Mapping[str, Any] | None, current: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare two reports.

    Args:
        previous: the last report before, or None for the first: nothing can have drifted then.
        current: ``{nodes, waivers}`` of the report that is being made.

    Returns:
        ``[{kind, node, found, before, after, do}]``, sorted; ``node`` is None for what concerns the fleet. Nodes are
        compared by machine UUID, so that one which was renamed is not new, and another machine under an old name is.
        One that the last report could not read is compared with what was last known of it.
    """
    if previous is None:
        return []
    found: list[dict[str, Any]] = []
    past = Past(previous["nodes"], [row["uuid"] for row in current["nodes"] if row["uuid"]])
    for row in current["nodes"]:
        old = past.of(row)
        if row["mode"] is not None and old is not None and old["mode"] is None:
            known = last_known(old)
            # That its coverage was lost was a finding then.
            old = {**known, "coverage": None} if known is not None else None
        found += drift_of_node(old, row)
    found += expired_waivers(previous.get("waivers") or [], current.get("waivers") or [])
    return sorted(found, key=lambda item: (item["node"] or "", item["kind"], str(item["before"])))


def drift_of_node(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What got worse on one node.

    Args:
        old, new: ``{node, mode, kernel_args, talos_version, coverage, evidence, unread}`` as rows of a report have
            them; ``old`` is None for a machine that was not known before.

    Returns:
        Findings as :func:`find_drift` gives them.
    """
    if new["mode"] is None:
        # Of a machine that was taken out nothing is expected.
        if new.get("retired") is None and old is not None and old["mode"] is not None:
            return [_finding("evidence-lost", new, "its evidence", old["evidence"]["collected_at"], new["unread"])]
        return []
    if old is None or old["mode"] is None:
        if new["mode"] != "enforcing" and old is None:
            text = f"a machine that no report knew before, and that is {new['mode']}"
            return [{**_finding("new-permissive-node", new, "", None, new["mode"]), "found": text}]
        return []
    found = []
    if old["mode"] == "enforcing" and new["mode"] != "enforcing":
        found.append(_finding("fell-back-to-permissive", new, "its mode", old["mode"], new["mode"]))
    elif _arguments(old) != _arguments(new):
        # A change of the mode's own argument is the finding above.
        found.append(_finding("command-line-changed", new, "its command line", _arguments(old), _arguments(new)))
    if old["talos_version"] != new["talos_version"]:
        found.append(
            _finding("policy-version-changed", new, "its Talos release", old["talos_version"], new["talos_version"])
        )
    was, now = (row["coverage"]["verdict"] if row["coverage"] else None for row in (old, new))
    if was == "complete" and now != "complete":
        found.append(_finding("evidence-lost", new, "the coverage of its audit log", was, now))
    return found


def _arguments(row: Mapping[str, Any]) -> list[str] | None:
    """The command line without the mode, whose change is a finding of its own."""
    args = row["kernel_args"]
    if args is None:
        return None
    return [arg for arg in args if arg.partition("=")[0] not in _MODE_ARGUMENTS]


def _finding(kind: str, row: Mapping[str, Any], what: str, before: Any, after: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "node": row["node"],
        "found": f"{what}: {_shown(before)} before, {_shown(after)} now",
        "before": before,
        "after": after,
        "do": KINDS[kind],
    }


def expired_waivers(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The waivers that held and hold no more, as findings of :func:`find_drift`; one that is gone was taken back.

    Args:
        before, now: rows as ``results.waiver_rows`` makes them.
    """
    held = {waiver["id"] for waiver in before if waiver["in_force"]}
    return [
        {
            "kind": "waiver-expired",
            "node": None,
            "found": f"waiver {waiver['id']} of {waiver['owner']} ({waiver['ticket']}) expired at {waiver['expires']}",
            "before": waiver["id"],
            "after": None,
            "do": KINDS["waiver-expired"],
        }
        for waiver in now
        if waiver["id"] in held and not waiver["in_force"]
    ]


def _shown(value: Any) -> str:
    if value is None:
        return "not known"
    return " ".join(value) if isinstance(value, list) else str(value)
