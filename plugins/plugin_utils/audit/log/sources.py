# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a log may come from, and its bytes."""

from __future__ import annotations

import codecs
import itertools
import zlib
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import IO, Any, Protocol

# Small enough for a block, and what is found in it, to stay in a processor's cache.
BLOCK = 1 << 17

# The mark of UTF-16 is the beginning of that of UTF-32.
_WIDE = (
    ("utf-32", (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),
    ("utf-16", (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
)

Source = bytes | str | PathLike[str] | IO[bytes] | Iterable[bytes]


class Reader(Protocol):
    """Whoever reads a source."""

    broken: str | None


def chunks(source: Source, reader: Reader) -> Iterator[bytes]:
    """The bytes of any source in blocks, unpacked when they are gzip; a file's text as UTF-8 without a mark.

    ``reader.broken`` is set where the gzip data cannot be read to their end.
    """
    if isinstance(source, bytes):
        raw: Iterable[bytes] = (source[start : start + BLOCK] for start in range(0, len(source), BLOCK))
        yield from _unpacked(raw, reader)
    elif isinstance(source, str | PathLike):
        with Path(source).open("rb", buffering=0) as handle:
            yield from _unmarked(_unpacked(iter(lambda: handle.read(BLOCK), b""), reader))
    elif hasattr(source, "read"):
        yield from _unpacked(iter(lambda: source.read(BLOCK), b""), reader)
    else:
        yield from _unpacked(source, reader)


def _unpacked(chunks: Iterable[bytes], reader: Reader) -> Iterator[bytes]:
    unpack: Any = None
    started = False
    for chunk in chunks:
        if not started and chunk:
            started = True
            if chunk.startswith(b"\x1f\x8b"):
                unpack = zlib.decompressobj(wbits=31)
        if unpack is None:
            yield chunk
            continue
        try:
            while chunk:
                made = unpack.decompress(chunk, BLOCK)
                yield made
                chunk = unpack.unconsumed_tail
                if unpack.eof:
                    chunk = unpack.unused_data.lstrip(b"\x00")
                    if chunk:
                        unpack = zlib.decompressobj(wbits=31)
        except zlib.error as error:
            reader.broken = f"the gzip data is damaged ({error})"
            return
    if unpack is not None and not unpack.eof:
        reader.broken = "the gzip data ends early"


def _unmarked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Text files as editors and shells of Windows write them: a byte order mark in front, perhaps UTF-16 or UTF-32."""
    first = b""
    for piece in pieces:
        first += piece
        if len(first) >= 4:
            break
    wide = next((name for name, marks in _WIDE if first.startswith(marks)), None)
    if wide is not None:
        decoder = codecs.getincrementaldecoder(wide)("replace")
        for piece in itertools.chain((first,), pieces):
            yield decoder.decode(piece).encode("utf-8", "surrogatepass")
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
        return
    yield first.removeprefix(codecs.BOM_UTF8)
    yield from pieces
