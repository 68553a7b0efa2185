# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write plain data as Go's YAML v4 encoder does, byte for byte, or not at all.

The ids of the Image Factory are hashes of such a text, so a guess would be another image. What releases of the encoder
write differently, or was not seen, is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .errors import uncertain_schematic

_INDENT = 4

# Words that every release of Go's encoder writes in double quotes, since they read as another type.
_RESERVED = frozenset(
    form for word in ("true", "false", "null") for form in (word, word.capitalize(), word.upper())
) | {
    "~",
    ".nan",
    ".NaN",
    ".NAN",
}
# Words of YAML 1.1: measured, releases of the encoder differ in the kind of quotes (4.0.0-rc.6 against 4.0.0). "=" was
# not measured, and has a type of its own in YAML 1.1.
_UNSURE_WORDS = frozenset(
    form for word in ("y", "n", "yes", "no", "on", "off") for form in (word, word.capitalize(), word.upper())
) | {"<<", "="}
_NUMBER_LIKE = re.compile(r"[-+]?(?:[._]*[0-9]|\.(?:inf|Inf|INF)$)")
_SURE_NUMBER = re.compile(
    r"[-+]?[0-9]+"
    r"|[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?"
    r"|[-+]?[0-9]+[eE][-+]?[0-9]{1,2}"
    r"|0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+"
    r"|[-+]?\.(?:inf|Inf|INF)"
)
# A word that starts like a number but holds a character no number, date or base-60 value can have.
_NOT_A_NUMBER = re.compile(r"[^0-9a-zA-Z_.:+ -]|[g-np-su-wyzG-NP-SU-WY]|^[0-9]+(?:\.[0-9]+){2,}$")
_PRINTABLE = re.compile(r"[ -~]*")
_BLOCK = re.compile(r"[!-~](?:[ -~]|\n)*")
_INDICATORS_ANYWHERE_FIRST = frozenset("#,[]{}&*!|>'\"%@`")


def canonical(data: Mapping[str, Any]) -> str:
    """The text of nested dicts and lists of str, int and bool, in their own order.

    Raises:
        UncertainSchematic: for values whose form in Go's encoder is not certain.
    """
    return "".join(_mapping(data, 0))


def quoted(data: Mapping[str, Any]) -> str:
    """A text that every YAML reader takes for the same data: JSON, which is no canonical form."""
    return _SURROGATES.sub(_one_escape, json.dumps(data, ensure_ascii=True))


def _mapping(data: Mapping[str, Any], indent: int) -> Iterable[str]:
    if len(data) > 1 and not all(re.fullmatch(r"[A-Za-z]+", key) for key in data):
        raise uncertain_schematic("the overlay's options have keys whose order only the factory knows")
    blanks = " " * indent
    for key, value in data.items():
        yield from _entry(f"{blanks}{_scalar(key)}:", value, indent)


def _deeper(indent: int) -> int:
    # Go goes to the next multiple of four, also from a key two columns behind a list's dash.
    return (indent // _INDENT + 1) * _INDENT


def _entry(head: str, value: Any, indent: int) -> Iterable[str]:
    if isinstance(value, Mapping):
        if value:
            yield f"{head}\n"
            yield from _mapping(value, _deeper(indent))
        else:
            yield f"{head} {{}}\n"
    elif isinstance(value, list):
        if value:
            yield f"{head}\n"
            yield from _sequence(value, _deeper(indent))
        else:
            yield f"{head} []\n"
    elif isinstance(value, str) and "\n" in value:
        yield from _block(head, value, _deeper(indent))
    else:
        yield f"{head} {_scalar(value)}\n"


def _sequence(items: Sequence[Any], indent: int) -> Iterable[str]:
    blanks = " " * indent
    for item in items:
        if isinstance(item, Mapping) and item:
            lines = list(_mapping(item, indent + 2))
            yield f"{blanks}- {''.join(lines)[indent + 2 :]}"
        elif isinstance(item, (Mapping, list)):
            raise uncertain_schematic("the schematic holds a list in a list")
        elif isinstance(item, str) and "\n" in item:
            raise uncertain_schematic("the schematic holds a list entry of several lines")
        else:
            yield f"{blanks}- {_scalar(item)}\n"


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if not _PRINTABLE.fullmatch(text):
        raise uncertain_schematic("the schematic holds text beyond printable ASCII")
    if text == "" or text in _RESERVED:
        return f'"{text}"'
    if text in _UNSURE_WORDS:
        raise uncertain_schematic(f"the schematic holds {text!r}, which releases of the factory quote differently")
    if _NUMBER_LIKE.match(text):
        if _SURE_NUMBER.fullmatch(text):
            return f'"{text}"'
        if not _NOT_A_NUMBER.search(text):
            raise uncertain_schematic(f"the schematic holds {text!r}, which may read as a number or a date")
    if _plain(text):
        return text
    return "'" + text.replace("'", "''") + "'"


def _plain(text: str) -> bool:
    """Whether Go's emitter writes a printable ASCII text without quotes in block context."""
    if text[0] == " " or text[-1] == " " or text.startswith(("---", "...")):
        return False
    if text[0] in _INDICATORS_ANYWHERE_FIRST:
        return False
    if text[0] in "-?:" and (len(text) == 1 or text[1] == " "):
        return False
    return not (": " in text or text.endswith(":") or " #" in text)


def _block(head: str, text: str, indent: int) -> Iterable[str]:
    """A literal block: what Go writes for text of several lines, such as an embedded machine configuration."""
    body = text[:-1] if text.endswith("\n") else text
    if not _BLOCK.fullmatch(body) or body.endswith(("\n", " ")) or " \n" in body:
        raise uncertain_schematic(
            "the schematic holds text of several lines that Go's encoder may write in another form"
        )
    yield f"{head} {'|' if text.endswith(chr(10)) else '|-'}\n"
    for line in body.split("\n"):
        yield f"{' ' * indent}{line}\n" if line else "\n"


# JSON writes what lies beyond 16 bits as two escapes, YAML as one; a doubled backslash is no escape.
_SURROGATES = re.compile(r"\\\\|\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")


def _one_escape(match: re.Match[str]) -> str:
    if match[1] is None:
        return match[0]
    high, low = int(match[1], 16), int(match[2], 16)
    return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"
