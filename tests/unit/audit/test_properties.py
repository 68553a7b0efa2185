# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever is done to a complete stream: when an event was lost, the verdict is not ``complete``.

The profile is chosen by HYPOTHESIS_PROFILE: ``default`` (500 examples) or ``nightly`` (10,000).
"""

from __future__ import annotations

import gzip
import os
import random
import re
from functools import cache
from pathlib import Path

import audit_streams as streams
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.coverage import assess
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.records import UNPARSED, read_line
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.scanner import Scanner, summarize
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
EXAMPLES = 10_000 if NIGHTLY else 500
# The nightly run looks for what nobody thought of; every other run must tell a change's author about that change alone.
profile = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=not NIGHTLY, suppress_health_check=list(HealthCheck)
)

FIRST = 5
HEAD = re.compile(rb"type=(\S+) msg=audit\(([0-9]+\.[0-9]{3}):([0-9]+)\): ")
SECONDARY = {b"SYSCALL", b"PATH", b"CWD", b"PROCTITLE", b"EOE"}

operation = st.tuples(
    st.sampled_from(
        [
            "drop line",
            "drop event",
            "drop primaries",
            "duplicate",
            "swap",
            "move",
            "tear",
            "join",
            "alter",
            "renumber",
            "retime",
        ]
    ),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 255),
)


def mutate(lines: list[bytes], operations: list[tuple[str, int, int, int]]) -> list[bytes]:
    lines = list(lines)
    for name, one, two, byte in operations:
        if not lines:
            break
        at, to = one % len(lines), two % len(lines)
        line = lines[at]
        match = HEAD.match(line)
        if name == "drop line":
            del lines[at]
        elif name == "drop event" and match:
            lines = [other for other in lines if b":%s): " % match[3] not in other]
        elif name == "drop primaries" and match:
            lines = [
                other
                for other in lines
                if b":%s): " % match[3] not in other or (found := HEAD.match(other)) is None or found[1] in SECONDARY
            ]
        elif name == "duplicate":
            lines.insert(to, line)
        elif name == "swap":
            lines[at], lines[to] = lines[to], lines[at]
        elif name == "move":
            lines.insert(to, lines.pop(at))
        elif name == "tear":
            cut = two % len(line)
            lines[at] = line[:cut] + b"\n" if byte % 2 else line[cut:]
        elif name == "join" and at + 1 < len(lines):
            lines[at : at + 2] = [line.rstrip(b"\n") + lines[at + 1]]
        elif name == "alter":
            place = two % (len(line) - 1 or 1)
            lines[at] = (line[:place] + bytes([byte]) + line[place + 1 :]).rstrip(b"\n") + b"\n"
        elif name == "renumber" and match:
            lines[at] = line[: match.start(3)] + b"%d" % (two % 80) + line[match.end(3) :]
        elif name == "retime" and match:
            lines[at] = line[: match.start(2)] + b"17%08d.%03d" % (two, byte) + line[match.end(2) :]
    return lines


def intact(lines: list[bytes], events: list[list[bytes]]) -> list[bool]:
    """Per event: does at least one of its primary records stand in the log as it was written?"""
    there = set(b"".join(lines).split(b"\n"))
    found = []
    for event in events:
        primaries = [line for line in event if (match := HEAD.match(line)) and match[1] not in SECONDARY]
        found.append(any(line.rstrip(b"\n") in there for line in primaries))
    return found


def altered_into_another(lines: list[bytes], event: list[bytes]) -> bool:
    """A primary record changed into another well-formed one of the same event: no reader could know (see the docs)."""
    match = HEAD.match(event[0])
    assert match is not None
    for line in b"".join(lines).split(b"\n"):
        found = HEAD.match(line)
        if found and found[3] == match[3] and found[1] not in SECONDARY and read_line(line).kind != UNPARSED:
            return True
    return False


@profile
@given(st.integers(0, 10**9), st.integers(4, 40), st.booleans(), st.lists(operation, min_size=1, max_size=6))
# The blank behind the head of a record is another byte.
@example(0, 4, False, [("alter", 0, 47, 0)])
# An event that goes on into what the block-wise reader leaves for the next block.
@example(
    0,
    6,
    False,
    [
        ("drop line", 0, 0, 0),
        ("drop line", 0, 0, 0),
        ("drop event", 10, 0, 0),
        ("swap", 0, 322, 0),
        ("join", 235, 0, 0),
    ],
)
def test_a_lost_event_is_never_complete(
    seed: int, count: int, users: bool, operations: list[tuple[str, int, int, int]]
) -> None:
    events = streams.service_events(FIRST, count, seed, users)
    lines = mutate([line for event in events for line in event], operations)
    whole = intact(lines, events)
    # The newest events cannot be missed by anyone: nothing after them tells their number.
    last = max((index for index, event in enumerate(events) if _number_stands(lines, event)), default=-1)
    lost = [
        events[index]
        for index in range(last + 1)
        if not whole[index] and not altered_into_another(lines, events[index])
    ]
    found = assess(streams.healthy(service_log=b"".join(lines)))
    if lost:
        assert found["verdict"] != "complete", lost
    counts = summarize(b"".join(lines)).counts
    assert counts["parsed"] + counts["ignored"] + counts["unparsed"] == counts["lines"]


def _number_stands(lines: list[bytes], event: list[bytes]) -> bool:
    match = HEAD.match(event[0])
    assert match is not None
    mark = b":%s): " % match[3]
    return any(mark in line and HEAD.match(line) for line in lines)


@profile
@given(st.integers(0, 10**9), st.integers(4, 60), st.booleans())
def test_an_untouched_stream_is_complete(seed: int, count: int, users: bool) -> None:
    log = b"".join(line for event in streams.service_events(FIRST, count, seed, users) for line in event)
    found = assess(streams.healthy(service_log=log))
    reasons = {reason["id"] for reason in found["reasons"]}
    # A workload's message near the end leaves the newest events unconfirmed.
    assert reasons <= ({"forged"} if users else set())
    assert summarize(log).counts["doubtful"] == 0


@settings(parent=profile, max_examples=max(100, EXAMPLES // 10))
@given(st.integers(0, 10**9), st.integers(20, 80), st.integers(0, 12))
def test_lines_of_neighbouring_events_may_come_in_any_order(seed: int, count: int, reach: int) -> None:
    draw = random.Random(seed)
    lines = [line for event in streams.service_events(FIRST, count, seed) for line in event]
    shuffled = [
        line for _unused, line in sorted((index + draw.randrange(reach + 1), line) for index, line in enumerate(lines))
    ]
    summary, plain = summarize(b"".join(shuffled)), summarize(b"".join(lines))
    for name in ("lines", "parsed", "denied", "events", "doubtful"):
        assert summary.counts[name] == plain.counts[name]
    assert summary.missing == 0
    assert summary.orphans == 0


@settings(parent=profile, max_examples=max(100, EXAMPLES // 10))
@given(st.binary(max_size=4000), st.integers(1, 64))
def test_any_bytes_are_accounted_for(data: bytes, size: int) -> None:
    whole = summarize(data)
    assert whole.counts["parsed"] + whole.counts["ignored"] + whole.counts["unparsed"] == whole.counts["lines"]
    parts = (
        summarize([data[n : n + size] for n in range(0, len(data), size)])
        if not data.startswith(b"\x1f\x8b")
        else whole
    )
    assert parts.counts == whole.counts


def read(log: bytes, size: int, careful: bool, most: int) -> dict[str, object]:
    scanner = Scanner(max_samples=most, careful=careful)
    for start in range(0, len(log), size):
        scanner.feed(log[start : start + size])
    return streams.told(scanner.close())


# An event in the shadow of a message with one line that is not plain, and then one with another time.
@example(55, 14, True, [("alter", 38218, 116562, 0), ("retime", 20, 0, 0)], 1 << 20, 0)
# A damaged AVC record behind other records of its event.
@example(230, 7, False, [("duplicate", 474, 358, 0), ("alter", 3038, 73311, 0)], 1 << 20, 0)
# An event whose end stands twice, the first time among its denials.
@example(
    17,
    5,
    False,
    [("swap", 0, 157, 0), ("duplicate", 0, 191, 0), ("drop line", 0, 0, 0), ("duplicate", 5709, 168, 0)],
    1 << 20,
    0,
)
@profile
@given(
    st.integers(0, 10**9),
    st.integers(1, 60),
    st.booleans(),
    st.lists(operation, max_size=8),
    st.sampled_from([1 << 20, 4096, 700]),
    st.sampled_from([0, 1, 5]),
)
def test_the_fast_way_and_the_careful_way_agree(
    seed: int, count: int, users: bool, operations: list[tuple[str, int, int, int]], size: int, most: int
) -> None:
    """Whole blocks at a time or event by event: the same summary, samples and reasons included."""
    events = streams.service_events(FIRST, count, seed, users)
    log = b"".join(mutate([line for event in events for line in event], operations))
    assert read(log, size, False, most) == read(log, size, True, most)


REAL = sorted((Path(__file__).resolve().parents[2] / "data" / "real-kernel").glob("*.audit.log.gz"))


@settings(parent=profile, max_examples=max(50, EXAMPLES // 20))
@given(
    st.sampled_from(REAL),
    st.integers(0, 10**9),
    st.integers(20, 400),
    st.lists(operation, max_size=12),
    st.sampled_from([1 << 20, 5000]),
)
def test_the_two_ways_agree_on_a_real_log(
    path: Path, start: int, count: int, operations: list[tuple[str, int, int, int]], size: int
) -> None:
    """With forged records, names that hold quotes and blanks, and rare types, as a real kernel wrote them."""
    lines = real_lines(path)
    start %= len(lines)
    log = b"".join(mutate(lines[start : start + count], operations))
    assert read(log, size, False, 5) == read(log, size, True, 5)


@cache
def real_lines(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines(keepends=True)
