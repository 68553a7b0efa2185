# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real kernel's log under the real policy, checked against what its scenarios are known to have done."""

from __future__ import annotations

import base64
import gzip
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import analyze
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.avc import parse_avc
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.contexts import context_type
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.records import read_line
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.scanner import Scanner, summarize
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.values import decode, fields, show

DATA = Path(__file__).resolve().parents[2] / "data" / "real-kernel"
LOG, RING = DATA / "permissive.audit.log.gz", DATA / "permissive.dmesg.log.gz"
FORGED = (b"audit(1700000000.", b"audit(1700000001.")


@cache
def lines() -> list[bytes]:
    return gzip.decompress(LOG.read_bytes()).split(b"\n")[:-1]


@cache
def truth() -> list[dict[str, Any]]:
    text = gzip.decompress((DATA / "permissive.truth.jsonl.gz").read_bytes()).decode()
    return [json.loads(line) for line in text.splitlines()]


@cache
def everything() -> dict[str, Any]:
    return analyze(LOG, RING, max_samples=0)


def test_counts_add_up() -> None:
    log, ring = summarize(LOG), summarize(RING)
    assert log.counts["lines"] == len(lines())
    for summary in (log, ring):
        counts = summary.counts
        assert counts["parsed"] + counts["ignored"] + counts["unparsed"] == counts["lines"]
        assert counts["unparsed"] == 0
        assert counts["ignored"] == sum(summary.ignored_types.values())
    assert log.counts["denied"] == sum(b"avc:  denied" in line for line in lines())
    assert sum(denial["count"] for denial in log.denials) == log.counts["denied"]
    assert log.counts["mac_errors"] == sum(line.startswith(b"type=SELINUX_ERR") for line in lines())


def test_forged_lines_are_doubtful_and_nothing_else() -> None:
    forged = {line for line in lines() if any(mark in line for mark in FORGED)}
    scanner = Scanner(max_samples=0)
    scanner.feed(b"\n".join(lines()) + b"\n")
    counts = scanner.close().counts
    assert scanner.doubt_lines == forged
    assert counts["doubtful"] == len(forged)
    doubted = {
        base64.b64decode(sample["raw"])
        for denial in everything()["denials"]
        for sample in denial["samples"]
        if sample["doubtful"]
    }
    assert doubted == {line for line in forged if b"avc:" in line}
    assert sum(denial["doubtful"] for denial in everything()["denials"]) == len(doubted)


@cache
def messages_and_events() -> list[list[bytes]]:
    """The log cut into events; what a process wrote into its message stays with that."""
    events: list[list[bytes]] = []
    last = b""
    for line in lines():
        key = line[line.index(b"audit(") :].split(b")")[0]
        if key == last or any(mark in line for mark in FORGED):
            events[-1].append(line)
        else:
            events.append([line])
            last = key
    return events


@pytest.mark.parametrize("seed", range(40))
def test_losses_make_no_real_record_doubtful(seed: int) -> None:
    """Behind a message of a process too, where every gap could have been made by a forger who runs ahead."""
    chance = random.Random(seed)
    events = messages_and_events()
    first = chance.randrange(len(events))
    last, part = first + chance.choice((50, 300, 3000)), chance.choice((0.1, 0.3, 0.7, 0.95))
    kept: list[bytes] = []
    for number, event in enumerate(events):
        forger = any(mark in line for line in event for mark in FORGED)
        if forger or not (first <= number < last and chance.random() < part):
            kept += event
    scanner = Scanner(max_samples=1)
    scanner.feed(b"\n".join(kept) + b"\n")
    summary = scanner.close()
    assert scanner.doubt_lines == {line for line in kept if any(mark in line for mark in FORGED)}
    numbers = {int(line.split(b")", 1)[0].rpartition(b":")[2]) for line in kept if line not in scanner.doubt_lines}
    assert summary.missing == max(numbers) - min(numbers) + 1 - len(numbers)


def test_every_record_is_kept_when_asked() -> None:
    kept = [base64.b64decode(s["raw"]) for denial in everything()["denials"] for s in denial["samples"]]
    assert sorted(line for line in kept if line.startswith(b"type=")) == sorted(
        line for line in lines() if b"avc:  denied" in line
    )


def test_every_decoded_name_occurs_in_the_truth() -> None:
    texts = [bytes.fromhex(one[key]) for one in truth() for key in ("a_hex", "b_hex") if one[key]]
    known = b"\n".join(texts)
    known += b"\n".join(part for text in texts for part in text.split(b"/"))
    checked = 0
    for denial in everything()["denials"]:
        for sample in denial["samples"]:
            raw = base64.b64decode(sample["raw"])
            if not raw.startswith(b"type=AVC") or sample["doubtful"]:
                continue
            avc = parse_avc(raw.partition(b"): ")[2])
            assert avc is not None
            for key in (b"name", b"path"):
                value = fields(avc.middle).get(key)
                if value is None or value.startswith(b'"'):
                    continue
                # Only untrusted names are in hex, and those came from the scenario's arguments.
                text = decode(value) or b""
                assert text.removesuffix(b" (deleted)").strip(b"\x00") in known or _part_of_any(text, texts), (
                    raw,
                    text,
                )
                assert sample[key.decode()] == show(text)
                checked += 1
    assert checked > 50


def _part_of_any(text: bytes, texts: list[bytes]) -> bool:
    bare = text.removesuffix(b" (deleted)").lstrip(b"\x00@")
    return any(bare in one or one in bare for one in texts if one) or bare.startswith((b"/memfd:", b"memfd:"))


def test_every_refused_scenario_has_its_denial() -> None:
    pids = {sample["pid"] for denial in everything()["denials"] for sample in denial["samples"]}
    refused = [one for one in truth() if one["errno"] == 13 and one["act"] != "exec"]
    assert refused
    for one in refused:
        assert one["pid"] in pids, one


def test_subjects_and_comms_agree_with_the_truth() -> None:
    by_pid = {one["pid"]: one for one in truth()}
    checked = 0
    for denial in everything()["denials"]:
        for sample in denial["samples"]:
            one = by_pid.get(sample["pid"])
            if one is None or sample["doubtful"] or denial["userspace"]:
                continue
            if one["act"] == "comm" or sample["comm"] != one["act"][:15]:
                continue
            domain = context_type(one["domain"].encode()).decode()
            if denial["source_type"] == domain:
                checked += 1
    assert checked > 1500


def test_numbers_of_both_logs_have_no_hole() -> None:
    coverage = everything()["coverage"]
    assert (coverage["first_serial"], coverage["last_serial"]) == (1, 1511)
    assert coverage["lost_at_least"] == 0
    assert coverage["verdict"] != "complete"
    assert "forged" in {reason["id"] for reason in coverage["reasons"]}


def test_categories_and_neverallow_are_told_apart() -> None:
    by_signature = {denial["signature"]: denial for denial in everything()["denials"]}
    assert by_signature["init_t:security_t:security:load_policy"]["constraint"] == "neverallow"
    constrained = [denial for denial in by_signature.values() if denial["constraint"] == "mcs"]
    assert constrained
    for denial in constrained:
        assert denial["source_type"] != "init_t"
        assert any(":c" in sample["target_context"] for sample in denial["samples"])


def test_samples_join_the_records_of_their_event() -> None:
    sample = next(
        sample
        for denial in everything()["denials"]
        for sample in denial["samples"]
        if sample["serial"] == 24 and sample["path"] == "/lab/weird0/plain.txt"
    )
    assert sample["exe"] == "/system/init"
    assert sample["proctitle"] == "/system/init\\x00stage2"
    assert (sample["syscall"], sample["success"], sample["pid"]) == ("257", "yes", 142)


def test_the_kernel_ring_tells_its_facts() -> None:
    ring = summarize(RING).ring
    assert ring.has_head and ring.initialized
    assert ring.cmdline is not None and "enforcing=0" in ring.cmdline
    assert everything()["kernel"]["policy_loaded"]


@pytest.mark.parametrize("first", [22, 100, 897])
def test_a_run_that_begins_later_has_the_same_forgeries(first: int) -> None:
    mark = b":%d): " % first
    start = next(index for index, line in enumerate(lines()) if mark in line)
    scanner = Scanner()
    scanner.feed(b"\n".join(lines()[start:]) + b"\n")
    scanner.close()
    assert scanner.doubt_lines == {line for line in lines() if any(mark in line for mark in FORGED)}


def test_a_flood_with_late_records_adds_no_doubt() -> None:
    """Seven of ten events missing and records up to hundreds of numbers late, as a rate-limited flood leaves them."""
    import random

    draw = random.Random(7)
    before = lines()[:3000]
    clock, serial, flood = 1_795_377_062_000, 10_000, []
    for _unused in range(6000):
        clock += draw.choice((0, 0, 0, 1))
        serial += draw.choice((1, 1, 2, 4, 7))
        head = b"msg=audit(%d.%03d:%d): " % (clock // 1000, clock % 1000, serial)
        flood.append(
            (
                serial + (draw.randrange(300) if draw.random() < 0.02 else 0),
                b"type=AVC " + head + b'avc:  denied  { open } for  pid=1 comm="f" path="/x" dev="vda" ino=1 scontext='
                b"system_u:system_r:pod_t:s0 tcontext=system_u:object_r:run_t:s0 tclass=file permissive=0",
            )
        )
    flood.sort(key=lambda one: one[0])
    summary = summarize(b"\n".join([*before, *(line for _unused, line in flood)]) + b"\n")
    assert summary.counts["doubtful"] == 0
    assert summary.missing > 5000
    assert summary.late > 20
    assert summary.boots == 1


def test_every_line_reads_the_same_alone() -> None:
    denied = sum(
        1
        for line in lines()
        for record in read_line(line).records
        if record.type in (b"AVC", b"USER_AVC") and parse_avc(record.payload, record.type == b"USER_AVC")
    )
    assert denied == summarize(LOG).counts["denied"]
