# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arguments of an event source, checked against its documentation: one description for people and for this."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..problem import Problem
from ..yaml_loader import load_yaml

_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "path": (str,),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "list": (list,),
    "dict": (dict,),
}
_JSON_TYPES = {
    "str": "string",
    "path": "string",
    "bool": "boolean",
    "int": "integer",
    "float": "number",
    "list": "array",
    "dict": "object",
}
#: What ansible-rulebook adds.
_GIVEN = frozenset({"eda_feedback_queue"})


class BadArguments(Problem):
    """The rulebook's arguments are not what the source's documentation describes."""

    kind = "event_source_arguments"


def read_arguments(given: Mapping[str, Any], documentation: str) -> dict[str, Any]:
    """The arguments with their defaults.

    Args:
        given: as the rulebook has them.
        documentation: YAML with ``options`` as in a module's documentation; a number may have a ``minimum``.

    Raises:
        BadArguments: an unknown name, a missing one, another type, a value that is no choice or too small a number.
    """
    options: dict[str, dict[str, Any]] = load_yaml(documentation)["options"]
    unknown = sorted(set(given) - set(options) - _GIVEN)
    if unknown:
        raise _bad(f"{', '.join(unknown)} is no argument of this source", options)
    result: dict[str, Any] = {}
    for name, option in options.items():
        value: Any = given.get(name, option.get("default"))
        if value is None:
            if option.get("required"):
                raise _bad(f"{name} is missing", options)
        elif not isinstance(value, _TYPES[option["type"]]) or (option["type"] != "bool" and isinstance(value, bool)):
            raise _bad(f"{name} is not of the type {option['type']}", options)
        elif "choices" in option and value not in option["choices"]:
            raise _bad(f"{name} is not one of {', '.join(map(str, option['choices']))}", options)
        elif option.get("elements") == "str" and not _texts(value):
            raise _bad(f"{name} is not a list of texts", options)
        elif "minimum" in option and not _is_from(option["minimum"], value):
            raise _bad(f"{name} is not a number from {option['minimum']} on", options)
        result[name] = value
    return result


def schema(name: str, documentation: str) -> dict[str, Any]:
    """The arguments as a JSON schema, from the documentation, for editors and for forms that ask for them.

    Args:
        name: the source, as a rulebook names it.
        documentation: as of :func:`read_arguments`.
    """
    described = load_yaml(documentation)
    options: dict[str, dict[str, Any]] = described["options"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        "description": described["short_description"],
        "type": "object",
        "properties": {key: _property(key, option) for key, option in options.items()},
        "required": [key for key, option in options.items() if option.get("required")],
        "additionalProperties": False,
    }


def _property(name: str, option: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "title": name.replace("_", " ").capitalize(),
        "description": option["description"],
        "type": _JSON_TYPES[option["type"]],
    }
    if "elements" in option:
        found["items"] = {"type": _JSON_TYPES[option["elements"]]}
    if "minimum" in option:
        found["minimum"] = option["minimum"]
    if "choices" in option:
        found["enum"] = option["choices"]
    if "default" in option:
        found["default"] = option["default"]
    return found


def _is_from(minimum: float, value: Any) -> bool:
    return minimum <= float(value) < math.inf


def _texts(value: Any) -> bool:
    return all(isinstance(item, str) for item in value)


def _bad(found: str, options: Mapping[str, Any]) -> BadArguments:
    return BadArguments(
        f"the event source cannot start: {found}",
        "what is not given it would have to guess",
        f"correct the rulebook; the arguments are {', '.join(options)}",
    )
