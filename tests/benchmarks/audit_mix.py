# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make audit logs of any length whose mix is that of a real kernel run.

Whole events of the recorded run are drawn again and again with fresh pids, inodes, commands, names,
times and serials, so that caches of a reader see as many distinct lines as on a real archive.
"""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Iterator
from pathlib import Path

REAL = Path(__file__).resolve().parent.parent / "data" / "real-kernel" / "permissive.audit.log.gz"
_KEY = re.compile(rb"msg=audit\((\d+\.\d{3}:\d+)\)")
_FORGED = (b"audit(1700000000.", b"audit(1700000001.")


def templates(source: Path = REAL) -> list[bytes]:
    """The recorded events, each with placeholders for what is drawn anew; forged lines left out."""
    events: list[list[bytes]] = []
    last = b""
    for line in gzip.decompress(source.read_bytes()).split(b"\n"):
        if not line:
            continue
        line += b"\n"
        if any(mark in line for mark in _FORGED):
            continue
        match = _KEY.search(line)
        key = match[1] if match else b""
        if key != last:
            events.append([])
            last = key
        # A template must be whole: the quote a forger left open is closed.
        if line.startswith(b"type=USER_") and not line.rstrip(b"\n").endswith(b"'"):
            line = line.rstrip(b"\n") + b"'\n"
        events[-1].append(line)
    made = []
    for event in events:
        text = _KEY.sub(b"msg=audit(%%(key)s)", b"".join(event).replace(b"%", b"%%"))
        text = re.sub(rb"\bpid=\d+", b"pid=%(pid)d", text)
        text = re.sub(rb"\bino=\d+", b"ino=%(ino)d", text)
        text = re.sub(rb'\bcomm="([^"]*)"', rb'comm="\g<1>%(n)d"', text)
        text = re.sub(rb'\bname="([^"/]+)"', rb'name="\g<1>-%(ino)d"', text)
        made.append(text.replace(b"msg=audit(%%(key)s)", b"msg=audit(%(key)s)"))
    return made


def mix(lines: int, seed: int = 1, source: Path = REAL) -> Iterator[bytes]:
    """Chunks of a log of at least ``lines`` lines: serials without holes, times that never step back."""
    made = [(text, text.count(b"\n")) for text in templates(source)]
    draw = random.Random(seed)
    serial, clock, written = 1, 1_795_377_000_000, 0
    chunk: list[bytes] = []
    while written < lines:
        text, count = made[draw.randrange(len(made))]
        clock += draw.randrange(0, 9)
        values = {
            b"key": b"%d.%03d:%d" % (clock // 1000, clock % 1000, serial),
            b"pid": draw.randrange(2, 4_000_000),
            b"ino": draw.randrange(2, 10_000_000),
            b"n": draw.randrange(0, 40),
        }
        chunk.append(text % values)
        serial += 1
        written += count
        if len(chunk) == 4096:
            yield b"".join(chunk)
            chunk = []
    yield b"".join(chunk)


def write_mix(path: Path, lines: int, seed: int = 1) -> Path:
    """Write :func:`mix` to ``path`` and return it."""
    with path.open("wb") as handle:
        for chunk in mix(lines, seed):
            handle.write(chunk)
    return path
