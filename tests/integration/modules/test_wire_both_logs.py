# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two logs of a node together: with ``audit=1`` the kernel prints what comes before auditd and keeps it for auditd
too, one denial everywhere; and a kernel ring that was overwritten up to the policy load is whole, up to more is not."""

from __future__ import annotations

from typing import Any

import pytest
from integration import judging
from simulator import Simulator
from simulator.rings import KernelRecord, KernelRing

EARLY = {"template": "hostpath_run", "phase": "boot", "count": 2}
LATER = {"template": "hostpath_run", "count": 3}
NODES: dict[str, Any] = {
    "cp-1": {"role": "controlplane"},
    "silent": {"denials": [EARLY, LATER]},
    "audit-1": {"denials": [EARLY, LATER], "kernel_args": ["audit=1"]},
    # More from before auditd than the kernel keeps for it.
    "overflow": {"denials": [{**EARLY, "count": 40}, LATER], "kernel_args": ["audit=1"]},
    "room": {
        "denials": [{**EARLY, "count": 40}, LATER],
        "kernel_args": ["audit=1", "audit_backlog_limit=8192"],
    },
    "restarted": {"denials": [EARLY, LATER], "kernel_args": ["audit=1"], "faults": {"auditd_dead": "denials"}},
    "begins-with-load": {"denials": [EARLY, LATER]},
    "lost-load": {"denials": [EARLY, LATER]},
}


@pytest.fixture(scope="module")
def audits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The audit section of each node's evidence: by itself, and twice from a store."""
    directory = tmp_path_factory.mktemp("both")
    (directory / "store").mkdir()
    cases = dict.fromkeys(NODES, judging.OPERATOR)
    with Simulator({"name": "both", "uptime": "72h", "nodes": NODES}, directory / "fleet") as sim:
        for name, lost in (("begins-with-load", 0), ("lost-load", 1)):
            _overwrite(sim.nodes[name].kernel_logs().kernel, lost)
        held = b"".join(b"\n" + line for line in sim.nodes["audit-1"].kernel_logs().auditd.read().splitlines()[:9])
        assert b"\ntype=KERNEL " in held and b"\ntype=MAC_POLICY_LOAD " in held and held.count(b"\ntype=AVC ") == 2
        rounds = [judging.collect_all(sim, cases, stores=store) for store in (None, *[directory / "store"] * 2)]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in NODES}
    for one in rounds:
        for name, document in one.items():
            assert isinstance(document, dict), document
            found[name].append(document["audit"])
    return found


def _overwrite(ring: KernelRing, lost: int) -> None:
    """Let a ring wrap until it begins with the boot's first policy load, and then lose so many records more."""
    load = next(record for record in ring.read() if b"audit: type=1403 " in record.text)
    after = ring.read().index(load) + lost
    first = ring.read()[after]
    while ring.read()[0] is not first:
        ring.write(KernelRecord(0, 6, 400.0, b"x"))


def denied(audit: dict[str, Any]) -> list[int]:
    """The count of each denial, and the sum that is told of all."""
    return [*(denial["count"] for denial in audit["denials"]), audit["counts"]["denied"]]


@pytest.mark.parametrize("name", ["silent", "audit-1", "begins-with-load"])
def test_each_record_counts_once(audits: dict[str, list[dict[str, Any]]], name: str) -> None:
    assert audits[name]
    for audit in audits[name]:
        assert denied(audit) == [5, 5]
        assert audit["coverage"]["reasons"] == [], audit["coverage"]
        assert audit["counts"]["doubtful"] == 0


@pytest.mark.parametrize(("name", "complete"), [("overflow", False), ("room", True)])
def test_what_the_kernel_had_no_room_for_was_printed_all_the_same(
    audits: dict[str, list[dict[str, Any]]], name: str, complete: bool
) -> None:
    assert audits[name]
    for audit in audits[name]:
        assert denied(audit) == [43, 43]
        assert (audit["coverage"]["verdict"] == "complete") is complete
        assert ("F8" in {reason["id"] for reason in audit["coverage"]["reasons"]}) is not complete


def test_what_auditd_finds_after_a_restart_counts_once(audits: dict[str, list[dict[str, Any]]]) -> None:
    assert audits["restarted"]
    for audit in audits["restarted"]:
        assert denied(audit) == [6, 6]
        assert {reason["id"] for reason in audit["coverage"]["reasons"]} == {"F5"}


def test_a_ring_that_lost_the_policy_load_is_not_whole(audits: dict[str, list[dict[str, Any]]]) -> None:
    assert audits["lost-load"]
    for audit in audits["lost-load"]:
        assert {reason["id"] for reason in audit["coverage"]["reasons"]} == {"F10", "F11"}, audit["coverage"]
