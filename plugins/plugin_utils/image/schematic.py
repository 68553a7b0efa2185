# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Image Factory schematics: their id computed offline, and the target's derived by changing only the kernel arguments.

The id is the SHA-256 of the text that the factory writes (``go_yaml.py``) of its own structure
(``schematic_fields.py``). Where that text is not certain, the factory's own answer is what counts.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from . import go_yaml, kernel_args, schematic_fields
from .errors import UncertainSchematic, bad_schematic

ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Schematic:
    """A schematic as plain data in the factory's field order, empty fields dropped.

    Attributes:
        data: nested dicts and lists of str, int, bool; ``customization`` is always there.
    """

    data: Mapping[str, Any]

    @property
    def kernel_args(self) -> tuple[str, ...]:
        """``customization.extraKernelArgs`` in order."""
        return tuple(self.data["customization"].get("extraKernelArgs", ()))

    @property
    def extensions(self) -> tuple[str, ...]:
        """``customization.systemExtensions.officialExtensions`` in order."""
        return tuple(self.data["customization"].get("systemExtensions", {}).get("officialExtensions", ()))

    @property
    def overlay(self) -> str | None:
        """The name of the board overlay, or None."""
        name: str | None = self.data.get("overlay", {}).get("name")
        return name

    @property
    def owner(self) -> str | None:
        """The enterprise owner, which is part of the id, or None."""
        owner: str | None = self.data.get("owner")
        return owner

    def canonical(self) -> str:
        """The canonical YAML text.

        Raises:
            UncertainSchematic: for values whose form in Go's encoder is not certain.
        """
        return go_yaml.canonical(self.data)

    def id(self) -> str:
        """The id as the factory computes it: lower-case hex SHA-256 of `canonical`.

        Raises:
            UncertainSchematic: as `canonical`.
        """
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    def body(self) -> str:
        """A text to send to the factory: canonical, or quoted YAML where the canonical form is uncertain."""
        try:
            return self.canonical()
        except UncertainSchematic:
            return go_yaml.quoted(self.data)

    def shown(self) -> list[str]:
        """The schematic for human eyes, one line each; values that may hold secrets are replaced by a short hash."""
        text: str = yaml.safe_dump(_masked(self.data), sort_keys=False, width=4096)
        return text.splitlines()

    def with_kernel_args(self, args: Sequence[str]) -> Schematic:
        """The same schematic with other ``extraKernelArgs``."""
        customization = {**self.data["customization"], "extraKernelArgs": list(args)}
        return Schematic(schematic_fields.in_order({**self.data, "customization": customization}))


@dataclass(frozen=True)
class Derivation:
    """The schematic a node should get, and the proof that it differs from its present one only in kernel arguments.

    Attributes:
        present, target: the two schematics.
        present_id, target_id: their ids; None where only the factory can tell.
        kernel: what the solver did.
        diff: unified diff of the masked schematics; empty when nothing changes.
    """

    present: Schematic
    target: Schematic
    present_id: str | None
    target_id: str | None
    kernel: kernel_args.Solution
    diff: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether the node's schematic is not yet the wanted one."""
        return self.kernel.changed


def parse(text: str) -> Schematic:
    """Read a schematic (YAML or JSON) as strictly as the factory does, or more so.

    Raises:
        UnknownField: for a field this version does not know.
        UncertainSchematic: for YAML whose reading differs between implementations (anchors, tags, several documents).
        SchematicError: for anything else that is not a schematic.
    """
    return Schematic(schematic_fields.read(text))


def derive(text: str, goal: kernel_args.Goal = "enforcing", *, present_id: str | None = None) -> Derivation:
    """The schematic that reaches ``goal``, from the one a node runs now.

    Args:
        text: the node's schematic, as in the ``extraInfo`` of its extension ``schematic``, or as kept by the factory.
        goal: ``enforcing``, or ``permissive`` for the way back.
        present_id: the id that the node or the factory gave together with the text; None for a text of the operator.

    Raises:
        SchematicError: see `parse`; also when the text does not hash to ``present_id``.
    """
    if present_id is not None and not is_text_of(text, present_id):
        raise bad_schematic(f"the schematic's text does not belong to its id {present_id}")
    present = parse(text)
    solution = kernel_args.solve(present.kernel_args, goal)
    target = present.with_kernel_args(solution.args)
    if target.with_kernel_args(()).data != present.with_kernel_args(()).data:
        raise AssertionError("deriving a schematic changed more than its kernel arguments")
    diff = difflib.unified_diff(present.shown(), target.shown(), "present", "target", lineterm="")
    return Derivation(present, target, known_id(present), known_id(target), solution, tuple(diff))


def known_id(schematic: Schematic) -> str | None:
    """The offline id, or None where only the factory can tell."""
    try:
        return schematic.id()
    except UncertainSchematic:
        return None


def is_text_of(text: str, schematic_id: str) -> bool:
    """Whether a text is the canonical form the id was made from: true for what a node or a factory hands out."""
    return hashlib.sha256(text.encode()).hexdigest() == schematic_id


def _masked(data: Mapping[str, Any]) -> dict[str, Any]:
    customization = dict(data["customization"])
    if "embeddedMachineConfiguration" in customization:
        customization["embeddedMachineConfiguration"] = _digest(customization["embeddedMachineConfiguration"])
    if "extraKernelArgs" in customization:
        customization["extraKernelArgs"] = [kernel_args.masked(arg) for arg in customization["extraKernelArgs"]]
    if "meta" in customization:
        customization["meta"] = [{**entry, "value": _digest(entry["value"])} for entry in customization["meta"]]
    return {**data, "customization": customization}


def _digest(text: str) -> str:
    return f"<{len(text)} characters, sha256 {hashlib.sha256(text.encode()).hexdigest()[:12]}>"
