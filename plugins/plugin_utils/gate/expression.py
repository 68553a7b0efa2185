# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JMESPath expressions that cannot pass on a missing value.

JMESPath answers null for what is not there, and null makes ``!a``, ``a != 'b'`` and ``!contains(...)`` true or the
whole expression null. So an expression here knows every path it reads (from its syntax tree), and is evaluated only
when all of them are in the document, not null and of the right type.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..problem import missing_library
from . import functions
from .errors import PolicyProblem
from .shape import ELEMENT, VALUE, Path, at, defects

_IMPORT_ERROR: ImportError | None = None

try:
    import jmespath
    import jmespath.exceptions
    import jmespath.functions
except ImportError as error:
    jmespath = None  # type: ignore[assignment]  # whoever needs it is told that it is missing
    _IMPORT_ERROR = error

_HOLE = re.compile(r"\{([^{}]+)\}")
#: A finding quotes what a node said; a hostile or broken node must not fill the operator's terminal.
_LONGEST = 600


class NotKnown(Exception):
    """An expression has no answer; the text says why."""


@dataclasses.dataclass(frozen=True)
class _Where:
    """Which part of the document a part of an expression stands for; ``listed`` when it is a list of such parts."""

    path: Path
    listed: bool = False

    @property
    def element(self) -> Path:
        return self.path if self.listed else (*self.path, ELEMENT)


class Expression:
    """One compiled expression over a document of a known shape.

    Args:
        text: the JMESPath expression.
        shape: the document's types (see ``shape.py``).
        nullable: paths whose null is an answer and not a gap.

    Raises:
        PolicyProblem: syntax errors, unknown functions, and paths that no such document has.
    """

    def __init__(self, text: str, shape: Any, nullable: Iterable[Path] = ()) -> None:
        if jmespath is None:
            raise missing_library("jmespath", _IMPORT_ERROR)
        self.text = text
        self._shape = shape
        self._nullable = frozenset(nullable)
        try:
            self._compiled = jmespath.compile(text)
        except jmespath.exceptions.JMESPathError as problem:
            raise _unusable(text, f"JMESPath cannot read it: {_one_line(problem)}") from None
        paths: set[Path] = set()
        self._walk(self._compiled.parsed, _Where(()), paths)
        #: Every path the expression reads.
        self.paths = frozenset(paths)

    def evaluate(self, document: Mapping[str, Any], now: dt.datetime) -> Any:
        """The expression's value.

        Raises:
            NotKnown: a path it reads is missing, null or of another type, or the evaluation failed.
        """
        gaps = sorted({gap for path in self.paths for gap in defects(document, path, self._nullable, self._shape)})
        if gaps:
            raise NotKnown("; ".join(gaps))
        library = _library()
        library.now = now
        try:
            return self._compiled.search(document, options=jmespath.Options(custom_functions=library))
        except (jmespath.exceptions.JMESPathError, ValueError, TypeError, ArithmeticError, re.error) as problem:
            raise NotKnown(f"the expression cannot be evaluated: {_one_line(problem)}") from None

    def _walk(self, node: Any, scope: _Where | None, paths: set[Path]) -> _Where | None:
        """Collect the paths that ``node`` reads; returns the part of the document it stands for, None if computed."""
        kind, children = node["type"], node["children"]
        if kind == "field":
            return self._field(node["value"], scope, paths)
        if kind in ("identity", "current"):
            return scope
        if kind in ("subexpression", "pipe"):
            where = scope
            for child in children:
                where = self._walk(child, where, paths)
            return where
        if kind == "index_expression":
            where = self._walk(children[0], scope, paths)
            if children[1]["type"] == "slice":
                return where
            return _Where(where.element) if where is not None else None
        if kind == "flatten":
            (flattened,) = children
            where = self._walk(flattened, scope, paths)
            if where is None:
                return None
            inner = isinstance(at(self._shape, where.path), list) if where.listed else True
            return _Where((*where.path, ELEMENT) if inner else where.path, listed=True)
        if kind in ("projection", "filter_projection", "value_projection"):
            return self._projection(kind, children, scope, paths)
        if kind == "function_expression":
            self._function(node["value"], children, scope, paths)
            return None
        # Literals, and what is made of parts: comparisons, and, or, not, multi-selects.
        for child in children:
            self._walk(child, scope, paths)
        return None

    def _field(self, name: str, scope: _Where | None, paths: set[Path]) -> _Where:
        if scope is None or scope.listed:
            raise _unusable(self.text, f"{name} is a field of a computed value, which cannot be checked for gaps")
        path = (*scope.path, name)
        try:
            at(self._shape, path)
        except LookupError as problem:
            raise _unusable(self.text, str(problem)) from None
        paths.add(path)
        return _Where(path)

    def _projection(self, kind: str, children: Any, scope: _Where | None, paths: set[Path]) -> _Where | None:
        left = self._walk(children[0], scope, paths)
        inside = None
        if left is not None:
            inside = _Where((*left.path, VALUE) if kind == "value_projection" else left.element)
        if kind == "filter_projection":
            self._walk(children[2], inside, paths)
        right = self._walk(children[1], inside, paths)
        return _Where(right.path, listed=True) if right is not None and not right.listed else None

    def _function(self, name: str, children: Any, scope: _Where | None, paths: set[Path]) -> None:
        if name not in _class().FUNCTION_TABLE:
            raise _unusable(self.text, f"there is no function {name}")
        where = None
        for child in children:
            if child["type"] != "expref":
                where = self._walk(child, scope, paths) or where
        for child in children:
            if child["type"] == "expref":
                (applied,) = child["children"]
                self._walk(applied, _Where(where.element) if where is not None else None, paths)


class Template:
    """A text with ``{expression}`` holes, for what was found.

    Raises:
        PolicyProblem: as for Expression.
    """

    def __init__(self, text: str, shape: Any, nullable: Iterable[Path] = ()) -> None:
        self._parts = _HOLE.split(text)
        self._holes = [Expression(part, shape, nullable) for part in self._parts[1::2]]

    def render(self, document: Mapping[str, Any], now: dt.datetime) -> str:
        """The text with each hole filled; what has no answer reads ``unknown``. Printable ASCII, of bounded length."""
        texts = list(self._parts)
        for index, hole in enumerate(self._holes):
            try:
                value = hole.evaluate(document, now)
            except NotKnown:
                value = "unknown"
            texts[2 * index + 1] = _shown(value)
        return "".join(texts)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        text = ", ".join(value) or "none"
    safe = text.encode("unicode_escape").decode("ascii")
    return safe if len(safe) <= _LONGEST else f"{safe[:_LONGEST]}... ({len(safe)} characters)"


def _unusable(text: str, why: str) -> PolicyProblem:
    return PolicyProblem(
        f"the expression {text!r} cannot be used: {why}",
        "an expression that cannot be checked for gaps could pass on a missing value",
        "correct the expression; docs/policies.md lists the paths and functions",
        expression=text,
    )


def _one_line(problem: Exception) -> str:
    return " ".join(str(problem).split())


@functools.cache
def _class() -> Any:
    """JMESPath's own functions and those of ``functions.py``, as the class the library wants."""
    members: dict[str, Any] = {}
    for name, (function, types, _unused) in functions.FUNCTIONS.items():
        members[f"_func_{name}"] = _typed(function, types)

    def seconds_since(self: Any, text: str) -> float:
        return functions.seconds_since(text, self.now)

    seconds_since.signature = ({"types": ["string"]},)  # type: ignore[attr-defined]  # as jmespath wants it
    members["_func_seconds_since"] = seconds_since
    known = jmespath.functions.Functions
    return type(known.__name__, (known,), members)


def _library() -> Any:
    return _class()()


def _typed(function: Any, types: tuple[str, ...]) -> Any:
    def call(self: Any, *arguments: Any) -> Any:
        return function(*arguments)

    call.signature = tuple({"types": [kind]} for kind in types)  # type: ignore[attr-defined]  # likewise
    return call
