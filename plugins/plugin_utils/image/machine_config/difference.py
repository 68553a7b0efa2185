# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a configuration differs from what a node runs, out of the unified diff that a dry run answers with.

The diff shows both configurations in plain text around every difference, three lines of context each. Every changed
line is put to its document and path, by following the lines from the place in our own configuration where they fit.
What cannot be placed is never left out: then the whole diff counts as not understood.

Sources: ``pkg/machinery/textdiff`` (1.12+: ``neticdk/go-stdlib`` diff), ``pkg/machinery/config/configdiff`` (1.10 and
1.11: ``hexops/gotextdiff``), which write the hunk headers differently.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...quoted import MASK
from .document import Configuration, label
from .masking import visible
from .rendering import ITEM, TEXT, NotALine, Position, Said, local, rendered, walk

#: A diff of two configurations of one node is short; a longer one is that of another node's file.
_MOST_CHARACTERS = 4_000_000
_MOST_CHANGED = 4_000

_HUNK = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_NO_NEWLINE = "\\ No newline at end of file"

# What Talos writes for a key that nobody gave.
_EMPTY = frozenset({"", "null", "~", "false", "0", "0s"})


class NotUnderstood(ValueError):
    """The diff is not one that says, for certain, what differs; the text says why and quotes nothing."""


@dataclass(frozen=True)
class Difference:
    """One place where the configuration that was sent differs from the one that the node runs.

    Attributes:
        document: the document, as ``Kind`` or ``Kind/name``; ``v1alpha1`` for the one without kind.
        path: the keys, joined by dots; ``[]`` for an item of a list, `` or `` between several possible places. Empty
            where the whole document is on one side only, or in another order among the documents.
        removed: what the node has there, in plain text: secrets.
        added: what the sent configuration has there, in plain text: secrets.
        moved: the same values stand on both sides, in another order or at another of several such places.
        show: whether the values may be shown.
    """

    document: str
    path: str
    removed: tuple[str, ...] = field(repr=False)
    added: tuple[str, ...] = field(repr=False)
    moved: bool = False
    show: bool = False

    def __str__(self) -> str:
        where = f"{self.document} {self.path}".strip()
        if self.moved:
            return f"{where}: in another order"
        if not self.path and not (self.removed and self.added):
            return f"{where}: the whole document is {'only on the node' if self.removed else 'not on the node'}"
        old, new = self._shown(self.removed), self._shown(self.added)
        if not self.removed:
            return f"{where}: added {new}"
        if not self.added:
            return f"{where}: removed {old}"
        return f"{where}: {old} -> {new}"

    def _shown(self, values: tuple[str, ...]) -> str:
        return ", ".join(value if self.show else MASK for value in dict.fromkeys(values if self.show else values[:1]))


@dataclass(frozen=True)
class _Hunk:
    """``start`` is the line number in the sent configuration, ``lines`` have their mark (blank, ``+``, ``-``) apart."""

    start: int
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Line:
    """A line of one side, put to its place."""

    document: str
    kind: str | None
    path: tuple[str, ...]
    value: str | None


def differences(diff: str, sent: str) -> list[Difference]:
    """What differs, by document and path.

    Args:
        diff: the diff as the node answered it, without the summary in front.
        sent: the configuration that was sent.

    Raises:
        NotUnderstood: some of the diff could not be put to a place, or it is no diff.
    """
    if len(diff) > _MOST_CHARACTERS:
        raise NotUnderstood(f"it is longer than {_MOST_CHARACTERS} characters")
    hunks = _hunks(_COLOUR.sub("", diff).replace("\r\n", "\n"))
    if sum(mark != " " for hunk in hunks for mark, _text in hunk.lines) > _MOST_CHANGED:
        raise NotUnderstood(f"more than {_MOST_CHANGED} lines differ, so it is the file of another node")
    ours = _Ours(Configuration(sent))
    found = _Found()
    for hunk in hunks:
        found.take(ours.place(hunk))
    return found.differences()


@dataclass(frozen=True)
class _Place:
    document: str
    kind: str | None
    path: tuple[str, ...]


class _Found:
    """What the hunks said, by place."""

    def __init__(self) -> None:
        self.removed: dict[_Place, list[str]] = defaultdict(list)
        self.added: dict[_Place, list[str]] = defaultdict(list)
        self.moved: set[_Place] = set()

    def take(self, reading: _Reading) -> None:
        """Add what one hunk says."""
        for values, lines in ((self.removed, reading.removed), (self.added, reading.added)):
            for line in lines:
                values[_place(line)].append(line.value or "")
        self.moved.update(_place(line) for line in reading.moved)

    def differences(self) -> list[Difference]:
        """One difference for each place, or for each whole document, in order."""
        self._drop_empty(self.removed, self.added)
        self._drop_empty(self.added, self.removed)
        whole = {place.document for side in (self.removed, self.added) for place in side if place.path == ("kind",)}
        found: dict[_Place, Difference] = {}
        for place in sorted({*self.removed, *self.added, *self.moved}, key=lambda place: (place.document, place.path)):
            old, new = tuple(self.removed.get(place, ())), tuple(self.added.get(place, ()))
            if place.document not in whole:
                same = sorted(old) == sorted(new)
                found[place] = Difference(
                    place.document,
                    ".".join(place.path),
                    () if same else old,
                    () if same else new,
                    moved=same,
                    show=visible(place.kind, tuple("*" if part == ITEM else part for part in place.path)),
                )
                continue
            # A whole document; on both sides it moved, unless its values differ as well.
            at = _Place(place.document, place.kind, ())
            before = found.get(at, Difference(place.document, "", (), (), moved=True))
            old, new = (*before.removed, *old), (*before.added, *new)
            found[at] = Difference(place.document, "", old, new, moved=sorted(old) == sorted(new))
        return list(found.values())

    def _drop_empty(self, side: dict[_Place, list[str]], other: dict[_Place, list[str]]) -> None:
        """Leave out an empty value on one side where the other has something below it."""
        for place in [place for place, values in side.items() if set(values) <= _EMPTY]:
            if any(
                below.document == place.document and below.path[: len(place.path)] == place.path and below != place
                for below in other
            ):
                del side[place]


def _place(line: _Line) -> _Place:
    # The lines of a text are its value.
    return _Place(line.document, line.kind, line.path[:-1] if line.path[-1:] == (TEXT,) else line.path)


def _written_plainly(character: str) -> bool:
    # Talos writes tabs and blanks of any kind into its YAML as they are; files that a node writes often hold tabs.
    return character.isprintable() or character == "\t" or unicodedata.category(character) == "Zs"


def _hunks(diff: str) -> list[_Hunk]:
    lines = diff.split("\n")
    while lines and not lines[-1]:
        lines.pop()
    if lines[:2] != ["--- a", "+++ b"]:
        raise NotUnderstood("it is no unified diff of two configurations")
    found: list[_Hunk] = []
    at = 2
    while at < len(lines):
        header = _HUNK.fullmatch(lines[at])
        if header is None:
            raise NotUnderstood("it holds a line that belongs to no hunk")
        old, new = (1 if count is None else int(count) for count in (header[2], header[4]))
        body: list[tuple[str, str]] = []
        at += 1
        while old or new:
            if at >= len(lines):
                raise NotUnderstood("it ends in the middle of a hunk")
            mark, text = lines[at][:1] or " ", lines[at][1:]
            at += 1
            if mark == _NO_NEWLINE[0]:
                continue
            if mark not in " +-" or (mark != "+" and not old) or (mark != "-" and not new):
                raise NotUnderstood("the lines of a hunk are not as many as its header says")
            old -= mark != "+"
            new -= mark != "-"
            body.append((mark, text))
        if at < len(lines) and lines[at] == _NO_NEWLINE:
            at += 1
        if any(not _written_plainly(character) for _mark, text in body for character in text):
            raise NotUnderstood("it holds control characters")
        found.append(_Hunk(int(header[3]), tuple(body)))
    if not any(mark != " " for hunk in found for mark, _text in hunk.lines):
        raise NotUnderstood("nothing in it differs")
    return found


@dataclass(frozen=True)
class _Reading:
    """What a hunk means at one position: values on one side only, and values that stand elsewhere on the other side."""

    removed: tuple[_Line, ...]
    added: tuple[_Line, ...]
    moved: tuple[_Line, ...]


class _Ours:
    """The sent configuration, as far as placing lines needs it."""

    def __init__(self, config: Configuration) -> None:
        documents = sorted(config.documents, key=lambda document: document.kind is not None)
        self.labels = [(document.label, document.kind) for document in documents]
        lines = rendered(config)
        self.values = {(line.said.document, line.said.path, line.said.value) for line in lines}
        self.paths = {(line.said.document, line.said.path) for line in lines}
        self.starts: dict[Any, list[tuple[int, Position]]] = defaultdict(list)
        for number, line in enumerate(lines):
            key = line.text.strip() if line.said.path[-1:] == (TEXT,) else local(line.text)
            self.starts[key].append((number, line.before))

    def place(self, hunk: _Hunk) -> _Reading:
        """What a hunk means where it fits our configuration best.

        Raises:
            NotUnderstood: it fits nowhere, or at several places that cannot be told as one list.
        """
        lines = _without_next_document(hunk.lines)
        leading = next(index for index, (mark, _text) in enumerate(lines) if mark != " ")
        readings: list[tuple[int, int, _Reading]] = []
        # A context line that Talos writes in its own way may be the first: then the next one is looked for.
        for skipped in range(leading + 1) if hunk.start > 1 else (0,):
            shorter = lines[skipped:]
            for number, position in self._starts(shorter, at_top=hunk.start <= 1):
                read = self._read(shorter, position)
                if read is not None:
                    readings.append((read[0], -abs(number + 1 - hunk.start), read[1]))
            if readings:
                break
        if not readings:
            raise NotUnderstood("a part of it fits nowhere in the configuration that was sent")
        most = max(fits for fits, _near, _reading in readings)
        best = sorted((entry for entry in readings if entry[0] == most), key=lambda entry: entry[1], reverse=True)
        return _as_one([reading for _fits, _near, reading in best])

    def _starts(self, lines: Sequence[tuple[str, str]], *, at_top: bool) -> list[tuple[int, Position]]:
        if at_top:
            return [(0, Position(0, ()))]
        mark, text = lines[0]
        if mark == "-":
            return []
        own = local(text)
        return [*(self.starts.get(own, ()) if own is not None else ()), *self.starts.get(text.strip(), ())]

    def _read(self, lines: Sequence[tuple[str, str]], position: Position) -> tuple[int, _Reading] | None:
        new_side = [(text, mark == "+") for mark, text in lines if mark != "-"]
        old_side = [(text, mark == "-") for mark, text in lines if mark != "+"]
        try:
            new = walk(position, [text for text, _changed in new_side])
            old = walk(position, [text for text, _changed in old_side])
        except NotALine:
            return None
        fits = 0
        for said in new:
            if not said.path or (said.document, said.path, said.value) in self.values:
                fits += 1
            elif (said.document, said.path) not in self.paths and said.value not in _EMPTY:
                # Neither ours nor what Talos writes for a key that nobody gave: the hunk does not belong here.
                return None
        new_lines, old_lines = self._named(new, ours=True), self._named(old, ours=False)
        if new_lines is None or old_lines is None:
            return None
        return fits, _compared(
            [(line, changed) for line, (_text, changed) in zip(old_lines, old_side, strict=True)],
            [(line, changed) for line, (_text, changed) in zip(new_lines, new_side, strict=True)],
        )

    def _named(self, said: Sequence[Said], *, ours: bool) -> list[_Line] | None:
        """The lines with their documents' names, from what the lines themselves say where they do; None if unknown."""
        kinds = {line.document: line.value for line in said if line.path == ("kind",) and line.value}
        names = {line.document: line.value for line in said if line.path == ("name",) and line.value}
        result = []
        for line in said:
            kind: str | None
            if line.document in kinds:
                kind = kinds[line.document]
                known = [text for text, other in self.labels if other == kind]
                text = (
                    known[0]
                    if line.document not in names and len(known) == 1
                    else label(kind, names.get(line.document))
                )
            elif (ours or line.document == said[0].document) and line.document < len(self.labels):
                text, kind = self.labels[line.document]
            else:
                return None
            result.append(_Line(text, kind, line.path, line.value))
        return result


def _compared(old: Sequence[tuple[_Line, bool]], new: Sequence[tuple[_Line, bool]]) -> _Reading:
    """What differs between the two sides of a hunk. Unchanged lines count as well: a diff may align equal lines of
    neighbouring documents in several ways."""
    theirs = Counter(line for line, _changed in old if line.value is not None)
    mine = Counter(line for line, _changed in new if line.value is not None)
    removed, added = theirs - mine, mine - theirs
    moved: Counter[_Line] = Counter()
    for side, only in ((old, removed), (new, added)):
        changed = Counter(line for line, is_changed in side if is_changed and line.value is not None)
        if changed.total() > only.total():
            moved |= changed - only
    lists = [list(removed.elements()), list(added.elements())]
    for side, only_lines in zip((old, new), lists, strict=True):
        # A key that only opens a level differs by what is below it, unless nothing is.
        for line, is_changed in side:
            below = [other for lines in lists for other in lines if other.document == line.document]
            if is_changed and line.value is None and line.path and not any(_is_below(other, line) for other in below):
                only_lines.append(line)
    return _Reading(tuple(lists[0]), tuple(lists[1]), tuple(moved.elements()))


def _is_below(line: _Line, parent: _Line) -> bool:
    return len(line.path) > len(parent.path) and line.path[: len(parent.path)] == parent.path


def _without_next_document(lines: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    """A hunk without the beginning of a document that only its last lines of context show."""
    last = max(index for index, (mark, _text) in enumerate(lines) if mark != " ")
    end = next((index for index in range(last + 1, len(lines)) if lines[index][1] == "---"), len(lines))
    return lines[:end]


def _as_one(readings: Sequence[_Reading]) -> _Reading:
    """Equally good readings as one, whose paths name all the places that are possible."""
    first = readings[0]
    others = [reading for reading in readings if reading != first]
    if not others:
        return first
    groups = []
    for group in ("removed", "added", "moved"):
        columns = [getattr(reading, group) for reading in (first, *others)]
        if len({tuple(line.value for line in column) for column in columns}) != 1:
            raise NotUnderstood("a part of it fits several places of the configuration in different ways")
        groups.append(tuple(_or(lines) for lines in zip(*columns, strict=True)))
    return _Reading(*groups)


def _or(lines: Sequence[_Line]) -> _Line:
    places = list(dict.fromkeys((line.document, ".".join(line.path)) for line in lines))
    if len(places) == 1:
        return lines[0]
    shown = " or ".join(f"{document} {path}" for document, path in places)
    return _Line("", "", (shown,), lines[0].value)
