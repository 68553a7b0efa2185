# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of a policy: compiled for the kind of document that they judge."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..evidence.schema import conforms
from ..talos.versions import parse_version
from . import shape
from .documents import read_policy, unusable
from .expression import Expression, Template

BLOCK, WARN = "block", "warn"
TEXTS = ("title", "found", "reason", "remedy", "doc")
"""The fields of a check that are words for people."""
FIELDS = frozenset(
    {
        *("id", "severity", "enabled", "nullable", "needs", "since", "until"),
        *("assert", "applies_when", "unknown_when", "waived_when"),
        *TEXTS,
    }
)
"""All fields of a check."""
#: What :func:`load_checks` read, by path.
_LOADED: dict[Path, tuple[Check, ...]] = {}


@dataclasses.dataclass(frozen=True)
class Check:
    """One check, compiled. ``raw`` is the YAML mapping it was read from."""

    id: str
    severity: str
    raw: Mapping[str, Any]
    assertion: Expression
    applies_when: Expression | None
    unknown_when: Expression | None
    waived_when: Expression | None
    needs: tuple[shape.Path, ...]
    nullable: frozenset[shape.Path]
    found: Template
    #: The types of the document it was compiled for.
    document_shape: Any

    def text(self, field: str) -> str:
        """One of the texts ``title``, ``reason``, ``remedy``, ``doc``."""
        return str(self.raw[field])


def load_checks(path: Path, document_shape: Any) -> tuple[Check, ...]:
    """The checks of a data file of ours that judges another kind of document (see ``request.py``); read once."""
    if path not in _LOADED:
        _LOADED[path] = tuple(compile_check(item, document_shape, str(path)) for item in read_policy(path)["checks"])
    return _LOADED[path]


def compile_check(item: Mapping[str, Any], document_shape: Any, where: str) -> Check:
    """One check of a policy, or of another file that is written like one, for documents of a shape.

    Raises:
        PolicyProblem: it cannot be used; ``where`` names the file in the message.
    """
    identifier = item["id"]
    if item.get("severity") not in (BLOCK, WARN):
        raise unusable(where, f"the severity of the check {identifier} is neither {BLOCK} nor {WARN}")
    complete = {"doc": "docs/policies.md", **item}
    for field in (*TEXTS, "assert"):
        if not isinstance(complete.get(field), str) or not complete[field].strip():
            raise unusable(where, f"the check {identifier} has no {field}")
    for field in ("since", "until"):
        try:
            if item.get(field) is not None:
                parse_version(item[field])
        except (ValueError, TypeError, AttributeError):
            raise unusable(where, f"{field} of the check {identifier} is not a Talos version such as v1.14.1") from None
    paths = {}
    for field in ("nullable", "needs"):
        texts = item.get(field, [])
        if not conforms(texts, ["string"]):
            raise unusable(where, f"{field} of the check {identifier} is not a list of paths")
        paths[field] = tuple(shape.path_of(text) for text in texts)
        for path in paths[field]:
            try:
                shape.at(document_shape, path)
            except LookupError as problem:
                raise unusable(where, f"{field} of the check {identifier}: {problem}") from None
    nullable = frozenset(paths["nullable"])

    def expression(field: str) -> Expression | None:
        text = item.get(field)
        if text is None:
            return None
        if not isinstance(text, str):
            raise unusable(where, f"{field} of the check {identifier} is not a text")
        return Expression(text, document_shape, nullable)

    assertion = Expression(complete["assert"], document_shape, nullable)
    if not assertion.paths:
        raise unusable(where, f"the assert of the check {identifier} reads nothing from the document")
    unused = nullable - assertion.paths
    if unused:
        listed = ", ".join(sorted(shape.text_of(path) for path in unused))
        raise unusable(where, f"nullable of the check {identifier} lists what its assert does not read: {listed}")
    return Check(
        id=identifier,
        severity=item["severity"],
        raw=complete,
        assertion=assertion,
        applies_when=expression("applies_when"),
        unknown_when=expression("unknown_when"),
        waived_when=expression("waived_when"),
        needs=paths["needs"],
        nullable=nullable,
        found=Template(complete["found"], document_shape, nullable),
        document_shape=document_shape,
    )
