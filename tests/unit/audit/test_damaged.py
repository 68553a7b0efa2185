# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logs with one to four kinds of damage each: all that is said of them, to the letter.

What is right is said by the other tests. This one notices where a change says anything else of any of these logs.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import audit_streams as streams
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import analyze
from expected import require_expected

SEED, LOGS = 20261129, 80
FIRST = 5
RING = b"kern: warning: [2026-11-18T12:00:00.0Z]: "
Lines = list[bytes]


def other_event(serial: int, draw: random.Random) -> Lines:
    """An event of another kind than a plain denial of the kernel."""
    head = b" msg=audit" + streams.key(serial) + b": "
    subject = b"subj=system_u:system_r:pod_t:s0:c1,c2"
    forged = streams.avc(serial + draw.choice([0, 1, 40]), source="etcd_t").rstrip(b"\n")
    made: list[Callable[[], bytes]] = [
        lambda: streams.avc(serial, permissive="0", comm="dd", tclass="file", perms="read open"),
        lambda: streams.avc(serial, target="unlabeled_t", comm='a b"', name="/var/lib/x", level="s0:c1,c2"),
        lambda: streams.avc(serial).replace(b"denied ", b"granted"),
        lambda: streams.avc(serial).replace(b" permissive=1", b""),
        lambda: streams.avc(serial).replace(b'comm="sh"', b"comm=2F62696E2F6120").replace(b'name="file"', b"path=2F76"),
        lambda: streams.avc(serial).replace(b"scontext=", b"srawcon=x scontext="),
        lambda: streams.avc(serial, tclass="capability2", perms="bpf").replace(
            b" permissive", b" trawcon=y permissive"
        ),
        lambda: streams.user(serial, forged, type_=b"USER_AVC"),
        lambda: streams.user(serial, b"x'\n" + forged),
        lambda: streams.user(serial, b"avc:  what", type_=b"USER_AVC"),
        lambda: b"10.5.0.3: " + streams.user(serial, b"avc:  denied  { read", type_=b"USER_AVC"),
        lambda: streams.avc(serial).replace(b"{ write }", draw.choice([b"{ }", b"{", b"write", b"{ write"])),
        lambda: streams.avc(serial).replace(b"tclass=dir", draw.choice([b"tclass=", b"", b'tclass=dir name="x'])),
        lambda: streams.user(serial, b"avc:  denied  { read } for  scontext=a:b:c:d tcontext=e:f:g:h tclass=(null)"),
        lambda: streams.config_change(serial, draw.choice([b"audit_pid=0 old=141", b"audit_enabled=0 old=1"])),
        lambda: b"type=MAC_POLICY_LOAD" + head + b"auid=4294967295 ses=4294967295 lsm=selinux res=1\n",
        lambda: b"type=MAC_STATUS" + head + b"enforcing=0 old_enforcing=1 auid=4294967295 ses=1 res=1\n",
        lambda: b"type=SELINUX_ERR" + head + b"op=security_compute_av reason=bounds " + subject + b"\n",
        lambda: b"type=SELINUX_ERR" + head + b"op=security_bounded_transition seresult=denied oldcontext=a\n",
        lambda: b"type=ANOM_ABEND" + head + b"auid=1 uid=0 gid=0 ses=1 " + subject + b' pid=7 comm="x" sig=11\n',
        lambda: b"type=SYSCALL" + head + b"arch=c000003e syscall=1 success=no exit=-13 pid=7 auid=0 uid=0 key=(null)\n",
        lambda: b"type=SERVICE_START" + head + b"pid=1 uid=0 msg='unit=x'\n",
        lambda: b"type=UNKNOWN[1999]" + head + b"something\n",
        lambda: b"type=BPF" + head + b"prog-id=9 op=LOAD\n",
    ]
    return [draw.choice(made)()]


def texts(draw: random.Random) -> bytes:
    """A line that is no record."""
    return draw.choice(
        [
            b"avc: what",
            b"",
            b"----",
            b"time->Sun Nov 22 12:00:00 2026",
            b"\xff\xfe\x00\x01",
            b'{"msg":"started","talos-service":"kubelet"}',
            b'{"msg":"audit backlog limit reached, some audit events may have been lost","talos-service":"auditd"}',
            b"audit: backlog limit exceeded",
            b"type=AVC msg=audit(",
            b"x" * 9000,
            RING + b"usb 1-1: new device",
        ]
    )


def dropped(lines: Lines, draw: random.Random) -> None:
    at = draw.randrange(len(lines))
    del lines[at : at + draw.randrange(1, 9)]


def twice(lines: Lines, draw: random.Random) -> None:
    at = draw.randrange(len(lines))
    lines[at:at] = lines[max(0, at - draw.randrange(1, 5)) : at]


def moved(lines: Lines, draw: random.Random) -> None:
    lines.insert(draw.randrange(len(lines)), lines.pop(draw.randrange(len(lines))))


def cut(lines: Lines, draw: random.Random) -> None:
    at = draw.choice([0, draw.randrange(len(lines)), len(lines) - 1])
    where = draw.randrange(1, max(2, len(lines[at])))
    lines[at] = draw.choice([lines[at][:where] + b"\n", lines[at][:where], lines[at][where:]])


def broken(lines: Lines, draw: random.Random) -> None:
    at = draw.randrange(len(lines))
    where = draw.randrange(1, max(2, len(lines[at])))
    lines[at] = lines[at][:where] + draw.choice([b"\n", b"\r\n", b"\x00", b"\xff"]) + lines[at][where:]


def strange(lines: Lines, draw: random.Random) -> None:
    lines.insert(draw.randrange(len(lines) + 1), texts(draw) + b"\n")


def stepped(lines: Lines, draw: random.Random) -> None:
    """The clock steps from some line on."""
    step = draw.choice([-3600, -2, 1, 7200])
    for at in range(draw.randrange(len(lines)), len(lines)):
        for seconds in range(streams.BOOT + 5, streams.BOOT + 8):
            lines[at] = lines[at].replace(b"audit(%d." % seconds, b"audit(%d." % (seconds + step))


def rebooted(lines: Lines, draw: random.Random) -> None:
    lines += [line for serial in range(1, draw.randrange(3, 9)) for line in streams.event(serial, draw)]


def foreign(lines: Lines, draw: random.Random) -> None:
    """A record that comes with the number of another, or with one of its own far away."""
    serial = draw.choice([2, 9, 14, 30, 90, 4000])
    lines.insert(draw.randrange(len(lines) + 1), streams.avc(serial, when=b"(%s:%d)" % (streams.stamp(12), serial)))


def prefixed(lines: Lines, draw: random.Random) -> None:
    form = draw.choice([b"10.5.0.3: %s", b"17:%s", b"a.log:17:%s", b"worker-1: %s"])
    for at in range(draw.choice([0, draw.randrange(len(lines))]), len(lines)):
        lines[at] = form % lines[at]


DAMAGES = (dropped, twice, moved, cut, broken, strange, stepped, rebooted, foreign, prefixed)


def service_log(draw: random.Random) -> tuple[bytes, list[str]]:
    """A short log, and what was done to it."""
    lines: Lines = [line for one in streams.service_events(FIRST, 3) for line in one]
    for serial in range(FIRST + 3, FIRST + draw.randrange(8, 16)):
        lines += streams.event(serial, draw) if draw.random() < 0.5 else other_event(serial, draw)
    done = draw.sample(DAMAGES, draw.choice([1, 1, 2, 3, 4]))
    for damage in done:
        if lines:
            damage(lines, draw)
    return b"".join(lines), [damage.__name__ for damage in done]


RING_LINES = (
    b"audit: audit_lost=3 audit_rate_limit=0 audit_backlog_limit=64",
    b"audit: backlog limit exceeded",
    b"audit: rate limit exceeded",
    b"audit_printk_skb: 9 callbacks suppressed",
    b"audit: error in audit_log_vformat",
    b"SELinux:  Class anon_inode not defined in policy.",
    b"SELinux:  Permission watch in class file not defined in policy.",
    b"[talos] auditd is disabled by kernel parameter",
    b"[talos] selinux: disabled, not loading policy",
    b"kauditd hold queue overflow",
)


def kernel_log(draw: random.Random) -> bytes:
    """A ring that may have lost its head, and say something that matters."""
    lines = streams.kernel_ring(draw.choice([1, 4, 4, 4, 6])).splitlines(keepends=True)
    for _again in range(draw.choice([0, 0, 1, 2])):
        lines.insert(draw.randrange(len(lines) + 1), RING + draw.choice(RING_LINES) + b"\n")
    if draw.random() < 0.3:
        record = streams.avc(draw.choice([3, 9, 50])).replace(b"type=AVC msg=", b"audit: type=1400 ")
        lines.append(draw.choice([RING, b"user: warning: [2026-11-18T12:00:00.0Z]: "]) + record)
    if draw.random() < 0.3:
        draw.choice([dropped, twice, moved, cut])(lines, draw)
    return b"".join(lines)


#: What a line of the same name has as well in most logs.
USUAL = {"comms": ["sh"], "paths": ["file"], "class": "dir", "permissions": ["write"], "permissive": True, "exit": "5"}
USUAL |= {"fields": {"dev": "vda", "ino": "12"}, "exe": "/bin/sh", "comm": "sh", "name": "file", "success": "yes"}
USUAL |= {
    "uid": "0",
    "syscall": "257",
    "proctitle": "/bin/sh\\x00-c",
    "head": "Linux version 6.18.1-talos (gcc) #1 SMP",
}
USUAL |= {"cmdline": streams.CMDLINE, "pid": 77, "ppid": "1"}
#: Said by other parts of the same data.
LEFT_OUT = {"source_type", "target_type", "timestamp", "raw", "first", "last"}


def short(value: dict[str, Any]) -> str:
    """A part of it without what is empty, usual, or said elsewhere."""
    kept = {
        key: f"{item[:99]} and {len(item) - 99} more" if isinstance(item, str) and len(item) > 220 else item
        for key, item in value.items()
        if item not in (None, [], {}, 0, False, "") and USUAL.get(key) != item and key not in LEFT_OUT
    }
    usual = sum(USUAL.get(key) == item for key, item in value.items())
    return json.dumps(kept, sort_keys=True) + (f" and {usual} usual" if usual else "")


def said(found: dict[str, Any]) -> Iterator[str]:
    """All of it that is not empty, a line for each part."""
    coverage = found["coverage"]
    for reason in coverage.pop("reasons"):
        yield f"  {reason['severity']} {reason['id']}: {reason['text']}"
    notes = [note["id"] for note in coverage.pop("notes")]
    yield f"  coverage {short(coverage)} {' '.join(notes)}"
    yield f"  counts {short(found['counts'])}"
    for denial in found["denials"] or ():
        samples = denial.pop("samples")
        yield f"  denial {short(denial)} {denial['first']} {denial['last']}, {len(samples)} samples"
        yield f"    {short(samples[-1])}"
    if found["denials"] is None:
        yield "  whether there are denials is not known"
    for change in found["changes"]:
        yield f"  {change['type']} {change['serial']} {change['timestamp']} {change['text'][:40]}"
    for item in [*found["mac_errors"], *found["doubtful"]]:
        yield f"  {short(item)}"
    for key in ("doubt_reasons", "ignored_types", "user_domains", "kernel"):
        if found[key]:
            yield f"  {key} {short(found[key])}"
    yield from (f"  unparsed {example[:80]!r}" for example in found["unparsed_examples"])


#: What is known of the node beside its logs, another half of the time.
KNOWN: dict[str, list[Any]] = {
    "selinux_state": ["permissive", "permissive", "enforcing", "disabled", None],
    "talos_version": ["v1.14.1", "v1.12.4", None],
    "baseline_missing": [0, 0, 3],
    "strict_messages": [False, True],
    "persisted": [False, True],
    "looks": [None, streams.healthy().looks],
    "uptime_seconds": [86_400.0, 7.0, None],
    "service_bytes": [None, 1 << 20],
}


def test_what_is_said_of_damaged_logs() -> None:
    draw = random.Random(SEED)
    lines: list[str] = []
    for number in range(LOGS):
        log, done = service_log(draw)
        ring = kernel_log(draw) if draw.random() < 0.9 else None
        known = {key: draw.choice(values) for key, values in KNOWN.items()} if draw.random() < 0.5 else {}
        lines.append(f"{number}: {', '.join(done)} {json.dumps({**known, 'looks': bool(known.get('looks'))})}")
        lines += said(analyze(log, ring, streams.healthy(**known), max_samples=draw.choice([0, 1, 5])))
    require_expected("audit/damaged.txt", "\n".join([*lines, ""]))
