# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One decision of the access vector cache, taken apart without being changed: all of it stays bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .values import decode

_AVC = re.compile(rb"avc: {1,2}(denied|granted) {1,2}\{ ?([^{}]{0,4096}?) ?\} for ")
# What follows the contexts may be unreadable; it is taken as far as its end, so that it hides nothing behind it.
_TAIL = re.compile(
    rb" scontext=(?P<source>[^\s'\x1d]{1,4096}) tcontext=(?P<target>[^\s'\x1d]{1,4096})"
    rb"(?: tclass=(?P<tclass>[^\s'\x1d]{0,256}))?(?: permissive=(?P<permissive>[^\s'\x1d]{0,64}))?"
    rb"(?: srawcon=(?P<srawcon>[^\s\x1d]{0,16384}))?(?: trawcon=(?P<trawcon>[^\s\x1d]{0,16384}))?"
    rb"(?P<rest>(?:[\s'\x1d].*)?)\Z",
    re.DOTALL,
)
_CLASS = re.compile(rb"[A-Za-z0-9_?]{1,64}\Z")
# A program may write fields of its own between those of the kernel.
_LATER = re.compile(rb"\s(tclass|permissive|srawcon|trawcon)=([^\s'\x1d]{0,16384})")


@dataclass(slots=True)
class Tail:
    """The end of an AVC record: who, what, of which class."""

    source: bytes
    target: bytes
    tclass: bytes
    permissive: bool | None
    srawcon: bytes | None
    trawcon: bytes | None
    torn: bool
    stray_quote: bool


@dataclass(slots=True)
class Avc:
    """One decision of the access vector cache, still in bytes."""

    verdict: bytes
    permissions: tuple[bytes, ...]
    middle: bytes
    tail: Tail


def parse_tail(tail: bytes, user: bool = False) -> Tail | None:
    """Read `` scontext=... `` to the end of the record; None when a context is missing or cut."""
    match = _TAIL.match(tail)
    if match is None:
        return None
    found: dict[bytes, bytes] = {
        name.encode(): match[name] for name in ("tclass", "permissive", "srawcon", "trawcon") if match[name] is not None
    }
    rest = match["rest"].rstrip(b"\r ")
    stray = False
    if user:
        for name, value in _LATER.findall(match["rest"]):
            found.setdefault(name, value)
    else:
        plain = rest.split(b"\x1d", 1)[0]
        stray = plain.endswith(b"'")
        if plain not in (b"", b"'"):
            return None
    tclass = found.get(b"tclass", b"")
    known = _CLASS.match(tclass) is not None
    return Tail(
        match["source"],
        match["target"],
        tclass if known else b"unknown",
        {b"0": False, b"1": True}.get(found.get(b"permissive", b"")),
        decode(found.get(b"srawcon")),
        decode(found.get(b"trawcon")),
        not known,
        stray,
    )


def parse_avc(payload: bytes, user: bool = False) -> Avc | None:
    """Take an AVC payload apart; None when it is cut or not of this form.

    The contexts are looked for from the end: a file may be called ``scontext=...``, but the kernel writes a name with a
    space in hex, so the last `` scontext=`` is the record's own.
    """
    start = payload.find(b"avc:")
    head = _AVC.match(payload, start)
    if start < 0 or head is None or (start != 0 and not user):
        return None
    cut = payload.rfind(b" scontext=", head.end() - 1)
    if cut < 0 or b"avc: " in payload[head.end() : cut]:
        # A second decision behind the first, whose head and line break were lost: one of the two would be hidden.
        return None
    tail = parse_tail(payload[cut:], user)
    if tail is None:
        return None
    return Avc(head[1], tuple(sorted(set(head[2].split()))), payload[head.end() : cut], tail)
