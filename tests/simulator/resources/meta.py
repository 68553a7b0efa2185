# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What COSI says about its own types and namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import versions
from .table import NAMESPACES, TYPES, Specs, all_aliases, resource

if TYPE_CHECKING:
    from ..node import Node


@resource("Namespaces.meta.cosi.dev", namespace="meta", aliases=("ns",))
def _namespaces(_node: Node) -> Specs:
    return {name: {"description": f"{name} resources."} for name in NAMESPACES}


@resource("ResourceDefinitions.meta.cosi.dev", namespace="meta", aliases=("rd", "rds"))
def _definitions(node: Node) -> Specs:
    result: Specs = {}
    for known in TYPES.values():
        if versions.at_least(node.version, known.since):
            result[known.type.lower()] = {
                "type": known.type,
                "displayType": known.display,
                "aliases": list(known.aliases),
                "allAliases": all_aliases(known),
                "defaultNamespace": known.namespace,
                "printColumns": [{"name": name, "jsonPath": path} for name, path in known.columns],
                "sensitivity": "sensitive" if known.sensitive else "",
            }
    return result
