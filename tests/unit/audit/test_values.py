# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The values of a record's fields."""

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log import values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (b"", None),
        (b"(null)", None),
        (b'"sh"', b"sh"),
        (b'"sh', b"sh"),
        (b'""', b""),
        (b"7368", b"sh"),
        (b"736", b"736"),
        (b"736a", b"736a"),
        (b"73 8", b"73 8"),
        (b"sh", b"sh"),
    ],
)
def test_an_untrusted_string(value: bytes | None, text: bytes | None) -> None:
    assert values.decode(value) == text


def test_fields_are_split_at_blanks_and_the_first_of_a_name_wins() -> None:
    assert values.fields(b'a=1 b="x" a=2 c= word\x1dd=4=5') == {b"a": b"1", b"b": b'"x"', b"c": b"", b"d": b"4=5"}


@pytest.mark.parametrize(
    ("stamp", "iso", "millis"),
    [
        (b"0.000", "1970-01-01T00:00:00.000Z", 0),
        (b"1763463600.007", "2025-11-18T11:00:00.007Z", 1763463600007),
        (b"1763463600", "2025-11-18T11:00:00.000Z", 1763463600000),
        (b"999999999999999.1", None, 999999999999999001),
        (b"", None, 0),
    ],
)
def test_a_moment(stamp: bytes, iso: str | None, millis: int) -> None:
    assert values.moment(stamp) == iso
    assert values.milliseconds(stamp) == millis


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (b"plain", "plain"),
        ("caf\u00e9".encode(), "caf\u00e9"),
        (b"a\x1b[2J\x7f", "a\\x1b[2J\\x7f"),
        ("\u202egpj\u00e9".encode(), "\\u202egpj\u00e9"),
        ("\U000e0001\u00e9\x07".encode(), "\\U000e0001\u00e9\\x07"),
        (b"\xff", "\\xff"),
    ],
)
def test_text_for_people(value: bytes | None, text: str | None) -> None:
    assert values.show(value) == text
