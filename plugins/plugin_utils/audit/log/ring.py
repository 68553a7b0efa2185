# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel ring as Talos serves it: one record a message, in ``facility: priority: [time]: text``.

A record may hold line breaks, and its text may come from a device or a process, so what stands behind a line break is
never a record of its own. Here a record becomes one line: line breaks within it are written ``\\x0a``, as the kernel
itself writes them in /dev/kmsg (kernel: Documentation/ABI/testing/dev-kmsg).

The time of a record is another one in every read: Talos adds the record's age to a time of boot that it computes from
the clock and the uptime in whole seconds (go-kmsg), so it wavers by a second and follows every step of the clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from .notes import is_first_load
from .records import read_line

BREAK = b"\\x0a"
"""How a line break within a record is written."""

DEFAULT_BYTES = 1 << 18
"""Bytes of text that the ring of Talos' kernel holds (CONFIG_LOG_BUF_SHIFT 18) unless ``log_buf_len`` sets another."""

_HEAD = rb"(?:[A-Za-z0-9\[][-A-Za-z0-9_.:%\[\]]{0,199}: )?[a-z]{3,8}[0-7]?: +[a-z]{3,7}: \[[-0-9T:.Z+]{20,40}\]:"
_LINE = re.compile(rb"([a-z]{3,8}[0-7]?: +[a-z]{3,7}: )\[([-0-9T:.Z+]{20,40})\]: ?(.*)", re.DOTALL)
_CONTINUED = re.compile(rb"\r?\n(?!" + _HEAD + rb"|\Z)")
_STARTS = re.compile(_HEAD)
_SIZE = re.compile(rb"printk: log buffer data \+ meta data: (\d{1,12}) \+")
_ARGUMENT = re.compile(rb"[Cc]ommand line: (?:.* )?log_buf_len=(\d{1,9})([KkMmGg]?)(?: |\Z)")
_LOAD = re.compile(rb"(?m)^kern: [^\n]*: audit: type=1403 [^\n]*")
_UNITS = {b"": 0, b"k": 10, b"m": 20, b"g": 30}


def lines(records: Iterable[bytes]) -> bytes:
    """One line a record, as the store and the scanner take them.

    Args:
        records: as ``NodeClient.dmesg`` gives them: with or without the line end that closes each.
    """
    return b"".join([record.rstrip(b"\n").replace(b"\n", BREAK) + b"\n" for record in records])


def joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """A ring that was kept as text (``talosctl dmesg``), a line a record again; any other log as it is.

    Text does not tell a line break within a record from the end of one, save by what follows it.
    """
    pieces = iter(pieces)
    rest = b""
    for piece in pieces:
        rest += piece
        if len(rest) >= 512:
            break
    if not _STARTS.match(rest):
        yield rest
        yield from pieces
        return
    for piece in pieces:
        block = rest + piece
        # What follows the last line break may go on in the next piece.
        cut = max(block.rfind(b"\n", 0, max(0, len(block) - 512)), 0)
        rest = block[cut:]
        yield _CONTINUED.sub(_escaped, block[:cut]) if cut else b""
        if len(rest) > 1 << 22:
            yield rest
            rest = b""
    yield _CONTINUED.sub(_escaped, rest)


def _escaped(_match: re.Match[bytes]) -> bytes:
    return BREAK


def key(line: bytes) -> bytes:
    """What of a line stays the same in every read: facility, priority and text, without the time."""
    match = _LINE.match(line)
    return line if match is None else match[1] + match[3]


def time_of(line: bytes) -> float | None:
    """The time of a line in seconds since 1970, by the node's clock and within a second; None where it has none."""
    match = _LINE.match(line)
    if match is None:
        return None
    text = re.sub(r"(\.\d{1,6})\d*", r"\1", match[2].decode("ascii")).replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def is_head(line: bytes) -> bool:
    """Whether a line is the first one that a kernel writes."""
    match = _LINE.match(line)
    return match is not None and match[1].startswith(b"kern:") and match[3].startswith(b"Linux version ")


def begins(log: bytes) -> bool:
    """Whether a ring holds all that matters: the kernel's first line, or the boot's first policy load.

    Before that load, record 2 of every real boot, nothing can be denied; what stands behind it was never overwritten.
    """
    if is_head(log[:4096].partition(b"\n")[0]):
        return True
    lines = (read_line(match[0]) for match in _LOAD.finditer(log))
    return any(is_first_load(line.records[0]) for line in lines if line.records and not line.user_written)


def occupied(line: bytes) -> int:
    """Bytes of the ring that a record takes: its text and a number, aligned (kernel/printk/printk_ringbuffer.c)."""
    match = _LINE.match(line)
    text = line if match is None else match[3]
    return (8 + len(text.split(BREAK + b" SUBSYSTEM=")[0]) + 7) & ~7


def capacity(log: bytes) -> int | None:
    """Bytes that the ring holds, as the kernel said when it started; None where its beginning is gone."""
    head = log[:65536]
    said = _SIZE.search(head)
    if said is not None:
        return int(said[1])
    asked = _ARGUMENT.search(head)
    if asked is not None:
        wanted = int(asked[1]) << _UNITS[asked[2].lower()]
        return max(DEFAULT_BYTES, 1 << (wanted - 1).bit_length()) if wanted else DEFAULT_BYTES
    return DEFAULT_BYTES if is_head(log[:4096]) else None
