# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rollout does when nobody says otherwise: one canary, one node at a time, and no failure more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import Ledger
from integration import playbook
from simulator import Simulator

NODES = ("worker-1", "worker-2", "worker-3", "worker-4")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[playbook.Run]:
    """A plan and reports by modules that were given nothing but a ledger; the canary of an earlier run has failed."""
    directory = tmp_path_factory.mktemp("defaults")
    ledgers = {name: directory / name for name in ("none", "worker", "canary")}
    for name, wave in (("worker", "workers"), ("canary", "canary")):
        ledgers[name].mkdir()
        Ledger(ledgers[name] / "ledger.jsonl").fail("worker-2", "verify", wave=wave, found="it broke")
    verdict = {"decision": "eligible", "reasons": []}
    summary = {"selinux_state": "permissive", "boot_id": None, "etcd": None}
    node = {"machine_type": "worker", "address": None, "uuid": None, "identity": None}
    tasks: list[dict[str, Any]] = [
        {
            "name": "plan",
            "talosops.selinux.rollout_plan": {
                "directory": str(ledgers["none"]),
                "evidence": {"nodes": {name: {"summary": {**summary, "node": node}} for name in NODES}},
                "judged": {"nodes": dict.fromkeys(NODES, verdict)},
            },
            "run_once": True,
            "register": "planned",
        }
    ]
    tasks += [
        {
            "name": f"report {name}{limit or ''}",
            "talosops.selinux.rollout_report": {
                "directory": str(place),
                "plan": "{{ planned.plan }}",
                **({"max_failures": limit} if limit else {}),
            },
            "run_once": True,
        }
        for name, place in ledgers.items()
        for limit in (None, "1")
    ]
    of_wave = {"directory": str(ledgers["none"]), "plan": "{{ planned.plan }}", "after": "wave", "max_failures": "1"}
    tasks.append(
        {
            "name": "report of a wave",
            "talosops.selinux.rollout_report": of_wave,
            "run_once": True,
            "ignore_errors": True,
        }
    )
    with Simulator({"name": "defaults", "nodes": {name: {} for name in NODES}}, directory / "fleet") as sim:
        yield playbook.play(sim, directory / "run", tasks)


def test_one_worker_goes_first_and_then_one_at_a_time(run: playbook.Run) -> None:
    planned = run.of("plan")
    assert planned["sizes"] == [1, 1, 1, 1]
    assert planned["waves"] == {"worker-1": "canary", **dict.fromkeys(NODES[1:], "workers")}
    assert planned["plan"]["settings"] == {"canary": 1, "batch": 1, "max_failures": 0, "control_planes": True}


@pytest.mark.parametrize(
    ("task", "halted"),
    [
        ("report none", None),
        ("report worker", "1 of 4 nodes failed (worker-2) and at most 0 may"),
        ("report worker1", None),
        ("report canary", "the canary worker-2 failed"),
        ("report canary1", "the canary worker-2 failed"),
        ("report of a wave", "the canary worker-1 failed"),
    ],
)
def test_no_failure_is_allowed_and_never_that_of_a_canary(run: playbook.Run, task: str, halted: str | None) -> None:
    assert run.of(task)["halted"] == halted
