# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one byte form of a document, and the hash that seals it."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import (
    canonical_json,
    is_sealed,
    parse_json,
    sealed,
    sha256_of,
)


def test_one_value_has_one_form() -> None:
    assert canonical_json({"b": [1, True, None], "a": "é"}) == b'{"a":"\\u00e9","b":[1,true,null]}'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_lacks_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


def test_a_value_that_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        canonical_json({"a": {1}})


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b'{"a": "\xff"}',
    ],
    ids=lambda text: text[:12].decode("latin-1"),
)
def test_what_no_document_of_ours_holds_is_no_json(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def test_what_it_can_hold_is_read_as_it_is() -> None:
    assert parse_json(b'{"a": [1, 1.5, null, true, "\\u00e9"]}') == {"a": [1, 1.5, None, True, "é"]}
    assert parse_json('"é"') == "é"


def test_data_without_an_end_to_its_depth_has_no_form() -> None:
    deep: list[Any] = []
    for _unused in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deeply"):
        canonical_json(deep)


def test_the_seal_is_the_hash_of_all_else() -> None:
    document = sealed({"a": 1, "sha256": "of an earlier content"})
    assert document["sha256"] == hashlib.sha256(b'{"a":1}').hexdigest() == sha256_of({"a": 1, "b": 2}, ("b",))
    assert is_sealed(document)


@pytest.mark.parametrize("change", [{"a": 2}, {"b": None}, {"sha256": None}, {"sha256": "A" * 64}])
def test_a_change_breaks_the_seal(change: dict[str, Any]) -> None:
    assert not is_sealed({**sealed({"a": 1}), **change})
    assert not is_sealed({"a": 1})
