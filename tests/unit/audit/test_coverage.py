# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every number of the false-negative catalogue: its detector fires, and is quiet on a healthy node."""

from __future__ import annotations

import gzip
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import audit_streams as streams
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.coverage import RING_BYTES, CoverageInput, assess
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.scanner import Scanner, summarize
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.boots import Look
from expected import require_expected

DOCS = Path(__file__).resolve().parents[3] / "docs" / "audit-evidence.md"


def _auditd(
    state: str = "Running", starts: int = 1, after: float = 5, extra: list[dict[str, Any]] | None = None
) -> Any:
    events: list[dict[str, Any]] = [{"msg": "Starting service", "state": "Preparing", "ts": streams.BOOT + after}]
    events += [{"msg": "Started task", "state": "Running", "ts": streams.BOOT + after + n} for n in range(starts)]
    return [{"id": "auditd", "state": state, "events": events + (extra or [])}]


def _without(log: bytes, serial: int) -> bytes:
    mark = b":%d): " % serial
    return b"".join(line for line in log.splitlines(keepends=True) if mark not in line)


def _ring_line(text: bytes) -> bytes:
    return streams.kernel_ring() + b"kern: warning: [2026-11-18T12:00:00.0Z]: " + text + b"\n"


LOG = streams.service_log()
LATE = (
    b"kern:  notice: [2026-11-18T12:00:00.0Z]: audit: type=1400 audit"
    + streams.key(50)
    + streams.avc(50)[len(b"type=AVC msg=audit" + streams.key(50)) :]
)

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("F1", "none", {"service_log": b""}),
    ("F1", "none", {"service_log": None}),
    ("F1", "none", {"service_log": b"----\n\n"}),
    ("F2", "none", {"cmdline": streams.CMDLINE + " talos.auditd.disabled=1"}),
    ("F2", "none", {"services": []}),
    ("F2", "none", {"kernel_log": _ring_line(b"[talos] auditd is disabled by kernel parameter")}),
    ("F3", "none", {"cmdline": streams.CMDLINE + " audit=0"}),
    ("F3", "partial", {"kernel_log": streams.HEAD, "service_log": streams.service_log(1)}),
    ("F4", "partial", {"talos_version": "v1.13.2", "services": _auditd("Finished")}),
    ("F4", "partial", {"talos_version": "v1.12.6", "services": _auditd("Failed")}),
    ("F4", "partial", {"talos_version": "v1.13.2", "kernel_log": streams.kernel_ring() + LATE}),
    ("F4", "partial", {"services": None}),
    ("F5", "partial", {"services": _auditd(starts=2)}),
    ("F5", "partial", {"services": _auditd(after=3600), "service_log": streams.service_log(9)}),
    ("F5", "partial", {"services": _auditd(starts=0)}),
    (
        "F6",
        "partial",
        {"kernel_log": _ring_line(b"audit: audit_lost=7 audit_rate_limit=4096 audit_backlog_limit=8192")},
    ),
    ("F6", "partial", {"kernel_log": _ring_line(b"audit: rate limit exceeded")}),
    ("F6", "partial", {"service_log": _without(LOG, 20)}),
    ("F7", "partial", {"kernel_log": _ring_line(b"audit: audit_backlog=8193 > audit_backlog_limit=8192")}),
    ("F7", "partial", {"kernel_log": _ring_line(b"audit: backlog limit exceeded")}),
    ("F7", "partial", {"kernel_log": _ring_line(b"audit: out of memory in audit_log_start")}),
    ("F8", "partial", {"service_log": LOG + b"audit backlog limit reached, some audit events may have been lost\n"}),
    ("F8", "partial", {"kernel_log": _ring_line(b"audit: kauditd hold queue overflow")}),
    ("F9", "partial", {"kernel_log": _ring_line(b"kauditd_printk_skb: 12 callbacks suppressed")}),
    ("F9", "partial", {"kernel_log": _ring_line(b"net_ratelimit: 3 callbacks suppressed")}),
    ("F10", "partial", {"service_bytes": RING_BYTES}),
    ("F10", "partial", {"service_log": LOG[30:]}),
    ("F10", "partial", {"service_log": streams.service_log(9)}),
    ("F11", "partial", {"kernel_log": _without(streams.kernel_ring(), 2).split(b"\n", 1)[1]}),
    ("F11", "partial", {"kernel_log": None}),
    ("F12", "partial", {"looks": (Look("a"), Look("b"))}),
    ("F12", "partial", {"looks": (Look(None, streams.BOOT, processes=9), Look(None, streams.BOOT + 3, processes=9))}),
    ("F12", "partial", {"looks": (Look(None, streams.BOOT, processes=9), Look(None, streams.BOOT, processes=8))}),
    ("F12", "partial", {"looks": (Look(), Look("a", streams.BOOT))}),
    ("F12", "partial", {"uptime_seconds": None}),
    ("F15", "none", {"selinux_state": "disabled"}),
    ("F15", "partial", {"selinux_state": "unknown"}),
    ("F15", "partial", {"selinux_state": "of tomorrow"}),
    ("F15", "partial", {"selinux_state": None}),
    ("F15", "none", {"cmdline": streams.CMDLINE + " lsm=yama,apparmor,selinux"}),
    ("F15", "none", {"cmdline": streams.CMDLINE + " lsm=selinux,apparmor security=selinux security=none"}),
    ("F15", "none", {"cmdline": streams.CMDLINE.replace("selinux=1", "selinux=0"), "selinux_state": "disabled"}),
    ("F3", "partial", {"cmdline": None}),
    ("F3", "none", {"cmdline": streams.CMDLINE + " audit=1 audit=off"}),
    ("F2", "none", {"cmdline": streams.CMDLINE + " talos.auditd.disabled=false talos.auditd.disabled=yes"}),
    ("F2", "partial", {"services": _auditd("Preparing")}),
    ("F4", "partial", {"services": _auditd("Stopping")}),
    ("F5", "partial", {"services": _auditd(extra=[{"msg": "m", "state": "Failed", "ts": streams.BOOT + 9}])}),
    ("F5", "partial", {"services": _auditd(extra=[{"msg": "m", "state": "Finished", "ts": streams.BOOT + 9}])}),
    ("F5", "partial", {"services": _auditd(extra=[{"msg": "m", "state": "Skipped", "ts": streams.BOOT + 9}])}),
    ("F32", "partial", {"uptime_seconds": -1.0}),
    ("F16", "partial", {"talos_version": "of tomorrow"}),
    ("F18", "none", {"stage": "maintenance", "talos_version": "v1.12.4"}),
    ("F15", "none", {"cmdline": streams.CMDLINE + " security=apparmor"}),
    ("F15", "none", {"cmdline": streams.CMDLINE + " lsm=yama,apparmor,bpf"}),
    ("F15", "none", {"cmdline": streams.CMDLINE.replace("selinux=1", "selinux=0")}),
    ("F15", "partial", {"cmdline": streams.CMDLINE.replace("selinux=1 ", "")}),
    ("F15", "none", {"kernel_log": _ring_line(b"selinux: disabled, not loading policy")}),
    ("F16", "none", {"talos_version": "v1.9.6"}),
    ("F16", "none", {"selinux_state": "unsupported"}),
    ("F16", "partial", {"talos_version": None}),
    ("F17", "none", {"mode": "container"}),
    ("F17", "partial", {"mode": None}),
    ("F18", "none", {"stage": "maintenance"}),
    ("F18", "partial", {"stage": None}),
    ("F18", "partial", {"stage": "booting"}),
    ("F26", "partial", {"service_log": LOG + b"type=AVC msg=audit(1.000:1): avc:  denied  { wri\n"}),
    ("F30", "partial", {"service_log": LOG + streams.config_change(35, b"audit_pid=999 old=141")}),
    ("F31", "partial", {"service_log": LOG + streams.service_log(1, 60, 2).replace(b"(1795", b"(1796")}),
    ("F32", "partial", {"time_synced": False}),
    ("F33", "partial", {"stream_clean": False}),
    ("F33", "partial", {"service_log": LOG + b"type=AVC msg=aud"}),
    (
        "forged",
        "partial",
        {"service_log": LOG + streams.user(35, b"x'\n" + streams.avc(2, when=b"(1700000000.000:2)")[:-1])},
    ),
]


def test_the_healthy_node_is_complete() -> None:
    found = assess(streams.healthy())
    assert found["verdict"] == "complete", found["reasons"]
    assert found["reasons"] == []
    assert (found["first_serial"], found["last_serial"]) == (1, 34)
    assert found["lost_at_least"] == 0
    assert found["seconds"] == 86_400, "since boot"
    assert found["since"] == "2026-11-18T11:06:45.004Z"


@pytest.mark.parametrize(("id_", "verdict", "changes"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)])
def test_each_cause_is_found(id_: str, verdict: str, changes: dict[str, Any]) -> None:
    found = assess(streams.healthy(**changes))
    assert found["verdict"] == verdict, found["reasons"]
    assert id_ in {reason["id"] for reason in found["reasons"]}


#: What is no cause, and is said all the same.
NOTED: list[dict[str, Any]] = [
    {},
    {"selinux_state": "enforcing"},
    {"selinux_state": "enforcing", "cmdline": "quiet"},
    {"extensions": ["siderolabs/gvisor"]},
    {"cmdline": streams.CMDLINE + " audit=1 talos.auditd.disabled=0 talos.auditd.disabled=false lsm=selinux,apparmor"},
    {"talos_version": "v1.10.0"},
    {"time_synced": None},
]


def test_what_is_said_of_each_cause() -> None:
    lines = []
    for id_, _verdict, changes in [*CASES, *(("nothing", "", changes) for changes in NOTED)]:
        found = assess(streams.healthy(**changes))
        lines += ["", f"{id_}: {found['verdict']} since {found['since']}, {found['seconds']} s"]
        lines.append(f"  {found['first_serial']} to {found['last_serial']}, {found['lost_at_least']} lost at least")
        lines += [f"  {reason['severity']} {reason['id']}: {reason['text']}" for reason in found["reasons"]]
        lines += [f"  note {note['id']}: {note['text']}" for note in found["notes"]]
    require_expected("audit/coverage.txt", "\n".join([*lines[1:], ""]))


def test_what_is_not_known_is_never_complete() -> None:
    optional = {
        "extensions",
        "service_bytes",
        "now",
        "time_synced",
        "baseline_missing",
        "persisted",
        "strict_messages",
    }
    for one in fields(CoverageInput):
        if one.name in optional:
            continue
        found = assess(streams.healthy(**{one.name: None}))
        assert found["verdict"] != "complete", one.name


def test_nothing_known_at_all() -> None:
    found = assess(CoverageInput())
    assert found["verdict"] == "none"
    assert found["seconds"] is None


def test_a_documented_baseline_explains_holes() -> None:
    log = _without(LOG, 20)
    assert assess(streams.healthy(service_log=log, baseline_missing=1))["verdict"] == "complete"
    found = assess(streams.healthy(service_log=_without(log, 22), baseline_missing=1))
    assert found["verdict"] == "partial"
    assert found["lost_at_least"] == 1


def test_losses_are_counted_from_gaps_and_kernel_counters() -> None:
    log = _without(_without(LOG, 20), 21)
    assert assess(streams.healthy(service_log=log))["lost_at_least"] == 2
    ring = _ring_line(b"audit: audit_lost=76928 audit_rate_limit=4096 audit_backlog_limit=8192")
    assert assess(streams.healthy(service_log=log, kernel_log=ring))["lost_at_least"] == 76928


def test_a_syscall_without_its_primary_record_is_a_lost_denial() -> None:
    log = b"".join(line for line in LOG.splitlines(keepends=True) if b":20): avc" not in line)
    found = assess(streams.healthy(service_log=log))
    assert found["verdict"] == "partial"
    assert found["lost_at_least"] == 1


def test_a_record_asked_for_by_a_rule_is_no_orphan() -> None:
    extra = (
        b'type=SYSCALL msg=audit%s: arch=c000003e syscall=2 success=yes exit=3 pid=1 comm="x" exe="/x" key="watch"\n'
    )
    log = LOG + extra % streams.key(35) + b"type=EOE msg=audit%s: \n" % streams.key(35)
    assert assess(streams.healthy(service_log=log))["verdict"] == "complete"


@pytest.mark.parametrize(
    ("later", "changes", "found"),
    [
        (b"1795000100", {"looks": ()}, True),
        # The clock may be set a little while both are read, or processors may differ.
        (b"1795000060", {"looks": ()}, False),
        (b"1795000100", {}, False),
        (b"1795000100", {"looks": (), "kernel_log": None}, False),
    ],
    ids=["another boot", "within a minute", "seen to be the same boot", "no kernel log"],
)
def test_a_kernel_ring_that_is_later_than_the_log_is_of_another_boot(
    later: bytes, changes: dict[str, Any], found: bool
) -> None:
    kernel = streams.kernel_ring().replace(b"(1795000005", b"(" + later)
    reasons = assess(streams.healthy(**{"kernel_log": kernel, **changes}))["reasons"]
    assert [reason["id"] for reason in reasons].count("F31") == found


def test_every_number_of_the_catalogue_is_tested_or_explained() -> None:
    tested = {case[0] for case in CASES}
    documented = set(re.findall(r"^\| (F\d+) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    numbers = {f"F{number}" for number in range(1, 35)}
    assert numbers <= tested | documented, sorted(numbers - tested - documented)
    assert not documented & tested, "explained as without detector, yet tested"


def test_serials_of_a_log_nobody_read_are_missing_but_not_known_to_be_lost() -> None:
    found = assess(streams.healthy(kernel_log=None))
    assert "F11" in {reason["id"] for reason in found["reasons"]}
    assert found["lost_at_least"] == 0
    # With a whole kernel ring at hand they are lost.
    assert assess(streams.healthy(kernel_log=streams.kernel_ring(last=2)))["lost_at_least"] == 2


def test_under_audit_rules_an_event_without_a_primary_record_is_no_counted_loss() -> None:
    """A rule may have no key; then its records look like those of a denial whose AVC record was lost."""
    ruled = LOG + b"type=CONFIG_CHANGE msg=audit%s: auid=0 ses=1 op=add_rule key=(null) list=4 res=1\n" % streams.key(
        35
    )
    ruled += b"type=SYSCALL msg=audit%s: arch=c000003e syscall=2 success=yes key=(null)\n" % streams.key(36)
    found = assess(streams.healthy(service_log=ruled))
    assert "F6" in {reason["id"] for reason in found["reasons"]}
    assert found["lost_at_least"] == 0


@pytest.mark.parametrize("only_printed", [False, True])
def test_what_the_kernel_printed_and_delivered_was_not_missed_by_auditd(only_printed: bool) -> None:
    """With audit=1 the kernel prints early records and still delivers them once auditd is there."""
    early = streams.kernel_ring()
    log = b"type=KERNEL msg=audit%s: state=initialized audit_enabled=1 res=1\n" % streams.key(1)
    for serial in range(2, 5):
        log += b"type=MAC_POLICY_LOAD msg=audit%s: auid=4294967295 ses=4294967295 lsm=selinux res=1\n" % streams.key(
            serial
        )
    service = _without(log + LOG, 20) if only_printed else log + LOG
    if only_printed:
        early += b"kern:  notice: [2026-11-18T11:06:42.1Z]: audit: type=1400 audit" + streams.avc(20)[18:]
    found = assess(streams.healthy(service_log=service, kernel_log=early, cmdline=streams.CMDLINE + " audit=1"))
    assert found["verdict"] == ("partial" if only_printed else "complete"), found["reasons"]
    if only_printed:
        assert {reason["id"] for reason in found["reasons"]} == {"F4"}
        assert "1 events" in found["reasons"][0]["text"]


@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize("rule_key", [b'"watch"', b"6C6162206B6579"], ids=["quoted", "hex"])
def test_a_record_that_a_rule_asked_for_is_no_orphan(rule_key: bytes, careful: bool) -> None:
    """The kernel writes a rule's key in hex where it holds a blank (kernel/audit.c, audit_log_key)."""
    head = b" msg=audit" + streams.key(35) + b": "
    event = b"type=SYSCALL" + head + b'arch=c000003e syscall=2 success=yes exit=3 comm="x" exe="/x" key=%b\n'
    scanner = Scanner(careful=careful)
    scanner.feed(streams.service_log(5, 30) + event % rule_key + b"type=EOE" + head + b"\n")
    assert scanner.close().orphans == 0
    assert summarize(streams.service_log(5, 30) + event % b"(null)").orphans == 1


@pytest.mark.parametrize("when", ["yesterday", "2026-13-01T00:00:00Z", None, []])
def test_a_start_at_no_readable_time_says_nothing_of_an_earlier_one(when: Any) -> None:
    services = _auditd()
    for event in services[0]["events"]:
        event["ts"] = when
    found = assess(streams.healthy(services=services, service_log=streams.service_log(9)))
    ids = {reason["id"] for reason in found["reasons"]}
    assert found["verdict"] == "partial" and "F10" in ids and "F5" not in ids


def test_a_kernel_ring_whose_gzip_data_end_early_is_not_whole() -> None:
    found = assess(streams.healthy(kernel_log=gzip.compress(streams.kernel_ring())[:-8]))
    assert found["verdict"] == "partial"
    assert found["reasons"] == [{"id": "F33", "text": "the gzip data ends early", "severity": "gap"}]


def test_what_both_logs_say_alike_is_noted_once() -> None:
    printed = (
        b"kern:  notice: [2026-11-18T11:06:42.1Z]: audit: type=1112 audit" + streams.user(4).partition(b"audit")[2]
    )
    found = assess(streams.healthy(kernel_log=streams.kernel_ring(3) + printed, service_log=LOG + streams.user(35)))
    said = [note["text"] for note in found["notes"] if note["id"] == "forged"]
    assert said == ["audit messages were sent by workloads: pod_t (1)"]
