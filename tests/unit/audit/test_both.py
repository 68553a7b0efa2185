# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A record that stands in the kernel ring and in auditd's log is one record, and two that differ are doubtful."""

from __future__ import annotations

import json
import random

import audit_streams as streams
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import analyze
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.coverage import assess
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.files import analyze_files
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.both import Beside, keep
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.records import read_line
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.summary import Event

NUMBERS = {b"AVC": 1400, b"SELINUX_ERR": 1401, b"USER_AVC": 1107, b"SYSCALL": 1300, b"PROCTITLE": 1327, b"EOE": 1320}
ERROR = b"op=security_compute_sid invalid_context=a:b:c:s0 scontext=a:b:d:s0 tcontext=a:b:e:s0 tclass=process\n"


def error(serial: int) -> bytes:
    return b"type=SELINUX_ERR msg=audit" + streams.key(serial) + b": " + ERROR


def granted(serial: int) -> bytes:
    return streams.avc(serial).replace(b"denied", b"granted")


def program(serial: int) -> bytes:
    """A decision of a program, which the kernel prints as it got it."""
    said = b"avc:  denied  { send_msg } for  scontext=a:b:pod_t:s0 tcontext=a:b:run_t:s0 tclass=dbus permissive=1"
    return streams.user(serial, said, b"init_t", b"USER_AVC")


def printed(*lines: bytes) -> bytes:
    """A ring in which the kernel printed these, which it does without their end (EOE)."""
    ring = streams.kernel_ring()
    for line in lines:
        type_, _unused, rest = line.partition(b" msg=")
        if type_ != b"type=EOE":
            number = NUMBERS[type_.removeprefix(b"type=")]
            ring += b"kern:  notice: [2026-11-18T11:06:42.1Z]: audit: type=%d %s" % (number, rest)
    return ring


def key_of(line: bytes) -> bytes:
    return line.partition(b" msg=audit")[2].partition(b": ")[0]


#: From before auditd's start: the ring alone has serials 1 to 4.
EARLY = (streams.avc(5), streams.avc(6), streams.avc(6, target="ephemeral_t"), error(7), granted(8), program(9))
SETTINGS = streams.service_log(first=10, count=3)


def log_of(*lines: bytes) -> bytes:
    """A log in which auditd found these when it started."""
    ended = []
    for index, line in enumerate(lines):
        ended.append(line)
        last = index + 1 == len(lines) or key_of(lines[index + 1]) != key_of(line)
        if last and not line.startswith(b"type=USER_"):
            ended.append(b"type=EOE msg=audit" + key_of(line) + b": \n")
    return b"".join(ended) + SETTINGS


def judged(service: bytes, kernel: bytes) -> dict[str, object]:
    found = analyze(service, kernel, streams.healthy())
    assert found["coverage"] == assess(streams.healthy(service_log=service, kernel_log=kernel))
    return found


def forged(found) -> list[str]:
    return [reason["text"] for reason in found["coverage"]["reasons"] if reason["id"] == "forged"]


def test_what_stands_in_both_is_counted_once():
    alone = judged(log_of(*EARLY), streams.kernel_ring())
    both = judged(log_of(*EARLY), printed(*EARLY))
    assert alone["coverage"]["verdict"] == both["coverage"]["verdict"] == "complete"
    names = ("denied", "granted", "mac_errors", "events", "doubtful")
    assert {name: both["counts"][name] for name in names} == {name: alone["counts"][name] for name in names}
    assert [(one["signature"], one["count"]) for one in both["denials"]] == [
        ("pod_t:run_t:dir:write", 2),
        ("pod_t:ephemeral_t:dir:write", 1),
        ("pod_t:run_t:dbus:send_msg", 1),
    ]
    assert both["denials"] == alone["denials"] and both["mac_errors"] == alone["mac_errors"]
    assert both["changes"] == alone["changes"] and len(both["mac_errors"]) == 1


def test_errors_that_differ_and_a_record_that_cannot_be_read_are_counted_once():
    torn = streams.avc(8).partition(b" scontext=")[0] + b"\n"
    lines = (streams.avc(5), error(6), error(7).replace(b"a:b:e:s0", b"a:b:f:s0"), torn)
    alone, both = judged(log_of(*lines), streams.kernel_ring()), judged(log_of(*lines), printed(*lines))
    names = ("denied", "mac_errors", "events", "doubtful")
    assert {name: both["counts"][name] for name in names} == {name: alone["counts"][name] for name in names}
    assert (both["counts"]["denied"], [one["count"] for one in both["mac_errors"]]) == (1, [1, 1])
    assert both["counts"]["unparsed"] == alone["counts"]["unparsed"] + 1, "a line of each log"


def test_of_a_line_with_two_records_only_the_printed_one_is_kept():
    beside = Beside({5: Event()})
    beside.feed(streams.avc(5).rstrip(b"\n") + streams.avc(99))
    assert list(beside.close()) == [5]


def test_so_many_numbers_of_the_ring_are_kept_and_no_more():
    events = dict.fromkeys(range(20_000), Event())
    for serial in (5, 20_000):
        (record,) = read_line(streams.avc(serial).rstrip(b"\n")).records
        keep(events, record)
    assert len(events) == 20_000
    assert events[5].lines == [streams.avc(5).rstrip(b"\n")]


@pytest.mark.parametrize("kept", range(len(EARLY)))
def test_what_stands_in_one_of_them_is_counted_all_the_same(kept):
    """The kernel's printing is limited, and what it keeps for auditd too: either may hold more."""
    part = EARLY[:kept] + EARLY[kept + 1 :]
    for service, kernel in ((EARLY, part), (part, EARLY)):
        found = judged(log_of(*service), printed(*kernel))
        assert {name: found["counts"][name] for name in ("denied", "granted", "mac_errors")} == {
            "denied": 4,
            "granted": 1,
            "mac_errors": 1,
        }
        assert sum(one["count"] for one in found["denials"]) == 4
        assert forged(found) == []


OTHERS = {
    "another target": streams.avc(5, target="etc_t"),
    "another permission": streams.avc(5, perms="read"),
    "another process": streams.avc(5, comm="bash"),
    "enforced": streams.avc(5, permissive="0"),
    "granted": granted(5),
    "another time": streams.avc(5, when=b"(%s:5)" % streams.stamp(6)),
    "another boot": streams.avc(5, when=b"(%s:5)" % streams.stamp(5, streams.BOOT - 86_400)),
    "no denial, at another time": b"type=BPF msg=audit(%s:5): prog-id=7 op=LOAD\n" % streams.stamp(6),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("in_ring", [True, False], ids=["ring", "log"])
def test_two_records_that_contradict_one_another_are_doubtful(other, in_ring):
    rest = streams.avc(6)
    if in_ring and b"type=BPF" in other:
        other = other.replace(b"type=BPF", b"type=SYSCALL")
    one, two = ([other], [EARLY[0]]) if in_ring else ([EARLY[0]], [other])
    found = judged(log_of(*two, rest), printed(*one, rest))
    assert found["coverage"]["verdict"] == "partial"
    assert any("contradict one another under 1 numbers (5)" in text for text in forged(found))
    doubted = [denial for denial in found["denials"] if denial["doubtful"]]
    assert doubted and not any(denial["known_benign"] for denial in doubted)
    # The one they agree about is one, and none is lost.
    agreed = sum(one["count"] - one["doubtful"] for one in found["denials"])
    assert agreed == 1 and found["counts"]["doubtful"] >= 1


def test_a_forged_copy_takes_no_denial_away():
    """A process that knows a record of the ring writes it into a message of its own: it is counted, and doubted."""
    copy = streams.user(8, b"x'\n" + streams.avc(5).rstrip(b"\n"))
    alone = judged(SETTINGS + streams.user(13, b"x"), printed(streams.avc(5)))
    found = judged(SETTINGS + copy.replace(streams.key(8), streams.key(13)), printed(streams.avc(5)))
    assert alone["counts"]["denied"] == 1
    assert found["counts"]["denied"] >= 1 and found["coverage"]["verdict"] == "partial"
    assert sum(one["count"] for one in found["denials"]) >= 1


def _file(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("form", ["plain", "nodes", "forwarded", "two parts"])
def test_in_files_too(tmp_path, form):
    service, kernel = log_of(*EARLY), printed(*EARLY)
    paths = []
    if form == "nodes":
        service = b"".join(b"10.0.0.7: " + line for line in service.splitlines(keepends=True))
        kernel = b"".join(b"10.0.0.7: " + line for line in kernel.splitlines(keepends=True))
    if form == "forwarded":
        told = [json.dumps({"msg": line.decode(), "talos-service": "auditd"}) for line in service.splitlines()]
        texts = [line.decode().partition("]: ")[2] for line in kernel.splitlines()]
        told += [json.dumps({"msg": text, "facility": "kern", "priority": "info"}) for text in texts]
        paths = [_file(tmp_path, "forwarded", "\n".join(told).encode() + b"\n")]
    elif form == "two parts":
        cut = service.index(b"\n", len(service) // 3) + 1
        paths = [_file(tmp_path, "1", service[:cut]), _file(tmp_path, "2", service[cut:])]
    paths = paths or [_file(tmp_path, "log", service)]
    if form != "forwarded":
        paths.append(_file(tmp_path, "ring", kernel))
    found = analyze_files(paths, streams.healthy(service_log=None, kernel_log=None))
    counts = {name: found["counts"][name] for name in ("denied", "granted", "mac_errors")}
    assert counts == {"denied": 4, "granted": 1, "mac_errors": 1}
    assert forged(found) == []


@pytest.mark.parametrize("seed", range(20))
def test_any_part_of_either(seed):
    """Whatever printing and keeping leave out, the sum is that of what stands in at least one."""
    draw = random.Random(seed)
    events = [streams.avc(serial, target=draw.choice(["run_t", "etc_t"])) for serial in range(5, 60)]
    ring = [line for line in events if draw.random() < 0.6]
    log = [line for line in events if draw.random() < 0.6]
    service = log_of(*log).replace(SETTINGS, streams.service_log(first=60, count=3))
    found = judged(service, printed(*ring))
    assert found["counts"]["denied"] == len(set(ring) | set(log)) == sum(one["count"] for one in found["denials"])
    assert forged(found) == []
