# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real kernel in other modes than the permissive run: rules, losses, two processors, another policy."""

from __future__ import annotations

import base64
import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import audit_streams as streams
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import analyze
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.coverage import CoverageInput
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.avc import parse_avc
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.scanner import summarize
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.summary import Summary
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.values import decode, fields
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.boots import Look

DATA = Path(__file__).resolve().parents[2] / "data" / "real-modes"
RUNS = ("variant", "rules", "logins", "processors", "restart", "late")


def log_of(run: str) -> bytes:
    return gzip.decompress((DATA / f"{run}.audit.log.gz").read_bytes())


@cache
def ring_of(run: str) -> Summary:
    return summarize(DATA / f"{run}.dmesg.log.gz", max_samples=0)


@cache
def truth_of(run: str) -> list[dict[str, Any]]:
    text = gzip.decompress((DATA / f"{run}.truth.jsonl.gz").read_bytes()).decode()
    return [one for one in map(json.loads, text.splitlines()) if one["act"] != "STATUS"]


def analysis(run: str, **changes: Any) -> dict[str, Any]:
    log = summarize(log_of(run), max_samples=0)
    assert log.first_ms is not None
    given = {
        "services": [{"id": "auditd", "state": "Running", "events": [{"state": "Running", "msg": "Started"}]}],
        "cmdline": ring_of(run).ring.cmdline,
        "talos_version": "v1.14.1",
        "looks": (Look("a"), Look("a")),
        "uptime_seconds": 60.0,
        "stage": "running",
        "mode": "metal",
        "selinux_state": "enforcing",
        "time_synced": True,
    }
    return analyze(log, ring_of(run), CoverageInput(**{**given, **changes}), max_samples=0)


def reasons(found: dict[str, Any]) -> list[str]:
    return [f"{reason['id']} {reason['text']}" for reason in found["coverage"]["reasons"]]


@pytest.mark.parametrize("run", RUNS)
def test_every_line_is_counted_the_same_in_every_form(run: str) -> None:
    log = log_of(run)
    lines = log.split(b"\n")[:-1]
    counts = summarize(log).counts
    assert counts["lines"] == len(lines) == counts["parsed"] + counts["ignored"]
    assert counts["denied"] == sum(b"avc:  denied" in line for line in lines)
    assert counts["granted"] == sum(b"avc:  granted" in line for line in lines)
    # Line by line two reversed events are told apart less well: see the run "processors".
    names = ("lines", "parsed", "ignored", "denied", "granted", "mac_errors")
    for before in (b"172.20.0.2: ", b"2026-11-27T10:00:00Z ", b"12:"):
        there = summarize(b"".join(before + line + b"\n" for line in lines)).counts
        assert [there[name] for name in names] == [counts[name] for name in names]


@pytest.mark.parametrize("run", RUNS)
def test_who_was_refused_has_its_denial_and_every_name_was_an_argument(run: str) -> None:
    found = analysis(run)
    truth = truth_of(run)
    samples = [(denial, sample) for denial in found["denials"] for sample in denial["samples"]]
    pids = {sample["pid"] for _denial, sample in samples}
    # ping_group_range refuses without SELinux; what stands in neither log was lost and is counted so.
    refused = [one for one in truth if one["errno"] == 13 and one["act"] not in ("ping-bind", "between")]
    assert all(one["pid"] in pids for one in refused)
    assert len(refused) > (100 if run in ("restart", "late") else 0)
    lost = sum(one["act"] == "between" and one["errno"] == 13 and one["pid"] not in pids for one in truth)
    assert found["coverage"]["lost_at_least"] <= lost
    known = [bytes.fromhex(one[key]) for one in truth for key in ("a_hex", "b_hex") if one[key]]
    for _denial, sample in samples:
        raw = base64.b64decode(sample["raw"])
        avc = parse_avc(raw[raw.index(b"avc:") :], raw.startswith(b"type=USER_AVC"))
        assert avc is not None
        for key in (b"name", b"path"):
            value = fields(avc.middle).get(key)
            if value is None or value.startswith(b'"'):
                continue
            # In hex is only what came from a scenario.
            name = (decode(value) or b"").removesuffix(b" (deleted)").lstrip(b"\x00").removeprefix(b"/memfd:")
            assert any(name in one for one in known), (raw, name)


def test_a_variant_policy() -> None:
    found = analysis("variant", selinux_state="permissive")
    assert found["coverage"]["verdict"] == "complete", reasons(found)
    # One was granted before the receiver came.
    assert found["counts"]["granted"] == 6
    classes = {denial["class"] for denial in found["denials"]}
    assert {"user_namespace", "io_uring", "packet", "node", "netif"} <= classes
    assert "netlabel_peer_t" in {denial["source_type"] for denial in found["denials"]}
    assert {raw for denial in found["denials"] for raw in denial["raw_contexts"]} == {
        "unknown_u:object_r:foo_t:s0",
        "foo bar:\\xff",
    }
    assert set(found["kernel"]["undefined_permissions"]) == {"user_namespace", "io_uring:sqpoll"}
    assert found["ignored_types"]["MAC_UNLBL_STCADD"] == 2


def test_a_rule_without_a_key_looks_like_a_loss_but_is_not_counted_as_one() -> None:
    found = analysis("rules")
    assert [reason.split(";")[0] for reason in reasons(found) if reason.startswith("F6")] == [
        "F6 3 events of the auditd log lack the record they were written for"
    ]
    assert found["coverage"]["lost_at_least"] == 0


def test_logins_are_not_lost_and_a_baseline_explains_them() -> None:
    found = analysis("logins")
    assert found["coverage"]["verdict"] == "partial"
    assert found["coverage"]["lost_at_least"] == 0
    assert [reason.split(";")[0] for reason in reasons(found)] == [
        "F6 5 events have only the system call that sets a login's user"
    ]
    assert analysis("logins", baseline_missing=4)["coverage"]["verdict"] == "partial"
    assert analysis("logins", baseline_missing=5)["coverage"]["verdict"] == "complete"


def test_records_out_of_order_behind_messages_are_doubtful_but_not_lost() -> None:
    found = analysis("processors")
    assert {reason.split()[0] for reason in reasons(found)} == {"forged"}
    assert found["coverage"]["lost_at_least"] == 0
    # They stay among the denials.
    assert sum(denial["count"] for denial in found["denials"]) == log_of("processors").count(b"avc:  denied")
    assert found["counts"]["doubtful"] < 0.03 * found["counts"]["lines"]


def test_a_receiver_that_was_killed() -> None:
    found = analysis("restart")
    assert {reason.split()[0] for reason in reasons(found)} == {"F30", "F4", "F5", "F6"}
    assert found["coverage"]["lost_at_least"] == 26
    assert found["counts"]["doubtful"] == 0


def test_what_was_delivered_late_is_not_lost() -> None:
    found = analysis("late")
    assert reasons(found) == ["F8 auditd lost records 1 times because its socket was full"]
    assert found["coverage"]["lost_at_least"] == 0
    errors = {error["target"] for error in found["mac_errors"]}
    assert errors == {'system_u:object_r:no such "t:s0', "bad\\x0acon:text"}


def test_a_part_of_an_event_in_the_kernel_ring_is_completed_by_the_log() -> None:
    """The socket was full in the middle of an event: its AVC record was delivered, the rest was printed."""
    event = streams.event(20)
    ring = streams.kernel_ring()
    printed = b"kern:  notice: [2026-11-18T12:00:00.0Z]: audit: type=1300 audit"
    ring += printed + next(line for line in event if line.startswith(b"type=SYSCALL"))[len(b"type=SYSCALL msg=audit") :]
    assert summarize(ring).orphans == 1
    found = analyze(streams.service_log(), ring, streams.healthy())["coverage"]
    assert found["lost_at_least"] == 0
    assert "F6" not in {reason["id"] for reason in found["reasons"]}
