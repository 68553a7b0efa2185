# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one line of a log is taken for: in each form, with each part cut off or changed."""

from __future__ import annotations

import json

import audit_streams as streams
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.records import LOSS_NOTICE, read_line
from expected import require_expected

AVC = streams.avc(9).rstrip(b"\n")
KERNEL = AVC.replace(b"type=AVC msg=", b"type=1400 ")
AT = b"[2026-11-18T12:00:00.123456789Z]: "


def forwarded(message: object, **fields: object) -> bytes:
    return json.dumps({"msg": message, **fields}).encode()


TEXT, RING = AVC.decode(), b"audit: " + KERNEL
LINES: list[bytes] = [
    AVC,
    AVC + b"\r",
    b"  " + AVC,
    b"node=n " + AVC,
    b"10.5.0.3: " + AVC,
    b"fe80::1%eth0: " + AVC,
    b"worker-1: " + AVC,
    b"a.log:17:" + AVC,
    b"17:" + AVC,
    AVC + b" " + AVC,
    AVC + AVC,
    AVC + b"\x1d" + b"ARCH=x86_64",
    *(AVC[:length] for length in range(1, len(AVC), 17)),
    *(AVC[length:] for length in range(1, len(AVC), 29)),
    AVC.replace(b"denied ", b"granted"),
    AVC.replace(b"denied ", b"refused"),
    AVC.replace(b"{ write }", b"{ write read }"),
    AVC.replace(b"{ write }", b"{ }"),
    AVC.replace(b"{ write }", b"{ write"),
    AVC.replace(b":9)", b":99999999999999)"),
    AVC.replace(b"audit(", b"audit(x"),
    AVC.replace(b"tclass=dir", b"tclass="),
    AVC.replace(b"type=AVC", b"type=UNKNOWN[1400]"),
    AVC.replace(b"type=AVC", b"type=1400"),
    AVC.replace(b"type=AVC", b"type=USER_AVC"),
    AVC.replace(b"type=AVC", b"type=OF_TOMORROW"),
    b"time->Sun Nov 22 12:00:00 2026",
    b"----",
    b"",
    b"   ",
    b"avc:  denied",
    b"some text",
    b"{",
    b'{"a": 1}',
    b"[1]",
    RING,
    b"<5>[    9.391910] " + RING,
    b"<13>[    9.391910] " + RING,
    b"[    9.391910] " + RING,
    b"[Sun Nov 22 12:00:00 2026] " + RING,
    *(b"%s: %s: %s" % (facility, level, AT + RING) for facility in (b"kern", b"user") for level in (b"info", b"err")),
    b"kern  :notice: [    9.391910] " + RING,
    b"kern: warning: " + AT + b"avc: denied",
    b"kern: warning: " + AT + b"usb 1-1: new device",
    b"user: warning: " + AT + b"[talos] selinux: policy loaded",
    b" SUBSYSTEM=pci",
    b" DEVICE=+pci:0000:00:01.0  ",
    b"audit: backlog limit exceeded",
    b"audit backlog limit reached, some audit events may have been lost",
    b"x" * 500 + b"audit backlog limit reached, some audit events may have been lost",
    forwarded(TEXT),
    forwarded(TEXT, **{"talos-service": "auditd"}),
    forwarded(TEXT, **{"talos-service": "kubelet"}),
    forwarded(TEXT, facility="kern"),
    forwarded(TEXT, facility="user"),
    forwarded(RING.decode(), facility="kern"),
    forwarded(RING.decode(), facility="user"),
    forwarded(f"{TEXT}\n{TEXT}\n\n", **{"talos-service": "auditd"}),
    forwarded(f"started\n{TEXT}"),
    forwarded("started", **{"talos-service": "kubelet"}),
    forwarded("usb 1-1", facility="kern"),
    forwarded("usb 1-1", facility="user"),
    forwarded("{x"),
    forwarded(7),
    forwarded(None, avc="avc:"),
    forwarded("audit backlog limit reached, some audit events may have been lost", facility="user"),
    json.dumps({"message": TEXT}).encode(),
    b"10.5.0.3: " + forwarded(TEXT, **{"talos-service": "auditd"}),
    *(line.rstrip(b"\n") for line in streams.event(9)),
    streams.user(9).rstrip(b"\n"),
    streams.user(9, b"x' " + AVC).rstrip(b"\n"),
    streams.config_change(9, b"audit_pid=1 old=0").rstrip(b"\n"),
    b"type=EOE msg=audit(1795000005.036:9): ",
    b"type=EOE msg=audit(1795000005.036:9):",
    b"type=PROCTITLE msg=audit(1795000005.036:9): proctitle=2F",
    b"type=MAC_POLICY_LOAD msg=audit(1795000005.036:9): lsm=selinux res=1",
    b"type=SELINUX_ERR msg=audit(1795000005.036:9): op=x",
    b"type=DAEMON_START msg=audit(1795000005.036:9): op=start",
]


def test_what_each_line_is_taken_for() -> None:
    told = []
    for line in LINES:
        found = read_line(line)
        told.append(f"{line[:90]!r}{f' and {len(line) - 90} more' if len(line) > 90 else ''}")
        marks = " ".join(name for name in ("user_written", "joined") if getattr(found, name))
        told.append(f"  {found.kind} {found.label or '-'} {marks} {(found.text or b'')[:40]!r}")
        for record in found.records:
            about = f"{record.type!r} {record.key!r} {record.stamp!r} {record.serial} {record.suspect!r}"
            told.append(f"    {about} {len(record.payload)} {record.payload[:30]!r} {record.payload[-9:]!r}")
    require_expected("audit/lines.txt", "\n".join([*told, ""]))


def test_a_torn_part_of_a_forwarded_message_makes_it_unparsed() -> None:
    text = "type=BPF msg=audit(1.000:1): prog-id=1 op=LOAD\ntype=AVC msg=aud"
    found = read_line(json.dumps({"msg": text, "talos-service": "auditd"}).encode())
    assert (found.kind, len(found.records)) == ("unparsed", 1)


def test_another_service_gives_no_notice_of_a_loss() -> None:
    text = LOSS_NOTICE.decode() + "\navc: x"
    assert read_line(json.dumps({"msg": text, "talos-service": "auditd"}).encode()).label == "notice"
    found = read_line(json.dumps({"msg": text, "talos-service": "kubelet"}).encode())
    assert (found.kind, found.label) == ("unparsed", "text")
