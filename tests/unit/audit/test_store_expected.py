# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many histories of a store: what each read adds, where holes are, and which boot a look is stored under."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from pathlib import Path
from typing import Any

import audit_streams as streams
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.stream import StoreError
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.boots import Look
from expected import require_expected

HISTORIES = 14
NOON = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)


def service(draw: random.Random) -> bytes:
    """All that auditd writes in a boot."""
    lines = []
    for one in streams.service_events(5, 60, draw.randrange(99), users=True):
        lines += one
        if draw.random() < 0.05:
            lines.append(draw.choice([b"\n", b"\xff no record\r\n", lines[-1], b"audit backlog limit reached\n"]))
    return b"".join(lines)


def kernel(draw: random.Random) -> bytes:
    """All that the kernel prints in a boot."""
    lines = streams.kernel_ring().splitlines(keepends=True)
    for second in range(60):
        when = b"kern: warning: [2026-11-18T11:07:%02d.%d00Z]: " % (second, draw.randrange(10))
        lines += [
            when + draw.choice([b"usb 1-1: new device", b"net_ratelimit: 3 callbacks suppressed"]) + b"\n"
        ] * draw.choice([1, 1, 1, 2])
    return b"".join(lines)


def part(draw: random.Random, whole: bytes) -> bytes:
    """What one read has of it: a piece, mostly whole lines, and now and then spoilt."""
    lines = whole.splitlines(keepends=True)
    begin = draw.choice([0, 0, draw.randrange(len(lines))])
    piece = lines[begin : begin + draw.choice([5, 30, 120, 400])]
    if draw.random() < 0.1:
        del piece[draw.randrange(len(piece))]
    if draw.random() < 0.1:
        piece[0] = piece[0][draw.randrange(len(piece[0])) :]
    if draw.random() < 0.1:
        piece[-1] = piece[-1][: draw.randrange(len(piece[-1]))]
    if draw.random() < 0.05:
        piece = [line.replace(b"(1795", b"(1796") for line in piece]
    return b"".join(piece)


def told(value: Any) -> str:
    """A value in a line, without what is long."""
    return str(value)[:150]


def history(draw: random.Random, directory: Path) -> list[str]:
    """What happened in a store."""
    store, lines = AuditStore(directory), []
    whole = {"service": service(draw), "kernel": kernel(draw)}
    whole["persisted"] = whole["service"]
    when = NOON
    for _again in range(draw.randrange(2, 7)):
        source = draw.choice(["service", "service", "kernel", "persisted"])
        data = part(draw, whole[source])
        when += dt.timedelta(minutes=draw.choice([1, 60, 600]))
        joins = store.joins("boot", source, data)
        looks = [Look("boot", streams.BOOT)] if draw.random() < 0.8 else []
        begins = draw.choice([None, None, None, True, False])
        try:
            found = store.merge("boot", source, data, collected_at=when, begins=begins, looks=looks)
        except StoreError as problem:
            lines.append(f"  {source} {len(data)} joins {joins}: {told(problem.found)}")
            continue
        lines.append(f"  {source} {len(data)} joins {joins}: {found.appended} appended, {found.other_boots} of others")
        lines += [f"    {hole}" for hole in found.holes]
    kept = store.read("boot")
    lines.append(f"  {kept.first_serial} to {kept.last_serial}, {kept.size} bytes, {len(kept.holes)} holes")
    for name, stream in kept.streams.items():
        digest = hashlib.sha256(b"".join(stream.chunks())).hexdigest()[:12]
        lines.append(f"  {name} {digest} {stream.size} in {len(stream.segments)}, {len(list(stream.lines()))} lines")
    lines += [f"  {window}" for window in kept.windows]
    return lines


def test_many_histories(tmp_path: Path) -> None:
    draw = random.Random(23)
    lines = []
    for number in range(HISTORIES):
        lines += [f"{number}", *history(draw, tmp_path / str(number))]
    require_expected("audit/histories.txt", "\n".join([*lines, ""]))
