# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One visit to a node: what happened on it since the last one, as events, and how far that goes.

Events come in the order of their serials. What is told individually and what is only counted add up to all records
since the cursor; what was lost is an event with bounds and a cause.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..audit.knowledge.catalogue import Catalogue
from ..audit.log import ring
from ..audit.log.forgery import LATE
from ..audit.log.probe import caused, leave_out, may_hold
from ..audit.log.scanner import summarize
from ..audit.log.serials import gaps, union
from ..audit.log.summary import Summary
from ..audit.store import probes
from ..audit.store.stream import NAME
from ..compliance.drift import drift_of_node
from ..talos import boots
from ..talos.client import NodeClient
from ..talos.errors import InvalidAnswer, NotFound, Unsupported
from .cursor import Cursor, machine_uuid
from .event import Event, event

_TAIL_LINES = 400
_OF_DRIFT = {
    "fell-back-to-permissive": "mode_change",
    "new-permissive-node": "new_node",
    "evidence-lost": "evidence_lost",
}


@dataclass(frozen=True)
class Visit:
    """What one visit brought: events in order, and the cursor that holds once all of them were taken.

    ``since`` is the cursor that it began with; None for a machine that was never seen.
    """

    events: list[Event]
    cursor: Cursor
    since: Cursor | None


async def visit(
    client: NodeClient,
    node: str,
    cursors: Any,
    *,
    most: int,
    catalogue: Catalogue,
    first_run: bool,
    store: Path | None = None,
) -> Visit:
    """Ask a node what happened since its machine was last asked.

    Args:
        client: an open client.
        node: what the operator calls it.
        cursors: see ``Cursors``; only ``of_machine`` is used.
        most: how many records of one signature are reported individually in one visit; the rest is summed up.
        catalogue: marks what is known to be harmless.
        first_run: nodes are not new then.
        store: the audit stores, with the enforcement probes in them; None where nobody probes.

    Raises:
        TalosError: the node did not answer, or does not say which machine it is.
    """
    uuid = machine_uuid((await client.spec("system_information")).get("uuid"))
    if uuid is None:
        raise InvalidAnswer(
            f"node {node} does not say its machine UUID",
            "events are counted by machine, not by address",
            "check the node's firmware, or leave it out of the source",
            node=node,
        )
    look = await boots.look(client)
    facts = await _facts(client)
    known: Cursor | None = cursors.of_machine(uuid)
    old = known or Cursor(uuid, node)
    same = boots.compare(old.boot, look) if known is not None else boots.ANOTHER
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    # A boot time moves with the clock; what repeats an event has to call its boot as before.
    name = old.name if same == boots.SAME and old.name else look.boot_id or str(look.boot_time)
    about = {"node": node, "uuid": uuid, "boot": name}
    events = _changes(known, facts, about, first_run)
    if known is not None and same != boots.SAME:
        cause = "reboot" if same == boots.ANOTHER else "it is not known whether the node rebooted"
        events.append(_hole(about, old.serial, None, cause))
    start = old.serial if same == boots.SAME else 0
    summary = await _read(client, start)
    under_way = await asyncio.to_thread(_without_probes, summary, start, store, look)
    # What happened before auditd was there stands in the kernel's ring alone.
    early = await _summarized(ring.lines(await client.dmesg())) if not start else None
    missing = _missing(summary, early, start)
    last, waiting = _settled(summary, missing, start, old.waiting)
    if under_way is not None and under_way <= last:
        # Whose records these are is known once the probe ended; what came before them is told now.
        last, waiting = max(start, under_way - 1), None
    events += [_lost(summary, about, gap) for gap in missing if gap[0] <= last]
    said = (about, most, catalogue, facts["talos_version"])
    # A whole ring of denials takes long enough to keep others waiting.
    if early is not None:
        until = (summary.first_serial or last + 1) - 1
        events += await asyncio.to_thread(_denials, early, start, until, *said)
    events += await asyncio.to_thread(_denials, summary, start, last, *said)
    cursor = Cursor(uuid, node, look, name, last, facts, waiting, False, now)
    return Visit(sorted(events, key=lambda one: one["serial"] or 0), cursor, known)


def silent(known: Cursor, found: str) -> Visit:
    """The visit to a node that did not answer: said once, until it answers again."""
    row = _row(known.node, None, found)
    about = {"node": known.node, "uuid": known.uuid, "boot": known.name}
    events = [
        event("evidence_lost", about, known.seen_at, {"drift": item["kind"], "found": found, "do": item["do"]})
        for item in drift_of_node(_row(known.node, known.facts, None, known.seen_at), row)
    ]
    return Visit([] if known.lost else events, known.moved(lost=True), known)


def unseen(node: str, found: str) -> Event:
    """What is told of a node that does not answer and of which no machine was ever seen."""
    do = "find out why the node cannot be read, or leave it out of the source"
    about = {"node": node, "uuid": None, "boot": None}
    return event("evidence_lost", about, node, {"drift": None, "found": found, "do": do})


async def _facts(client: NodeClient) -> dict[str, Any]:
    try:
        words = (await client.spec("kernel_cmdline")).get("cmdline")
    except (NotFound, Unsupported):
        words = None
    return {
        "mode": (await client.security_state()).selinux,
        "kernel_args": str(words).split() if words is not None else None,
        "talos_version": str(await client.talos_version()),
    }


async def _read(client: NodeClient, after: int) -> Summary:
    """The log since a serial: its end where that reaches back far enough, else all of it."""
    if after:
        tail = await _summarized(await client.logs("auditd", tail_lines=_TAIL_LINES))
        # Records come out of order: one before the tail's first may be missing in it and stand in the log.
        if tail.first_serial is not None and tail.first_serial <= after + 1 and not _missing(tail, None, after):
            return tail
    try:
        return await _summarized(await client.logs("auditd"))
    except NotFound:
        # The service has written nothing in this boot yet.
        return await _summarized(b"")


def _without_probes(summary: Summary, after: int, store: Path | None, look: boots.Look) -> int | None:
    """Take the records of enforcement probes out of a summary that keeps every sample.

    Returns:
        The first serial after ``after`` of a record that may be of a probe that is under way; None without one.
    """
    if store is None or not look.boot_id or not NAME.match(look.boot_id):
        return None
    found = [caused(sample.line) for group in summary.groups if may_hold(group) for sample in group.samples]
    fitting = {record.line: record for record in found if record is not None and record.serial > after}
    if not fitting:
        return None
    # Read after the log, so that a probe whose records are in it is here too.
    known = [document for place in store.glob(f"*/{look.boot_id}") for document in probes.load(place)]
    own = set(probes.records(known)) & set(fitting)
    leave_out(summary, own)
    end = probes.open_until(known)
    if end is None or end < time.time():
        return None
    return min((record.serial for line, record in fitting.items() if line not in own), default=None)


async def _summarized(data: bytes) -> Summary:
    # A whole ring takes long enough to keep others waiting.
    return await asyncio.to_thread(summarize, data, max_samples=0)


def _changes(known: Cursor | None, facts: Mapping[str, Any], about: Mapping[str, Any], first_run: bool) -> list[Event]:
    new = _row(about["node"], facts, None)
    if known is None:
        if first_run:
            return []
        drift = drift_of_node(None, new)
        return [event("new_node", about, None, {"mode": facts["mode"], "drift": item["kind"]}) for item in drift] or [
            event("new_node", about, None, {"mode": facts["mode"], "drift": None})
        ]
    found = drift_of_node(_row(known.node, known.facts, None, known.seen_at), new)
    events = [
        event(
            _OF_DRIFT.get(item["kind"], "drift"),
            about,
            item["before"],
            {key: item[key] for key in ("found", "before", "after", "do")} | {"drift": item["kind"]},
        )
        for item in found
    ]
    if known.facts["mode"] != facts["mode"] and not any(one["type"] == "mode_change" for one in events):
        change = {"before": known.facts["mode"], "after": facts["mode"], "drift": None}
        events.append(event("mode_change", about, known.facts["mode"], change))
    return events


def _row(
    node: str, facts: Mapping[str, Any] | None, unread: str | None, collected_at: str | None = None
) -> dict[str, Any]:
    """Facts in the form in which drift compares them. How complete a log is, this source says by its holes."""
    return {
        "node": node,
        "mode": facts["mode"] if facts else None,
        "kernel_args": facts["kernel_args"] if facts else None,
        "talos_version": facts["talos_version"] if facts else None,
        "coverage": None,
        "evidence": {"collected_at": collected_at},
        "unread": unread,
    }


def _missing(summary: Summary, early: Summary | None, after: int) -> list[tuple[int, int]]:
    """Runs of serials after the cursor that are neither in a log nor in doubt, as closed intervals."""
    if summary.last_serial is None:
        return []
    seen = union([*summary.seen, *(early.seen if early is not None else ())])
    found = [(max(first, after + 1), last) for first, last in gaps(seen, after + 1) if last > after]
    doubtful = summary.doubtful_serials
    return [
        (first, last)
        for first, last in found
        if not all(n in doubtful for n in range(first, min(last, first + 99) + 1))
    ]


def _settled(
    summary: Summary, missing: Sequence[tuple[int, int]], after: int, waited: int | None
) -> tuple[int, int | None]:
    """How far the log is settled, and the serial that it is still waited for.

    On several processors records come out of order, by at most LATE serials. A number that is missing that near to the
    end is waited for, once: until the next visit.
    """
    last = max(after, summary.last_serial or 0)
    for first, _unused in missing:
        if last - first < LATE and first != waited:
            return first - 1, first
    return last, None


def _lost(summary: Summary, about: Mapping[str, Any], gap: tuple[int, int]) -> Event:
    first, last = gap
    begins = summary.first_serial is not None and first < summary.first_serial
    cause = "the log's ring dropped its oldest records" if begins else "records did not reach the log"
    return _hole(about, first - 1, last + 1, cause)


def _denials(
    summary: Summary,
    after: int,
    until: int,
    about: Mapping[str, Any],
    most: int,
    catalogue: Catalogue,
    version: str,
) -> list[Event]:
    events: list[Event] = []
    for denial in summary.denials:
        fresh = sorted(
            (sample for sample in denial["samples"] if after < (sample["serial"] or 0) <= until),
            key=lambda sample: sample["serial"],
        )
        common = {key: denial[key] for key in ("signature", "source_type", "target_type", "class", "permissions")}
        common |= {"permissive": denial["permissive"], "benign": catalogue.is_benign(denial, version)}
        kind = "enforced_denial" if denial["permissive"] is False else "denial"
        of_serial: Counter[int] = Counter()
        for sample in fresh[:most]:
            # Not its place among all: a record that comes late would change what those behind it are called.
            number = of_serial[sample["serial"]]
            of_serial[sample["serial"]] += 1
            told = {key: sample.get(key) for key in ("timestamp", "comm", "path", "name", "doubtful")}
            events.append(event(kind, about, (denial["signature"], number), {**common, **told}, sample["serial"]))
        rest = fresh[most:]
        if rest:
            counted = {
                "of": kind,
                "count": len(rest),
                "first_serial": rest[0]["serial"],
                "last_serial": rest[-1]["serial"],
            }
            events.append(
                event("denial_summary", about, denial["signature"], {**common, **counted}, rest[-1]["serial"])
            )
    return events


def _hole(about: Mapping[str, Any], after: int | None, before: int | None, cause: str) -> Event:
    return event("hole", about, (after, before), {"after": after, "before": before, "cause": cause}, before)
