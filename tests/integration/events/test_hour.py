# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes that disconnect and reboot at random: nothing is lost without a hole, and nothing is told twice.

A small fleet for ten minutes by a seed that is printed; `make nightly` follows 100 nodes for an hour.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from event_hour import MOST, Hour, repeated, unreported
from integration.events.following import Collected, follow
from simulator import Simulator

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
NODES, STEPS = (100, 60) if NIGHTLY else (6, 10)
pytestmark = pytest.mark.timeout(3600 if NIGHTLY else 280)


def test_no_hole_is_unreported_and_nothing_is_told_twice(tmp_path: Path) -> None:
    seed = os.environ.get("TEST_SEED") or str(random.SystemRandom().randrange(1_000_000))
    print(f"TEST_SEED={seed}")
    scenario = {
        "name": "hour",
        "uptime": "96h",
        "time_scale": 60,
        "nodes": {"cp-1": {"role": "controlplane"}, "worker-%d": {"count": NODES - 1}},
    }
    with Simulator(scenario, tmp_path / "fleet") as sim:
        hour = Hour(sim, random.Random(seed))
        over: list[bool] = []

        def disturb(_queue: Collected) -> None:
            for _minute in range(STEPS):
                hour.step()
                time.sleep(1)
            hour.end()
            over.append(True)

        found = follow(
            sim,
            tmp_path / "state",
            lambda queue: bool(over) and not unreported(hour.boots, queue.events),
            during=disturb,
            feedback=True,
            poll_seconds=1.0,
            most_per_signature=MOST,
        )
    assert hour.reboots or hour.disconnects, "nothing happened"
    assert sum(len(serials) for boots in hour.boots.values() for _boot, serials in boots) > NODES
    assert unreported(hour.boots, found.events) == []
    assert repeated(found.events) == []


def _event(kind: str, boot: str, **more: object) -> dict[str, object]:
    return {"type": kind, "uuid": "u", "boot": boot, "serial": None, **more}


@pytest.mark.parametrize(
    ("events", "missing"),
    [
        ([], 3),
        ([_event("denial", "b1", serial=5)], 2),
        ([_event("denial", "b1", serial=5), _event("hole", "b2", after=5, before=None)], 0),
        # What was logged before the last visit must have been told.
        ([_event("denial", "b1", serial=5), _event("hole", "b2", after=6, before=None)], 1),
        ([_event("hole", "b1", after=4, before=8)], 0),
        ([_event("hole", "b1", after=5, before=8)], 1),
    ],
)
def test_what_is_missing_is_noticed(events: list[dict[str, object]], missing: int) -> None:
    assert len(unreported({"u": [("b1", {5, 6, 7}), ("b2", set())]}, events)) == missing
