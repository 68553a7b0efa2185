# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A soak of three days can succeed: what a healthy cluster logs refuses no node, and a denial only its own."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import unittest.mock
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.store.store import AuditStore, MergeResult
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.keep import keep
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import boots, fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import NodeClient, connect
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Talosconfig
from integration import judging
from simulator import Simulator

HOUR = 3600.0
SOAK_HOURS = 72
#: Of 10 pods an hour the audit log keeps ten hours.
PODS = 10
COLLECT_HOURS = 8
SELDOM_HOURS = 24
#: When a node's clock is set, in hours of the soak, and by how many seconds.
CLOCK_STEPS = {"worker-new": {20: 4379.0, 45: -7200.0}, "worker-old": {30: -5400.0, 50: 600.0, 60: 90.0}}
#: The one real denial, in the middle of the soak.
DENIED_AT = 36
DENIAL = {"scontext": "pod_t", "tcontext": "run_t", "tclass": "dir", "perms": "write", "comm": "app"}
HEALTHY = ("cp-1", "cp-2", "cp-3", "worker-new")
#: Without a boot id, so that a step of the clock has to be told from a reboot. It must be upgraded before it may move.
OLD = "worker-old"
DENIED = "worker-denied"
SELDOM = "worker-seldom"


def _nodes() -> dict[str, dict[str, Any]]:
    nodes: dict[str, dict[str, Any]] = {
        name: {"pods_per_hour": 3 if name.startswith("cp-") else PODS} for name in (*HEALTHY, OLD, DENIED, SELDOM)
    }
    for name, node in nodes.items():
        node["role"] = "controlplane" if name.startswith("cp-") else "worker"
        # After the soak, and after all that set it, the clock of each node is right.
        node["clock_offset"] = -SOAK_HOURS * HOUR - sum(CLOCK_STEPS.get(name, {}).values())
    nodes[OLD]["talos"] = "v1.13.7"
    return nodes


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """The evidence and the verdict of every node after three days, in which its logs were collected."""
    directory = tmp_path_factory.mktemp("soak")
    scenario = {"name": "soak", "uptime": "1h", "nodes": _nodes()}
    with Simulator(scenario, directory / "fleet") as sim, _in_its_time(sim):
        fleet.run(_soak(sim, directory / "audit"))
        assert sim.writes() == []
        evidence = judging.collect_all(sim, dict.fromkeys(sim.nodes, judging.OPERATOR), stores=directory / "audit")
        yield {
            name: {"evidence": document, "verdict": judging.judge_one(document, judging.OPERATOR, directory)}
            for name, document in evidence.items()
        }


@contextlib.contextmanager
def _in_its_time(sim: Simulator) -> Iterator[None]:
    """Let the control host, whose clock is right, live in the fleet's time."""
    merge = AuditStore.merge_all

    def now() -> float:
        return sim.fleet.clock.running() - SOAK_HOURS * HOUR

    def then(*arguments: Any, **options: Any) -> dict[str, MergeResult]:
        return merge(*arguments, **options | {"collected_at": dt.datetime.fromtimestamp(now(), dt.UTC)})

    with (
        unittest.mock.patch.object(AuditStore, "merge_all", then),
        unittest.mock.patch.dict(boots.look.__kwdefaults__, clock=now),
    ):
        yield


async def _soak(sim: Simulator, stores: Path) -> None:
    context = Talosconfig.load(str(sim.directory / "talosconfig"), environ={}).context("reader")
    async with contextlib.AsyncExitStack() as stack:
        clients: dict[str, NodeClient] = {}
        for name, node in sim.nodes.items():
            client = connect(context, node.address, deadlines=judging.PATIENT)
            clients[name] = await stack.enter_async_context(client)
        for hour in range(SOAK_HOURS + 1):
            for name, client in clients.items():
                if hour % (SELDOM_HOURS if name == SELDOM else COLLECT_HOURS) == 0:
                    await keep(client, name, stores)
            for name, steps in CLOCK_STEPS.items():
                if hour in steps:
                    sim.step_clock(name, steps[hour])
            if hour == DENIED_AT:
                sim.add_denial(DENIED, DENIAL)
            if hour < SOAK_HOURS:
                sim.advance(HOUR)


def _reasons(soaked: dict[str, dict[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    checks = soaked[name]["verdict"]["checks"]
    return {
        check["id"]: check
        for check in checks
        if check["severity"] == "block" and check["result"] not in ("pass", "waived", "skipped")
    }


@pytest.mark.parametrize("name", [*HEALTHY, OLD])
def test_of_a_healthy_node_everything_is_known(soaked: dict[str, dict[str, Any]], name: str) -> None:
    audit = soaked[name]["evidence"]["audit"]
    assert audit["coverage"]["reasons"] == []
    assert audit["coverage"]["verdict"] == "complete"
    assert audit["coverage"]["seconds"] >= SOAK_HOURS * HOUR
    assert audit["denials"] == []


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_node_ends_eligible(soaked: dict[str, dict[str, Any]], name: str) -> None:
    assert _reasons(soaked, name) == {}
    assert soaked[name]["verdict"]["decision"] == "eligible"


def test_an_old_node_is_refused_for_its_age_alone(soaked: dict[str, dict[str, Any]]) -> None:
    assert set(_reasons(soaked, OLD)) == {"same-version-as-target"}


def test_every_ring_wrapped_meanwhile(soaked: dict[str, dict[str, Any]]) -> None:
    for name in (*HEALTHY, OLD, DENIED):
        sizes = {source["name"]: source["bytes"] for source in soaked[name]["evidence"]["audit"]["sources"]}
        assert sizes["auditd.log"] > 2 * 2**20, "the node still held everything: no reads were joined"


def test_a_real_denial_refuses_its_node_and_is_the_only_reason(soaked: dict[str, dict[str, Any]]) -> None:
    (denial,) = soaked[DENIED]["evidence"]["audit"]["denials"]
    assert (denial["signature"], denial["count"]) == ("pod_t:run_t:dir:write", 1)
    assert soaked[DENIED]["evidence"]["audit"]["coverage"]["verdict"] == "complete"
    assert set(_reasons(soaked, DENIED)) == {"no-denials"}


def test_who_collects_too_seldom_is_told_what_was_lost_and_how_often_to_collect(
    soaked: dict[str, dict[str, Any]],
) -> None:
    coverage = soaked[SELDOM]["evidence"]["audit"]["coverage"]
    assert coverage["verdict"] == "partial"
    reasons = _reasons(soaked, SELDOM)
    # A hole also cuts the line behind it, and the time around it does not count.
    assert set(reasons) == {"evidence-complete", "soak-reached", "no-doubtful-records"}
    found = reasons["evidence-complete"]["found"]
    assert re.search(r"after serial \d+ .* before serial \d+", found), found
    told = re.search(r"collect every (\d+) hours", found)
    assert told and COLLECT_HOURS / 2 <= int(told[1]) <= COLLECT_HOURS, found
