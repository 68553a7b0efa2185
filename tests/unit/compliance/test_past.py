# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node that a report could not read is known to the next one: what it was then, and before."""

from __future__ import annotations

import datetime as dt

import compliance_fleets as fleets
import pytest

HOUR = dt.timedelta(hours=1)


def unread(name: str):
    gone = fleets.subject(name, 1)
    gone.evidence, gone.evidence_path, gone.unread = None, None, "refused"
    return gone


def seen(name: str, number: int, hour: int, **changes):
    at = (fleets.NOW + hour * HOUR - dt.timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return fleets.subject(name, number, collected_at=at, **changes)


def chain(*fleets_of_hours):
    report, found = None, []
    for hour, fleet in enumerate(fleets_of_hours):
        report = fleets.report([*fleet, seen("other", 9, hour)], now=fleets.NOW + hour * HOUR, previous=report)
        found.append(report)
    return found


def kinds(report):
    return [(item["kind"], item["node"]) for item in report["drift"]]


def result(report, name, rule="mode-enforcing"):
    (row,) = [row for row in report["nodes"] if row["node"] == name]
    (item,) = [item for item in row["results"] if item["rule"] == rule]
    return item["previous_result"], item["status"], item["since"][11:13]


PERMISSIVE = {"selinux__state": "permissive"}


@pytest.mark.parametrize("silent", [1, 3])
def test_a_node_that_comes_back_is_compared_with_what_was_last_known_of_it(silent):
    gone = [[unread("n")] for _unused in range(silent)]
    back = seen("n", 1, silent + 1, **PERMISSIVE, talos__version="v1.14.2")
    reports = chain(
        [seen("n", 1, 0)], *gone, [back], [seen("n", 1, silent + 2, **PERMISSIVE, talos__version="v1.14.2")]
    )
    assert [kinds(report) for report in reports] == [
        [],
        [("evidence-lost", "n")],
        *([[]] * (silent - 1)),
        [("fell-back-to-permissive", "n"), ("policy-version-changed", "n")],
        [],
    ]
    assert reports[-2]["drift"][0]["found"] == "its mode: enforcing before, permissive now"


def test_a_node_that_comes_back_as_it_was_has_not_drifted():
    for change in ({}, PERMISSIVE):
        reports = chain([seen("n", 1, 0, **change)], [unread("n")], [seen("n", 1, 2, **change)])
        assert [kinds(report) for report in reports] == [[], [("evidence-lost", "n")], []]


def test_a_node_without_a_mode_is_followed_by_its_uuid():
    reports = chain([seen("n", 1, 0)], [seen("m", 1, 1, selinux__state=None)], [seen("o", 1, 2, **PERMISSIVE)])
    assert [kinds(report) for report in reports] == [[], [("evidence-lost", "m")], [("fell-back-to-permissive", "o")]]


def test_another_machine_that_comes_in_place_of_a_silent_one_is_new():
    reports = chain([seen("n", 1, 0)], [unread("n")], [seen("n", 2, 2, **PERMISSIVE)])
    assert kinds(reports[2]) == [("new-permissive-node", "n")]
    assert result(reports[2], "n")[0] is None


def test_one_that_no_report_could_read_is_new_once_it_is_and_has_a_result_before():
    reports = chain([unread("n")], [unread("n")], [seen("n", 1, 2, **PERMISSIVE)], [seen("n", 1, 3, **PERMISSIVE)])
    assert [kinds(report) for report in reports] == [[], [], [("new-permissive-node", "n")], []]
    assert result(reports[2], "n") == ("unknown", "fail", "14")


def test_results_say_what_they_were_and_since_when_over_all_reports():
    reports = chain([seen("n", 1, 0)], [unread("n")], [unread("n")], [seen("renamed", 1, 3)], [seen("renamed", 1, 4)])
    assert [result(report, "n") for report in reports[:3]] == [
        (None, "pass", "12"), ("pass", "unknown", "13"), ("unknown", "unknown", "13"),
    ]  # fmt: skip
    assert [result(report, "renamed") for report in reports[3:]] == [("unknown", "pass", "15"), ("pass", "pass", "15")]


def test_two_nodes_that_exchange_their_names_are_told_apart():
    before = [seen("a", 1, 0), seen("b", 2, 0, **PERMISSIVE)]
    after = [seen("b", 1, 1), seen("a", 2, 1, **PERMISSIVE)]
    assert kinds(chain(before, after)[1]) == []
    # The other's old name leads to nobody: its machine is here.
    assert kinds(chain(before, [seen("b", 1, 1), unread("a")])[1]) == []
