# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan's action: what it tells the planner of each host, and what it says of the plan."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.action import rollout_plan

from .made import made


def seen(name: str = "", voters: int | None = None, **etcd: Any) -> dict[str, Any]:
    """The summary of a node's evidence."""
    return {
        "node": {"machine_type": "worker", "address": f"a{name}", "uuid": f"u{name}", "identity": f"i{name}"},
        "selinux_state": "permissive",
        "boot_id": f"b{name}",
        "etcd": {"voters": voters, "agreed": True, **etcd} if voters is not None or etcd else None,
    }


def test_what_is_told_of_a_host() -> None:
    action = made(rollout_plan, {"n-1": {"talos_zone": "z"}, "n-2": {}})
    verdict = {"decision": "eligible", "reasons": ["r"]}
    row = {"name": "n-1", "zone": "z", "decision": "eligible", "reasons": ["r"]}
    assert action._judged("n-1", verdict, None) == {**row, "machine_type": None, "selinux_state": None}
    told = {"machine_type": "worker", "selinux_state": "permissive"}
    of_it = {"address": "a", "uuid": "u", "identity": "i", "boot_id": "b"}
    assert action._judged("n-1", verdict, seen()) == {**row, **told, **of_it}
    assert action._judged("n-2", verdict, None)["zone"] is None


@pytest.mark.parametrize(
    ("summaries", "resumed", "voters"),
    [
        ([], [], None),
        ([seen()], [], None),
        ([seen(voters=3), seen(voters=5), seen()], [], 3),
        ([seen(voters=3, agreed=False)], [], None),
        ([seen(voters=3, agreed=None)], [], None),
        ([seen(agreed=True)], [], None),
        ([], [{"machine_type": "controlplane", "peers": ["a", "b"]}], 3),
        ([seen(voters=2)], [{"machine_type": "controlplane", "peers": ["a", "b"]}], 3),
        ([seen(voters=2)], [{"machine_type": "worker", "peers": ["a", "b"]}], 2),
    ],
)
def test_how_many_vote(summaries: list[Any], resumed: list[Any], voters: int | None) -> None:
    assert rollout_plan._voters(summaries, resumed) == voters


def test_a_node_that_was_wiped_goes_on_by_what_was_recorded_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"machine_type": "worker", "address": "a", "uuid": "u", "identity": "i", "boot_id": "b", "more": 1}
    nodes = {
        "wiped": SimpleNamespace(unfinished=True, may_be_wiped=True, facts=facts),
        "stopped": SimpleNamespace(unfinished=True, may_be_wiped=False, facts={}),
        "done": SimpleNamespace(unfinished=False, may_be_wiped=True, facts={}),
        "elsewhere": SimpleNamespace(unfinished=True, may_be_wiped=True, facts={}),
    }
    state = SimpleNamespace(entries=7, nodes=nodes)
    work = SimpleNamespace(ledger=SimpleNamespace(read=lambda: state))
    planned: list[Any] = []
    real = rollout_plan.make_plan
    monkeypatch.setattr(rollout_plan, "make_plan", lambda rows, **how: planned.append((rows, how)) or real(rows, **how))
    monkeypatch.setattr(rollout_plan, "Work", lambda _action: work)
    shown: list[str] = []
    monkeypatch.setattr(rollout_plan, "Display", lambda: SimpleNamespace(display=shown.append))
    hosts: dict[str, dict[str, Any]] = {"wiped": {"talos_zone": "z"}, "stopped": {}, "done": {}, "bad": {}}
    verdict = {"decision": "eligible", "reasons": []}
    action = made(
        rollout_plan,
        hosts,
        run_once=True,
        evidence={"nodes": {name: {"summary": seen(name)} for name in hosts}},
        judged={"nodes": {**dict.fromkeys(hosts, verdict), "bad": {"decision": "refused", "reasons": ["r"]}}},
        canary=1,
        batch="50%",
        max_failures="20%",
    )
    result = action.act()
    assert [wave["nodes"] for wave in result["plan"]["waves"]] == [["wiped"], ["done"], ["stopped"]]
    assert result["order"] == ["wiped", "done", "stopped"]
    assert result["sizes"] == [len(wave["nodes"]) for wave in result["plan"]["waves"]]
    assert list(result["waves"]) == result["order"]
    assert result["waves"]["done"] == "canary"
    assert result["changed"] is False
    assert result["plan"]["after_entry"] == 7
    assert "not eligible: bad (refused)" in result["summary"]
    assert result["summary"][0].startswith("wave 1, ")
    assert result["summary"][0].endswith(": wiped")
    assert shown == ["\n".join(["", *result["summary"], ""])]
    ((rows, how),) = planned
    of_it = {key: facts[key] for key in ("machine_type", "address", "uuid", "identity", "boot_id")}
    assert rows[-1] == {"name": "wiped", "zone": "z", **of_it}
    assert [row["name"] for row in rows] == ["stopped", "done", "bad", "wiped"]
    assert how == {
        "canary": 1,
        "batch": "50%",
        "max_failures": "20%",
        "control_planes": True,
        "etcd_voters": None,
        "resume": ["wiped"],
        "after_entry": 7,
    }
