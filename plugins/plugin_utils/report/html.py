# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as one self-contained HTML file: no scripts, no outside resources, good on paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ..texts import printable_all
from .attention import policy_lines
from .model import OUTCOMES, waived_line, waived_total
from .table import HEADINGS, counts_line, duration, place

# Inline, because a report is sent around and printed as one file.
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --line: #ccc; --soft: #555; --good: #0a5c2b;
  --bad: #9c1515; --warn: #7a4a00 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --paper: #14171b; --line: #4a525c; --soft: #aab2bd;
  --good: #7fd8a0; --bad: #ff9c9c; --warn: #ffca70 } }
@media print { :root { color-scheme: light; --ink: #000; --paper: #fff; --line: #ccc; --soft: #555; --good: #0a5c2b;
  --bad: #9c1515; --warn: #7a4a00 } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 70rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.1rem; margin: 2rem 0 .4rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; vertical-align: top; padding: .4rem .6rem;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere } th { font-weight: 600 }
td.node { width: 16%; font-weight: 600 } td.place { width: 14% } td.time { width: 10% }
p, ul { margin: .2rem 0 } ul { padding-left: 1.2rem } code { font-size: .92em }
.moved h2, .eligible h2, .already_enforcing h2, .yes { color: var(--good) } .failed h2, .no { color: var(--bad) }
.refused h2, .inconclusive h2, .unknown { color: var(--warn) }
.do { margin-left: 1rem } .attention { border-left: 4px solid var(--bad); padding-left: .8rem }
footer { margin-top: 2rem; color: var(--soft); font-size: .85rem; overflow-wrap: anywhere }
@media print { body { margin: 0; max-width: none } tr, .attention { break-inside: avoid } }
"""


def render(model: Mapping[str, Any]) -> str:
    """The model as an HTML document; every text in it is escaped."""
    seal = model["sha256"]
    model = printable_all(model)
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{escape(model['title'])}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(model['title'])}</h1>",
        f"<p>{escape(model['generated_at'])}: {escape(counts_line(model))}</p>",
    ]
    if waived := waived_total(model["waived"]):
        parts.append(f"<p>{escape(waived)}</p>")
    if model["check_mode"]:
        parts.append("<p>Check mode: nothing was changed.</p>")
    if model["attention"]:
        parts.append(f'<section class="attention"><h2>Attention</h2>{_list(model["attention"])}</section>')
    for outcome in OUTCOMES:
        rows = [row for row in model["nodes"] if row["outcome"] == outcome]
        if rows:
            parts.append(
                f'<section class="{outcome}"><h2>{escape(HEADINGS[outcome])} ({len(rows)})</h2>'
                '<table><thead><tr><th scope="col">Node</th><th scope="col">Role, zone</th><th scope="col">Time</th>'
                '<th scope="col">Why and proof</th></tr></thead><tbody>'
            )
            parts += [_row(row) for row in rows]
            parts.append("</tbody></table></section>")
    if model["policy"]:
        parts.append(f"<section><h2>Policy</h2>{_list(policy_lines(model['policy']))}</section>")
    if model["notes"]:
        parts.append(f"<section><h2>Notes</h2>{_list(model['notes'])}</section>")
    ledger = model["ledger"]
    if ledger:
        state = "the chain holds" if ledger["ok"] else "the chain is broken"
        head = f"; ledger {ledger['path']}: {ledger['entries']} entries, {state}, head {ledger['head']}"
    else:
        head = ""
    parts.append(f"<footer>report SHA-256 {escape(str(seal))}{escape(head)}</footer></body></html>")
    return "\n".join(parts) + "\n"


def _row(row: Mapping[str, Any]) -> str:
    took = duration(row["duration"]) if row["duration"] is not None else ""
    return (
        f'<tr><td class="node">{escape(row["node"])}</td><td class="place">{escape(place(row))}</td>'
        f'<td class="time">{escape(took)}</td><td>{_reasons(row["reasons"])}{_waived(row["waived"])}'
        f"{_proof('Enforcing', row['witnesses'])}{_proof('New install', row['reinstall'])}</td></tr>"
    )


def _reasons(reasons: Sequence[Mapping[str, Any]]) -> str:
    texts = []
    for reason in reasons:
        text = f"<p><code>{escape(reason['id'])}</code> {escape(reason['found'])}</p>"
        if reason["remedy"]:
            text += f'<p class="do"><b>Do:</b> {escape(reason["remedy"])}</p>'
        if reason["doc"]:
            # Text, not a link: a report may cite only what it can stand for.
            text += f'<p class="do">See {escape(reason["doc"])}</p>'
        texts.append(text)
    return "".join(texts)


def _waived(items: Sequence[Mapping[str, Any]]) -> str:
    return "".join(f"<p>{escape(waived_line(item))}</p>" for item in items)


def _proof(title: str, items: Sequence[Mapping[str, Any]]) -> str:
    if not items:
        return ""
    marks = {True: ("yes", "yes"), False: ("no", "NO")}
    lines = []
    for item in items:
        css, word = marks.get(item["ok"], ("unknown", "not known"))
        lines.append(
            f'<li><code>{escape(item["id"])}</code>: <b class="{css}">{word}</b>, {escape(str(item["found"]))}</li>'
        )
    return f"<p><b>{title}</b></p><ul>{''.join(lines)}</ul>"


def _list(texts: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"
