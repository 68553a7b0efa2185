# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No answer is not a wipe: a reset that may have been sent is settled by what the node says, and by nothing else."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import ROLLOUT_LOCK, Ledger
from integration import playbook
from simulator import Simulator

#: How far the reset of each node had come, by the ledger, when the controller was killed; none was ever sent.
IN_PLACE = {"begun": (), "intended": ("intent",), "sent": ("intent", "sent")}
HOOKED = {"hook-begun": (), "hook-intended": ("intent",)}
NODES = {**IN_PLACE, **HOOKED}
HOOK = """
import json, os, sys, urllib.request
with open(sys.argv[2], "a") as log:
    print(os.environ["TALOS_NODE"], file=log)
medium = {"schematic": os.environ["TALOS_SCHEMATIC"], "version": os.environ["TALOS_VERSION"]}
request = urllib.request.Request(
    f"{sys.argv[1]}/nodes/{os.environ['TALOS_NODE']}/boot", data=json.dumps(medium).encode(), method="POST"
)
urllib.request.urlopen(request, timeout=10).close()
"""


@dataclasses.dataclass(frozen=True)
class Ended:
    """A fleet after a run while nobody answered, and after one when all answered again."""

    sim: Simulator
    silent: playbook.Run
    silent_rows: dict[str, dict[str, Any]]
    silent_resets: list[str]
    silent_cordoned: set[str]
    hooked: str
    answered: playbook.Run
    rows: dict[str, dict[str, Any]]
    hooks: list[str]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    directory = tmp_path_factory.mktemp("known")
    evidence, hook, log = directory / "evidence", directory / "hook.py", directory / "hook.log"
    hook.write_text(HOOK)
    nodes: dict[str, Any] = {f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}
    nodes |= {name: {} for name in IN_PLACE}
    nodes |= {name: {"extra": {"vars": {"talos_boot_path": "hook"}}} for name in HOOKED}
    # It answers, so that the fleet is not silent as a whole, and is never touched.
    nodes["refused"] = {"denials": ["csi_unlabeled"]}
    scenario = {"name": "known", "time_scale": 120, "uptime": "96h", "nodes": nodes}
    with Simulator(scenario, directory / "fleet") as sim:
        variables = playbook.settings(
            sim,
            evidence,
            rollout_hosts="workers",
            rollout_canary=5,
            rollout_max_failures=9,
            rollout_boot_hook=[sys.executable, str(hook), sim.control_url, str(log)],
        )
        process = playbook.start(sim, directory / "killed", "talosops.selinux.rollout", variables=variables)
        while not any(entry.get("step") == "reset" for entry in playbook.ledger(evidence)):
            assert process.poll() is None, (directory / "killed" / "output.txt").read_text()
            time.sleep(0.02)
        playbook.kill(process)
        assert playbook.resets(sim) == []
        _advance(evidence / "ledger.jsonl")
        for name in NODES:
            sim.set_fault(name, "unreachable")
        silent = playbook.run(
            sim,
            directory / "silent",
            "talosops.selinux.rollout",
            variables={**variables, "rollout_wipe_timeout": 3},
        )
        told = playbook.report(evidence), playbook.resets(sim)
        cordoned = {name for name, node in sim.nodes.items() if node.unschedulable}
        hooked = log.read_text() if log.exists() else ""
        for name in NODES:
            sim.clear_fault(name, "unreachable")
        answered = playbook.run(sim, directory / "answered", "talosops.selinux.rollout", variables=variables)
        rows = playbook.report(evidence)
        yield Ended(sim, silent, *told, cordoned, hooked, answered, rows, log.read_text().split())


def _advance(path: Path) -> None:
    """Bring the ledger to where a controller that was killed a moment later would have left it."""
    ledger = Ledger(path)
    lock = ledger.lock(ROLLOUT_LOCK)
    assert lock is not None
    ledger = Ledger(path, owner=lock["owner"], run=lock["run"])
    for name, entries in NODES.items():
        if ledger.node(name).open != "reset":
            ledger.begin(name, "reset")
        if "intent" in entries:
            ledger.intent(name, "reset")
        if "sent" in entries:
            ledger.sent(name, "reset", actor_id="a")


def test_while_nobody_answers_nothing_is_done_and_it_is_said(ended: Ended) -> None:
    assert ended.silent.code != 0
    assert ended.silent_resets == []
    assert ended.hooked == ""


@pytest.mark.parametrize("name", [name for name, entries in NODES.items() if entries])
def test_what_may_have_been_sent_stays_open(ended: Ended, name: str) -> None:
    row = ended.silent_rows[name]
    assert (row["outcome"], row["step"]) == ("pending", "reset")
    assert name in ended.silent_cordoned
    reason = row["reasons"][0]
    # The first one that is resumed was a canary, so the run stops there.
    first = name == "hook-intended"
    assert reason["remedy"].startswith("look at the console of hook-intended" if first else "run the rollout again")
    assert "run the rollout again" in reason["remedy"]
    assert reason["id"] == ("rollout.not_known" if first else "rollout.pending")
    assert ("whether hook-intended was wiped is not known" in reason["found"]) == first


@pytest.mark.parametrize("name", [name for name, entries in NODES.items() if not entries])
def test_what_was_only_begun_is_released(ended: Ended, name: str) -> None:
    assert ended.silent_rows[name]["outcome"] == "inconclusive"
    assert name not in ended.silent_cordoned


def test_the_old_installation_answers_so_all_is_done_from_the_start_and_once(ended: Ended) -> None:
    assert ended.answered.code == 0, ended.answered.output
    assert {name for name, row in ended.rows.items() if row["outcome"] == "moved"} == set(NODES)
    assert Counter(playbook.resets(ended.sim)) == dict.fromkeys(NODES, 1)
    applied = Counter(call.node for call in playbook.talos_writes(ended.sim) if call.method.endswith("Configuration"))
    assert applied == dict.fromkeys(NODES, 1)
    assert sorted(ended.hooks) == sorted(HOOKED)
    assert not any(node.unschedulable for node in ended.sim.nodes.values())
