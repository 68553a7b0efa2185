# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Texts of others that may quote values of ours, without what they quote.

Who quotes a value may cut it short, wrap it, escape it, encode it, change its case or put something between its parts.
So a text is not searched for whole values: it is read in several ways, and whatever then shares eight characters in a
row with a value, in one of its encodings, is masked.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

MASK = "<masked>"

#: So many characters in a row give a value away; fewer are words by chance.
RUN = 8
#: A shorter value is masked where it stands alone.
SHORTEST = 4
#: Longer values (files, manifests) are looked for as they are, and not in every encoding.
_ENCODED_UP_TO = 8_192
#: Tokens and passwords are shorter than this; they are also looked for in base64 that was encoded once more.
_TWICE_UP_TO = 256

_HEX = "[0-9A-Fa-f]"
_ESCAPE = re.compile(
    rf"\\+(?:x(?P<x>{_HEX}{{2}})|u(?P<u>{_HEX}{{4}})|U(?P<U>{_HEX}{{8}})|(?P<octal>[0-3][0-7]{{2}})|(?P<space>[abfnrtv]))"
    rf"|%(?P<percent>{_HEX}{{2}})|(?P<entity>&(?:#[0-9]{{1,7}}|#[xX]{_HEX}{{1,6}}|quot|amp|apos|lt|gt);)"
)
#: Bytes as numbers, as languages print what they hold in memory.
_NUMBERS = re.compile(r"(?:0[xX][0-9A-Fa-f]{1,2}|[0-9]{1,3})(?:[\s,;]+(?:0[xX][0-9A-Fa-f]{1,2}|[0-9]{1,3})){7,}")
_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]{1,2}|[0-9]{1,3}")
#: What is no letter and no digit.
_BETWEEN = re.compile(r"[\W_]+")
_BREAK = re.compile(r"\\[nrt]")
_WORD_PART = re.compile(r"[A-Za-z0-9+/=_.~%\\-]")

Reading = Iterable[tuple[str, int, int]]
"""A text as somebody may mean it: characters, each with the stretch of the text that it stands for."""


class Quoted:
    """Knows values again where a text quotes them. It holds them: keep it no longer than they are kept."""

    def __init__(self) -> None:
        self._runs: set[str] = set()
        self._short: set[str] = set()

    def learn(self, value: str, shortest: int = SHORTEST) -> None:
        """Mask this value from now on; one of fewer than ``shortest`` characters is too short to be known again."""
        for text in _spellings(value):
            self._runs.update(_runs(text))
        short = value.strip()
        if shortest <= len(short) < RUN:
            self._short.add(short.lower())

    def forget(self, words: Iterable[str]) -> None:
        """Show these words, though they may be part of a value."""
        for word in words:
            self._runs.difference_update(_runs(word))
            self._short.discard(word.lower())

    def masked(self, text: str, limit: int = 600, keep: Sequence[str] = ()) -> str:
        """The text in one line of at most ``limit`` characters, with everything masked that it quotes.

        Args:
            text: somebody's text.
            limit: the most characters of the answer.
            keep: words of our own in the text, such as the node's address, which may also be values.
        """
        hidden = bytearray(len(text))
        for reading in _readings(text):
            for compact in (_seen(reading), _letters(reading)):
                self._hide(list(compact), hidden)
        for word in self._short:
            for match in re.finditer(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", text, re.IGNORECASE):
                hidden[match.start() : match.end()] = b"\1" * len(match[0])
        for word in filter(None, keep):
            for match in re.finditer(re.escape(word), text):
                hidden[match.start() : match.end()] = b"\2" * len(word)
        shown = " ".join(_BREAK.sub(" ", "".join(_without(text, hidden))).split())
        shown = "".join(character if character.isprintable() else " " for character in shown)
        return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."

    def _hide(self, compact: Sequence[tuple[str, int, int]], hidden: bytearray) -> None:
        """Mark what the text shares with a value in one reading."""
        characters = "".join(character for character, _start, _end in compact)
        for at in range(len(characters) - RUN + 1):
            if characters[at : at + RUN] in self._runs:
                first, last = compact[at][1], compact[at + RUN - 1][2]
                hidden[first:last] = b"\1" * (last - first)


def _readings(text: str) -> Iterator[Sequence[tuple[str, int, int]]]:
    """What a text may mean: as it stands, with its escapes resolved, and its rows of numbers as bytes."""
    yield [(character, at, at + 1) for at, character in enumerate(text)]
    # Escapes may have been escaped on the way.
    if _ESCAPE.search(text):
        yield list(_resolved(text))
    for row in _NUMBERS.finditer(text):
        found = _NUMBER.finditer(text, *row.span())
        yield [(chr(int(one[0], 16 if one[0][1:2] in ("x", "X") else 10) & 0xFF), *one.span()) for one in found]


def _resolved(text: str) -> Reading:
    at = 0
    for match in _ESCAPE.finditer(text):
        yield from ((text[index], index, index + 1) for index in range(at, match.start()))
        yield _meant(match), *match.span()
        at = match.end()
    yield from ((text[index], index, index + 1) for index in range(at, len(text)))


def _meant(escape: re.Match[str]) -> str:
    if escape["entity"]:
        return html.unescape(escape["entity"])[:1] or " "
    if escape["space"]:
        return " "
    number = (
        int(escape["octal"], 8)
        if escape["octal"]
        else int(escape["x"] or escape["u"] or escape["U"] or escape["percent"], 16)
    )
    return chr(number) if number < 0x110000 else " "


def _plain(reading: Reading) -> Reading:
    """Without what people do not tell apart: small and capital letters, and other forms of a letter."""
    for character, start, end in reading:
        for one in character if character.isascii() else unicodedata.normalize("NFKC", character):
            yield one.lower()[:1], start, end


def _seen(reading: Reading) -> Reading:
    return (one for one in _plain(reading) if not one[0].isspace())


def _letters(reading: Reading) -> Reading:
    """What stays when anything is put between the parts of a value."""
    return (one for one in _plain(reading) if one[0].isalnum())


def _runs(text: str) -> set[str]:
    plain = (text if text.isascii() else unicodedata.normalize("NFKC", text)).lower()
    seen = "".join(plain.split())
    compacts = {seen, _BETWEEN.sub("", seen)}
    return {compact[at : at + RUN] for compact in compacts for at in range(len(compact) - RUN + 1)}


def _spellings(value: str) -> Iterator[str]:
    """A value as it may be quoted: as it is, decoded and encoded."""
    yield value
    if len(value) > _ENCODED_UP_TO:
        return
    for text in (value, *_decoded(value)):
        yield text
        data = text.encode("utf-8", "replace")
        yield data.hex()
        for encoded in _in_base64(data):
            yield encoded
            if len(value) <= _TWICE_UP_TO:
                yield from _in_base64(encoded.encode())


def _in_base64(data: bytes) -> Iterator[str]:
    # Inside a longer text the groups of three bytes begin at any of three places.
    for shift in range(3):
        yield base64.b64encode(b"\0" * shift + data).decode()[4 if shift else 0 :].rstrip("=")[:-1]


def _decoded(value: str) -> Iterator[str]:
    compact = "".join(value.split())
    if len(compact) < RUN:
        return
    try:
        yield base64.b64decode(compact, validate=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return


def _without(text: str, hidden: bytearray) -> Iterator[str]:
    """The text with each hidden stretch, and the rest of the words it touches, as one mask. 2 marks our own words."""
    index = 0
    while index < len(text):
        mark, stop = hidden[index], index
        while stop < len(text) and hidden[stop] == mark:
            stop += 1
        part = text[index:stop]
        if mark == 1:
            part = MASK
        elif mark == 0:
            if stop < len(text) and hidden[stop] == 1:
                part = part[: len(part) - _touching(reversed(part))]
            if index and hidden[index - 1] == 1:
                part = part[_touching(part) :]
        yield part
        index = stop


def _touching(characters: Iterable[str]) -> int:
    count = 0
    for character in characters:
        if not _WORD_PART.match(character):
            break
        count += 1
    return count
