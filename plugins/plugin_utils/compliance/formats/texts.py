# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the writers share: texts that no consumer can stumble over, and a short word for each result."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

from ..results import FAIL, NOT_APPLICABLE, PASS, UNKNOWN, WAIVED

#: The same status in the words that people read.
WORDS = {PASS: "pass", FAIL: "fail", UNKNOWN: "unknown", WAIVED: "waived", NOT_APPLICABLE: "not applicable"}


#: Control and format characters, blanks other than a space, surrogates, private and reserved ones (Unicode 16, the
#: categories C and Z, and selectors of variants). A list of its own: what Python calls printable differs from release
#: to release, and the bytes must not.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\xa0\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u1680\u180e\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f\u3000\ud800-\uf8ff\ufdd0-\ufdef\ufeff\ufff0-\ufffb\ufffe\uffff\U000110bd\U000110cd"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\U000f0000-\U0010ffff"
    + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 15))
    + "]"
)


class Visible(dict[str, Any]):
    """What :func:`visible` made, so that the writers of one report need not make it once for each of them."""


def visible(value: Any) -> Any:
    """The same data, its keys sorted, in which every character that cannot be seen is written as an escape.

    Names, labels and log texts come from nodes: control characters, direction marks and lone surrogates are harmless
    only where they are spelt out. XML cannot carry most of them at all.
    """
    if isinstance(value, Visible):
        return value
    if isinstance(value, str):
        # Of ASCII every release of Python calls the same printable.
        if value.isascii() and value.isprintable():
            return value
        return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), value)
    if isinstance(value, Mapping):
        return Visible((visible(key), visible(value[key])) for key in sorted(value))
    if isinstance(value, list):
        return [visible(item) for item in value]
    return value


def fleet_name(report: Mapping[str, Any]) -> str:
    """What stands for the whole fleet where else a node's name does: ``*``, and more of them where a node is called so.

    An inventory, a ledger or a verdict may give a node any name; one with this one would have the fleet's results.
    """
    nodes = {row["node"] for row in report["nodes"]}
    return next(name for length in itertools.count(1) if (name := "*" * length) not in nodes)


def listed(labels: Mapping[str, str]) -> str:
    """Free labels in a line."""
    return "; ".join(f"{key}={value}" for key, value in labels.items())


def labels_of(rule: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, str]:
    """The free labels of a result: its rule's, and those of the waivers that it rests on.

    One key may have several texts; they are joined.
    """
    found: dict[str, list[str]] = {}
    for labels in (rule["labels"], *(waiver["labels"] for waiver in result["waivers"])):
        for key, value in labels.items():
            if value not in found.setdefault(key, []):
                found[key].append(value)
    return {key: ", ".join(values) for key, values in found.items()}


def sentence(result: Mapping[str, Any]) -> str:
    """One result in a line: status, what was found, what was expected, and why it matters."""
    text = f"{WORDS.get(result['status'], result['status'])}: found {result['observed']}; expected {result['expected']}"
    if result["reason"]:
        text += f". {result['reason']}"
    return text + waived(result)


def waived(result: Mapping[str, Any]) -> str:
    """Who waived what the result found, until when; nothing where nobody did."""
    text = ""
    for waiver in result["waivers"]:
        named = "; ".join(filter(None, (f"{waiver['waiver_id']}, {waiver['ticket']}", listed(waiver["labels"]))))
        text += f" Waived until {waiver['expires']} by {waiver['owner']} ({named})."
    return text


def fleet_sentence(item: Mapping[str, Any]) -> str:
    """One rule over the fleet in a line."""
    if not item["outliers"]:
        return f"{item['status']}: every node alike"
    outliers = ", ".join(f"{outlier['node']} {outlier['status']}" for outlier in item["outliers"][:20])
    more = len(item["outliers"]) - 20
    rest = f" and {more} more" if more > 0 else ""
    return f"inconsistent: most nodes {item['common']}; not so: {outliers}{rest}"
