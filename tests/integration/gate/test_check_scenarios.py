# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every check id has a scenario that triggers it alone, and one that does not (tests/scenarios)."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import quick_yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.machine import read_machine
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import policy as gate_policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.again import judge_again
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.cohort import judge_cohort
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.fleet import judge_fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.request import judge_history, request_checks
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import Problem
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import connect, connect_maintenance
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Talosconfig
from integration import judging
from simulator import Simulator

ROOT = Path(__file__).parents[3]
SCENARIOS = ROOT / "tests" / "scenarios"
DATA = Path(gate_policy.__file__).parent / "data"
#: The healthy cluster that every case changes one thing of. The members stand for a machine that was never installed.
FLEET: dict[str, Any] = {
    "name": "checks",
    "time_scale": 1000,
    "uptime": "96h",
    "nodes": {
        "cp-1": {"role": "controlplane"},
        "cp-2": {"role": "controlplane"},
        "cp-3": {"role": "controlplane"},
        "member": {},
        "member-old": {"talos": "v1.14.2"},
        "member-denies": {"denials": ["csi_unlabeled"]},
        "member-mute": {"faults": {"lost_records": True}},
    },
}
STOPS = ("fail", "unknown")


@dataclasses.dataclass(frozen=True)
class Case:
    """One case of a scenario file."""

    check: str
    triggers: bool
    number: int
    given: Mapping[str, Any]

    @property
    def name(self) -> str:
        """A host name, unlike that of all other cases."""
        return f"{self.check}-{'t' if self.triggers else 'p'}{self.number}"

    @property
    def node(self) -> str:
        """The node that is judged."""
        return str(self.given.get("judge", self.name))

    @property
    def operator(self) -> dict[str, Any]:
        """The operator's part, with everything else in order."""
        text = json.dumps(self.given.get("operator", {})).replace("/SCHEMATIC:", f"/{judging.SCHEMATIC}:")
        return {**judging.OPERATOR, **json.loads(text)}

    @property
    def machine(self) -> bool:
        """Whether a machine without evidence is judged by its cohort."""
        return "cohort" in self.given


def checks() -> dict[str, dict[str, Any]]:
    """Every check by id, with the data file that defines it under ``file``."""
    found: dict[str, dict[str, Any]] = {}
    for path in (
        DATA / f"{name}.yml"
        for name in ("strict", "canary", "observe", "request", "fleet", "again", "history", "cohort")
    ):
        for check in quick_yaml.load(path.read_text()).get("checks", []):
            found.setdefault(check["id"], {**check, "file": path.stem})
    return found


def cases() -> list[Case]:
    """Every case of every scenario."""
    return [
        Case(path.stem, kind == "triggers", number, given)
        for path in sorted(SCENARIOS.glob("*.yml"))
        for kind, listed in quick_yaml.load(path.read_text()).items()
        for number, given in enumerate(listed)
    ]


CHECKS = checks()
CASES = cases()


def test_ids_pages_and_scenarios_are_one_set() -> None:
    assert set(CHECKS) == {path.stem for path in SCENARIOS.glob("*.yml")}
    assert set(CHECKS) == {path.stem for path in (ROOT / "docs" / "refusals").glob("*.md")} - {"README"}
    for kind in (True, False):
        assert set(CHECKS) == {case.check for case in CASES if case.triggers == kind}


def test_company_is_real_and_has_a_reason() -> None:
    # Every id stops a node alone; where its cause has other effects too, under a policy that only warns of those.
    assert {case.check for case in CASES if case.triggers and not case.given.get("with")} == set(CHECKS)
    for case in CASES:
        company = case.given.get("with", [])
        assert set(company) <= set(CHECKS) - {case.check}
        assert bool(company) == bool(case.given.get("because")) and (case.triggers or not company)


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Case], Bench]]:
    """The bench of a case; cases that differ in their node only share one fleet, which its first case starts."""
    groups: dict[str, list[Case]] = {}
    for case in CASES:
        groups.setdefault(_own_fleet(case), []).append(case)
    started: dict[str, Bench] = {}
    with contextlib.ExitStack() as fleets:

        def bench(case: Case) -> Bench:
            own = _own_fleet(case)
            if own not in started:
                directory = tmp_path_factory.mktemp("fleet")
                sim = Simulator(scenario(json.loads(own) or {}, groups[own]), directory / "fleet")
                started[own] = Bench(fleets.enter_context(sim), directory, groups[own])
            return started[own]

        yield bench
        assert [call for one in started.values() for call in (*one.sim.upgrades(), *one.sim.writes())] == []


def _own_fleet(case: Case) -> str:
    return json.dumps(case.given.get("fleet"), sort_keys=True)


def scenario(own: Mapping[str, Any], members: list[Case]) -> dict[str, Any]:
    """The healthy fleet, what a group of cases changes of it, and their nodes."""
    nodes = {**FLEET["nodes"], **own.get("nodes", {})}
    nodes = {name: node for name, node in nodes.items() if node is not None}
    nodes |= {case.name: case.given.get("node", {}) for case in members if "judge" not in case.given}
    return {**FLEET, **own, "nodes": nodes}


class Bench:
    """Judges the cases of one fleet."""

    def __init__(self, sim: Simulator, directory: Path, members: list[Case]) -> None:
        self.sim = sim
        self.directory = directory
        self.context = Talosconfig.load(str(sim.directory / "talosconfig"), environ={}).context(None)
        # Two cases may judge one node with different operators; each reading is of one node and one operator.
        self.evidence: dict[str, Any] = {}
        rest = with_evidence = [case for case in members if not case.machine]
        while rest:
            batch = list({case.node: case for case in rest}.values())
            self.evidence |= self._batch(batch)
            rest = [case for case in rest if case not in batch]
        self.after = self._after([case for case in with_evidence if "then" in case.given])

    def judge(self, case: Case) -> dict[str, Any]:
        """Check results ``{id: {severity, result, found...}}``."""
        evidence = self.evidence.get(case.name, {})
        if case.machine:
            found = self._by_cohort(case)
        elif "then" in case.given:
            found = judge_history(evidence, self.after[case.name])
        elif "request" in case.given:
            found = request_checks(case.given["request"], evidence)
        elif "later_look" in case.given:
            found = self._again(case, evidence)
        else:
            found = judging.judge_one(evidence, case.operator, self.directory)["checks"]
            beside = judging.collect_all(self.sim, dict.fromkeys(case.given.get("beside", []), judging.OPERATOR))
            found += judge_fleet({case.node: evidence, **beside}, dt.datetime.now(dt.UTC))[case.node]
        return {check["id"]: check for check in found}

    def _again(self, case: Case, saved: dict[str, Any]) -> list[dict[str, Any]]:
        """The checks of a node that is looked at once more, after somebody did something to it."""
        done = case.given["later_look"]
        node = self.sim.nodes[case.node]
        if done.get("cordon"):
            node.unschedulable = True
        if done.get("reboot"):
            self.sim.new_system(case.node)
            self.sim.wait_for(case.node, "running", ready=True)
        at = {case.node: done["at"]} if "at" in done else {}
        live = judging.collect_all(self.sim, {case.node: case.operator}, at)[case.node]
        node.unschedulable = False
        policy = judging.policy_of(case.operator["policy"], self.directory)
        own = bool(done.get("own"))
        return list(judge_again(saved, live, policy, None, dt.datetime.now(dt.UTC), own_cordon=own)["checks"])

    def _batch(self, batch: list[Case]) -> dict[str, Any]:
        read = judging.collect_all(self.sim, {case.node: case.operator for case in batch})
        for case in batch:
            assert not isinstance(read[case.node], Problem), f"{case.name}: {read[case.node]}"
        return {case.name: read[case.node] for case in batch}

    def _after(self, moved: list[Case]) -> dict[str, Any]:
        for case in moved:
            self.sim.new_system(case.node, **case.given["then"])
        for case in moved:
            self.sim.wait_for(case.node, "running", ready=True)
        return self._batch(moved)

    def _by_cohort(self, case: Case) -> list[dict[str, Any]]:
        operator = case.operator
        target = judging.target_of(operator)
        names = [member["node"] for member in case.given["cohort"]]
        members = {**judging.OPERATOR, "policy": operator["policy"]}
        read = judging.collect_all(self.sim, dict.fromkeys(names, members))
        cohort = [
            {
                **member,
                "verdict": judging.judge_one(read[member["node"]], members, self.directory),
                "cluster": read[member["node"]]["cluster"]["id"],
            }
            for member in case.given["cohort"]
        ]

        async def look() -> dict[str, Any]:
            node = self.sim.nodes[case.node]
            client = (
                connect_maintenance(node.address, fingerprints=[node.gateway.certificate.fingerprint])
                if node.maintenance
                else connect(self.context, node.address)
            )
            async with client:
                return await read_machine(client, name=case.node, pool="storage", workload="db")

        verdict = judge_cohort(
            fleet.run(look()),
            cohort,
            judging.policy_of(operator["policy"], self.directory),
            target={key: target[key] for key in judging.KEYS},
            now=dt.datetime.now(dt.UTC) + judging.parse_duration(operator["later"]),
            config=judging.config_of(self.sim, case.node, operator, None),
            operation={"locked_by": None, "boot_path": "hook", "approved_local_data": ""},
            cluster={"name": "admin", "omni": False},
        )
        return list(verdict["checks"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, benches: Callable[[Case], Bench]) -> None:
    results = benches(case).judge(case)
    stops = {
        name: f"{check['result']}: {check['found']}"
        for name, check in results.items()
        if check["result"] in STOPS and check["severity"] == "block"
    }
    wanted = set(case.given.get("with", []))
    if case.triggers and CHECKS[case.check]["severity"] == "block":
        wanted.add(case.check)
    assert set(stops) == wanted, stops
    assert (results[case.check]["result"] in STOPS) == case.triggers, results[case.check]
    if not case.triggers:
        assert results[case.check]["result"] in ("pass", "waived"), results[case.check]
    assert results[case.check]["doc"] == f"docs/refusals/{case.check}.md"
