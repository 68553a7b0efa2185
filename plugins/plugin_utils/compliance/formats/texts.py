# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the writers share: texts that no consumer can stumble over, and a short word for each result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..results import FAIL, NOT_APPLICABLE, PASS, UNKNOWN, WAIVED

#: The same status in the words that people read.
WORDS = {PASS: "pass", FAIL: "fail", UNKNOWN: "unknown", WAIVED: "waived", NOT_APPLICABLE: "not applicable"}


def visible(value: Any) -> Any:
    """The same data, its keys sorted, in which every character that is not printable is written as an escape.

    Names, labels and log texts come from nodes: control characters, direction marks and lone surrogates are harmless
    only where they are spelt out. XML cannot carry most of them at all.
    """
    if isinstance(value, str):
        if value.isprintable():
            return value
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in value)
    if isinstance(value, Mapping):
        return {visible(key): visible(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [visible(item) for item in value]
    return value


def sentence(result: Mapping[str, Any]) -> str:
    """One result in a line: status, what was found, what was expected, and why it matters."""
    text = f"{WORDS.get(result['status'], result['status'])}: found {result['observed']}; expected {result['expected']}"
    if result["reason"]:
        text += f". {result['reason']}"
    for waiver in result["waivers"]:
        text += f" Waived until {waiver['expires']} by {waiver['owner']} ({waiver['waiver_id']}, {waiver['ticket']})."
    return text


def fleet_sentence(item: Mapping[str, Any]) -> str:
    """One rule over the fleet in a line."""
    if not item["outliers"]:
        return f"{item['status']}: every node alike"
    outliers = ", ".join(f"{outlier['node']} {outlier['status']}" for outlier in item["outliers"][:20])
    more = len(item["outliers"]) - 20
    rest = f" and {more} more" if more > 0 else ""
    return f"inconsistent: most nodes {item['common']}; not so: {outliers}{rest}"
