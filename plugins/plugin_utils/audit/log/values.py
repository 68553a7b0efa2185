# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The values of a record's fields in bytes, and its time; what people are shown of them.

Only :func:`show` makes text, for people, with nothing in it that a terminal would obey.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache


def fields(text: bytes) -> dict[bytes, bytes]:
    """``key=value`` pairs, split at blanks (kernel strings with blanks are hex); the first of a name wins."""
    found: dict[bytes, bytes] = {}
    for part in text.replace(b"\x1d", b" ").split():
        name, equals, value = part.partition(b"=")
        if equals and name not in found:
            found[name] = value
    return found


_HEX = re.compile(rb"[0-9A-F]+\Z")


def decode(value: bytes | None) -> bytes | None:
    """The text of an untrusted string: quoted is literal, unquoted is hex, ``(null)`` is None.

    Kernel: audit_log_untrustedstring.
    """
    if value is None or value in (b"(null)", b""):
        return None
    if value[:1] == b'"':
        return value[1:].removesuffix(b'"')
    if not len(value) % 2 and _HEX.match(value):
        return bytes.fromhex(value.decode("ascii"))
    return value


def show(value: bytes | None) -> str | None:
    """Text for people: UTF-8 where it is, and every control, direction and undecodable byte written as an escape."""
    if value is None:
        return None
    text = value.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    if text.isascii():
        return _CONTROL.sub(_escape_match, text)
    return "".join([char if char.isprintable() else _escape(char) for char in text])


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _escape_match(match: re.Match[str]) -> str:
    return _escape(match[0])


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def moment(stamp: bytes) -> str | None:
    """``b"<seconds>.<milliseconds>"`` as ISO-8601 UTC; None when no calendar has that moment."""
    seconds, _unused, millis = stamp.partition(b".")
    second = _second(seconds)
    return None if second is None else f"{second}.{int(millis or b'0'):03d}Z"


@lru_cache(maxsize=1024)
def _second(seconds: bytes) -> str | None:
    try:
        return datetime.fromtimestamp(int(seconds), UTC).isoformat()[:19]
    except (ValueError, OverflowError, OSError):
        return None


def milliseconds(stamp: bytes) -> int:
    """A record's time in milliseconds since 1970; 0 for no time."""
    seconds, _unused, millis = stamp.partition(b".")
    return int(seconds or b"0") * 1000 + int(millis or b"0")
