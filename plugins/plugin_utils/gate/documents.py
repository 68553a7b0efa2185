# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the YAML files of the gate, the built-in and the operator's, in which no key is written twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..operator_files import read_text
from ..yaml_loader import LOADER
from .errors import PolicyProblem


class _OnceOnly(LOADER):  # type: ignore[misc]  # either of PyYAML's loaders
    """YAML in which a key written twice is an error: the second would silently win."""


def _mapping(loader: Any, node: yaml.MappingNode) -> dict[Any, Any]:
    keys: list[Any] = []
    for key_node, _unused in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in keys:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is there twice", key_node.start_mark)
        keys.append(key)
    return dict(LOADER.construct_mapping(loader, node))


_OnceOnly.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: str | Path, what: str, *, built_in: Sequence[str] = ()) -> Any:
    """The content of a YAML file in which no key is written twice.

    Args:
        what: what it should be, for messages.
        built_in: the names that would have been no paths; somebody may have mistyped one.

    Raises:
        FileProblem: it cannot be read, decrypted or decoded.
        ValueError, yaml.YAMLError: it is no YAML.
    """
    try:
        why = "the task names it" + (f", and it is none of those built in ({', '.join(built_in)})" if built_in else "")
        return yaml.load(read_text(path, what, why=why), Loader=_OnceOnly)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_policy(path: Path, *, built_in: Sequence[str] = ()) -> dict[str, Any]:
    """The mapping in a file of a policy, or of checks that are written like one's; ``built_in`` as in `read_yaml`.

    Raises:
        FileProblem: it cannot be read, decrypted or decoded.
        PolicyProblem: it is not a YAML mapping.
    """
    try:
        raw = read_yaml(path, "policy", built_in=built_in)
    except (ValueError, yaml.YAMLError) as problem:
        raise unusable(str(path), f"it cannot be read: {' '.join(str(problem).split())}") from None
    if not isinstance(raw, dict):
        raise unusable(str(path), "it is not a YAML mapping")
    return raw


def unusable(where: str, why: str) -> PolicyProblem:
    """The error for a policy that cannot be used: ``where`` names it, ``why`` is a clause."""
    return PolicyProblem(
        f"the gate policy {where} cannot be used: {why}",
        "a policy that is not understood to the letter cannot decide about a wipe",
        "correct the policy; docs/policies.md describes every field",
        policy=where,
    )
