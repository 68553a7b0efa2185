# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The functions that gate expressions have beside those of JMESPath itself.

Each is listed in FUNCTIONS with the JMESPath types of its arguments. A wrong type or a value that cannot be read is an
error, which makes the check unknown; no function turns a doubt into true or false.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable
from typing import Any

from ..canonical import canonical_json
from ..talos.versions import TalosVersion, parse_version

_DURATION = re.compile(r"(\d{1,9})(s|m|h|d)")
_ZULU = re.compile(r"[Zz]$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> int:
    """Seconds of a duration: a whole number and one of ``s m h d`` ("90s", "4h", "3d").

    Raises:
        ValueError: the text is not such a duration.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 4h (units: s, m, h, d)")
    return int(match[1]) * _SECONDS[match[2]]


def moment(text: str) -> dt.datetime:
    """The aware time of an ISO 8601 text.

    Raises:
        ValueError: the text is no time, or has no time zone.
    """
    parsed = dt.datetime.fromisoformat(_ZULU.sub("+00:00", text))
    if parsed.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return parsed


def iso(when: dt.datetime) -> str:
    """A time as documents carry it: UTC, whole seconds, ``Z``."""
    return when.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def arg_values(args: list[str], name: str) -> list[str | None]:
    """The values of one kernel parameter, in order; None for an occurrence without ``=``.

    The kernel reads ``-`` and ``_`` in names alike (kernel/params.c), and so does this.
    """
    wanted = _parameter(name)
    pairs = [argument.partition("=") for argument in args]
    return [value if equals else None for key, equals, value in pairs if _parameter(key) == wanted]


def args_outside(args: list[str], allowed: dict[str, list[str]]) -> list[str]:
    """The arguments that set a parameter listed in ``allowed`` to a value that is not listed there.

    A parameter with an empty list is allowed no value at all.
    """
    values = {_parameter(name): list(accepted) for name, accepted in allowed.items()}
    outside = []
    for argument in args:
        key, equals, value = argument.partition("=")
        accepted = values.get(_parameter(key))
        if accepted is not None and not (equals and value.strip('"') in accepted):
            outside.append(argument)
    return outside


def list_sha256(items: list[Any]) -> str:
    """A hash by which a person approves exactly these elements, in whatever order."""
    return hashlib.sha256(canonical_json(sorted(_distinct(items)))).hexdigest()


def _parameter(name: str) -> str:
    return name.strip('"').replace("-", "_")


def _version(text: str) -> TalosVersion:
    return parse_version(text)


def _spelled(text: str) -> str:
    parse_version(text)
    return text.removeprefix("v")


def _distinct(items: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for item in items:
        if item not in kept:
            kept.append(item)
    return kept


#: name -> (function, JMESPath type of each argument, what it answers). ``seconds_since`` gets the clock in
#: expression.py.
FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[str, ...], str]] = {
    "version_at_least": (
        lambda version, floor: _version(version) >= _version(floor),
        ("string", "string"),
        "true when the first version is the second one or later; a pre-release comes before its release",
    ),
    "version_below": (
        lambda version, ceiling: _version(version) < _version(ceiling),
        ("string", "string"),
        "true when the first version comes before the second one",
    ),
    "same_version": (
        lambda one, other: _spelled(one) == _spelled(other),
        ("string", "string"),
        "true when both are the same text of a version, build metadata included, with or without the leading v",
    ),
    "same_minor": (
        lambda one, other: _version(one).release == _version(other).release,
        ("string", "string"),
        "true when both are of one release line (1.14)",
    ),
    "duration": (duration, ("string",), "the seconds of a duration such as 90s, 30m, 4h, 3d"),
    "subset": (
        lambda items, whole: all(item in whole for item in items),
        ("array", "array"),
        "true when every element of the first list is in the second",
    ),
    "intersect": (
        lambda items, other: _distinct([item for item in items if item in other]),
        ("array", "array"),
        "the elements of the first list that are in the second, each once",
    ),
    "difference": (
        lambda items, other: _distinct([item for item in items if item not in other]),
        ("array", "array"),
        "the elements of the first list that are not in the second, each once",
    ),
    "list_sha256": (
        list_sha256,
        ("array-string",),
        "the SHA-256 of the list's canonical JSON, sorted and without repetitions: what approves exactly this list",
    ),
    "has_arg": (
        lambda args, argument: (
            argument.partition("=")[2] in arg_values(args, argument.partition("=")[0])
            if "=" in argument
            else bool(arg_values(args, argument))
        ),
        ("array-string", "string"),
        "true when the kernel arguments hold the parameter (name), or the parameter with that value (name=value)",
    ),
    "arg_values": (
        arg_values,
        ("array-string", "string"),
        "the values of a kernel parameter in order, null where it has none",
    ),
    "args_outside": (
        args_outside,
        ("array-string", "object"),
        "the kernel arguments whose parameter is a key of the object and whose value is not in its list",
    ),
    "matches": (
        lambda text, pattern: re.search(pattern, text) is not None,
        ("string", "string"),
        "true when the regular expression (Python) is found in the text",
    ),
}


def seconds_since(text: str, now: dt.datetime) -> float:
    """Seconds from an ISO 8601 time to ``now``; negative for a time to come."""
    return (now - moment(text)).total_seconds()
