# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rollout that somebody halts: what was not wiped is left as it was, what was wiped comes home, and then it ends."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import Ledger
from integration import playbook
from kubernetes import client, config
from simulator import Simulator

NODES: dict[str, Any] = {
    **{f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)},
    **{f"worker-{number}": {} for number in (1, 2, 3)},
}
#: An entry of the ledger, by what it must hold.
Moment = dict[str, Any]


def _reached(evidence: Path, moment: Moment, after: int) -> bool:
    return any(moment.items() <= entry.items() for entry in playbook.ledger(evidence)[after:])


@contextlib.contextmanager
def halting(evidence: Path, moment: Moment, *reasons: str) -> Iterator[None]:
    """Halt the rollout at a moment, as another process than the controller: this one."""
    over, after = threading.Event(), len(playbook.ledger(evidence))

    def watch() -> None:
        while not over.is_set():
            if _reached(evidence, moment, after):
                for reason in reasons:
                    Ledger(evidence / "ledger.jsonl").halt(reason, "on-call")
                return
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


class Rollouts:
    """A fleet and one rollout directory, and what each run left."""

    def __init__(self, sim: Simulator, directory: Path) -> None:
        self.sim, self.directory, self.evidence = sim, directory, directory / "evidence"

    def run(self, place: str, *arguments: str, environment: dict[str, str] | None = None, **more: Any) -> playbook.Run:
        variables = playbook.settings(
            self.sim, self.evidence, **{"rollout_hosts": "workers", "rollout_batch": 1, **more}
        )
        return playbook.run(
            self.sim,
            self.directory / place,
            "talosops.selinux.rollout",
            variables=variables,
            arguments=arguments,
            environment=environment,
        )

    def halt(self, place: str, *arguments: str, **options: Any) -> playbook.Run:
        task = {"name": "H", "talosops.selinux.rollout_halt": {"directory": str(self.evidence), "who": "me", **options}}
        return playbook.play(self.sim, self.directory / place, [task], hosts="localhost", arguments=arguments)

    @property
    def halts(self) -> list[dict[str, Any]]:
        return Ledger(self.evidence / "ledger.jsonl").halts()

    def lift(self, place: str) -> None:
        run = self.halt(place, state="lifted", halts=[halt["number"] for halt in self.halts], reason="looked at")
        assert run.code == 0 and run.of("H")["halts"] == [], run.output

    def report(self) -> dict[str, Any]:
        return dict(json.loads((self.evidence / "report.json").read_text()))

    def refuse_leftovers(self) -> None:
        """Nothing is cordoned or locked, and no operation is open."""
        assert not any(node.unschedulable for node in self.sim.nodes.values())
        state = Ledger(self.evidence / "ledger.jsonl").read()
        assert (state.locks, state.unfinished) == ({}, [])
        with config.new_client_from_config(str(self.sim.directory / "kubeconfig")) as api:
            held = client.CoordinationV1Api(api).list_namespaced_lease("kube-system").items
        assert [lease.metadata.name for lease in held if lease.spec.holder_identity] == []


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rollouts]:
    directory = tmp_path_factory.mktemp("halts")
    with Simulator({"name": "halts", "time_scale": 120, "uptime": "96h", "nodes": NODES}, directory / "fleet") as sim:
        yield Rollouts(sim, directory)


def _says(run: playbook.Run, words: str) -> bool:
    return words in " ".join(run.output.split())


# The tests of this file follow each other on one fleet.


def test_where_no_rollout_is_there_is_nothing_to_halt(rollouts: Rollouts) -> None:
    run = rollouts.halt("none", reason="storage")
    assert run.code != 0 and "there is no rollout in" in run.of("H")["msg"]
    assert not rollouts.evidence.exists()


def test_halted_before_the_canary_no_node_is_touched(rollouts: Rollouts) -> None:
    with halting(rollouts.evidence, {"kind": "acquire", "lock": "cluster"}, "storage"):
        run = rollouts.run("before")
    assert run.code != 0 and _says(run, "by on-call at ") and _says(run, ": storage"), run.output
    assert playbook.resets(rollouts.sim) == []
    rollouts.refuse_leftovers()
    report = rollouts.report()
    assert [(halt["reason"], halt["who"]) for halt in report["halts"]] == [("storage", "on-call")]
    assert "halt" in report["halted"] and "failed" not in report["halted"]
    assert {row["outcome"] for row in report["nodes"]} == {"not_reached"}
    assert any("stands until somebody lifts it" in line for line in report["attention"])
    assert "storage" in (rollouts.evidence / "report.html").read_text()


def test_check_mode_writes_nothing(rollouts: Rollouts) -> None:
    before = playbook.ledger(rollouts.evidence)
    (number,) = (halt["number"] for halt in rollouts.halts)
    halting = rollouts.halt("check-halt", "--check", reason="another")
    same = rollouts.halt("check-same", "--check", reason="storage", who="on-call")
    lifting = rollouts.halt("check-lift", "--check", state="lifted", halts=[number], reason="r")
    wrong = rollouts.halt("check-wrong", "--check", state="lifted", halts=[number + 1], reason="r")
    assert [run.of("H")["changed"] for run in (halting, same, lifting)] == [True, False, True]
    assert f"halt {number + 1} does not stand" in wrong.of("H")["msg"]
    assert playbook.ledger(rollouts.evidence) == before
    refused = rollouts.run("check-rollout", "--check")
    assert refused.code != 0 and _says(refused, "starting the rollout is refused")
    assert playbook.ledger(rollouts.evidence) == before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"reason": " "}, "it is not said why"),
        ({"reason": "r", "who": ""}, "it is not said by whom"),
        ({"state": "lifted", "halts": [], "reason": "r"}, "no halt was named"),
        ({"state": "lifted", "reason": "r"}, "halts"),
        ({"state": "lifted", "halts": [1], "reason": "r"}, "halt 1 does not stand"),
    ],
)
def test_what_says_nothing_is_refused(rollouts: Rollouts, options: dict[str, Any], says: str, tmp_path: Path) -> None:
    before = playbook.ledger(rollouts.evidence)
    run = rollouts.halt(f"refused/{tmp_path.name}", **options)
    assert run.code != 0 and says in run.of("H")["msg"]
    assert playbook.ledger(rollouts.evidence) == before


def test_two_halts_are_both_to_be_lifted_and_one_is_written_once(rollouts: Rollouts) -> None:
    calls = len(rollouts.sim.writes())
    second = rollouts.halt("second", reason="{{ 7 * 7 }} \x1b[31mred -----BEGIN " + "X KEY-----")
    assert second.of("H")["changed"] is True
    # What a log says may look like a template, steers no terminal, and halts also where it quotes a key.
    told = second.of("H")["halts"][1]["reason"]
    assert "\x1b" not in told and told.endswith("red <masked>")
    again = rollouts.halt("again", reason="storage", who="on-call")
    assert again.of("H")["changed"] is False and len(rollouts.halts) == 2
    first, other = (halt["number"] for halt in rollouts.halts)
    rollouts.halt("lift-first", state="lifted", halts=[first], reason="the storage is back")
    assert [halt["number"] for halt in rollouts.halts] == [other]
    refused = rollouts.run("still")
    assert refused.code != 0 and _says(refused, "starting the rollout is refused")
    assert len(rollouts.sim.writes()) == calls, "a rollout that is halted wrote to the fleet"
    rollouts.lift("lift-second")
    lifted = [entry for entry in playbook.ledger(rollouts.evidence) if entry["kind"] == "lift"]
    assert [entry["reason"] for entry in lifted] == ["the storage is back", "looked at"]


@pytest.mark.parametrize("node", ["worker-1", "cp-1"])
def test_halted_in_the_middle_of_a_drain_the_node_is_released(rollouts: Rollouts, node: str) -> None:
    rollouts.sim.set_fault(node, "drain_blocked")
    started = time.monotonic()
    with halting(rollouts.evidence, {"kind": "intent", "node": node, "step": "drain"}, f"drain of {node}"):
        run = rollouts.run(f"drain-{node}", rollout_hosts=node, rollout_drain_timeout=3600)
    rollouts.sim.clear_fault(node, "drain_blocked")
    assert time.monotonic() - started < 3600
    assert run.code != 0 and _says(run, f": drain of {node}"), run.output
    assert playbook.resets(rollouts.sim) == []
    rollouts.refuse_leftovers()
    assert playbook.report(rollouts.evidence)[node]["outcome"] == "not_reached"
    assert _reached(rollouts.evidence, {"kind": "close", "node": node}, 0)
    rollouts.lift(f"lift-{node}")


def test_past_the_wipe_the_node_is_brought_home_and_then_it_stops(rollouts: Rollouts) -> None:
    with halting(rollouts.evidence, {"kind": "intent", "node": "worker-1", "step": "reset"}, "wiped"):
        run = rollouts.run("wiped")
    assert run.code != 0 and _says(run, ": wiped"), run.output
    rows = playbook.report(rollouts.evidence)
    assert {name: row["outcome"] for name, row in rows.items()} == {
        "worker-1": "moved",
        "worker-2": "not_reached",
        "worker-3": "not_reached",
    }
    assert rollouts.sim.nodes["worker-1"].selinux == "enforcing"
    assert playbook.resets(rollouts.sim) == ["worker-1"]
    rollouts.refuse_leftovers()
    rollouts.lift("lift-wiped")


def test_halted_between_two_waves_the_next_one_does_not_start(rollouts: Rollouts) -> None:
    moment = {"kind": "finish", "node": "worker-2", "step": "soak", "outcome": "done"}
    with halting(rollouts.evidence, moment, "between"):
        run = rollouts.run("between")
    assert run.code != 0 and _says(run, ": between"), run.output
    rows = playbook.report(rollouts.evidence)
    assert {name: rows[name]["outcome"] for name in ("worker-2", "worker-3")} == {
        "worker-2": "moved",
        "worker-3": "not_reached",
    }
    assert playbook.resets(rollouts.sim) == ["worker-1", "worker-2"]
    rollouts.refuse_leftovers()
    rollouts.lift("lift-between")
    last = rollouts.run("last")
    assert last.code == 0, last.output
    assert rollouts.report()["halts"] == []
    assert Counter(playbook.resets(rollouts.sim)) == {"worker-1": 1, "worker-2": 1, "worker-3": 1}


def test_killed_and_then_halted_only_what_was_wiped_goes_on(tmp_path: Path) -> None:
    nodes = {"cp-1": {"role": "controlplane"}, **{f"worker-{number}": {} for number in (1, 2, 3)}}
    with Simulator({"name": "home", "time_scale": 120, "uptime": "96h", "nodes": nodes}, tmp_path / "fleet") as sim:
        rollouts = Rollouts(sim, tmp_path)
        killed = rollouts.run("killed", environment={"TEST_CRASH": "step:identify:0"}, rollout_canary=2)
        wiped = set(playbook.resets(sim))
        assert killed.code != 0 and wiped == {"worker-1", "worker-2"}, killed.output
        Ledger(rollouts.evidence / "ledger.jsonl").halt("the controller died", "on-call")
        predicted = rollouts.run("predicted", "--check")
        assert predicted.code == 0, predicted.output
        home = rollouts.run("home")
        assert home.code != 0 and _says(home, ": the controller died"), home.output
        assert {name for name, node in sim.nodes.items() if node.selinux == "enforcing"} == wiped
        assert len(playbook.resets(sim)) == 2
        rollouts.refuse_leftovers()
        assert {row["outcome"] for row in playbook.report(rollouts.evidence).values()} == {"moved"}
