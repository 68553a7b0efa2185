# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The document that policies talk about: every path an expression may name, with its JSON type.

The shape serves twice. When a policy is loaded, a path that is not in it is a typing error and is refused. When a node
is judged, every path an expression uses must be there, not null and of this type, or the check is unknown: JMESPath
reads a missing value as null, and ``!missing`` or ``missing != 'bad'`` would be true.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from ..evidence.schema import EVIDENCE, TARGET, conforms

Path = tuple[str, ...]
#: Steps of a path that are not keys: every element of a list, every value of an object.
ELEMENT, VALUE = "[]", "*"

_RATED = {
    "name": "string",
    "version": "string",
    "verdict": "string",
    "source": "string",
    "date": "string",
    "workaround": "string",
    "find_out": "string",
}

#: What the gate adds to the evidence before it judges.
ADDED: dict[str, Any] = {
    "now": "string",
    "target": TARGET,
    "policy": {
        "name": "string",
        "report_only": "boolean",
        "verdict_ttl_seconds": "number",
        "max_evidence_age_seconds": "number",
        "soak_seconds": "number",
        "talos_floor": "string",
        "target_floor": "string",
        "boot_paths": ["string"],
        "reviewed_extensions": ["string"],
        "allowed_kernel_args": "any",
    },
    "denials": {"open": ["string"], "waived": ["string"], "benign": ["string"]},
    "compat": {"cni": [_RATED], "csi": [_RATED], "addons": [_RATED], "extensions": [_RATED]},
}

#: A request for an operation on a node (see ``request.py``).
REQUEST: dict[str, Any] = {
    "request": {
        "api": "string",
        "path": "string",
        "mode": "string",
        "labels": ["string"],
        "then": "string",
    }
}

#: Everything an expression of a gate policy may name.
GATE: dict[str, Any] = {**EVIDENCE, **ADDED}


def text_of(path: Path) -> str:
    """``("audit", "denials", "[]", "count")`` as ``audit.denials[].count``."""
    return ".".join(path).replace(f".{ELEMENT}", ELEMENT)


def path_of(text: str) -> Path:
    """The inverse of :func:`text_of`."""
    return tuple(text.replace(ELEMENT, f".{ELEMENT}").split("."))


def at(shape: Any, path: Path) -> Any:
    """The shape at ``path``.

    Raises:
        LookupError: no document has such a path; the text names the nearest key that exists.
    """
    for index, step in enumerate(path):
        if shape == "any":
            return shape
        if step == ELEMENT and isinstance(shape, list):
            (shape,) = shape
        elif step == VALUE and isinstance(shape, dict):
            shape = next(iter(shape.values()))
        elif isinstance(shape, dict) and step in shape:
            shape = shape[step]
        else:
            keys = list(shape) if isinstance(shape, dict) else []
            near = difflib.get_close_matches(step, keys)
            hint = f"; did you mean {near[0]}" if near else ""
            raise LookupError(f"the document has no {text_of(path[: index + 1])}{hint}")
    return shape


def leaves(shape: Any) -> Iterator[Path]:
    """The path of every value in the shape that is neither a list nor an object."""
    if isinstance(shape, dict):
        inner = list(shape.items())
    elif isinstance(shape, list):
        inner = [(ELEMENT, *shape)]
    else:
        yield ()
        return
    for step, below in inner:
        yield from ((step, *path) for path in leaves(below))


def defects(document: Any, path: Path, nullable: frozenset[Path], shape: Any) -> Iterator[str]:
    """Why the value at ``path`` cannot be judged: missing, null or of another type. Nothing when it can.

    Args:
        document: the document to look in.
        path: what an expression needs.
        nullable: paths whose null is an answer (never a missing key).
        shape: the types, as GATE has them.
    """
    yield from _defects(document, path, (), nullable, shape)


def _defects(value: Any, rest: Path, done: Path, nullable: frozenset[Path], shape: Any) -> Iterator[str]:
    if value is None:
        if done not in nullable:
            yield f"{text_of(done)} is not known"
    elif not conforms(value, shape):
        yield f"{text_of(done)} is not of the type that schema 1 gives it"
    elif rest and shape != "any":
        step, inner = rest[0], at(shape, rest[:1])
        if step == ELEMENT:
            for item in value:
                yield from _defects(item, rest[1:], (*done, step), nullable, inner)
        elif step == VALUE:
            for item in value.values():
                yield from _defects(item, rest[1:], (*done, step), nullable, inner)
        elif step in value:
            yield from _defects(value[step], rest[1:], (*done, step), nullable, inner)
        else:
            yield f"{text_of((*done, step))} is missing"
