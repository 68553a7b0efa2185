# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The end of an AVC record: a part that cannot be read hides none of those behind it."""

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import analyze
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.avc import parse_avc

CONTEXTS = b" scontext=system_u:system_r:logind_t:s0 tcontext=system_u:system_r:manager_t:s0"
USER_HEAD = (
    b"type=USER_AVC msg=audit(1470087122.008:24063): pid=693 uid=81 auid=4294967295 ses=4294967295"
    b" subj=system_u:system_r:system_dbusd_t:s0 msg='avc:  denied  { 0x2 } for msgtype=signal spid=691 tpid=720"
)
USER_END = b'  exe="/usr/bin/dbus-daemon" sauid=81 hostname=? addr=? terminal=?\'\n'


def denial(line: bytes) -> dict[str, object]:
    [found] = analyze(line, None)["denials"]
    return found


@pytest.mark.parametrize(("mode", "permissive", "enforced"), [(b"0", False, 1), (b"1", True, 0)])
@pytest.mark.parametrize(
    "tclass",
    [
        b" tclass=(null)",
        b" tclass=",
        b" tclass={4711}",
        b" tclass=\xff\xfe",
        b"",
        b" tclass=(null) other=field",
        b" colormap=17 tclass=(null)",
    ],
)
def test_an_unreadable_class_does_not_hide_the_mode(
    tclass: bytes, mode: bytes, permissive: bool, enforced: int
) -> None:
    found = denial(USER_HEAD + CONTEXTS + tclass + b" permissive=" + mode + USER_END)
    assert (found["class"], found["permissive"], found["enforced"]) == ("unknown", permissive, enforced)


@pytest.mark.parametrize("mode", [b"", b" permissive=", b" permissive=(null)", b" permissive=2", b" permissive=01"])
def test_an_unreadable_mode_does_not_hide_the_raw_contexts(mode: bytes) -> None:
    tail = CONTEXTS + b" tclass=dbus" + mode + b" srawcon=a:b:c:s0 trawcon=d:e:f:s0"
    found = denial(USER_HEAD + tail + USER_END)
    assert (found["class"], found["permissive"], found["enforced"]) == ("dbus", None, 0)
    assert found["raw_contexts"] == ["a:b:c:s0", "d:e:f:s0"]


def test_an_unreadable_raw_source_does_not_hide_the_raw_target() -> None:
    for raw in (b" srawcon=", b" srawcon=(null)"):
        line = USER_HEAD + CONTEXTS + b" tclass=dbus permissive=0" + raw + b" trawcon=d:e:f:s0" + USER_END
        assert denial(line)["raw_contexts"] == ["d:e:f:s0"]


@pytest.mark.parametrize("tclass", [b" tclass=(null)", b" tclass=", b""])
def test_a_record_of_the_kernel_is_counted_and_its_log_is_not_whole(tclass: bytes) -> None:
    line = b'type=AVC msg=audit(1470087122.008:7): avc:  denied  { read } for  pid=7 comm="a"' + CONTEXTS
    found = analyze(line + tclass + b" permissive=0\n", None)
    assert [(one["class"], one["enforced"]) for one in found["denials"]] == [("unknown", 1)]
    assert "F26" in {reason["id"] for reason in found["coverage"]["reasons"]}


def test_what_a_program_quotes_behind_its_own_fields_is_not_believed() -> None:
    line = b"avc:  denied  { x } for pid=1" + CONTEXTS + b" tclass=dbus permissive=0 permissive=1"
    avc = parse_avc(line, user=True)
    assert avc is not None and avc.tail.permissive is False
