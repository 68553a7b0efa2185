# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as a text table for people at a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from ..texts import printable_all
from .attention import policy_lines
from .model import OUTCOMES, waived_line, waived_total

HEADINGS = {
    "moved": "MOVED to enforcing",
    "eligible": "ELIGIBLE: may be reinstalled",
    "failed": "FAILED",
    "refused": "REFUSED: nothing was changed on these nodes",
    "inconclusive": "INCONCLUSIVE: not enough is known, so nothing was changed",
    "pending": "UNFINISHED",
    "not_reached": "NOT STARTED",
    "already_enforcing": "ALREADY ENFORCING",
}
_COLORS = {
    "moved": "32",
    "eligible": "32",
    "already_enforcing": "32",
    "failed": "31;1",
    "refused": "33",
    "inconclusive": "33",
}
_MINIMUM = 60
_FEW = 2
"""Nodes of which the same is told one by one; more of them share one entry."""

# What each witness is called where people read it; the ids stay for machines.
_WITNESSES = {
    "selinux_state": "SELinux state",
    "kernel_args": "kernel command line",
    "pid1_label": "PID 1 label",
    "policy_loaded": "policy load",
    "denials": "no permissive denial",
    "same_machine": "same machine",
    "later": "newer evidence",
    "identity": "new identity",
    "meta": "new META",
    "state": "new STATE",
    "ephemeral": "new EPHEMERAL",
    "boot": "new boot",
    "version": "version",
    "schematic": "schematic",
    "etcd_member": "new etcd member",
    "labels": "labels",
}


def render(model: Mapping[str, Any], width: int = 100, color: bool = False) -> str:
    """The model as text of at most ``width`` columns (at least 60), each line free of control characters.

    ``color`` adds ANSI colors to the headings only. Ends with a newline.
    """
    model = printable_all(model)
    width = max(width, _MINIMUM)
    lines = [model["title"], f"{model['generated_at']}: {counts_line(model)}"]
    if waived := waived_total(model["waived"]):
        lines.append(waived)
    if model["check_mode"]:
        lines.append("check mode: nothing was changed")
    # A long name must not leave no room for what happened to the node.
    names = min(max([4, *(columns(row["node"]) for row in model["nodes"])]), width // 4)
    for outcome in OUTCOMES:
        rows = [row for row in model["nodes"] if row["outcome"] == outcome]
        if not rows:
            continue
        heading = f"{HEADINGS[outcome]} ({len(rows)})"
        lines += ["", _paint(heading, outcome) if color else heading]
        for texts, members in _alike(rows):
            if len(members) <= _FEW:
                for row in members:
                    lines += _columns([row["node"], place(row)], [names, 16], texts, width)
                continue
            lines += _hang(f"{len(members)} nodes: {', '.join(row['node'] for row in members)}", width, "  ", "    ")
            lines += [part for text in (f"      {line}" for line in texts if line != "-") for part in wrap(text, width)]
    for heading, texts in (
        ("ATTENTION", model["attention"]),
        ("POLICY", policy_lines(model["policy"])),
        ("NOTES", model["notes"]),
    ):
        if texts:
            lines += ["", heading]
            lines += [part for text in texts for part in _hang(text, width, "  - ", "    ")]
    if model["ledger"]:
        ledger = model["ledger"]
        state = "chain holds" if ledger["ok"] else "CHAIN BROKEN"
        lines += ["", *wrap(f"ledger: {ledger['path']}, {ledger['entries']} entries, {state}", width)]
    wrapped = [line if line.startswith("\x1b[") or columns(line) <= width else wrap(line, width) for line in lines]
    flat = [part for line in wrapped for part in ([line] if isinstance(line, str) else line)]
    return "\n".join(line.rstrip() for line in flat) + "\n"


def _alike(rows: Sequence[Mapping[str, Any]]) -> list[tuple[list[str], list[Mapping[str, Any]]]]:
    """The nodes of which there is the same to tell, with what that is; in the order of the first of each."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(line for text in details(row) for line in text), []).append(row)
    return [(list(texts), members) for texts, members in groups.items()]


def counts_line(model: Mapping[str, Any]) -> str:
    """``"10 nodes: 5 moved, 5 refused"``."""
    counts = model["counts"]
    parts = [f"{counts[outcome]} {outcome.replace('_', ' ')}" for outcome in OUTCOMES if counts[outcome]]
    return f"{counts['total']} node{'s' if counts['total'] != 1 else ''}: {', '.join(parts) or 'none'}"


def place(row: Mapping[str, Any]) -> str:
    """``"worker, b"``: the role, and the zone where one is known."""
    role = {"controlplane": "control plane", "init": "control plane"}.get(row["role"], row["role"] or "role unknown")
    return f"{role}, {row['zone']}" if row["zone"] else str(role)


def details(row: Mapping[str, Any]) -> list[list[str]]:
    """What to tell about a node: groups of lines, one group per reason or proof."""
    groups = []
    if row["outcome"] in ("moved", "failed") and row["witnesses"]:
        took = f" in {duration(row['duration'])}" if row["duration"] is not None else ""
        groups.append(
            [
                f"enforcing: {witness_summary(row['witnesses'])}",
                f"new install{took}: {witness_summary(row['reinstall'])}",
            ]
        )
    for reason in row["reasons"]:
        group = [f"{reason['id']}: {reason['found']}"]
        if reason["remedy"]:
            group.append(f"  do: {reason['remedy']}")
        if reason["doc"]:
            group.append(f"  see: {reason['doc']}")
        groups.append(group)
    groups += [[waived_line(item)] for item in row["waived"]]
    return groups or [["-"]]


def witness_summary(items: Sequence[Mapping[str, Any]]) -> str:
    """``"2 of 3 (SELinux state, PID 1 label); NO: policy load; not known: version"``: what proves and what does not."""
    names: dict[Any, list[str]] = {True: [], False: [], None: []}
    for item in items:
        names[item["ok"] if item["ok"] in (True, False) else None].append(_WITNESSES.get(item["id"], item["id"]))
    text = f"{len(names[True])} of {len(items)}" + (f" ({', '.join(names[True])})" if names[True] else "")
    text += f"; NO: {', '.join(names[False])}" if names[False] else ""
    return text + (f"; not known: {', '.join(names[None])}" if names[None] else "")


def duration(seconds: int) -> str:
    """``"1 h 2 min"``, ``"3 min 4 s"`` or ``"5 s"``."""
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"


def columns(text: str) -> int:
    """How many terminal columns printable text takes (East Asian wide characters two, combining ones none)."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def wrap(text: str, width: int) -> list[str]:
    """Cut text into lines of at most ``width`` columns, between words where possible. A leading indent is kept."""
    indent = " " * min(len(text) - len(text.lstrip(" ")), width // 2)
    lines, line = [], indent
    for word in text.split():
        for piece in _pieces(word, width - len(indent)):
            gap = " " if line != indent else ""
            if columns(line) + len(gap) + columns(piece) > width and line != indent:
                lines.append(line)
                line, gap = indent, ""
            line += gap + piece
    return [*lines, line]


def _pieces(word: str, width: int) -> list[str]:
    pieces, piece = [], ""
    for character in word:
        if columns(piece + character) > width:
            pieces.append(piece)
            piece = ""
        piece += character
    return [*pieces, piece]


def _hang(text: str, width: int, first: str, later: str) -> list[str]:
    body = wrap(text, width - len(first))
    return [(later if number else first) + line for number, line in enumerate(body)]


def _columns(left: Sequence[str], widths: Sequence[int], texts: Sequence[str], width: int) -> list[str]:
    """Cells beside each other; the last one takes the rest of the width."""
    room = width - sum(widths) - 2 * (len(widths) + 1)
    cells = [wrap(text, size) for text, size in zip(left, widths, strict=True)]
    cells.append([line for text in texts for line in wrap(text, room)])
    lines = []
    for number in range(max(len(cell) for cell in cells)):
        line = ""
        for cell, size in zip(cells, [*widths, 0], strict=True):
            part = cell[number] if number < len(cell) else ""
            line += "  " + part + " " * max(0, size - columns(part))
        lines.append(line.rstrip())
    return lines


def _paint(text: str, outcome: str) -> str:
    return f"\x1b[{_COLORS.get(outcome, '1')}m{text}\x1b[0m"
