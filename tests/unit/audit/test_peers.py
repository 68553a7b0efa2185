# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inputs at which other readers of audit logs were measured to fail, one by one."""

from __future__ import annotations

import audit_streams as streams
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import analyze
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.scanner import summarize

PLAIN = streams.avc(5)


def test_one_bad_byte_costs_one_character_not_the_file() -> None:
    bad = streams.user(6, b"\xff\xfe bytes", b"init_t")
    summary = summarize(PLAIN + bad + streams.avc(7))
    assert summary.counts["denied"] == 2
    assert summary.counts["unparsed"] == 0


@pytest.mark.parametrize("node", [b"worker-1", b"10.5.0.3", b"fd00::7"])
def test_node_prefixes(node: bytes) -> None:
    assert summarize(node + b": " + PLAIN).counts["denied"] == 1


def test_a_file_named_like_a_context() -> None:
    denial = summarize(streams.avc(5, name="scontext=x:y:kernel_t:s0")).denials[0]
    assert denial["signature"] == "pod_t:run_t:dir:write"
    assert denial["paths"] == ["scontext=x:y:kernel_t:s0"]


def test_joined_records_are_both_counted_and_told() -> None:
    summary = summarize(PLAIN.rstrip(b"\n") + streams.avc(6, target="etc_t", tclass="file"))
    assert {denial["signature"] for denial in summary.denials} == {"pod_t:run_t:dir:write", "pod_t:etc_t:file:write"}
    assert summary.counts["lines"] == 1
    assert summary.torn >= 1
    assert summary.missing == 0


@pytest.mark.parametrize("keep", [20, 60, 100, 120, 150, 180])
def test_a_cut_record_is_never_dropped_without_a_word(keep: int) -> None:
    summary = summarize(PLAIN[:keep] + b"\n" + streams.avc(6))
    assert summary.counts["unparsed"] + summary.torn >= 1
    assert summary.counts["denied"] in (1, 2)


def test_raw_contexts_say_that_relabelling_is_the_cure() -> None:
    line = streams.avc(5, target="unlabeled_t").rstrip(b"\n") + b' trawcon="system_u:object_r:gone_t:s0"\n'
    denial = summarize(line).denials[0]
    assert denial["target_type"] == "unlabeled_t"
    assert denial["raw_contexts"] == ["system_u:object_r:gone_t:s0"]


def test_categories_and_neverallow() -> None:
    line = streams.avc(5).replace(b"run_t:s0", b"run_t:s0:c1,c2")
    assert summarize(line).denials[0]["constraint"] == "mcs"
    inside = streams.avc(5, level="s0:c1,c2").replace(b"run_t:s0", b"run_t:s0:c2")
    assert summarize(inside).denials[0]["constraint"] is None
    exempt = line.replace(b":pod_t:", b":init_t:")
    assert summarize(exempt).denials[0]["constraint"] is None
    never = streams.avc(5, source="init_t", target="security_t", tclass="security", perms="setenforce")
    assert summarize(never).denials[0]["constraint"] == "neverallow"


def test_permissive_and_granted_are_kept_apart() -> None:
    granted = PLAIN.replace(b"denied", b"granted").replace(b" permissive=1", b"")
    summary = summarize(PLAIN + granted)
    assert (summary.counts["denied"], summary.counts["granted"]) == (1, 1)
    assert summary.denials[0]["count"] == 1


def test_unknown_classes_types_and_permissions() -> None:
    summary = summarize(
        streams.avc(5, tclass="memfd_file")
        + streams.avc(6, perms="0x2000")
        + streams.avc(7, source="no_such_t")
        + b"type=UNKNOWN[1423] msg=audit"
        + streams.key(8)
        + b": domain=1 blockers=x\n"
    )
    assert {denial["signature"] for denial in summary.denials} == {
        "pod_t:run_t:memfd_file:write",
        "pod_t:run_t:dir:0x2000",
        "no_such_t:run_t:dir:write",
    }
    assert summary.counts["unparsed"] == 0
    assert summary.missing == 0


def test_an_error_of_the_policy_is_no_silence() -> None:
    line = (
        b"type=SELINUX_ERR msg=audit" + streams.key(5) + b": op=security_compute_sid invalid_context=a:b:c:s0"
        b" scontext=a:b:c:s0 tcontext=a:b:d:s0 tclass=process\n"
    )
    assert analyze(line, None)["mac_errors"][0]["op"] == "security_compute_sid"


def test_the_overflow_sentence_is_reported() -> None:
    log = streams.service_log() + b"audit backlog limit reached, some audit events may have been lost\n"
    found = analyze(log, streams.kernel_ring(), streams.healthy())
    assert "F8" in {reason["id"] for reason in found["coverage"]["reasons"]}
    # The kernel may deliver later what found no room.
    assert found["coverage"]["lost_at_least"] == 0
    assert found["counts"]["unparsed"] == 0


def test_enriched_and_ioctl_records() -> None:
    line = PLAIN.rstrip(b"\n").replace(b"ino=12", b"ino=12 ioctlcmd=0x1260") + b"\x1dSCONTEXT=x\n"
    denial = summarize(line).denials[0]
    assert denial["count"] == 1
    assert denial["samples"][0]["fields"]["ioctlcmd"] == "0x1260"


def test_the_same_number_in_two_boots() -> None:
    log = streams.service_log(5, 50) + streams.service_log(5, 50).replace(b"audit(1795", b"audit(1796")
    summary = summarize(log)
    assert summary.counts["denied"] == log.count(b"avc:  denied")
    assert summary.counts["events"] == 100
    assert summary.boots == 2


def test_nothing_of_the_log_reaches_a_terminal_raw() -> None:
    import json

    hostile = streams.avc(5).replace(b'comm="sh"', b"comm=1B5B33316D0D0A").replace(b'name="file"', b"name=E280AE07")
    text = json.dumps(analyze(hostile + b"\x1b[2Jgarbage\n", None), ensure_ascii=False)
    assert text.isprintable()
    assert "\\u202e" in text
