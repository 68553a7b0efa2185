# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drift: each kind raises exactly one finding, and nothing else does."""

from __future__ import annotations

import dataclasses
import datetime as dt

import compliance_fleets as fleets
import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance.drift import KINDS

LATER = fleets.NOW + dt.timedelta(hours=1)
FRESH = {"collected_at": "2026-11-22T12:55:00Z"}


def second(fleet, *waivers, before=None, first_waivers=()):
    first = fleets.report(before or [fleets.subject("n", 1), fleets.subject("m", 2)], *first_waivers)
    return fleets.report(fleet, *waivers, now=LATER, previous=first)


def kinds(report):
    return [(item["kind"], item["node"]) for item in report["drift"]]


OTHER = fleets.subject("m", 2, **FRESH)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"selinux__state": "permissive", "selinux__kernel_args": ["selinux=1"]}, "fell-back-to-permissive"),
        ({"selinux__state": "disabled"}, "fell-back-to-permissive"),
        ({"audit__coverage__verdict": "partial"}, "evidence-lost"),
        ({"selinux__kernel_args": ["selinux=1", "enforcing=1", "init=/x"]}, "command-line-changed"),
        ({"selinux__kernel_args": None}, "command-line-changed"),
        ({"talos__version": "v1.14.2"}, "policy-version-changed"),
    ],
)
def test_one_change_is_one_finding(change, kind):
    report = second([fleets.subject("n", 1, **FRESH, **change), OTHER])
    assert kinds(report) == [(kind, "n")]
    assert report["counts"]["drift"] == 1
    assert report["drift"][0]["do"] == KINDS[kind]


def test_a_node_that_cannot_be_read_any_more_is_lost_evidence():
    gone = fleets.subject("n", 1)
    gone.evidence, gone.evidence_path, gone.unread = None, None, "refused"
    assert kinds(second([gone, OTHER])) == [("evidence-lost", "n")]


def test_a_new_permissive_node_is_found_and_a_new_enforcing_one_is_not():
    old = fleets.subject("n", 1, **FRESH)
    new = fleets.subject("x", 9, **FRESH, selinux__state="permissive")
    assert kinds(second([old, OTHER, new])) == [("new-permissive-node", "x")]
    assert kinds(second([old, OTHER, fleets.subject("x", 9, **FRESH)])) == []


def test_another_machine_under_an_old_name_is_new():
    swapped = fleets.subject("n", 9, **FRESH, selinux__state="permissive")
    assert kinds(second([swapped, OTHER])) == [("new-permissive-node", "n")]


def test_a_renamed_node_has_not_drifted():
    assert kinds(second([fleets.subject("renamed", 1, **FRESH), OTHER])) == []


def test_an_expired_waiver_is_found_once():
    ending = dataclasses.replace(fleets.WAIVER, expires=fleets.NOW + dt.timedelta(minutes=30))
    fleet = [fleets.subject("n", 1, **FRESH), OTHER]
    report = second(fleet, ending, first_waivers=(ending,))
    assert kinds(report) == [("waiver-expired", None)]
    third = fleets.report(fleet, ending, now=LATER + dt.timedelta(hours=1), previous=report)
    assert kinds(third) == []


def test_nothing_has_drifted_in_a_first_report_nor_where_nothing_changed():
    assert fleets.report([fleets.subject("n", 1, selinux__state="permissive")])["drift"] == []
    assert second([fleets.subject("n", 1, **FRESH), OTHER])["drift"] == []


def test_every_kind_is_tested_here():
    assert set(KINDS) == {
        "fell-back-to-permissive", "new-permissive-node", "evidence-lost", "command-line-changed",
        "policy-version-changed", "waiver-expired",
    }  # fmt: skip
