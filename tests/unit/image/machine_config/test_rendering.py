# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our configuration line by line, and lines that Talos would not write where they stand."""

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.document import Configuration
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.rendering import (
    ITEM,
    TEXT,
    NotALine,
    Position,
    Said,
    local,
    rendered,
    step,
)

START = Position(0, ())
IN_A_LIST = Position(0, ((0, "a"), (4, ITEM)))


def test_a_list_in_a_list_and_a_key_without_a_value_have_their_lines() -> None:
    found = rendered(Configuration("machine:\n  a: [[x, y], [[z]]]\n  b:\n  c: {}\n  d: []\n  e: yes\n"))
    assert [line.text for line in found] == [
        '"machine":',
        '    "a":',
        '        - - "x"',
        '          - "y"',
        '        - - - "z"',
        '    "b": null',
        '    "c": {}',
        '    "d": []',
        '    "e": "yes"',
    ]
    inner = ("machine", "a", ITEM, ITEM)
    assert [line.said for line in found[2:6]] == [
        Said(0, inner, "x"),
        Said(0, inner, "y"),
        Said(0, (*inner, ITEM), "z"),
        Said(0, ("machine", "b"), "null"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        *("", "   ", "word", '"a"', "[a]", "a: b: c"),
        # A key, or a value on its line, that is no plain word.
        *("[a]: b", "{a: b}: c", "[a]: |", "a: [b]", "a: {b: c}", "a: !x [b"),
    ],
)
def test_a_line_that_talos_would_not_write_is_none(line: str) -> None:
    with pytest.raises(NotALine):
        step(START, line)
    assert local(line) is None


def test_two_keys_on_one_line_are_no_item() -> None:
    """YAML knows line breaks that end no line of a diff."""
    for line in ("    - b: c\u2028d: e", "    - b: c\x85d: e"):
        with pytest.raises(NotALine):
            step(IN_A_LIST, line)
    with pytest.raises(NotALine):
        step(START, "b: c\x85d: e")


def test_a_dash_alone_opens_an_item_and_an_empty_line_is_one_of_a_text_only() -> None:
    said, after = step(IN_A_LIST, "    -")
    assert (said, after.path) == (Said(0, ("a", ITEM), None), ("a", ITEM))
    said, after = step(START, "a: |")
    assert step(after, "")[0] == Said(0, ("a", TEXT), "")
