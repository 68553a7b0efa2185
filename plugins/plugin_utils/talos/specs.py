# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The text of a resource becomes data: strictly, in bounded time and memory, and never as code.

The text comes from a machine that may not be the one it should be. Talos writes block style by Go's yaml.v3, without
aliases, tags or repeated keys; whatever has them, or is larger than anything honest, is refused.
"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

from ..problem import missing_library
from ..texts import printable_lines
from ..yaml_loader import LOADER

try:
    import yaml
except ImportError as error:
    _IMPORT_ERROR: ImportError | None = error
else:
    _IMPORT_ERROR = None

_MOST_NODES = 20_000
_DEEPEST = 100
# Go has no integer that is longer, with its sign.
_LONGEST_INTEGER = 20
_PREFIX = "tag:yaml.org,2002:"


def parse_spec(text: str, most_bytes: int = 256 * 1024) -> dict[str, Any] | str:
    """The content of a resource's YAML, made of mappings, lists, texts, integers, finite floats, booleans and None.

    In its texts and keys, what cannot be printed is shown as an escape, except line breaks and tabs.

    Args:
        text: one YAML document.
        most_bytes: how long it may be; what it may hold is bounded too (20,000 nodes, 100 levels).

    Raises:
        ValueError: not one YAML document, or one that is neither a mapping nor a text, or too large, or with aliases,
            foreign tags, repeated keys, keys that are no texts, or numbers that no node writes. The message is the
            second half of a sentence and quotes nothing.
    """
    if _IMPORT_ERROR is not None:
        raise missing_library("PyYAML", _IMPORT_ERROR)
    if len(text) > most_bytes or len(text.encode("utf-8", "surrogatepass")) > most_bytes:
        raise ValueError(f"is longer than {most_bytes // 1024} KiB")
    loader = core_loader()
    try:
        if _may_be_a_bomb(text):
            _defuse(text, loader)
        value = yaml.load(text, Loader=loader)
    except _Unfit as unfit:
        raise ValueError(str(unfit)) from None
    except (yaml.YAMLError, RecursionError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        # The parser's message quotes the text, which may be a secret.
        raise ValueError("is not YAML") from None
    if isinstance(value, (dict, str)):
        return value
    raise ValueError(f"is a YAML {type(value).__name__}, not a mapping or a text")


class _Unfit(ValueError):
    """YAML that a node does not write; the message is the second half of a sentence."""


def _may_be_a_bomb(text: str) -> bool:
    """Cheap upper bounds: honest resources pass without being parsed twice."""
    # A node takes at least one character.
    if "*" in text or len(text) > _MOST_NODES:
        return True
    indent = max((len(line) - len(line.lstrip(" ")) for line in text.splitlines()), default=0)
    return indent + sum(text.count(opener) for opener in "[{-?") > _DEEPEST


def _defuse(text: str, loader: Any) -> None:
    """Refuse aliases, where a few lines can stand for gigabytes, nesting that overflows the C loader's stack, and more
    nodes than can be made into objects within a call's time.

    The events are read without recursion, so looking is safe.
    """
    depth = nodes = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            raise _Unfit("has aliases")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise _Unfit(f"is nested more than {_DEEPEST} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            continue
        nodes += 1
        if nodes > _MOST_NODES:
            raise _Unfit(f"has more than {_MOST_NODES} nodes")


@cache
def core_loader() -> Any:
    """A safe YAML loader with the core types of YAML 1.2, which is what Go writes: no dates, no yes/no booleans."""
    construct = yaml.constructor.SafeConstructor
    constructors = {
        f"{_PREFIX}null": construct.construct_yaml_null,
        f"{_PREFIX}bool": construct.construct_yaml_bool,
        f"{_PREFIX}int": _integer,
        f"{_PREFIX}float": _float,
        f"{_PREFIX}str": _text,
        # What Go writes for a text that is not UTF-8: it stays the base64 that it is.
        f"{_PREFIX}binary": construct.construct_yaml_str,
        f"{_PREFIX}seq": construct.construct_yaml_seq,
        f"{_PREFIX}map": _mapping,
        None: construct.construct_undefined,
    }
    loader: Any = type(
        "Loader",
        (LOADER,),
        {"yaml_implicit_resolvers": {}, "yaml_constructors": constructors, "yaml_multi_constructors": {}},
    )
    for tag, pattern, first in (
        ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
        ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
        ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", list("-+0123456789")),
        (
            "float",
            r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
            list("-+.0123456789"),
        ),
    ):
        loader.add_implicit_resolver(_PREFIX + tag, re.compile(f"^(?:{pattern})$"), first)
    return loader


def _mapping(loader: Any, node: Any) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise _Unfit("has keys that are no texts")
        if key in value:
            raise _Unfit("has a key twice")
        value[key] = loader.construct_object(value_node, deep=True)
    return value


def _text(loader: Any, node: Any) -> str:
    # Line breaks stay, since a schematic is a text of several lines whose hash is compared.
    return printable_lines(loader.construct_scalar(node))


def _integer(loader: Any, node: Any) -> int:
    text = loader.construct_scalar(node)
    if len(text) > _LONGEST_INTEGER:
        raise _Unfit("has a number that is too long")
    # PyYAML would read 010 as octal and 1:30 as sixty-based; Go means neither.
    return int(text, 16) if text.startswith("0x") else int(text)


def _float(loader: Any, node: Any) -> float:
    value = float(loader.construct_scalar(node).lower().replace(".inf", "inf").replace(".nan", "nan"))
    # JSON, in which evidence is kept, has neither infinity nor NaN.
    if not math.isfinite(value):
        raise _Unfit("has a number that is not finite")
    return value
