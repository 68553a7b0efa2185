# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A controller that is killed anywhere: run again, the node ends as if nothing had happened, and nothing is sent twice.

Killed before and after every entry of the ledger and at moments within every step, a worker and a control plane, in
place and by the hook, with the node reachable and not reachable when it is run again. ``make nightly`` does all of
them, every other run a sample by the seed that it prints.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger_file import verify
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import STEP_NAMES
from integration import playbook
from integration.rollout.test_boot_hook import HOOK
from integration.rollout.undisturbed import of_run, words
from simulator import Simulator

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
# The processes of one run have to agree on it.
SEED = os.environ.get("CRASH_SEED") or os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(random.SystemRandom().random())
SAMPLE = 3
NODES = {"worker": "worker-1", "controlplane": "cp-1"}


@dataclasses.dataclass(frozen=True)
class Case:
    """One way to be interrupted."""

    role: str
    boot_path: str
    crash: str
    reachable: bool

    def __str__(self) -> str:
        return f"{self.role}-{self.boot_path}-{self.crash}-{'reachable' if self.reachable else 'silent'}"


def _cases() -> list[Case]:
    dice = random.Random(SEED)
    every = []
    for role, path in itertools.product(NODES, ("in_place", "hook")):
        entries = range(1, len(of_run(role, path)) + 1)
        crashes = [f"entry:{number}:{when}" for number in entries for when in ("before", "after")]
        # Most steps take some tenths of a second.
        crashes += [f"step:{step}:{10 ** dice.uniform(-2, 0.3):.2f}" for step in STEP_NAMES for _unused in range(3)]
        every += [Case(role, path, crash, reachable) for crash in crashes for reachable in (True, False)]
    return every if NIGHTLY else dice.sample(every, SAMPLE)


CASES = _cases()


def test_the_sample_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nCRASH_SEED={SEED}: {', '.join(map(str, CASES[:SAMPLE]))}")
    assert len(CASES) >= SAMPLE


@pytest.mark.parametrize("case", CASES, ids=str)
def test_killed_and_run_again_it_ends_like_an_undisturbed_run(case: Case, tmp_path: Path) -> None:
    name = NODES[case.role]
    evidence = tmp_path / "evidence"
    hook = tmp_path / "hook.py"
    hook.write_text(HOOK)
    nodes: dict[str, Any] = {f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}
    nodes |= {"worker-1": {}, "worker-2": {}}
    nodes[name] = {**nodes[name], "extra": {"vars": {"talos_boot_path": case.boot_path}}}
    with Simulator({"name": "crash", "time_scale": 120, "uptime": "96h", "nodes": nodes}, tmp_path / "fleet") as sim:
        variables = playbook.settings(
            sim, evidence, rollout_hosts=name, rollout_boot_hook=[sys.executable, str(hook), sim.control_url]
        )

        def run(place: str, **more: Any) -> playbook.Run:
            return playbook.run(sim, tmp_path / place, "talosops.selinux.rollout", variables=variables, **more)

        killed = run("killed", environment={"TEST_CRASH": case.crash})
        assert killed.code == -signal.SIGKILL, killed.output
        _require_killed_there(case, words(playbook.ledger(evidence)))
        if not case.reachable:
            sim.set_fault(name, "unreachable")
            hasty = {**variables, "rollout_wipe_timeout": 5, "rollout_install_timeout": 5, "rollout_rejoin_timeout": 5}
            silent = playbook.run(sim, tmp_path / "silent", "talosops.selinux.rollout", variables=hasty)
            assert not any(node.unschedulable for other, node in sim.nodes.items() if other != name), silent.output
            sim.clear_fault(name, "unreachable")
        # A machine that went silent unheard has to be looked at by a person, and one that is to be booted by a hook
        # stays silent.
        variables["rollout_confirm_wiped"] = {name: "its console finds nothing to boot"}
        ended = run("again")
        if ended.code != 0:
            # What was not known while the node was silent, or began anew, is finished by one more run.
            ended = run("once-more")
        assert ended.code == 0, f"{killed.output}\n{ended.output}"
        node = sim.nodes[name]
        assert (node.selinux, node.ready, node.unschedulable) == ("enforcing", True, False), ended.output
        for method in ("Reset", "ApplyConfiguration"):
            sent = Counter(call.node for call in playbook.talos_writes(sim) if call.method.endswith(f"/{method}"))
            assert sent == {name: 1}, f"{method}: {sent}"
        assert sim.upgrades() == []
        assert len(sim.fleet.etcd.voters()) == 3
        state = verify(evidence / "ledger.jsonl")
        assert state.ok and state.locks == {} and state.nodes[name].complete


def _require_killed_there(case: Case, written: list[str]) -> None:
    """A case whose moment does not come, or comes elsewhere, shows nothing."""
    what, which, when = case.crash.split(":")
    entries = of_run(case.role, case.boot_path)
    if what == "entry":
        assert written == entries[: int(which) - (when == "before")]
    else:
        begun = entries.index(f"begin {which}") + 1
        assert written == entries[: len(written)]
        assert begun <= len(written) < entries.index(f"finish {which}") + 1
