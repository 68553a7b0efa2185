# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an evidence document has exactly the fields and types of the schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import schema

# An object that holds only those of its keys that the node has.
PARTIAL = "volumes."


def deviations(value: Any, shape: Any = schema.EVIDENCE, place: str = "") -> Iterator[str]:
    """Where a document has other fields or types than the schema; a value may be null."""
    if value is None or shape == "any":
        return
    if not schema.conforms(value, shape):
        yield f"{place} is not of its type"
    elif isinstance(shape, dict):
        yield from (f"{place}{key} is not in the schema" for key in value.keys() - shape.keys())
        if place != PARTIAL:
            yield from (f"{place}{key} is missing" for key in shape.keys() - value.keys())
        for key in shape.keys() & value.keys():
            yield from deviations(value[key], shape[key], f"{place}{key}.")
    elif isinstance(shape, list):
        for item in value:
            yield from deviations(item, shape[0], place)
