# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text of strangers is shown without obeying it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.texts import (
    inert_all,
    printable,
    printable_all,
    printable_lines,
)
from hypothesis import given
from hypothesis import strategies as st


def test_what_cannot_be_printed_is_escaped() -> None:
    assert printable("a\x1b[0m\tb\u202e\u200b") == "a\\x1b[0m\\tb\\u202e\\u200b"
    assert printable("ok: [node]\r\nok: [other]\u2028\x85\x07\x9b31m") == (
        "ok: [node]\\r\\nok: [other]\\u2028\\x85\\x07\\x9b31m"
    )
    assert printable("Stra\u00dfe \u6771\u4eac") == "Stra\u00dfe \u6771\u4eac"
    assert printable("x" * 9, limit=4) == "xxxx [cut, 9 characters]"
    assert printable(None) == "None"
    assert printable_lines("a\n\tb\x1b\u2066") == "a\n\tb\\x1b\\u2066"
    assert printable_all({"k\x1b": ["\u202e", 1, None, {"n": "x" * 9}]}, 4) == {
        "k\\x1b": ["\\u202e", 1, None, {"n": "xxxx [cut, 9 characters]"}]
    }


@pytest.mark.parametrize("cut", [None, 90, 40])
@pytest.mark.parametrize("form", [str, lambda pem: base64.b64encode(pem.encode()).decode()], ids=["PEM", "base64"])
def test_a_key_that_somebody_quotes_is_not_shown(form: Callable[[str], str], cut: int | None) -> None:
    pem = f"-----BEGIN {'SOME'} KEY-----\n{'c2VjcmV0' * 9}\n-----END {'SOME'} KEY-----\n"
    shown = printable(f"cannot parse {form(pem)[:cut]}")
    assert shown.startswith("cannot parse <masked>") and printable(shown) == shown
    assert not [part for part in ("BEGIN", "c2Vj", "LS0t", "bzJ") if part in shown]
    if cut is None:
        told = Problem(f"{form(pem)} was refused", "why", "do", said=[form(pem)])
        assert told.found.startswith("<masked>") and told.found.endswith(" was refused")
        assert "c2Vj" not in str(told.as_dict()) and "LS0t" not in str(told.as_dict())


def test_what_is_inert_begins_no_template() -> None:
    assert inert_all({"{{k}}": ["{{ a }}", "{%", "{#", "{{{", 1, None, {"n": "}"}]}) == {
        "\\x7b\\x7bk}}": ["\\x7b\\x7b a }}", "\\x7b%", "\\x7b#", "\\x7b\\x7b\\x7b", 1, None, {"n": "}"}]
    }
    # Nor together with what stands beside it.
    assert "{" not in inert_all("a{") + inert_all("{b\x1b")


@given(st.text(st.characters(exclude_categories=()), max_size=50))
def test_the_result_is_printable_and_stays(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable() and shown.encode("utf-8") is not None and printable(shown, 4000) == shown
    assert all(character.isprintable() or character in "\n\t" for character in printable_lines(text))
    json.dumps(printable_all({text: [text]}))
