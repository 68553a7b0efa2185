# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The event source over simulated nodes: nothing lost, nothing twice but after a kill, each change one event."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.events import source
from ansible_collections.talosops.selinux.plugins.plugin_utils.events.arguments import BadArguments
from integration.events.following import MAIN, SOURCE, Collected, follow, settled
from simulator import Simulator


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Simulator]:
    nodes = {"cp-1": {"role": "controlplane"}, "worker-1": {}, "worker-2": {}}
    with Simulator({"name": "events", "uptime": "96h", "nodes": nodes}, tmp_path / "fleet") as sim:
        yield sim


def test_a_denial_is_an_event_once_and_a_restart_tells_only_what_is_new(fleet: Simulator, tmp_path: Path) -> None:
    state = tmp_path / "state"
    fleet.add_denial("worker-1", "csi_unlabeled")
    first = follow(fleet, state, lambda queue: settled(state, 3)(queue) and bool(queue.of("denial")))
    told = first.of("denial")
    assert {event["uuid"] for event in told} == {fleet.nodes["worker-1"].uuid.lower()}
    assert len({event["id"] for event in told}) == len(told)
    assert first.of("new_node") == []
    again = follow(
        fleet,
        state,
        lambda queue: bool(queue.of("denial")),
        during=lambda _queue: fleet.add_denial("worker-2", "nfs"),
        feedback=True,
    )
    assert {event["uuid"] for event in again.of("denial")} == {fleet.nodes["worker-2"].uuid.lower()}
    assert not {event["id"] for event in again.events} & {event["id"] for event in told}


def test_what_is_told_and_what_is_summed_up_add_up(fleet: Simulator, tmp_path: Path) -> None:
    for _number in range(9):
        fleet.add_denial("worker-1", "csi_unlabeled")
    state = tmp_path / "state"
    found = follow(fleet, state, lambda queue: bool(queue.of("denial_summary")), most_per_signature=2)
    counted: Counter[str] = Counter()
    for event in found.events:
        if event["type"] in ("denial", "denial_summary"):
            counted[event["signature"]] += event.get("count", 1)
    assert len(found.of("denial")) == 2 * len(counted)
    # The simulator writes seven records for each of the nine.
    assert set(counted.values()) == {63}


def test_a_node_that_does_not_answer_is_said_once_and_answers_again(fleet: Simulator, tmp_path: Path) -> None:
    state = tmp_path / "state"
    lost = follow(
        fleet,
        state,
        lambda queue: bool(queue.of("evidence_lost")),
        during=lambda _queue: fleet.set_fault("worker-1", "unreachable"),
    )
    (event,) = lost.of("evidence_lost")
    assert event["drift"] == "evidence-lost"
    assert event["uuid"] == fleet.nodes["worker-1"].uuid.lower()
    visited = len(fleet.calls) + 40
    still = follow(fleet, state, lambda _queue: len(fleet.calls) > visited)
    assert still.of("evidence_lost") == []
    fleet.clear_fault("worker-1", "unreachable")
    fleet.add_denial("worker-1", "csi_unlabeled")
    back = follow(fleet, state, lambda queue: bool(queue.of("denial")))
    assert {event["uuid"] for event in back.of("denial")} == {fleet.nodes["worker-1"].uuid.lower()}


def test_a_reboot_is_a_hole_with_its_cause(fleet: Simulator, tmp_path: Path) -> None:
    state = tmp_path / "state"
    found = follow(
        fleet,
        state,
        lambda queue: bool(queue.of("hole")),
        during=lambda _queue: fleet.run(fleet.fleet.power_cycle("worker-1")),
    )
    (hole,) = [event for event in found.of("hole") if event["cause"] == "reboot"]
    assert hole["uuid"] == fleet.nodes["worker-1"].uuid.lower()
    assert hole["after"] > 0


def test_a_new_permissive_node_is_an_event_only_after_the_first_run(fleet: Simulator, tmp_path: Path) -> None:
    state = tmp_path / "state"
    known = [fleet.nodes[name].address for name in ("cp-1", "worker-1")]
    assert follow(fleet, state, settled(state, 2), nodes=known).of("new_node") == []
    (event,) = follow(fleet, state, settled(state, 3)).of("new_node")
    assert (event["drift"], event["mode"]) == ("new-permissive-node", "permissive")
    assert event["uuid"] == fleet.nodes["worker-2"].uuid.lower()


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({}, "state is missing"),
        ({"state": "s", "stat": 1}, "stat is no argument"),
        ({"state": 7}, "state is not of the type path"),
        ({"state": "s", "poll_seconds": True}, "poll_seconds is not of the type float"),
        ({"state": "s", "route": "any"}, "route is not one of"),
        ({"state": "s", "nodes": [1]}, "nodes is not a list of texts"),
    ],
)
def test_arguments_that_are_not_understood_end_the_source(arguments: dict[str, Any], found: str) -> None:
    with pytest.raises(BadArguments, match=found):
        asyncio.run(MAIN(Collected(), arguments))


def test_the_source_needs_no_ansible(tmp_path: Path) -> None:
    """ansible-rulebook runs it in an environment without ansible-core."""
    code = (
        "import sys, runpy\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'ansible' or name.startswith('ansible.'):\n"
        "            raise ImportError('no ansible here: ' + name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        f"runpy.run_path({str(SOURCE)!r})\n"
        "print('loaded')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "loaded\n", done.stderr


def test_what_a_log_says_is_no_template_and_steers_no_terminal(fleet: Simulator, tmp_path: Path) -> None:
    """ansible-rulebook hands an event to a playbook as a variable, which Ansible takes for a template."""
    hidden = "/data/{{ lookup('pipe', 'id') }}{% raw %}{# x #}\x1b[31m"
    text = (
        f'avc:  denied  {{ write }} for  pid=77 comm="{{{{a}}}}" path={hidden.encode().hex().upper()} dev="sda6" ino=9 '
        "scontext=system_u:system_r:pod_t:s0 tcontext=system_u:object_r:{{x}}:s0 tclass=file permissive=1"
    )
    fleet.add_denial("worker-1", {"record": "AVC", "number": 1400, "text": text})
    found = follow(fleet, tmp_path / "state", lambda queue: bool(queue.of("denial")))
    told = json.dumps(found.of("denial"))
    assert "lookup" in told and "[31m" in told, "the record was not told at all"
    values = [value for event in found.events for value in event.values() if isinstance(value, str)]
    assert values and not [value for value in values if "{" in value or not value.isprintable()]


def test_an_engine_that_gives_nothing_back_is_said_and_loses_nothing(
    fleet: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(source, "_FEEDBACK_SECONDS", 0.1)
    fleet.add_denial("worker-1", "csi_unlabeled")
    state = tmp_path / "state"
    stuck = follow(fleet, state, lambda queue: bool(caplog.records), eda_feedback_queue=asyncio.Queue())
    (event,) = stuck.events
    assert f"has not returned event {event['id']} yet" in caplog.text
    again = follow(fleet, state, lambda queue: bool(queue.of("denial_summary")), feedback=True)
    assert event["id"] in {one["id"] for one in again.events}
