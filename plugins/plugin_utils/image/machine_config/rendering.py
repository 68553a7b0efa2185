# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines of a configuration as Talos writes it, and what each of them says.

Talos encodes what it decoded: no comments, four blanks a level, its own order of keys. A diff shows a few lines of
that, so a line has to be understood from its neighbours: `walk` follows lines from a known position, and `rendered`
says what positions our own configuration has. Source: ``go.yaml.in/yaml/v4``, the emitter's rules of indentation.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ...yaml_loader import LOADER
from .document import Configuration

_STEP = 4
_BLOCK = re.compile(r"(?:(?P<key>.*): +)?[|>][-+0-9]*")

#: Path elements: an item of a list, and the lines of a text of several lines.
ITEM = "[]"
TEXT = "|"


@dataclass(frozen=True)
class Position:
    """Where one is before a line.

    Attributes:
        document: the number of the document, from 0.
        levels: for each open mapping or list the column of its keys or dashes, with the present key or `ITEM`.
        text_column: inside a text of several lines, the column that its lines are right of; else None.
    """

    document: int
    levels: tuple[tuple[int, str], ...]
    text_column: int | None = None

    @property
    def path(self) -> tuple[str, ...]:
        """The keys that are open here."""
        return tuple(name for _column, name in self.levels)


@dataclass(frozen=True)
class Said:
    """What one line says.

    Attributes:
        document: the number of the document.
        path: the keys, `ITEM` for an item of a list, `TEXT` for a line of a text.
        value: the value as a string, ``""`` for an empty one; None for a line that only opens a level.
    """

    document: int
    path: tuple[str, ...]
    value: str | None


class NotALine(ValueError):
    """A line that Talos would not write like this at this position."""


def step(position: Position, line: str) -> tuple[Said, Position]:
    """What a line says at a position, and the position behind it.

    Raises:
        NotALine: it does not belong there.
    """
    column = len(line) - len(line.lstrip(" "))
    if position.text_column is not None:
        if not line.strip() or column > position.text_column:
            return Said(position.document, (*position.path, TEXT), line.strip()), position
        position = dataclasses.replace(position, text_column=None)
    if line == "---":
        return Said(position.document + 1, (), None), Position(position.document + 1, ())
    body = line[column:].rstrip()
    if not body:
        raise NotALine
    levels = [level for level in position.levels if level[0] < column]
    while body == "-" or body.startswith("- "):
        levels.append((column, ITEM))
        rest = body[1:].lstrip(" ")
        column += len(body) - len(rest)
        body = rest
    return _content(position.document, levels, column, body)


def _content(document: int, levels: list[tuple[int, str]], column: int, body: str) -> tuple[Said, Position]:
    names = tuple(name for _column, name in levels)
    block = _BLOCK.fullmatch(body)
    if block is not None:
        if block["key"]:
            levels = [*levels, (column, str(_scalar(block["key"])))]
        outer = levels[-1][0] if levels else -1
        position = Position(document, tuple(levels), outer)
        return Said(document, position.path, None), position
    node = _node(body)
    if isinstance(node, yaml.MappingNode) and not node.flow_style and len(node.value) == 1:
        key, value = node.value[0]
        if not isinstance(key, yaml.ScalarNode):
            raise NotALine
        position = Position(document, (*levels, (column, key.value)))
        opens = isinstance(value, yaml.ScalarNode) and value.start_mark.index == value.end_mark.index
        return Said(document, position.path, None if opens else _value(value)), position
    if not levels or levels[-1][1] != ITEM:
        raise NotALine
    return Said(document, names, _value(node) if node is not None else None), Position(document, tuple(levels))


def walk(position: Position, lines: Sequence[str]) -> list[Said]:
    """What consecutive lines say, from a position on.

    Raises:
        NotALine: one of them does not belong where it stands.
    """
    said: list[Said] = []
    for line in lines:
        found, position = step(position, line)
        said.append(found)
    return said


def local(line: str) -> tuple[int, tuple[str, ...], str | None] | None:
    """What a line says by itself: its column, its own dashes and key, and its value; None for a line of a text."""
    try:
        said, _after = step(Position(0, ()), line)
    except NotALine:
        return None
    return len(line) - len(line.lstrip(" ")), said.path, said.value


@dataclass(frozen=True)
class Line:
    """One line of our configuration as Talos would write it: the position before it, and what it says."""

    text: str
    before: Position
    said: Said


def rendered(config: Configuration) -> list[Line]:
    """Every line our configuration comes to, in its own order of keys.

    The v1alpha1 document comes first, as Talos writes it.
    """
    found: list[Line] = []
    position = Position(0, ())
    documents = sorted(config.documents, key=lambda document: document.kind is not None)
    for number, document in enumerate(documents):
        for text in [*(["---"] if number else []), *_lines(document.data, 0)]:
            said, after = step(position, text)
            found.append(Line(text, position, said))
            position = after
    return found


def _lines(value: Any, column: int) -> Iterator[str]:
    """A mapping in Talos' way of writing; texts and keys are quoted more often, which `step` does not see."""
    for key, item in value.items():
        yield from _entry(" " * column + _quoted(str(key)) + ":", item, column)


def _entry(head: str, item: Any, column: int) -> Iterator[str]:
    inner = _STEP * ((column + _STEP) // _STEP)
    if isinstance(item, dict) and item:
        yield head
        yield from _lines(item, inner)
    elif isinstance(item, list) and item:
        yield head
        yield from _items(item, inner)
    elif isinstance(item, str) and "\n" in item.strip("\n"):
        yield f"{head} |"
        for line in item.rstrip("\n").split("\n"):
            yield " " * inner + line if line else ""
    else:
        yield f"{head} {_inline(item)}"


def _items(items: list[Any], column: int) -> Iterator[str]:
    for item in items:
        dash = " " * column + "-"
        if isinstance(item, dict) and item:
            # The first key stands behind the dash, the others below it.
            lines = list(_lines(item, column + 2))
            yield f"{dash} {lines[0].lstrip()}"
            yield from lines[1:]
        elif isinstance(item, list) and item:
            lines = list(_items(item, column + 2))
            yield f"{dash} {lines[0].lstrip()}"
            yield from lines[1:]
        else:
            yield from _entry(dash, item, column)


def _inline(item: Any) -> str:
    if item is None:
        return "null"
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, dict):
        return "{}"
    if isinstance(item, list):
        return "[]"
    return _quoted(item)


def _quoted(text: str) -> str:
    # JSON's strings are YAML's double-quoted ones.
    return json.dumps(text, ensure_ascii=False)


def _node(body: str) -> yaml.Node | None:
    try:
        node: yaml.Node | None = yaml.compose(body, Loader=LOADER)
    except (yaml.YAMLError, RecursionError, ValueError):
        raise NotALine from None
    return node


def _scalar(text: str) -> str:
    node = _node(text)
    if not isinstance(node, yaml.ScalarNode):
        raise NotALine
    return str(node.value)


def _value(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        # What needs no quotes in one place may have them in the other: "true" and true are told apart by neither.
        return str(node.value)
    if not node.value:
        return ""
    raise NotALine
