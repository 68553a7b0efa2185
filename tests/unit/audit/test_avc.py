# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A decision of the access vector cache, taken apart."""

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log import avc

TAIL = b" scontext=u:r:pod_t:s0 tcontext=u:r:etc_t:s0 tclass=file permissive=0"


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
    found = avc.parse_tail(tail, user)
    assert found is not None
    assert (found.source, found.target) == (b"u:r:pod_t:s0", b"u:r:etc_t:s0")
    assert (found.permissive, found.tclass) == (permissive, tclass)
    assert found.torn is (tclass == b"unknown")


@pytest.mark.parametrize("user", [False, True])
@pytest.mark.parametrize("between", [b" ", b"", b"\x1d", b" type=1400 audit(1.000:2):  ", b"'\x00"])
def test_two_decisions_in_one_record_are_not_one(user: bool, between: bytes) -> None:
    one = b"avc:  denied  { read } for  pid=7 comm=x" + TAIL
    other = b"avc:  denied  { write } for  pid=8 comm=y" + TAIL
    assert avc.parse_avc(one, user) is not None
    assert avc.parse_avc(one + between + other, user) is None


@pytest.mark.parametrize("tail", [b"", b" scontext=a", TAIL + b" exe=x", TAIL[:30]])
def test_an_end_that_is_cut_or_goes_on_is_none(tail: bytes) -> None:
    assert avc.parse_tail(tail) is None


def test_a_decision() -> None:
    found = avc.parse_avc(b"avc:  denied  { write read read } for  pid=7 name=scontext=x" + TAIL)
    assert found is not None
    assert (found.verdict, found.permissions) == (b"denied", (b"read", b"write"))
    assert found.middle.strip().endswith(b"name=scontext=x")
    assert avc.parse_avc(b"x avc:  denied  { read } for  pid=7" + TAIL) is None
    assert avc.parse_avc(b"x avc:  denied  { read } for  pid=7" + TAIL, user=True) is not None
    assert avc.parse_avc(b"avc:  denied  { read } for  pid=7") is None
