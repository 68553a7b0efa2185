# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records a process wrote into the log are told from the kernel's, in every form of the log."""

from __future__ import annotations

import json
from typing import Any

import audit_streams as streams
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.analysis import analyze
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.coverage import assess
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.forgery import Order
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.record_types import NUMBERS
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.scanner import Scanner, summarize
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.shadow import SHADOW

AT = 20


def log_with(message: bytes, domain: bytes = b"pod_t", type_: bytes = b"USER_AVC") -> tuple[bytes, list[bytes]]:
    """A healthy log in which event AT is a user message, and the lines that message forges."""
    events = streams.service_events(5, 60)
    text = streams.user(AT, message, domain, type_)
    events[AT - 5] = [text]
    return b"".join(line for one in events for line in one), text.rstrip(b"\n").split(b"\n")[1:]


def doubted(log: bytes) -> tuple[set[bytes], dict[str, int]]:
    scanner = Scanner(max_samples=0)
    scanner.feed(log)
    counts = scanner.close().counts
    return scanner.doubt_lines, counts


def forged(serial: int, when: bytes | None = None, **more: str) -> bytes:
    return streams.avc(serial, when=when, source="kubelet_t", target="etcd_pki_t", **more).rstrip(b"\n")


def at(serial: int, shift: int = 0) -> bytes:
    millis = (streams.BOOT + 5) * 1000 + serial * 4 + shift
    return b"(%d.%03d:%d)" % (millis // 1000, millis % 1000, serial)


CLOSING = b"\ntype=USER_LOGIN msg=audit%s: pid=1 uid=0 auid=1 ses=1 subj=system_u:system_r:pod_t:s0 msg='x"

MESSAGES: dict[str, bytes] = {
    "old number and time": b"hi'\n" + forged(3, b"(1700000001.000:3)"),
    "old number, fresh time": b"hi'\n" + forged(12, at(12, 40)),
    "number of a real event": b"hi'\n" + forged(18, at(18, 1)),
    "own number": b"hi'\n" + forged(AT, streams.key(AT)),
    "next number": b"hi'\n" + forged(AT + 1, at(AT + 1, -2)),
    "next two numbers": b"hi'\n" + forged(AT + 1, at(AT + 1, -2)) + b"\n" + forged(AT + 2, at(AT + 2, 1)),
    "far number": b"hi'\n" + forged(5000, at(AT, 1)),
    "far time": b"hi'\n" + forged(AT + 1, b"(1895000000.000:%d)" % (AT + 1)),
    "with its own end": b"hi'\n" + forged(AT, streams.key(AT)) + b"\ntype=EOE msg=audit" + streams.key(AT) + b": ",
    "no quote closed": b"hi\n" + forged(2, b"(1700000000.000:2)"),
    "no quote closed, behind its event": b"hi\n"
    + forged(AT + 1, at(AT + 1, -2))
    + b"\ntype=SYSCALL msg=audit"
    + at(AT + 1, -2)
    + b": arch=c000003e syscall=1 exe=x",
    "closing quote used up, old": b"hi'\n" + forged(3, b"(1700000001.000:3)") + CLOSING % b"(1700000001.000:4)",
    "closing quote used up, own": b"hi'\n" + forged(AT, streams.key(AT)) + CLOSING % streams.key(AT),
    "closing quote used up, next": b"hi'\n" + forged(AT + 1, at(AT + 1, 1)) + CLOSING % at(AT + 2, 1),
    "closing quote used up, far": b"hi'\n" + forged(900, at(900)) + CLOSING % at(901),
}


@pytest.mark.parametrize("domain", [b"pod_t", b"unconfined_container_t"])
@pytest.mark.parametrize("message", MESSAGES)
def test_forged_records_are_doubtful_and_no_others(message: str, domain: bytes) -> None:
    log, lines = log_with(MESSAGES[message], domain)
    doubtful, counts = doubted(log)
    records = {line for line in lines if line.startswith(b"type=") and b"USER_LOGIN" not in line}
    assert records <= doubtful, records - doubtful
    extra = doubtful - set(lines)
    # A forged event with the number and nearly the time of a real one beside it: neither can be believed.
    assert all(b":%d):" % (AT + 1) in line or b":%d):" % (AT + 2) in line for line in extra), extra
    if not message.startswith(("next", "closing quote used up, next", "far time")):
        assert not extra
    assert counts["denied"] == log.count(b"avc:  denied")
    assert counts["unparsed"] == 0


@pytest.mark.parametrize("message", MESSAGES)
def test_forged_records_hold_the_verdict_and_never_become_policy(message: str) -> None:
    log, _unused = log_with(MESSAGES[message])
    given = streams.healthy(service_log=log)
    found = assess(given)
    assert found["verdict"] == "partial"
    assert "forged" in {reason["id"] for reason in found["reasons"]}
    denials = analyze(log, streams.kernel_ring(), given)["denials"]
    false = [denial for denial in denials if denial["target_type"] == "etcd_pki_t"]
    assert false and all(denial["doubtful"] == denial["count"] for denial in false)
    assert not any(denial["known_benign"] for denial in false)


FORMS: dict[str, Any] = {
    "node": lambda line: b"10.5.0.3: " + line,
    "IPv6 node": lambda line: b"fd00::1: " + line,
    "time": lambda line: b"2026-11-22T12:00:00Z " + line,
    "grep": lambda line: b"9:" + line,
    "CRLF": lambda line: line + b"\r",
    "blanks": lambda line: b"  " + line,
    "enriched": lambda line: line + b'\x1dUID="root"' if not line.endswith(b"'") else line,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "message", ["old number and time", "own number", "no quote closed", "closing quote used up, old"]
)
def test_forged_records_are_found_in_other_forms(form: str, message: str) -> None:
    log, lines = log_with(MESSAGES[message])
    want = sum(line.startswith(b"type=") for line in lines)
    text = b"".join(FORMS[form](line) + b"\n" for line in log.splitlines())
    counts = summarize(text).counts
    assert counts["doubtful"] == want
    assert counts["denied"] == log.count(b"avc:  denied")


PREFIXED: dict[str, Any] = {
    **{name: FORMS[name] for name in ("node", "IPv6 node", "time", "grep", "CRLF")},
    "raw": lambda line: line,
    "JSON": lambda line: json.dumps({"msg": line.decode(), "talos-service": "auditd"}).encode(),
    "kernel ring": lambda line: b"<5>[    9.391910] " + in_ring(line),
}


def in_ring(line: bytes) -> bytes:
    if not line.startswith(b"type="):
        return line
    type_, _equals, rest = line[5:].partition(b" msg=")
    return b"audit: type=%d " % NUMBERS[type_] + rest


@pytest.mark.parametrize("quote_used_up", [False, True])
@pytest.mark.parametrize("padding", [b"\n" * 7000, b"a\n" * 3500], ids=["blank", "text"])
@pytest.mark.parametrize("form", PREFIXED)
def test_line_breaks_do_not_carry_a_forged_record_out_of_its_message(
    form: str, padding: bytes, quote_used_up: bool
) -> None:
    """In a form that puts something before each line, a message takes many times its own bytes."""
    record = forged(AT + 1, at(AT + 1, -2))
    events = streams.service_events(5, 60)
    if quote_used_up:
        record += CLOSING % at(AT + 2, -2)
    else:
        # The real event with that number was lost, so no number gives the forged one away.
        events[AT - 4] = []
    events[AT - 5] = [streams.user(AT, b"hi'\n" + padding + record)]
    log = b"".join(line for one in events for line in one)
    text = b"".join(PREFIXED[form](line) + b"\n" for line in log.split(b"\n")[:-1])
    (found,) = [denial for denial in summarize(text).denials if denial["target_type"] == "etcd_pki_t"]
    assert found["doubtful"] == found["count"]


def test_a_forged_event_that_leaves_a_number_out_is_doubtful_and_the_real_ones_are_not() -> None:
    """The one before it has number and time of the real event, to which it is added."""
    message = b"hi'\n" + forged(AT + 1, at(AT + 1)) + b"\n" + forged(AT + 3, at(AT + 3)) + CLOSING % at(AT)
    log, lines = log_with(message)
    doubtful, _counts = doubted(log)
    assert forged(AT + 3, at(AT + 3)) in doubtful
    assert doubtful <= set(lines)


def test_a_record_with_a_closing_quote_is_doubtful_without_its_message() -> None:
    """The message it stands in began before the log did."""
    log = forged(5) + b"'\n" + streams.service_log(6, 30)
    doubtful, counts = doubted(log)
    assert doubtful == {forged(5) + b"'"}
    assert counts["doubtful"] == 1


def test_forged_records_in_the_kernel_ring() -> None:
    ring = streams.kernel_ring()
    payload = streams.avc(9)[len(b"type=AVC msg=audit") :]
    written = b"user: notice: [2026-11-18T12:00:00.0Z]: audit: type=1400 audit" + payload
    for line in (written, b"<13>[   12.5] audit: type=1400 audit" + payload):
        summary = summarize(ring + line)
        assert summary.counts["doubtful"] == 1
        assert summary.last_serial == 4
    user = b"kern:  notice: [2026-11-18T12:00:00.0Z]: audit: type=1107 audit" + streams.user(5)[23:].replace(
        b"res=failed'\n", b"'\n"
    )
    old = (
        b"kern:  notice: [2026-11-18T12:00:00.0Z]: audit: type=1400 audit(1700000000.000:2): "
        + payload.split(b": ", 1)[1]
    )
    assert summarize(ring + user + old).counts["doubtful"] == 1


def test_a_line_break_inside_forwarded_json_is_the_message_itself() -> None:
    import json

    text = streams.user(5, b"x'\n" + forged(6)).decode().rstrip("\n")
    summary = summarize(json.dumps({"msg": text}).encode() + b"\n")
    assert summary.counts["doubtful"] == 1
    assert summary.counts["lines"] == 1


def test_a_clean_run_forged_over_a_dirty_one_is_never_complete() -> None:
    """Denials were lost; the attacker fills their numbers with harmless records, at the right times."""
    events = streams.service_events(5, 60)
    lost = range(30, 36)
    harmless = b"\n".join(
        b"type=USER_LOGIN msg=audit%s: pid=1 uid=0 subj=system_u:system_r:init_t:s0 msg='x'" % streams.key(serial)
        for serial in lost
    )
    for place in range(20, 55):
        dirty = list(events)
        for serial in lost:
            dirty[serial - 5] = []
        if place in lost:
            continue
        dirty[place - 5] = [streams.user(place, b"ok'\n" + harmless[:-1])]
        log = b"".join(line for one in dirty for line in one)
        # Written right before exactly these events are lost without a trace, it is perfect: only the strict mode
        # refuses it.
        found = assess(streams.healthy(service_log=log, strict_messages=place == lost[0] - 1))
        assert found["verdict"] != "complete", place
        assert {"forged", "F6"} & {reason["id"] for reason in found["reasons"]}


def test_a_clean_run_forged_before_the_window_is_never_complete() -> None:
    """The ring wrapped; the attacker writes the records that used to stand before the window."""
    clean = b"\n".join(
        b"type=CONFIG_CHANGE msg=audit%s: op=set audit_enabled=1 res=1" % streams.key(serial) for serial in range(5, 30)
    )
    dirty = streams.service_events(5, 60)[30:]
    log = b"".join(line for one in [[streams.user(34, b"'\n" + clean)], *dirty] for line in one)
    assert assess(streams.healthy(service_log=log))["verdict"] != "complete"


def test_honest_messages_of_workloads_raise_no_doubt() -> None:
    events = streams.service_events(5, 200, seed=3, users=True)
    log = b"".join(line for one in events for line in one)
    summary = summarize(log)
    assert summary.counts["doubtful"] == 0
    assert summary.user_domains["pod_t"] > 10


@pytest.mark.parametrize(
    "message",
    [b"hi'\n" + forged(31, at(31, 1)) + CLOSING % at(32, 2), b"hi\n" + forged(31, at(31, 1)) + b"\nno quote closed"],
    ids=["quote used up", "no quote"],
)
def test_a_log_that_ends_within_reach_of_a_workloads_message_is_not_confirmed(message: bytes) -> None:
    events = streams.service_events(5, 26)
    # Where the message has no closing quote, the log was cut within its text.
    events.append([streams.user(30, message).removesuffix(b"no quote closed'\n")])
    log = b"".join(line for one in events for line in one)
    found = assess(streams.healthy(service_log=log))
    assert found["verdict"] == "partial"
    assert "forged" in {reason["id"] for reason in found["reasons"]}


def test_a_message_ends_with_the_last_quote_within_its_reach() -> None:
    """What follows an honest message is the kernel's at once, though a message could be longer."""
    events = streams.service_events(5, 30)
    events[25] = [streams.user(30)]
    log = b"".join(line for one in events for line in one)
    assert assess(streams.healthy(service_log=log))["verdict"] == "complete"
    # Two processors handed over two events in reversed order.
    events[26], events[27] = events[27], events[26]
    log = b"".join(line for one in events for line in one)
    for size in (len(log), 777):
        scanner = Scanner(max_samples=0)
        for start in range(0, len(log), size):
            scanner.feed(log[start : start + size])
        summary = scanner.close()
        assert summary.counts["doubtful"] == 0
        assert summary.missing == summary.unconfirmed == 0
    # The same behind a line cut in the middle, which may be the message's own.
    cut = summarize(log[:-20])
    assert cut.torn_last and cut.counts["doubtful"]


def test_a_message_whose_head_leaves_no_room_for_the_quote_may_hold_anything() -> None:
    """Of what the kernel hands over auditd reads 8970 bytes: behind a context with many categories the quote is cut."""
    events = streams.service_events(5, 60)
    level = b"s0:" + b",".join(b"c%d" % number for number in range(0, 400, 2))
    text = streams.user(30, b"hi'\n" + forged(31, at(31, -2)) + b"\nx")
    events[25] = [text.replace(b":pod_t:s0", b":pod_t:" + level, 1).removesuffix(b"'\n") + b"\n"]
    assert level in events[25][0]
    log = b"".join(line for one in events for line in one)
    doubtful, _counts = doubted(log)
    assert forged(31, at(31, -2)) in doubtful


def test_a_message_that_is_not_believed_may_hold_forged_records() -> None:
    """The first message claims the number of the second, which then seems to have two times."""
    first = streams.user(30, b"hi'\n" + forged(31, at(31, -3)) + b"\n" + b"\n" * 8000 + CLOSING[1:] % at(32, -3))
    second = streams.user(31, b"hi'\n" + b"\n" * 3000 + forged(32, at(32, -3)) + CLOSING % at(33, -3))
    events = streams.service_events(5, 60)
    events[25:27] = [[first], [second]]
    doubtful, _counts = doubted(b"".join(line for one in events for line in one))
    assert {forged(31, at(31, -3)), forged(32, at(32, -3))} <= doubtful


@pytest.mark.parametrize("form", ["raw", "node", "time"])
def test_a_number_that_only_a_forged_message_had_is_the_kernels(form: str) -> None:
    """From a real run: the event that came later with the number was doubted when read line by line."""
    message = b"hi'\ntype=MAC_STATUS msg=audit%b: enforcing=0 old_enforcing=1" % at(AT + 3, -9) + CLOSING % at(
        AT + 4, -9
    )
    log, lines = log_with(message)
    text = b"".join(PREFIXED[form](line) + b"\n" for line in log.splitlines())
    counts = summarize(text).counts
    assert counts["doubtful"] == len(lines) == 2


# A process knows the number of its own system call when there is an audit rule for it (real run under rules).
BOUND = (
    b"type=SYSCALL msg=audit(1795783858.916:5262): arch=c000003e syscall=49 success=yes exit=0 a0=7 a1=7fff978a39d4"
    b' a2=c a3=0 items=0 ppid=1 pid=3019 auid=4294967295 uid=0 comm="forge" exe="/system/init"'
    b' subj=system_u:system_r:pod_t:s0:c1,c2 key="rig key"\n'
    b"type=SOCKADDR msg=audit(1795783858.916:5262): saddr=100000000000000000000000\n"
    b"type=PROCTITLE msg=audit(1795783858.916:5262): proctitle=2F73797374656D2F696E697400737461676532\n"
    b"type=EOE msg=audit(1795783858.916:5262): \n"
)
BY_ITSELF = (
    b"type=USER_AVC msg=audit(1795783858.920:5263): pid=3019 uid=0 auid=4294967295 ses=4294967295"
    b" subj=system_u:system_r:pod_t:s0:c1,c2 msg='hi'\n"
)
JOINED = b"type=MAC_STATUS msg=audit(1795783858.916:5262): enforcing=0 old_enforcing=1\n"
NEXT = b"type=USER_LOGIN msg=audit(1795783858.916:5263): pid=66666 subj=system_u:system_r:init_t:s0 msg='x'\n"


@pytest.mark.parametrize("form", ["raw", "node", "time"])
@pytest.mark.parametrize("size", [1 << 20, 600])
def test_nothing_is_added_to_an_event_that_has_ended(size: int, form: str) -> None:
    log = b"".join(PREFIXED[form](line) + b"\n" for line in (BOUND + BY_ITSELF + JOINED + NEXT).splitlines())
    scanner = Scanner()
    for start in range(0, len(log), size):
        scanner.feed(log[start : start + size])
    assert scanner.close().counts["doubtful"] == 2
    assert {line[line.index(b"type=") :] + b"\n" for line in scanner.doubt_lines} == {JOINED, NEXT}


@pytest.mark.parametrize("size", [1 << 20, 4096, 300])
def test_nothing_is_added_to_an_event_that_ended_some_pieces_ago(size: int) -> None:
    """A message is read when all that it can hold is there; what was before it came in pieces read long ago."""
    log, lines = log_with(b"hi'\n" + forged(AT - 1, streams.key(AT - 1)) + CLOSING % streams.key(AT))
    scanner = Scanner()
    for start in range(0, len(log), size):
        scanner.feed(log[start : start + size])
    scanner.close()
    assert lines[0] in {line.rstrip(b"\n") for line in scanner.doubt_lines}


def test_a_copy_of_a_record_is_no_forgery() -> None:
    """Parts that overlap were put together."""
    log = BOUND + BY_ITSELF + BOUND.splitlines(keepends=True)[0] + BY_ITSELF
    assert doubted(log)[1]["doubtful"] == 0


def test_a_clock_set_back_is_no_forgery() -> None:
    def moved(serial: int, line: bytes) -> bytes:
        return line.replace(b"audit(1795", b"audit(1794") if serial >= 40 else line

    events = streams.service_events(5, 60)
    log = b"".join(moved(5 + n, line) for n, one in enumerate(events) for line in one)
    summary = summarize(log)
    assert summary.counts["doubtful"] == 0
    assert summary.clock_steps == 1
    assert summary.missing == 0


def test_a_second_boot_is_told_and_nothing_of_it_is_doubted() -> None:
    log = streams.service_log(5, 60) + streams.service_log(1, 60, 9).replace(b"audit(1795", b"audit(1796")
    summary = summarize(log)
    assert summary.boots == 2
    assert summary.counts["doubtful"] == 0
    assert (summary.first_serial, summary.last_serial) == (1, 60)


def test_a_torn_beginning_may_have_been_a_message() -> None:
    log = b"AVC subj=x msg='hi'\n" + forged(3, b"(1700000001.000:3)") + b"\n" + streams.service_log(22, 60)
    summary = summarize(log)
    assert summary.torn_first
    assert summary.counts["doubtful"] == 1


@pytest.mark.parametrize(
    ("first", "torn"),
    [
        (b"AVC subj=x msg='hi'", True),
        (b"type=AVC msg=audit(17950000", True),
        (b"kern: warning: [2026-11-18T12:00:00.0Z]: avc: denied", True),
        (b"kern: warning: [2026-11-18T12:00:00.0Z]: usb 1-1: new device", False),
        (b"type=OF_TOMORROW msg=audit(1795000005.000:1): x", True),
        (streams.user(21).rstrip(b"\n"), False),
        (streams.config_change(21, b"audit_pid=141 old=0").rstrip(b"\n"), False),
        (b"----", False),
        (b"", False),
    ],
)
def test_whether_a_log_begins_in_the_middle_of_something(first: bytes, torn: bool) -> None:
    assert summarize(first + b"\n" + streams.service_log(22, 60)).torn_first is torn


@pytest.mark.parametrize(
    ("early", "late_by", "doubted_of"),
    [(1, 0, False), (1024, 0, False), (1025, 0, True), (1024, 1, False), (1, 400, True)],
)
def test_a_record_from_before_the_first_one_may_come_late_but_not_from_any_time(
    early: int, late_by: int, doubted_of: bool
) -> None:
    first = 5000
    lines = [streams.avc(serial) for serial in range(first, first + 20)]
    seconds, _dot, rest = streams.stamp(first + 9).partition(b".")
    when = b"(%d.%s:%d)" % (int(seconds) - late_by, rest, first - early)
    lines.insert(10, streams.avc(first - early, when=when))
    summary = summarize(b"".join(lines))
    assert summary.counts["doubtful"] == doubted_of
    assert summary.counts["denied"] == 21


@pytest.mark.parametrize("careful", [False, True])
def test_a_command_with_a_quote_closes_no_message(careful: bool) -> None:
    events = streams.service_events(5, 60)
    one, *others = streams.event(AT + 1)
    events[AT - 5] = [streams.user(AT, b"x\n" + b"y" * 20)]
    events[AT - 4] = [one, streams.avc(AT + 1, comm="it's"), *others]
    events[AT - 3] = [streams.user(AT + 2)]
    log = b"".join(line for event in events for line in event)
    scanner = Scanner(careful=careful)
    scanner.feed(log)
    counts = scanner.close().counts
    assert (counts["doubtful"], counts["denied"]) == (0, log.count(b"avc:  denied"))


class Followed:
    """Events as an order sees them one by one, and what it marked."""

    def __init__(self) -> None:
        self.marked: list[bytes] = []
        self.order = Order(lambda text, reason: self.marked.append(text))

    def take(self, serial: int, start: int, *, late: int = 0, user: bool = False, end: bytes = b"") -> bool:
        text = streams.user(serial) if user else b"type=BPF msg=audit%s: prog-id=%d%s\n" % (at(serial), start, end)
        millis = (streams.BOOT + 5) * 1000 + serial * 4 + late
        believed = self.order.take(serial, b"%d.%03d" % (millis // 1000, millis % 1000), user, start, text)
        if user:
            self.order.shade(start, text)
        return believed


def test_a_clock_set_back_behind_a_message_of_a_workload_is_no_forgery() -> None:
    seen = Followed()
    assert seen.take(20, 0, user=True) and seen.take(21, 500)
    assert seen.take(22, SHADOW + 1, late=10_000)
    assert all(seen.take(serial, SHADOW + serial) for serial in range(23, 40))
    assert (seen.marked, seen.order.clock_steps) == ([], 1)


def test_a_number_that_only_the_text_of_a_message_had_is_free_again_however_long_the_log() -> None:
    seen = Followed()
    last = 8191
    assert all(seen.take(serial, serial * 100) for serial in range(1, last + 1))
    start = (last + 1) * 100
    assert seen.take(last + 1, start, user=True) and seen.take(last + 2, start + 200)
    seen.order.rotate()
    assert not seen.take(last + 3, start + 300, end=b"'")
    assert [b"prog-id=%d" % (start + 200) in seen.marked[0], len(seen.marked)] == [True, 2]
    assert seen.take(last + 2, start + SHADOW + 1, late=3)
    assert len(seen.marked) == 2


def test_what_stood_before_a_message_that_is_not_believed_stays_believed() -> None:
    seen = Followed()
    assert all(seen.take(serial, serial * 100) for serial in range(1, 11))
    assert not seen.take(3, 1100, user=True)
    assert seen.take(11, 1200, late=10_000)
    assert all(seen.take(serial, SHADOW + serial * 200) for serial in range(11, 20))
    assert [b":3)" in seen.marked[0], b"prog-id=1200" in seen.marked[1], len(seen.marked)] == [True, True, 2]
    assert (seen.order.serials.intervals(), seen.order.boots) == ([(1, 19)], [])


def test_messages_of_long_ago_are_forgotten_the_oldest_first() -> None:
    order = Order(lambda text, reason: None)
    order.users = dict.fromkeys(range(8193), b"1.000")
    order.rotate()
    assert list(order.users) == list(range(8193 - 4096, 8193))
