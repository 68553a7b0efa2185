# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every form in which audit records reach people, and every field they carry."""

from __future__ import annotations

import base64
import gzip
import io
import json
from pathlib import Path
from typing import Any

import audit_streams as streams
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.contexts import (
    categories,
    refused_by_categories,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.denials import owners_in
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.notes import Notes
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.patterns import Entry
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.records import read_line
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.scanner import Scanner, summarize
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.summary import Summary
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.values import decode, moment, show

LOG = streams.service_log(5, 60)
LINES = LOG.splitlines()


def ring(line: bytes) -> bytes:
    """A record as the kernel prints it."""
    numbers = {b"AVC": 1400, b"SYSCALL": 1300, b"PATH": 1302, b"CWD": 1307, b"PROCTITLE": 1327, b"EOE": 1320}
    numbers |= {b"CONFIG_CHANGE": 1305, b"USER_LOGIN": 1112, b"USER_AVC": 1107}
    type_, _unused, rest = line[5:].partition(b" msg=")
    return b"audit: type=%d " % numbers[type_] + rest


def forwarded(line: bytes) -> bytes:
    return json.dumps({"msg": line.decode(), "talos-level": "info", "talos-service": "auditd"}).encode()


FORMS: dict[str, Any] = {
    "raw": lambda line: line,
    "node name": lambda line: b"worker-1.example.org: " + line,
    "node IPv4": lambda line: b"10.5.0.3: " + line,
    "node IPv6": lambda line: b"fd00:10::7: " + line,
    "RFC 3339": lambda line: b"2026-11-22T12:00:00.123456789Z " + line,
    "node and time": lambda line: b"10.5.0.3: 2026-11-22T12:00:00+01:00 " + line,
    "ring": ring,
    "ring with level and time": lambda line: b"<5>[    9.391910] " + ring(line),
    "ring with time": lambda line: b"[    9.391910] " + ring(line),
    "talosctl dmesg": lambda line: b"kern:  notice: [2026-11-22T12:00:00.123456789Z]: " + ring(line),
    "node and talosctl dmesg": lambda line: b"10.5.0.3: kern:  notice: [2026-11-22T12:00:00.1Z]: " + ring(line),
    "grep -n": lambda line: b"17:" + line,
    "grep -Hn": lambda line: b"logs/auditd.log:17:" + line,
    "JSON": forwarded,
    "CRLF": lambda line: line + b"\r",
    "leading blanks": lambda line: b"   \t" + line,
    "enriched": lambda line: line + b'\x1dARCH=x86_64 SYSCALL=openat UID="root"',
}


def essence(summary: Summary) -> list[tuple[Any, ...]]:
    return [
        (d["signature"], d["count"], d["first"], d["last"], d["comms"], d["paths"], d["permissive"])
        for d in summary.denials
    ]


@pytest.mark.parametrize("form", FORMS)
def test_each_form_tells_the_same(form: str) -> None:
    plain = summarize(LOG)
    summary = summarize(b"".join(FORMS[form](line) + b"\n" for line in LINES))
    assert essence(summary) == essence(plain)
    for name in ("lines", "unparsed", "denied", "granted", "doubtful", "mac_errors", "events"):
        assert summary.counts[name] == plain.counts[name], name
    assert summary.seen == plain.seen
    assert summary.orphans == 0


def test_gzip_files_and_streams(tmp_path: Path) -> None:
    packed = tmp_path / "log.gz"
    packed.write_bytes(gzip.compress(LOG[:2000]) + gzip.compress(LOG[2000:]))
    plain = essence(summarize(LOG))
    assert essence(summarize(packed)) == plain
    assert essence(summarize(str(packed))) == plain
    assert essence(summarize(io.BytesIO(packed.read_bytes()))) == plain
    assert essence(summarize([LOG[n : n + 7] for n in range(0, len(LOG), 7)])) == plain
    cut = summarize(packed.read_bytes()[:-30])
    assert cut.broken
    assert summarize(gzip.compress(LOG)[:-9] + b"garbage!!").broken


def test_ausearch_groups() -> None:
    grouped = b"".join(
        b"----\ntime->Sun Nov 22 12:00:00 2026\n" + b"".join(one) for one in streams.service_events(5, 60)
    )
    summary = summarize(grouped)
    assert essence(summary) == essence(summarize(LOG))
    assert summary.counts["unparsed"] == 0
    assert summary.ignored_types["separator"] == 2 * 60


def test_pieces_of_any_size_tell_the_same() -> None:
    plain = summarize(LOG)
    for size in (1, 13, 4096):
        scanner = Scanner()
        for start in range(0, len(LOG), size):
            scanner.feed(LOG[start : start + size])
        found = scanner.close()
        assert (found.counts, found.denials) == (plain.counts, plain.denials)


def one(line: bytes) -> dict[str, Any]:
    summary = summarize(line + b"\n")
    assert summary.counts["unparsed"] == 0, line
    assert len(summary.denials) == 1
    return summary.denials[0]


HEAD = b"type=AVC msg=audit(1795000005.004:5): avc:  denied  "
TAIL = b" scontext=system_u:system_r:pod_t:s0:c1,c2 tcontext=system_u:object_r:run_t:s0-s0:c0.c1023"
TAIL += b" tclass=file permissive=1"


@pytest.mark.parametrize(
    ("middle", "key", "value"),
    [
        (b'pid=7 comm="sh" name="plain"', "name", "plain"),
        (b'pid=7 comm="sh" name=77697468207370616365', "name", "with space"),
        (b'pid=7 comm="sh" path=2F6E65770A6C696E65', "path", "/new\\x0aline"),
        (b'pid=7 comm=6120622063 name="x"', "comm", "a b c"),
        (b'pid=7 comm="sh" name="DEADBEEF"', "name", "DEADBEEF"),
        (b'pid=7 comm="sh" name="scontext=x:y:kernel_t:s0"', "name", "scontext=x:y:kernel_t:s0"),
        (b'pid=7 comm="avc:" name="{a}"', "name", "{a}"),
        (b'pid=7 comm="sh" path="/memfd:x" dev="tmpfs" ino=4', "path", "/memfd:x"),
        (b'pid=7 comm="sh" path=006162', "path", "\\x00ab"),
        (b'pid=7 comm="sh" name=(null)', "name", None),
        (b'pid=7 comm="sh" name=E2808F61', "name", "\\u200fa"),
        (b'pid=7 comm="sh" name=FF61', "name", "\\xffa"),
    ],
)
def test_names(middle: bytes, key: str, value: str | None) -> None:
    denial = one(HEAD + b"{ read } for  " + middle + TAIL)
    assert denial["samples"][0][key] == value
    assert denial["source_type"] == "pod_t"
    assert denial["target_type"] == "run_t"
    assert denial["class"] == "file"


@pytest.mark.parametrize(
    ("middle", "field", "value"),
    [
        (b'pid=7 comm="x" capability=22 ', "capability", "22"),
        (b'pid=7 comm="x" ipc_key=4660 ', "ipc_key", "4660"),
        (b'pid=7 comm="x" path="/dev/vda" dev="devtmpfs" ino=9 ioctlcmd=0x1260', "ioctlcmd", "0x1260"),
        (b'pid=7 comm="x" laddr=10.0.0.1 lport=80 faddr=10.0.0.2 fport=81', "faddr", "10.0.0.2"),
        (b'pid=7 comm="x" saddr=10.0.0.1 daddr=10.0.0.2 netif=eth0', "netif", "eth0"),
        (b'pid=7 comm="x" src=68', "src", "68"),
        (b'comm="x" dest=80', "dest", "80"),
    ],
)
def test_other_fields(middle: bytes, field: str, value: str | None) -> None:
    denial = one(HEAD + b"{ use } for  " + middle + TAIL)
    assert denial["comms"] == ["x"]
    if value is not None:
        assert denial["samples"][0]["fields"][field] == value


def test_several_permissions_make_one_signature_in_any_order() -> None:
    text = (
        HEAD
        + b'{ write read } for  pid=7 comm="a"'
        + TAIL
        + b"\n"
        + HEAD
        + b'{ read write } for  pid=8 comm="b"'
        + TAIL
    )
    denial = one(text)
    assert denial["signature"] == "pod_t:run_t:file:read+write"
    assert denial["count"] == 2
    assert denial["comms"] == ["a", "b"]
    assert denial["constraint"] == "mcs"


def test_volatile_parts_never_split_and_types_never_merge() -> None:
    lines = [
        streams.avc(5, name="a"),
        streams.avc(6, name="b", level="s0:c3,c9"),
        streams.avc(7, comm="other"),
        streams.avc(8, perms="read"),
        streams.avc(9, tclass="file"),
        streams.avc(10, source="kubelet_t"),
        streams.avc(11, target="ephemeral_t"),
    ]
    summary = summarize(b"".join(lines))
    assert {denial["signature"]: denial["count"] for denial in summary.denials} == {
        "pod_t:run_t:dir:write": 3,
        "pod_t:run_t:dir:read": 1,
        "pod_t:run_t:file:write": 1,
        "kubelet_t:run_t:dir:write": 1,
        "pod_t:ephemeral_t:dir:write": 1,
    }


def test_raw_contexts_and_granted() -> None:
    summary = summarize(
        HEAD
        + b'{ write } for  pid=7 comm="x"'
        + TAIL.replace(b"run_t", b"unlabeled_t")
        + b' srawcon="a:b:c:d" trawcon=6F6C642074\n'
        + HEAD.replace(b"denied", b"granted")
        + b'{ load_policy } for  pid=7 comm="x"'
        + TAIL.removesuffix(b" permissive=1")
        + b"\n"
    )
    assert summary.counts["granted"] == 1
    assert summary.counts["denied"] == 1
    assert summary.denials[0]["raw_contexts"] == ["a:b:c:d", "old t"]
    assert summary.torn == 0


def test_enforced_and_permissive() -> None:
    summary = summarize(streams.avc(5) + streams.avc(6, permissive="0"))
    assert summary.denials[0]["permissive"] is False
    assert summary.denials[0]["enforced"] == 1
    assert summarize(streams.avc(5)).denials[0]["permissive"] is True


def test_missing_class_is_a_torn_record_that_counts() -> None:
    line = (
        HEAD + b'{ read } for  pid=7 comm="x" scontext=system_u:system_r:pod_t:s0 tcontext=system_u:object_r:run_t:s0\n'
    )
    summary = summarize(line)
    assert summary.counts["denied"] == 1
    assert summary.denials[0]["class"] == "unknown"
    assert summary.torn == 1


def test_all_types_are_told() -> None:
    def at(type_: bytes, serial: int, text: bytes) -> bytes:
        return b"type=" + type_ + b" msg=audit" + streams.key(serial) + b": " + text + b"\n"

    log = (
        at(b"MAC_POLICY_LOAD", 5, b"auid=4294967295 ses=4294967295 lsm=selinux res=1")
        + at(b"MAC_STATUS", 6, b"enforcing=1 old_enforcing=0")
        + at(
            b"SELINUX_ERR", 7, b"op=security_bounded_transition seresult=denied oldcontext=a:b:c:s0 newcontext=a:b:d:s0"
        )
        + at(b"USER_SELINUX_ERR", 8, b"pid=1 uid=0 subj=system_u:system_r:init_t:s0 msg='op=x'")
        + at(
            b"USER_AVC",
            9,
            b"pid=1 uid=0 subj=system_u:system_r:apid_t:s0 msg='avc:  denied  { send_msg } for msgtype=method_call"
            b" scontext=system_u:system_r:pod_t:s0 tcontext=system_u:system_r:init_t:s0 tclass=dbus permissive=0"
            b' exe="/usr/bin/dbus-daemon" sauid=81\'',
        )
        + at(b"UNKNOWN[1423]", 10, b"domain=1 blockers=fs.write_file")
        + at(b"SECCOMP", 11, b'auid=1 uid=0 pid=9 comm="x" sig=31 arch=c000003e syscall=41')
        + at(b"CONFIG_CHANGE", 12, b"op=set audit_enabled=1 old=0")
    )
    summary = summarize(log)
    assert summary.counts["mac_errors"] == 2
    assert [error["type"] for error in summary.mac_errors] == ["SELINUX_ERR", "USER_SELINUX_ERR"]
    assert [change["type"] for change in summary.changes] == ["MAC_POLICY_LOAD", "MAC_STATUS", "CONFIG_CHANGE"]
    assert summary.ignored_types == {"SECCOMP": 1, "UNKNOWN[1423]": 1}
    assert summary.denials[0]["userspace"] is True
    assert summary.denials[0]["signature"] == "pod_t:init_t:dbus:send_msg"
    assert summary.counts["unparsed"] == 0


def test_records_of_an_event_are_joined_although_others_stand_between() -> None:
    first, second = streams.event(5), streams.event(6)
    mixed = [first[0], second[0], second[1], first[1], *second[2:], *first[2:]]
    summary = summarize(b"".join(mixed), max_samples=0)
    samples = [sample for denial in summary.denials for sample in denial["samples"]]
    assert summary.counts["events"] == 2
    assert summary.orphans == 0
    assert [sample["exe"] for sample in samples] == ["/bin/sh", "/bin/sh"]
    assert [sample["proctitle"] for sample in samples] == ["/bin/sh\\x00-c"] * 2


UID = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"


def test_owners_come_from_paths() -> None:
    uid = UID
    paths = [
        f"/var/lib/kubelet/pods/{uid}/volumes/x",
        f"/var/log/pods/kube-system_cilium-abc_{uid}/agent/0.log",
        "/run/containerd/io.containerd.runtime.v2.task/k8s.io/" + "ab" * 32 + "/rootfs",
    ]
    log = b"".join(
        streams.avc(5 + n).replace(b'name="file"', b'path="' + path.encode() + b'"') for n, path in enumerate(paths)
    )
    assert summarize(log).denials[0]["owners"] == [
        "container:" + "ab" * 32,
        "container:kube-system/cilium-abc/agent",
        "pod:" + uid,
        "pod:kube-system/cilium-abc",
    ]


@pytest.mark.parametrize(
    ("path", "owners"),
    [
        (f"/var/log/pods/kube-system_cilium-abc_{UID}", ["pod:kube-system/cilium-abc"]),
        (
            "/var/log/containers/coredns-1_kube-system_coredns-" + "cd" * 32 + ".log",
            ["pod:kube-system/coredns-1"],
        ),
        (f"/sys/fs/cgroup/kubepods/burstable/pod{UID}/memory.max", [f"pod:{UID}"]),
        (
            f"/sys/fs/cgroup/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UID.replace('-', '_')}",
            [f"pod:{UID}"],
        ),
        ("/var/log/containers/nonsense.log", []),
    ],
)
def test_a_path_says_whose_it_is(path: str, owners: list[str]) -> None:
    assert owners_in(path.encode()) == owners


def test_samples_hold_the_bytes() -> None:
    line = streams.avc(5)
    sample = summarize(b"10.0.0.1: " + line).denials[0]["samples"][0]
    assert base64.b64decode(sample["raw"]) == b"10.0.0.1: " + line.rstrip(b"\n")
    assert sample["timestamp"] == moment(streams.stamp(5))
    assert sample["pid"] == 77


def test_lists_that_are_cut_say_so() -> None:
    summary = summarize(b"".join(streams.avc(n, comm=f"c{n}", name=f"n{n}") for n in range(5, 205)))
    denial = summary.denials[0]
    assert denial["count"] == 200
    assert denial["comms"][-1] == "(more)" and len(denial["comms"]) == 17
    assert denial["paths"][-1] == "(more)" and len(denial["paths"]) == 17


@pytest.mark.parametrize(
    "line",
    [
        b"avc:",
        b"kern: info: [2026-11-22T12:00:00Z]: something avc:  denied",
        b"[    1.0] avc: x",
        b'{"msg": "avc: denied"}',
        b'{"other": "avc: denied"}',
        b"type=AVC msg=audit(1.000:1): avc:  denied  { read } for  pid=1",
        b"type=NOSUCH msg=audit(1.000:1): avc:  denied",
        b"time-> avc:",
        b"type=USER_AVC msg=audit(1.000:1): pid=1 subj=a:b:c_t:s0 msg='avc:  denied  { x'",
    ],
)
def test_a_line_about_a_decision_is_never_ignored(line: bytes) -> None:
    counts = summarize(line + b"\n").counts
    assert counts["ignored"] == 0
    assert counts["unparsed"] == 1


@pytest.mark.parametrize(
    "line",
    [
        b'type=BPF msg=audit(1.000:1): prog="avc:"',
        b'type=SYSCALL msg=audit(1.000:1): arch=c000003e comm="avc:" key=(null)',
        b"type=USER_LOGIN msg=audit(1.000:1): pid=1 subj=a:b:pod_t:s0 msg='avc: hello'",
    ],
)
def test_a_record_that_merely_mentions_it_is_parsed(line: bytes) -> None:
    counts = summarize(line + b"\n").counts
    assert counts["parsed"] == 1
    assert counts["denied"] == 0


@pytest.mark.parametrize("careful", [False, True])
def test_a_damaged_record_behind_others_of_its_event_is_never_taken_for_whole(careful: bool) -> None:
    events = streams.service_events(5, 20)
    denial, *others = events[10]
    assert denial.startswith(b"type=AVC ") and others[0].startswith(b"type=SYSCALL ")
    events[10] = [others[0], denial.replace(b"avc:", b"\x00vc:"), *others[1:]]
    scanner = Scanner(careful=careful)
    scanner.feed(b"".join(line for event in events for line in event))
    counts = scanner.close().counts
    assert counts["unparsed"] == 1
    assert counts["parsed"] + counts["ignored"] + counts["unparsed"] == counts["lines"]


def test_events_without_a_primary_record_are_all_counted_and_some_are_named() -> None:
    count = 10_050
    head = b"type=SYSCALL msg=audit(1795000005.000:%d): arch=c000003e key=(null)\n"
    summary = summarize(b"".join(head % serial for serial in range(1, count + 1)))
    assert (summary.orphans, summary.orphan_serials) == (count, list(range(1, 201)))


def test_doubtful_records_beyond_those_that_are_kept_are_counted() -> None:
    scanner = Scanner()
    scanner.doubt_lines.update(b"%d" % number for number in range(10_000))
    scanner.feed(b"".join([*streams.event(5), streams.avc(5, when=b"(1700000001.000:5)"), *streams.event(6)]))
    summary = scanner.close()
    assert (summary.counts["doubtful"], len(summary.doubt_lines), len(summary.doubtful)) == (1, 10_000, 1)


def test_tails_beyond_those_that_are_remembered_are_counted_alike() -> None:
    log = streams.service_log(5, 60)
    # Tails that are new come behind it.
    cut = log.index(b"type=AVC msg=audit" + streams.key(11))
    found = []
    for fill in (0, 20_000):
        scanner = Scanner()
        scanner.feed(log[:cut])
        like = next(iter(scanner._cache.values()))
        more = Entry(like.group, like.denied, like.tail, b"", like.first)
        scanner._cache.update(dict.fromkeys((b"%d" % number for number in range(fill)), more))
        scanner.feed(log[cut:])
        found.append(streams.told(scanner.close()))
    assert found[0] == found[1] == streams.told(summarize(log))


def test_a_line_without_end_behind_a_whole_event_hides_none_of_it() -> None:
    scanner = Scanner()
    scanner.feed(streams.service_log())
    scanner.feed(b"x" * ((4 << 20) + 1))
    counts = scanner.close().counts
    assert counts["lines"] == streams.service_log().count(b"\n") + 1
    assert (counts["unparsed"], counts["denied"]) == (1, streams.service_log().count(b"avc:  denied"))


def test_errors_beyond_those_that_are_kept_are_counted() -> None:
    notes = Notes()
    for number in range(205):
        notes.take(b"SELINUX_ERR", b"1.000", number, b"op=%d" % number)
    assert (notes.error_lines, len(notes.errors)) == (205, 200)


def test_a_record_that_quotes_the_number_of_the_last_event_changes_nothing() -> None:
    """Where a piece ends, its last event waits for the next one, and takes along what looks like a part of it."""
    lines = [line for one in streams.service_events(5, 15) for line in one]
    head = b" msg=audit" + streams.key(20) + b": "
    lines.append(b"type=SYSCALL" + head + b"arch=c000003e key=(null)\n")
    lines.append(b"type=AVC" + head + b"torn msg=audit" + streams.key(21) + b": \n")
    first, *others = streams.event(21)
    found = []
    for careful in (False, True):
        scanner = Scanner(careful=careful)
        scanner.feed(b"".join([*lines, first]))
        scanner.feed(b"".join(others))
        found.append(streams.told(scanner.close()))
    assert found[0] == found[1]
    assert found[0]["counts"]["unparsed"] == 1
    assert found[0]["counts"]["denied"] == b"".join([*lines, first, *others]).count(b"avc:  denied")


def test_small_things() -> None:
    assert categories(b"u:r:t:s0") == frozenset()
    assert categories(b"u:r:t:s0-s0:c0.c3,c9") == {0, 1, 2, 3, 9}
    assert categories(b"u:r:t:s0:nonsense") is None
    assert not refused_by_categories(b"u:r:init_t:s0", b"u:r:t:s0:c1")
    assert refused_by_categories(b"u:r:pod_t:s0:c1", b"u:r:t:s0:c1,c2")
    assert decode(b"6") == b"6"
    assert show(b"\x1b[31m\r\n\t\xff") == "\\x1b[31m\\x0d\\x0a\\x09\\xff"
    assert moment(b"999999999999.000") is None
    assert read_line(b"").label == "blank"
