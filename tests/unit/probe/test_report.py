# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Termination messages that are not what the script writes say nothing, and nothing in them reaches a terminal."""

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.probe.attempts import overall, read_report

ID = "0123456789abcdef"
SELF = "self 0 000001ffffffffff 0/0/4294967295 a7c41c64-af67-47ab-a48e-8622fd99960c system_u:system_r:pod_t:s0"
PID1 = "try pid1 attach 1 10 strace: attach: ptrace(PTRACE_SEIZE, 1): Permission denied|"
MACHINED = 'try machined connect 1 11 socat[11] E connect(5, AF=1 "/x", 40): Permission denied'
MOUNT = "try state mount 0 12 "
STATE = "try state open 1 13 |dd: can't open '/tmp/state/config.yaml': Permission denied"
LINES = [f"probe 1 {ID}", SELF, PID1, MACHINED, MOUNT, STATE, f"end {ID}"]


def read(*lines: str) -> list[str]:
    return [one.outcome for one in read_report("\n".join(lines) + "\n", ID).outcomes]


def with_line(number: int, line: str) -> list[str]:
    return [*LINES[:number], line, *LINES[number + 1 :]]


def test_a_whole_report_is_read():
    found = read_report("\n".join(LINES), ID)
    assert [one.outcome for one in found.outcomes] == ["refused"] * 3
    assert found.pids == {"pid1": 10, "machined": 11, "state": 13}
    assert overall(found.outcomes) == "refused"


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        ["{}"],
        LINES[1:],
        LINES[:-1],
        [*LINES, "more"],
        ["first", *LINES],
        with_line(0, "probe 1 fedcba9876543210"),
        with_line(0, f"probe 2 {ID}"),
        with_line(6, "end fedcba9876543210"),
        with_line(1, "self 0 000001ffffffffff"),
        with_line(1, SELF + " more"),
        with_line(2, PID1 + "x" * 500),
        with_line(2, "try pid1 attach 1 10"),
        with_line(2, "try pid1 attach -1 10 Permission denied"),
        with_line(2, "tries pid1 attach 1 10 text"),
        with_line(2, PID1 + "\x1b[2J"),
        with_line(2, PID1 + "\r"),
        with_line(2, PID1 + "\u202e"),
        with_line(2, PID1 + "\x00"),
        [*LINES[:-1], *["try pid1 attach 1 10 " + "x" * 400] * 10, LINES[-1]],
        ["\ud800" * 10],
        ["x" * 100_000],
    ],
)
def test_a_report_of_another_form_says_nothing(lines):
    found = read_report("\n".join(lines), ID)
    assert [one.outcome for one in found.outcomes] == ["inconclusive"] * 3
    assert found.boot_id is None
    assert found.pids == {}
    for one in found.outcomes:
        assert one.observed.isprintable()
        assert len(one.observed) < 600


@pytest.mark.parametrize("twice", [PID1, "try pid1 attach 0 10 ", "try pid1 attach 1 10 other"])
def test_an_attempt_that_is_reported_twice_is_not_known(twice):
    assert read(*LINES[:3], twice, *LINES[3:])[0] == "inconclusive"


def test_an_attempt_that_is_not_reported_is_not_known():
    assert read(*with_line(2, "try other attach 1 10 Permission denied")) == ["inconclusive", "refused", "refused"]
    assert read(*LINES[:2], LINES[-1]) == ["inconclusive"] * 3


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("try pid1 attach 1 10 Permission denied", "inconclusive"),
        ("try pid1 attach 1 10 strace: attach: ptrace(PTRACE_SEIZE, 1): Permission denied, or not", "inconclusive"),
        ("try pid1 attach 1 10 strace: attach: ptrace(PTRACE_SEIZE, 12): Permission denied", "inconclusive"),
        ("try pid1 attach 2 10 strace: attach: ptrace(PTRACE_SEIZE, 1): Permission denied", "inconclusive"),
        ("try pid1 attach - - strace: attach: ptrace(PTRACE_SEIZE, 1): Permission denied", "inconclusive"),
        ("try pid1 other 1 10 strace: attach: ptrace(PTRACE_SEIZE, 1): Permission denied", "inconclusive"),
        ("try pid1 attach 1 10 strace: attach: ptrace(PTRACE_ATTACH, 1): Permission denied", "refused"),
        ("try pid1 attach 124 10 strace: Process 1 attached|", "allowed"),
        (
            "try pid1 attach 1 10 strace: Process 1 attached|attach: ptrace(PTRACE_SEIZE, 1): Permission denied",
            "allowed",
        ),
        ("try pid1 attach 0 10 strace: attach: ptrace(PTRACE_SEIZE, 1): Permission denied", "allowed"),
    ],
)
def test_an_attempt_is_read_to_the_letter(line, expected):
    assert read(*with_line(2, line))[0] == expected


def test_one_attempt_that_was_allowed_outweighs_the_others():
    found = read_report("\n".join(with_line(3, "try machined connect 0 11 ")), ID)
    assert overall(found.outcomes) == "allowed"
    found = read_report("\n".join([*with_line(3, "try machined connect 0 11 ")[:5], *LINES[6:]]), ID)
    assert overall(found.outcomes) == "allowed"


SECRET = "machine.token-0123456789abcdef"


@pytest.mark.parametrize(
    "lines",
    [
        [SECRET],
        with_line(2, f"try pid1 attach 1 10 {SECRET}"),
        with_line(2, f"try pid1 attach 1 10 {SECRET} strace: attach: ptrace(PTRACE_SEIZE, 1): Permission denied"),
        with_line(4, f"try state mount 1 10 {SECRET}"),
        with_line(1, f"self 0 000001ffffffffff {SECRET} - {SECRET}"),
        with_line(6, SECRET),
    ],
)
def test_no_text_of_others_is_shown(lines):
    found = read_report("\n".join(lines), ID)
    assert found.outcomes
    assert [one for one in found.outcomes if SECRET in one.observed] == []
    assert all(one.observed for one in found.outcomes)
