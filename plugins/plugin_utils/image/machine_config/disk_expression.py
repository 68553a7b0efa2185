# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Expressions by which Talos finds a disk, as far as they can be judged here: a part of the Common Expression Language.

Understood are the fields of a disk, texts, unsigned numbers and their units, ``&& || !``, comparisons, ``in``,
``* + -``, ``glob()``, ``startsWith``, ``endsWith``, ``contains`` and ``exists``. Types are held apart as CEL does: an
expression that compares a size with a signed number is one that Talos refuses. Whatever else there is in it is not
understood, and so is what it would select.

Sources: pkg/machinery/cel/celenv/celenv.go (variables, units, glob) and pkg/machinery/resources/block/disk.go (fields)
of Talos 1.14; the CEL specification.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from ...evidence.disks import FIELDS

_TOKEN = re.compile(
    r"[\t\n\f\r ]*(?:(?P<number>[0-9]{1,20}u?\b)|(?P<text>\"(?:[^\"\\\n]|\\[\"'\\])*\"|'(?:[^'\\\n]|\\[\"'\\])*')"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<sign>&&|\|\||[<>=!]=|[-+*!<>().,\[\]]))",
    re.ASCII,
)
_UNITS = {
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGTPE", 1)},
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("kMGTPE", 1)},
}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARITHMETIC: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_METHODS: dict[str, Callable[[str, str], bool]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": operator.contains,
}
_DEEPEST = 50
#: Values that are read at most, those of each element of a list anew: `exists` in `exists` multiplies them.
_MOST_VALUES = 10_000


class NotUnderstood(Exception):
    """What the expression selects cannot be judged here; the text says why."""


def matches(expression: str, disk: Mapping[str, Any]) -> bool:
    """Whether an expression selects a disk.

    Args:
        expression: ``match`` of a disk selector.
        disk: as ``evidence.disks.disks_of`` gives it. For an installation no disk is the system disk.

    Raises:
        NotUnderstood: it is no such expression, or has a part that is not understood.
    """
    answer = _Reader(expression, disk).whole()
    if not isinstance(answer, bool):
        raise NotUnderstood("it is neither true nor false")
    return answer


def glob(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern, in which ``*`` stands for anything (github.com/ryanuber/go-glob)."""
    first, *others = pattern.split("*")
    if not others:
        return text == pattern
    *middle, last = others
    at, end = len(first), len(text) - len(last)
    if at > end or not (text.startswith(first) and text.endswith(last)):
        return False
    # The first place is the best one, and a regular expression would try all of them.
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


class _Reader:
    """Reads and evaluates at once; both sides of an operator, so that no part remains that is not understood."""

    def __init__(self, expression: str, disk: Mapping[str, Any]) -> None:
        self._tokens = _tokens(expression)
        self._at = 0
        self._depth = 0
        self._values = 0
        self._names: dict[str, Any] = {"system_disk": False, **{name: _Uint(size) for name, size in _UNITS.items()}}
        self._disk = disk

    def whole(self) -> Any:
        value = self._either()
        if self._at != len(self._tokens):
            raise NotUnderstood(f"{self._tokens[self._at][1]} is not understood there")
        return value

    def _next(self) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise NotUnderstood("it ends in the middle")
        self._at += 1
        return self._tokens[self._at - 1]

    def _is(self, *signs: str) -> str | None:
        """The sign or word that comes next, taken, if it is one of these."""
        if self._at < len(self._tokens) and self._tokens[self._at][1] in signs:
            self._at += 1
            return self._tokens[self._at - 1][1]
        return None

    def _need(self, sign: str) -> None:
        if self._is(sign) is None:
            raise NotUnderstood(f"{sign} is missing")

    def _either(self) -> Any:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise NotUnderstood("it is nested too deeply")
        value = self._both()
        while self._is("||"):
            value = _flag(value) | _flag(self._both())
        self._depth -= 1
        return value

    def _both(self) -> Any:
        value = self._compared()
        while self._is("&&"):
            value = _flag(value) & _flag(self._compared())
        return value

    def _compared(self) -> Any:
        value = self._summed()
        while sign := self._is(*_COMPARISONS, "in"):
            other = self._summed()
            if sign == "in":
                if not isinstance(other, list) or not all(type(item) is type(value) for item in other):
                    raise NotUnderstood("in has no list of that kind")
                value = value in other
            elif type(value) is not type(other) or isinstance(value, list):
                raise NotUnderstood(f"{sign} compares two kinds of values")
            else:
                value = _COMPARISONS[sign](value, other)
        return value

    def _summed(self) -> Any:
        value = self._multiplied()
        while sign := self._is("+", "-"):
            value = _calculated(sign, value, self._multiplied())
        return value

    def _multiplied(self) -> Any:
        value = self._single()
        while self._is("*"):
            value = _calculated("*", value, self._single())
        return value

    def _single(self) -> Any:
        signs = 0
        while self._is("!"):
            signs += 1
        value = self._value()
        return _flag(value) is (signs % 2 == 0) if signs else value

    def _value(self) -> Any:
        self._values += 1
        if self._values > _MOST_VALUES:
            raise NotUnderstood("it asks too much")
        if self._is("("):
            value = self._either()
            self._need(")")
        elif self._is("["):
            value = self._list("]")
        else:
            value = self._word(*self._next())
        while self._is("."):
            value = self._method(value, self._next()[1])
        return value

    def _list(self, end: str) -> list[Any]:
        if self._is(end):
            return []
        values = [self._either()]
        while self._is(","):
            values.append(self._either())
        self._need(end)
        return values

    def _word(self, kind: str, token: str) -> Any:
        if kind == "number":
            return _in_range(_Uint(token[:-1]) if token.endswith("u") else int(token))
        if kind == "text":
            return re.sub(r"\\(.)", r"\1", token[1:-1])
        if token in ("true", "false"):
            return token == "true"
        if token == "disk" and self._is("."):
            return self._field(self._next()[1])
        if token == "glob" and self._is("("):
            pattern, text = self._texts(2)
            return glob(pattern, text)
        if token in self._names:
            return self._names[token]
        raise NotUnderstood(f"{token} is not understood")

    def _field(self, name: str) -> Any:
        if name not in FIELDS:
            raise NotUnderstood(f"disk.{name} is not understood")
        value = self._disk[name]
        return _Uint(value) if name == "size" else value

    def _method(self, value: Any, name: str) -> Any:
        if name == "exists" and isinstance(value, list):
            return self._exists(value)
        if name not in _METHODS or not isinstance(value, str):
            raise NotUnderstood(f".{name} is not understood")
        self._need("(")
        return _METHODS[name](value, *self._texts(1))

    def _exists(self, values: list[Any]) -> bool:
        self._need("(")
        kind, name = self._next()
        if kind != "name" or name in self._names or name in ("disk", "glob", "true", "false", "in"):
            raise NotUnderstood(f"{name} cannot be the name of an element")
        self._need(",")
        start, found = self._at, False
        # Also without any element what is asked of each has to be understood.
        for value in values or [""]:
            self._at, self._names[name] = start, value
            found |= _flag(self._either()) and bool(values)
        del self._names[name]
        self._need(")")
        return found

    def _texts(self, number: int) -> list[str]:
        found = self._list(")")
        if len(found) != number or not all(isinstance(text, str) for text in found):
            raise NotUnderstood(f"a function needs {number} texts")
        return found


class _Uint(int):
    """An unsigned number, which CEL does not compare with a signed one."""


def _in_range(number: int) -> int:
    if not 0 <= number < (2**64 if isinstance(number, _Uint) else 2**63):
        raise NotUnderstood("a number is out of range")
    return number


def _tokens(expression: str) -> list[tuple[str, str]]:
    found, at, text = [], 0, expression.rstrip("\t\n\f\r ")
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None or token.lastgroup is None:
            raise NotUnderstood(f"{text[at : at + 10].strip()} is not understood")
        found.append((token.lastgroup, token[token.lastgroup]))
        at = token.end()
    return found


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise NotUnderstood("a part of it is neither true nor false")
    return value


def _calculated(sign: str, one: Any, other: Any) -> Any:
    if type(one) is not type(other) or not isinstance(one, int) or isinstance(one, bool):
        raise NotUnderstood(f"{sign} calculates with two kinds of values")
    return _in_range(type(one)(_ARITHMETIC[sign](one, other)))
