# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One line of an audit log: which records it holds, in whichever of its forms it reached us.

Everything here takes and gives bytes: the log is written by whoever runs on the node.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass, field

from .avc import parse_avc
from .record_types import NAMES, UNDERSTOOD, is_known, is_user

# The blank behind a head may be gone where it ended the line.
_COLON = rb":(?: |\Z|(?=type=|audit: ))"
_HEAD = re.compile(
    rb"type=([A-Z][A-Z0-9_]{0,47}|UNKNOWN\[[0-9]{1,5}\]) msg=audit(\(([0-9]{1,12}\.[0-9]{3}):([0-9]{1,12})\))" + _COLON
)
_RING = re.compile(rb"audit: type=([0-9]{1,5}) audit(\(([0-9]{1,12}\.[0-9]{3}):([0-9]{1,12})\))" + _COLON)
_MARK = re.compile(rb"type=(?:[A-Z][A-Z0-9_]{0,47}|UNKNOWN\[[0-9]{1,5}\]) msg=audit\(|audit: type=[0-9]{1,5} audit\(")
# What may stand before a record: line numbers and file names of grep, node names, times, syslog and ring marks.
_PREFIX = re.compile(rb"[ \t]*[-A-Za-z0-9_.:/\[\]<>,+% \t]{0,240}")
# The kernel's line as dmesg prints it (also with -T and -x), and as Talos' API does, behind what grep and talosctl put
# in front.
_KERNEL_LINE = re.compile(
    rb"[ \t]*(?:(?:[-A-Za-z0-9_./]{1,200}:)?[0-9]{1,9}[:-])?(?:[-A-Za-z0-9_.:/%\[\]]{1,200}: )?"
    rb"(?:(?:<(?P<level>[0-9]{1,3})>|(?P<plain>[a-z][a-z0-9]{1,9}) *:[a-z]{3,9} *: )?"
    rb"\[(?: *[0-9]{1,9}\.[0-9]{1,9}|[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} [0-9]{4})\]"
    rb"(?:\[ *[TC][0-9]{1,9}\])? ?|"
    rb"(?P<facility>[a-z][a-z0-9]{1,9}): +[a-z]{3,9}: \[[-0-9T:.Z+ ]{8,40}\]: ?)"
)
_PLAIN_KERNEL = (b"audit: ", b"Linux version ", b"SELinux: ", b"selinux: ", b"kauditd")
LOSS_NOTICE = b"audit backlog limit reached, some audit events may have been lost"

_MOST_JOINED = 64
PARSED, IGNORED, UNPARSED = "parsed", "ignored", "unparsed"


@dataclass(slots=True)
class Record:
    """One audit record in canonical form.

    ``stamp`` is ``b"<seconds>.<milliseconds>"``; ``line`` the record as auditd would write it, no newline.
    ``suspect`` says why this form alone makes the record doubtful (empty: nothing in the form does).
    """

    type: bytes
    key: bytes
    stamp: bytes
    serial: int
    payload: bytes
    suspect: str = ""

    @property
    def line(self) -> bytes:
        """The record as auditd writes it, without a line break."""
        return b"type=" + self.type + b" msg=audit" + self.key + b": " + self.payload


@dataclass(slots=True)
class Line:
    """What a physical line turned out to be: ``kind`` is PARSED, IGNORED or UNPARSED, ``label`` its type or form."""

    kind: str
    label: str
    records: list[Record] = field(default_factory=list)
    text: bytes = b""
    """For kernel messages that are no records: the message without its prefix."""
    joined: bool = False
    """More than one record stood in the line: a line break was lost."""
    user_written: bool = False
    """The kernel ring's own mark says a process wrote this message."""


def read_line(line: bytes) -> Line:
    """Tell what one line (without its newline) is; never raises, and takes time linear in its length."""
    # Files that were joined have the mark of each at the beginning of a line.
    text = line.removeprefix(codecs.BOM_UTF8).rstrip(b"\r")
    if not text.strip(b" \t\x00"):
        return Line(IGNORED, "blank")
    if text.startswith(b"type="):
        return _at(text, 0, _HEAD, Line(PARSED, ""))
    stripped = text.strip()
    if stripped in (b"----", b"--"):
        return Line(IGNORED, "separator")
    if stripped.startswith(b"time->") and b"avc:" not in stripped:
        return Line(IGNORED, "separator")
    if stripped.endswith(b"}"):
        brace = stripped.find(b"{", 0, 256)
        if brace == 0:
            return _json(stripped)
        if brace > 0 and _PREFIX.fullmatch(stripped, 0, brace) and not _KERNEL_LINE.match(text):
            found = _json(stripped[brace:])
            if found.kind != UNPARSED or found.records:
                return found
    mark = _MARK.search(text, 0, 1024)
    kernel = _KERNEL_LINE.match(text) if mark is not None else None
    # In the kernel ring a record stands at the start of its message; further on it is text, of a device for example.
    if mark is not None and (
        _PREFIX.fullmatch(text, 0, mark.start()) if kernel is None else kernel.end() == mark.start()
    ):
        found = Line(PARSED, "")
        if kernel is not None:
            found.user_written = _by_process(kernel)
        return _at(text, mark.start(), _HEAD if text.startswith(b"type=", mark.start()) else _RING, found)
    return _other(text, stripped)


def _at(text: bytes, start: int, form: re.Pattern[bytes], found: Line) -> Line:
    for _unused in range(_MOST_JOINED):
        match = form.match(text, start)
        if match is None:
            found.kind, found.label = UNPARSED, found.label or "torn"
            return found
        type_, key, stamp, serial = match.group(1, 2, 3, 4)
        if form is _RING:
            number = int(type_)
            type_ = NAMES.get(number, b"UNKNOWN[%d]" % number)
        elif not is_known(type_):
            found.kind, found.label = UNPARSED, found.label or "unknown type"
            return found
        # A blank cannot occur inside a quoted kernel string, so a second head means a lost line break; a process' own
        # message may hold anything.
        second = None if is_user(type_) else _MARK.search(text, match.end())
        payload = text[match.end() : second.start() if second else len(text)]
        record = Record(type_, key, stamp, int(serial), payload)
        if found.user_written:
            record.suspect = "a process wrote it to the kernel ring"
        found.records.append(record)
        found.label = found.label or type_.decode()
        if not payload and type_ != b"EOE" and not match[0].endswith(b" "):
            # Cut right behind its head.
            found.kind, found.label = UNPARSED, "torn"
        if (type_ == b"AVC" and parse_avc(payload) is None) or (
            type_ == b"USER_AVC" and b"avc:" in payload and parse_avc(payload, user=True) is None
        ):
            found.kind = UNPARSED
        if second is None:
            break
        found.joined = True
        start = second.start()
        form = _HEAD if text.startswith(b"type=", start) else _RING
    else:
        found.kind = UNPARSED
    if found.kind == PARSED and not found.joined and found.records[0].type not in UNDERSTOOD and b"avc:" not in text:
        found.kind = IGNORED
    return found


def _by_process(match: re.Match[bytes]) -> bool:
    level, facility = match["level"], match["facility"] or match["plain"]
    return (level is not None and int(level) >= 8) or (facility is not None and facility != b"kern")


def _json(text: bytes) -> Line:
    """A line of Talos' log forwarding (internal/app/machined/pkg/runtime/logging: json_lines.go, extract.go).

    Talos itself names the service of a line in ``talos-service``; a ``facility`` without it is the kernel's ring.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return Line(UNPARSED, "json")
    message = document.get("msg", document.get("message")) if isinstance(document, dict) else None
    if not isinstance(message, str):
        return Line(UNPARSED if b"avc:" in text else IGNORED, "json")
    parts = message.encode("utf-8", "surrogatepass").split(b"\n")
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    service, facility = document.get("talos-service"), document.get("facility")
    if b"avc:" not in text:
        if isinstance(service, str) and service != "auditd":
            return Line(IGNORED, "other service")
        if service is None and isinstance(facility, str) and not _MARK.search(parts[0], 0, 1024):
            return Line(IGNORED, "kernel", text=parts[0], user_written=facility != "kern")
    if parts[0].lstrip().startswith(b"{") or len(parts) > _MOST_JOINED * 8:
        return Line(UNPARSED, "json")
    found = read_line(parts[0])
    if isinstance(service, str) and service != "auditd":
        _suspect(found, "another service than auditd wrote it")
    elif service is None and isinstance(facility, str) and facility != "kern":
        found.user_written = True
        _suspect(found, "a process wrote it to the kernel ring")
    for part in parts[1:]:
        # The sender forwards one record a line: a line break inside can only come from the record's text.
        inner = read_line(part)
        for record in inner.records:
            record.suspect = "it stands inside the text of another record"
        found.records += inner.records
        if inner.kind == UNPARSED:
            found.kind = UNPARSED
    if found.kind == IGNORED and b"avc:" in text:
        found.kind = PARSED if found.records else UNPARSED
    return found


def _suspect(found: Line, reason: str) -> None:
    for record in found.records:
        record.suspect = reason
    if found.label == "notice":
        found.kind, found.label = UNPARSED, "text"


# The kernel tells to which device a message belongs on lines of their own (kernel: Documentation/ABI/testing/dev-kmsg),
# and
# Talos passes them on.
_DEVICE = re.compile(rb" (?:SUBSYSTEM|DEVICE)=\S{1,200}\s*")


def _other(text: bytes, stripped: bytes) -> Line:
    kernel = _KERNEL_LINE.match(text)
    body = text[kernel.end() :] if kernel is not None else stripped
    if b"avc:" in text:
        return Line(UNPARSED, "kernel" if kernel else "text", text=body)
    if LOSS_NOTICE in text and len(text) < 400:
        return Line(PARSED, "notice", text=LOSS_NOTICE)
    if kernel is not None:
        return Line(IGNORED, "kernel", text=body, user_written=_by_process(kernel))
    if stripped.startswith(_PLAIN_KERNEL) or _DEVICE.fullmatch(text):
        return Line(IGNORED, "kernel", text=stripped)
    return Line(UNPARSED, "text", text=stripped)
