# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One boot or another: what decides, and that nothing is guessed."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.answers import SystemStat
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.boots import (
    ANOTHER,
    SAME,
    UNKNOWN,
    Answer,
    Look,
    compare,
    marks_of,
    seen,
)

START = 1_795_000_000
HOUR = 3600
MARKS = {1: f"{START}.148", 2: f"{START + 18}.123", 3: f"{START + 29}.195"}


def at(
    uptime: float, *, start: int = START, step: int = 0, marks: dict[int, str] | None = None, **changes: Any
) -> Look:
    """A node before 1.14, booted at ``start``, its clock set forward by ``step`` seconds since."""
    return dataclasses.replace(
        Look(
            boot_time=start + step,
            cpu_seconds=uptime * 0.995,
            processes=300 + int(uptime),
            context_switches=1000 + int(uptime * 500),
            marks=MARKS if marks is None else marks,
            at=start + uptime,
        ),
        **changes,
    )


STEPS = [90, 4379, 3 * HOUR, 30 * HOUR, -90, -4379, -3 * HOUR]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("marks", [MARKS, {}], ids=["ring head read", "ring head gone"])
def test_a_clock_step_in_the_middle_of_a_soak_is_no_reboot(step: int, marks: dict[int, str]) -> None:
    before, after = at(20 * HOUR, marks=marks), at(31 * HOUR, step=step, marks=marks)
    assert compare(before, after) == SAME


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("marks", [MARKS, {}], ids=["ring head read", "ring head gone"])
def test_a_reboot_is_one_whatever_the_clock_says(step: int, marks: dict[int, str]) -> None:
    other = {serial: f"{START + 20 * HOUR + serial}.5{serial}0" for serial in marks}
    before = at(20 * HOUR, marks=marks)
    after = at(300, start=START + 20 * HOUR + 60, step=step, marks=other)
    assert compare(before, after) == ANOTHER


@pytest.mark.parametrize("step", [0, *STEPS])
def test_an_id_decides_where_both_looks_have_one(step: int) -> None:
    before = at(20 * HOUR, boot_id="a")
    assert compare(before, at(21 * HOUR, step=step, boot_id="a", marks={})) == SAME
    assert compare(before, at(21 * HOUR, step=step, boot_id="b")) == ANOTHER


@pytest.mark.parametrize(
    "other",
    [{"marks": {1: "7.000"}}, {"processes": 301}, {"context_switches": 1001}],
    ids=["an event of another time", "fewer processes", "fewer context switches"],
)
def test_an_id_that_came_back_with_another_boot_says_nothing(other: dict[str, Any]) -> None:
    assert compare(at(20 * HOUR, boot_id="a"), at(21 * HOUR, boot_id="a", **other)) == UNKNOWN


@pytest.mark.parametrize("boot_id", ["", " ", "00000000-0000-0000-0000-000000000000", "0", 7, None])
def test_what_identifies_nothing_is_no_id(boot_id: Any) -> None:
    assert seen(boot_id, None, START).boot_id is None
    assert Look.of({"boot_id": boot_id}).boot_id is None


def test_an_id_in_one_look_alone_decides_nothing() -> None:
    assert compare(at(20 * HOUR, boot_id="a"), at(21 * HOUR)) == SAME
    assert compare(Look(boot_id="a", boot_time=START), Look(boot_time=START)) == UNKNOWN


@pytest.mark.parametrize(
    ("before", "after", "answer"),
    [
        (Look(), Look(), UNKNOWN),
        (Look(boot_time=START), Look(boot_time=START), UNKNOWN),
        (Look(boot_time=START), Look(boot_time=START + 4379), UNKNOWN),
        (Look(boot_time=START, processes=9), Look(boot_time=START + 1, processes=9), SAME),
        (Look(boot_time=START, processes=9), Look(boot_time=START + 3, processes=10), UNKNOWN),
        (Look(boot_time=START, processes=9), Look(boot_time=START, processes=8), ANOTHER),
        (Look(boot_time=START, context_switches=9), Look(boot_time=START, context_switches=8), ANOTHER),
        (Look(cpu_seconds=100.0), Look(cpu_seconds=97.0), UNKNOWN),
        (Look(cpu_seconds=100.0), Look(cpu_seconds=90.0), ANOTHER),
        (Look(marks={1: "5.000"}), Look(marks={1: "5.000"}), SAME),
        (Look(marks={1: "5.000"}), Look(marks={1: "6.000"}), ANOTHER),
        (Look(marks={1: "5.000"}), Look(marks={2: "6.000"}), UNKNOWN),
    ],
)
def test_what_each_sign_says(before: Look, after: Look, answer: Answer) -> None:
    assert compare(before, after) == answer


def test_signs_that_contradict_each_other_say_nothing() -> None:
    two_stories = {1: MARKS[1], 2: "9.000"}
    assert compare(at(20 * HOUR), at(21 * HOUR, marks=two_stories)) == UNKNOWN
    assert compare(at(20 * HOUR), at(21 * HOUR, processes=3)) == UNKNOWN


def test_a_machine_without_a_clock_starts_every_boot_at_the_same_moment() -> None:
    # Rebooted after ten minutes, and up for half an hour again: nothing fell, and the boot time is the same.
    before = at(600, marks={})
    later = at(1800, marks={}, at=START + 600 + 60 + 1800)
    assert compare(before, later) == UNKNOWN
    assert compare(before, at(60, marks={}, at=START + 720)) == ANOTHER


def test_a_look_soon_after_boot_says_little_by_itself() -> None:
    # What the CPU time was is within the tolerance of what it grew by: a reboot would look the same.
    assert compare(at(300, marks={}), at(60 * HOUR, step=HOUR, marks={})) == UNKNOWN


def test_the_control_host_s_own_clock_step_is_no_reboot() -> None:
    before = at(20 * HOUR, marks={})
    assert compare(before, at(21 * HOUR, marks={}, at=START + 70 * HOUR, step=9)) == UNKNOWN
    assert compare(before, at(21 * HOUR, marks={}, at=START + HOUR)) == SAME


def test_only_the_kernel_s_own_records_are_marks() -> None:
    text = b"audit: type=1403 audit(1795951177.123:2): lsm=selinux res=1\n"
    ring = [
        b"kern:  notice: [2026-11-29T11:19:20.05Z]: audit: type=2000 audit(1795951158.148:1): state=initialized\n",
        b"user: warning: [2026-11-29T11:19:36.07Z]: " + text,
        b"kern:    info: [2026-11-29T11:19:36.07Z]: usb 1-1: Product: x\nkern:  notice: [2026-11-29T11:19:36Z]: "
        + text,
        b"kern:  notice: [2026-11-29T11:19:47.1Z]: audit: type=1400 audit(1795951188.195:3): avc:  denied  { x } for\n",
    ]
    assert marks_of(ring) == {1: "1795951158.148", 3: "1795951188.195"}


def test_a_look_survives_the_way_through_a_file() -> None:
    look = seen("a", SystemStat(START, 100.5, 300, 4000), START + 5.5)
    look = dataclasses.replace(look, marks=MARKS)
    assert Look.of(json.loads(json.dumps(look.as_dict()))) == look


@pytest.mark.parametrize("data", [None, [], "x", {"boot_time": True, "marks": [1]}, {"marks": {"x": "1", "2": 3}}])
def test_what_is_no_look_is_not_known(data: Any) -> None:
    assert Look.of(data) == Look()
