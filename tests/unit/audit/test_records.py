# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What single fields of a record say."""

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log import records

TAIL = b" scontext=u:r:pod_t:s0 tcontext=u:r:etc_t:s0 tclass=file permissive=0"


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
    assert records.decode(value) == text


@pytest.mark.parametrize(
    ("context", "kind"),
    [
        (b"u:r:pod_t:s0", b"pod_t"),
        (b"u:r:pod_t", b"pod_t"),
        (b"u:r:pod_t:s0:c1,c2", b"pod_t"),
        (b"u:r", b"u:r"),
        (b"u:r:", b"u:r:"),
        (b"", b""),
    ],
)
def test_the_type_of_a_context(context: bytes, kind: bytes) -> None:
    assert records.context_type(context) == kind


@pytest.mark.parametrize(
    ("context", "found"),
    [
        (b"u:r:t:s0:c1", {1}),
        (b"u:r:t:s0:c0.c3,c9", {0, 1, 2, 3, 9}),
        (b"u:r:t:s0:c1-s0:c2.c4", {2, 3, 4}),
        (b"u:r:t:s0-s0", set()),
        (b"u:r:t", set()),
        (b"u:r", None),
        (b"u:r:t:s0:c4096", {4096}),
        (b"u:r:t:s0:c4097", None),
        (b"u:r:t:s0:c3.c1", None),
        (b"u:r:t:s0:c", None),
        (b"u:r:t:s0:c1,x", None),
    ],
)
def test_the_categories_of_a_context(context: bytes, found: set[int] | None) -> None:
    assert records.categories(context) == found


@pytest.mark.parametrize(
    ("source", "target", "tclass", "refused"),
    [
        (b"u:r:pod_t:s0:c1", b"u:r:t:s0:c1,c2", b"file", True),
        (b"u:r:pod_t:s0:c1,c2", b"u:r:t:s0:c1", b"file", False),
        (b"u:r:pod_t:s0:c1", b"u:r:t:s0:c2", None, True),
        (b"u:r:pod_t:s0:c1", b"u:r:t:s0:c2", b"tcp_socket", False),
        (b"u:r:init_t:s0", b"u:r:t:s0:c2", b"file", False),
        (b"u:r", b"u:r:t:s0:c2", b"file", False),
        (b"u:r:pod_t:s0", b"u:r:t:s0:x", b"file", False),
    ],
)
def test_what_categories_refuse(source: bytes, target: bytes, tclass: bytes | None, refused: bool) -> None:
    assert records.refused_by_categories(source, target, tclass) is refused


def test_fields_are_split_at_blanks_and_the_first_of_a_name_wins() -> None:
    assert records.fields(b'a=1 b="x" a=2 c= word\x1dd=4=5') == {b"a": b"1", b"b": b'"x"', b"c": b"", b"d": b"4=5"}


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
    assert records.moment(stamp) == iso
    assert records.milliseconds(stamp) == millis


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
    assert records.show(value) == text


@pytest.mark.parametrize(
    ("tail", "user", "permissive", "tclass"),
    [
        (TAIL, False, False, b"file"),
        (TAIL.replace(b"=0", b"=1"), False, True, b"file"),
        (TAIL.replace(b"permissive=0", b"permissive=2"), False, None, b"file"),
        (TAIL.replace(b" permissive=0", b""), False, None, b"file"),
        (TAIL + b"\x1dARCH=x86_64", False, False, b"file"),
        (TAIL.replace(b"tclass=file", b"tclass=A-B"), False, False, b"unknown"),
        (TAIL + b" exe=x", True, False, b"file"),
    ],
)
def test_the_end_of_a_decision(tail: bytes, user: bool, permissive: bool | None, tclass: bytes) -> None:
    found = records.parse_tail(tail, user)
    assert found is not None
    assert (found.source, found.target) == (b"u:r:pod_t:s0", b"u:r:etc_t:s0")
    assert (found.permissive, found.tclass) == (permissive, tclass)
    assert found.torn is (tclass == b"unknown")


@pytest.mark.parametrize("tail", [b"", b" scontext=a", TAIL + b" exe=x", TAIL[:30]])
def test_an_end_that_is_cut_or_goes_on_is_none(tail: bytes) -> None:
    assert records.parse_tail(tail) is None


def test_a_decision() -> None:
    found = records.parse_avc(b"avc:  denied  { write read read } for  pid=7 name=scontext=x" + TAIL)
    assert found is not None
    assert (found.verdict, found.permissions) == (b"denied", (b"read", b"write"))
    assert found.middle.strip().endswith(b"name=scontext=x")
    assert records.parse_avc(b"x avc:  denied  { read } for  pid=7" + TAIL) is None
    assert records.parse_avc(b"x avc:  denied  { read } for  pid=7" + TAIL, user=True) is not None
    assert records.parse_avc(b"avc:  denied  { read } for  pid=7") is None
