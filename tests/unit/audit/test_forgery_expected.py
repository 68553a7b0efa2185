# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many short logs with messages of processes in them: which records are doubted, why, and what is missing.

What is right is said by test_forgery.py. This one notices where a change doubts another record of any of these logs.
"""

from __future__ import annotations

import random
import re

import audit_streams as streams
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.scanner import summarize
from expected import require_expected

LOGS = 320
KEY = re.compile(rb"audit\(([0-9.]+):([0-9]+)\)")
#: By how many numbers and milliseconds a record is off; most are near, where it is hard to tell.
NUMBERS = (-30, -4, -2, -1, 0, 0, 1, 1, 1, 2, 2, 3, 5, 40, 63, 64, 65, 900)
TIMES = (-90_000, -4001, -2000, -1000, -4, -1, 0, 0, 0, 0, 1, 4, 8, 1000, 2001, 90_000)


def key(serial: int, shift: int = 0) -> bytes:
    """Number and time of a record."""
    millis = (streams.BOOT + 5) * 1000 + serial * 4 + shift
    return b"(%d.%03d:%d)" % (millis // 1000, millis % 1000, serial)


def record(draw: random.Random, serial: int) -> bytes:
    """A record near a number, whoever writes it."""
    number = max(1, serial + draw.choice(NUMBERS))
    return streams.avc(number, when=key(number, draw.choice(TIMES)), source="kubelet_t").rstrip(b"\n")


def message(draw: random.Random, serial: int) -> bytes:
    """A message of a process, which may hold line breaks and records, and end as messages do."""
    text = draw.choice([b"hi", b"hi'", b"", b"x" * draw.choice([10, 1000, 9000])])
    for _again in range(draw.choice([0, 1, 1, 1, 2, 3])):
        text += b"\n" + record(draw, serial)
    closing = b"type=USER_LOGIN msg=audit" + key(serial + draw.choice([0, 1, 2]), draw.choice([0, 1]))
    text += draw.choice([b"", b"", b"\n" + closing + b": pid=1 subj=system_u:system_r:pod_t:s0 msg='x"])
    return streams.user(
        serial, text, draw.choice([b"pod_t", b"pod_t", b"unconfined_container_t", b"apid_t", b"init_t"])
    )


def log(draw: random.Random) -> bytes:
    """A dozen events, some of which are messages, late, lost, twice or far from the others."""
    first = draw.choice([1, 5, 70, 1100])
    events: list[bytes] = []
    serial = first
    for _again in range(draw.randrange(5, 16)):
        if draw.random() < 0.25:
            events.append(message(draw, serial))
        elif draw.random() < 0.12:
            events.append(record(draw, serial) + b"\n")
        else:
            events.append(b"".join(streams.event(serial, draw)))
        serial += draw.choice([1] * 12 + [2, 3, 70])
    for _again in range(draw.choice([0, 0, 1, 2])):
        at = draw.randrange(len(events))
        other = draw.randrange(len(events))
        match draw.randrange(4):
            case 0:
                del events[at]
            case 1:
                events[at], events[other] = events[other], events[at]
            case 2:
                events.insert(other, events[at])
            case 3:
                events[at] = events[at].rstrip(b"\n")[draw.randrange(40) :] + draw.choice([b"", b"\n"])
        events = events or [b""]
    return b"".join(events)


def named(text: bytes) -> str:
    """Numbers and times of the records in a text."""
    return " ".join(f"{serial.decode()}@{when.decode()[6:]}" for when, serial in KEY.findall(text)) or repr(text[:20])


def test_what_is_doubted() -> None:
    draw = random.Random(17)
    lines = []
    for number in range(LOGS):
        found = summarize(log(draw), max_samples=0)
        counts = {name: count for name, count in found.counts.items() if count}
        lines.append(f"{number}: {counts} {found.seen} missing {found.missing} unconfirmed {found.unconfirmed}")
        more = {key: getattr(found, key) for key in ("boots", "orphans", "late", "clock_steps", "torn", "torn_first")}
        lines.append(f"  {more} {found.doubt_reasons} {sorted(found.doubtful_serials)}")
        lines.append("  doubted " + ", ".join(sorted(named(line) for line in found.doubt_lines)))
    require_expected("audit/doubted.txt", "\n".join([*lines, ""]))
