# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a Kubernetes API selects and patches objects: label and field selectors, JSON and merge patches."""

from __future__ import annotations

import re
from typing import Any

from .kube_kinds import ApiError, Object


def matches_labels(item: Object, selector: str) -> bool:
    """Tell whether a label selector takes an object."""
    labels = item["metadata"].get("labels") or {}
    for term in filter(None, re.split(r",(?![^(]*\))", selector)):
        term = term.strip()
        if found := re.match(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)\Z", term):
            values = {value.strip() for value in found[3].split(",")}
            if (labels.get(found[1]) in values) != (found[2] == "in"):
                return False
        elif "!=" in term:
            key, _unused, value = term.partition("!=")
            if labels.get(key.strip()) == value.strip():
                return False
        elif "=" in term:
            key, value = re.split("==?", term, maxsplit=1)
            if labels.get(key.strip()) != value.strip():
                return False
        elif (term.lstrip("!") in labels) == term.startswith("!"):
            return False
    return True


def matches_fields(item: Object, selector: str) -> bool:
    """Tell whether a field selector takes an object. Raises ApiError for what is none."""
    for term in filter(None, selector.split(",")):
        found = re.match(r"([\w.]+)(==|=|!=)(.*)\Z", term)
        if found is None:
            raise ApiError(400, "BadRequest", f"invalid field selector: {term!r}")
        value: Any = item
        for part in found[1].split("."):
            value = value.get(part, "") if isinstance(value, dict) else ""
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if (text == found[3]) != (found[2] != "!="):
            return False
    return True


def patched(item: Object, patch: Any) -> Object:
    """Apply a JSON patch (a list) or a merge patch; lists of a strategic merge patch are replaced whole."""
    if isinstance(patch, dict):
        merged: Object = _merge(item, patch)
        return merged
    if not isinstance(patch, list):
        raise ApiError(400, "BadRequest", "a patch is an object or a list")
    for step in patch:
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
        target = item
        for part in parents:
            target = target.setdefault(part, {})
        if not isinstance(target, dict):
            raise ApiError(422, "Invalid", "the simulator patches maps only")
        if step["op"] == "remove":
            if last not in target:
                raise ApiError(422, "Invalid", f"the path {step['path']} does not exist")
            del target[last]
        elif step["op"] in ("add", "replace"):
            target[last] = step["value"]
        else:
            raise ApiError(422, "Invalid", f"the simulator knows no patch operation {step['op']!r}")
    return item


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value)
    return result
