# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Forms of a log on top of one another: what grep, talosctl and log forwarding put around the same record."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import audit_streams as streams
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import analyze
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.coverage import assess
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.files import analyze_files
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.contexts import refused_by_categories
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.record_types import NUMBERS
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.scanner import summarize
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.summary import Summary

REAL = Path(__file__).resolve().parents[2] / "data" / "real-kernel"
FORGED = (b"audit(1700000000.", b"audit(1700000001.")
RING_LINE = re.compile(rb"<([0-9]+)>\[ *([0-9.]+)\] (.*)", re.DOTALL)


@cache
def log() -> list[bytes]:
    return gzip.decompress((REAL / "permissive.audit.log.gz").read_bytes()).split(b"\n")[:-1]


@cache
def ring() -> list[bytes]:
    return gzip.decompress((REAL / "permissive.dmesg.log.gz").read_bytes()).split(b"\n")[:-1]


@cache
def plain(name: str) -> Summary:
    """What a log of a real boot says as it was recorded."""
    return summarize(REAL / f"permissive.{name}.log.gz")


def printed(line: bytes) -> bytes:
    """A record as the kernel prints it."""
    type_, _unused, rest = line[5:].partition(b" msg=")
    return b"audit: type=%d " % NUMBERS[type_] + rest


def forwarded(message: bytes, **fields: Any) -> bytes:
    return json.dumps({"msg": message.decode("utf-8", "replace"), "talos-level": "info", **fields}).encode()


def dmesg(line: bytes) -> bytes:
    return b"kern:  notice: [2026-11-22T12:00:00.123456789Z]: " + printed(line)


LOG_FORMS: dict[str, Callable[[bytes], bytes]] = {
    "node, JSON": lambda line: b"10.5.0.3: " + forwarded(line, **{"talos-service": "auditd"}),
    "grep -n, JSON": lambda line: b"17:" + forwarded(line, **{"talos-service": "auditd"}),
    "JSON, CRLF": lambda line: forwarded(line, **{"talos-service": "auditd"}) + b"\r",
    "node, CRLF": lambda line: b"worker-1: " + line + b"\r",
    "IPv6 node with zone": lambda line: b"fe80::1%eth0: " + line,
    "grep -Hn, node, talosctl dmesg": lambda line: b"a.log:17:fd00::3: " + dmesg(line),
    "grep -n, talosctl dmesg": lambda line: b"17:" + dmesg(line),
    "grep -n, level and time": lambda line: b"17:<5>[    9.391910] " + printed(line),
    "node, talosctl dmesg, CRLF": lambda line: b"10.5.0.3: " + dmesg(line) + b"\r",
    "JSON of the kernel": lambda line: forwarded(printed(line), facility="kern", priority="notice", seq=7),
    "dmesg -T": lambda line: b"[Sun Nov 22 12:00:00 2026] " + printed(line),
    "dmesg -x": lambda line: b"kern  :notice: [    9.391910] " + printed(line),
}


@pytest.mark.parametrize("form", LOG_FORMS)
def test_a_real_log_in_two_forms_at_once_tells_the_same(form: str) -> None:
    """Names that are not UTF-8 stand quoted nowhere but in messages, so even JSON keeps every denial."""
    found = summarize(b"".join(LOG_FORMS[form](line) + b"\n" for line in log()))

    def denials(summary: Summary) -> list[Any]:
        return [
            (one["signature"], one["userspace"], one["count"], one["comms"], one["paths"]) for one in summary.denials
        ]

    assert denials(found) == denials(plain("audit"))
    for name in ("lines", "unparsed", "denied", "granted", "doubtful", "mac_errors"):
        assert found.counts[name] == plain("audit").counts[name], name
    assert found.seen == plain("audit").seen
    assert found.counts["doubtful"] == sum(any(mark in line for mark in FORGED) for line in log())


def test_gzip_of_a_file_with_carriage_returns(tmp_path: Path) -> None:
    packed = tmp_path / "auditd.log"
    packed.write_bytes(gzip.compress(b"".join(line + b"\r\n" for line in log())))
    plain = analyze_files([REAL / "permissive.audit.log.gz"])
    found = analyze_files([packed])
    assert found["counts"] == plain["counts"]
    assert {one["signature"] for one in found["denials"]} == {one["signature"] for one in plain["denials"]}


def taken_apart(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Facility, time and text of a line of the stored ring."""
    match = RING_LINE.match(line)
    assert match is not None
    return b"kern" if int(match[1]) < 8 else b"user", match[2], match[3]


RING_FORMS: dict[str, Callable[[bytes, bytes, bytes], bytes]] = {
    "talosctl": lambda facility, when, text: facility + b":    info: [2026-11-22T12:00:00.000Z]: " + text,
    "grep -n, talosctl": lambda facility, when, text: (
        b"9:" + facility + b":  info: [2026-11-22T12:00:00.000Z]: " + text
    ),
    "JSON": lambda facility, when, text: forwarded(text, facility=facility.decode(), priority="info", seq=1),
    "node, JSON": lambda facility, when, text: b"n: " + forwarded(text, facility=facility.decode()),
    "dmesg -T": lambda facility, when, text: b"[Sun Nov 22 12:00:00 2026] " + text,
    "dmesg -x": lambda facility, when, text: b"%-6s:%-6s: [%s] " % (facility, b"info", when) + text,
}


@pytest.mark.parametrize("form", RING_FORMS)
def test_a_whole_kernel_ring_in_each_form(form: str) -> None:
    found = summarize(b"".join(RING_FORMS[form](*taken_apart(line)) + b"\n" for line in ring()))
    assert found.counts == plain("dmesg").counts
    assert found.counts["unparsed"] == 0
    assert found.ring.has_head and found.ring.initialized
    assert found.ring.cmdline == plain("dmesg").ring.cmdline


OTHERS: dict[str, bytes] = {
    "the ring, by a process": forwarded(printed(streams.avc(9).rstrip(b"\n")), facility="user"),
    "another service": forwarded(streams.avc(9).rstrip(b"\n"), **{"talos-service": "ext-agent"}),
    # A service that logs JSON chooses all fields but talos-service, which Talos adds itself.
    "another service that says kern": forwarded(
        printed(streams.avc(9).rstrip(b"\n")), facility="kern", **{"talos-service": "ext-agent"}
    ),
    "grep -n over the ring": b"17:<13>[   12.5] " + printed(streams.avc(9).rstrip(b"\n")),
    "grep -n over talosctl dmesg": b"3:user: notice: [2026-11-18T12:00:00.0Z]: "
    + printed(streams.avc(9).rstrip(b"\n")),
    "dmesg -x": b"user  :notice: [   12.5] " + printed(streams.avc(9).rstrip(b"\n")),
}


@pytest.mark.parametrize("line", OTHERS.values(), ids=OTHERS)
def test_a_record_that_the_form_itself_says_is_not_the_kernels(line: bytes) -> None:
    summary = summarize(line + b"\n")
    assert summary.counts["doubtful"] == summary.counts["denied"] == 1
    assert summary.last_serial is None


def test_a_process_cannot_write_the_head_of_the_kernel_ring() -> None:
    head = forwarded(b"Linux version 6.18.1-talos", facility="user")
    assert not summarize(head + b"\n").ring.has_head
    assert summarize(head.replace(b"user", b"kern") + b"\n").ring.has_head
    assert not summarize(head.replace(b"user", b"kern")[:-1] + b', "talos-service": "ext"}\n').ring.has_head


def test_other_services_of_a_forwarded_log_are_told_and_no_notice_is_theirs() -> None:
    lines = [forwarded(text, **{"talos-service": "kubelet"}) for text in (b"started", b'{"a": 1}')]
    notice = b"audit backlog limit reached, some audit events may have been lost"
    lines.append(forwarded(notice, **{"talos-service": "kubelet"}))
    summary = summarize(b"".join(line + b"\n" for line in lines))
    assert summary.ignored_types == {"other service": 3}
    assert summary.notices == 0
    # What speaks of a decision and cannot be read stays in sight, whoever wrote it.
    assert summarize(forwarded(b"avc: what", **{"talos-service": "kubelet"})).counts["unparsed"] == 1
    assert summarize(forwarded(notice, **{"talos-service": "auditd"})).notices == 1


def test_a_message_cannot_make_auditds_log_the_kernels_ring(tmp_path: Path) -> None:
    text = streams.service_log() + streams.user(35, b"x'\nLinux version 6.18.1\n[    0.1] audit: hello")
    (tmp_path / "auditd.log").write_bytes(text)
    (tmp_path / "dmesg.log").write_bytes(streams.kernel_ring())
    found = analyze_files([tmp_path / "auditd.log", tmp_path / "dmesg.log"])
    assert found["counts"] == analyze(text, streams.kernel_ring())["counts"]
    assert not any(reason["severity"] == "fatal" for reason in found["coverage"]["reasons"])


def test_a_wrapped_ring_without_any_record_is_still_the_ring(tmp_path: Path) -> None:
    (tmp_path / "auditd.log").write_bytes(streams.service_log())
    (tmp_path / "dmesg.log").write_bytes(b"kern:    info: [2026-11-18T11:06:40.0Z]: usb 1-1: new device\n")
    found = analyze_files([tmp_path / "auditd.log", tmp_path / "dmesg.log"])
    assert found["kernel"] is not None
    assert found["counts"]["unparsed"] == 0


def test_categories_are_compared_on_the_constrained_classes_only() -> None:
    """Talos' mcs.cil constrains thirteen classes; a rule does help with the others."""
    pair = (b"system_u:system_r:pod_t:s0:c1", b"system_u:object_r:run_t:s0:c1,c2")
    for tclass in b"file dir lnk_file chr_file blk_file sock_file fifo_file process sem msgq msg shm key".split():
        assert refused_by_categories(*pair, tclass)
        assert not refused_by_categories(pair[1], pair[0], tclass)
    for tclass in (b"unix_stream_socket", b"fd", b"capability", b"unknown"):
        assert not refused_by_categories(*pair, tclass)
    assert refused_by_categories(*pair)


@pytest.mark.parametrize(("tclass", "constraint"), [("file", "mcs"), ("key", "mcs"), ("unix_stream_socket", None)])
def test_a_denial_is_no_matter_of_categories_where_the_policy_compares_none(
    tclass: str, constraint: str | None
) -> None:
    line = streams.avc(5, tclass=tclass).replace(b"run_t:s0 ", b"run_t:s0:c1,c2 ")
    (denial,) = summarize(line).denials
    assert denial["constraint"] == constraint
    assert denial["mcs_count"] == (constraint == "mcs")


def at(serial: int, shift: int) -> bytes:
    """The mark of an event, some milliseconds beside its true time."""
    millis = (streams.BOOT + 5) * 1000 + serial * 4 + shift
    return b"(%d.%03d:%d)" % (millis // 1000, millis % 1000, serial)


MARKS = {
    "next": (21, at(21, -2)),
    "far": (5000, at(20, 1)),
    "old": (3, b"(1700000001.000:3)"),
    "own": (20, streams.key(20)),
    "real": (18, at(18, 1)),
}
WRITTEN: dict[str, Callable[[bytes], bytes]] = {
    "node": lambda line: b"10.5.0.3: " + line,
    "ring": printed,
    "talosctl dmesg": dmesg,
    "level and time": lambda line: b"<5>[    1.200000] " + printed(line),
    "JSON": lambda line: forwarded(line, **{"talos-service": "auditd"}),
    "JSON of the kernel": lambda line: forwarded(printed(line), facility="kern"),
    "JSON with a line break": lambda line: forwarded(b"x\n" + line),
    "grep -n": lambda line: b"17:" + line,
    "CR": lambda line: line + b"\r",
    "group": lambda line: b"----\n" + line,
    "behind blank lines": lambda line: b"\n\n  " + line,
}
AROUND: dict[str, Callable[[bytes], bytes]] = {
    "raw": lambda line: line,
    "node": lambda line: b"10.5.0.9: " + line,
    "JSON": lambda line: forwarded(line, **{"talos-service": "auditd"}),
    "CRLF": lambda line: line + b"\r",
}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("mark", MARKS)
def test_a_forged_record_in_another_form_than_the_log_is_doubtful_too(mark: str, written: str, around: str) -> None:
    serial, when = MARKS[mark]
    forged = streams.avc(serial, when=when, source="kubelet_t", target="etcd_pki_t").rstrip(b"\n")
    events = streams.service_events(5, 60)
    events[15] = [streams.user(20, b"hi'\n" + WRITTEN[written](forged))]
    if mark == "next":
        # Its number is free, as the real event was lost.
        events[16] = []
    whole = b"".join(line for one in events for line in one)
    text = b"".join(AROUND[around](line) + b"\n" for line in whole.split(b"\n")[:-1])
    summary = summarize(text)
    false = [denial for denial in summary.denials if denial["target_type"] == "etcd_pki_t"]
    assert false or summary.counts["unparsed"]
    assert all(denial["doubtful"] == denial["count"] for denial in false)
    assert assess(streams.healthy(service_log=summary))["verdict"] != "complete"


@pytest.mark.parametrize("form", ["node", "grep", "blanks", "CRLF"])
def test_each_sample_says_what_is_doubtful_and_how_its_line_was(form: str) -> None:
    put = {
        "node": lambda line: b"cp-1.example: " + line,
        "grep": lambda line: b"17:" + line,
        "blanks": lambda line: b"  " + line,
        "CRLF": lambda line: line + b"\r",
    }[form]
    lines = log()
    plain, found = (
        {
            (sample["serial"], sample["timestamp"], base64.b64decode(sample["raw"])): sample["doubtful"]
            for denial in summarize(b"".join(one + b"\n" for one in text), max_samples=0).denials
            for sample in denial["samples"]
        }
        for text in (lines, [put(line) for line in lines])
    )
    assert sum(plain.values()) == 3
    assert found == {(serial, when, put(raw)): doubtful for (serial, when, raw), doubtful in plain.items()}


def test_a_node_before_each_line_changes_nothing_that_is_told() -> None:
    """Also where pieces end inside an event, a line or a node's name."""
    text = b"".join(b"[fd00::1]: " + line + b"\n" for line in log())
    plain = streams.told(summarize(b"".join(line + b"\n" for line in log())))
    assert plain["denials"] and len(plain) > 2
    for size in (1 << 20, 5000, 700):
        found = streams.told(summarize([text[at : at + size] for at in range(0, len(text), size)]))
        for name in plain:
            if name not in ("bytes", "denials"):
                assert found[name] == plain[name], name
        assert [denial["signature"] for denial in found["denials"]] == [one["signature"] for one in plain["denials"]]
