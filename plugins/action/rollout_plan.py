# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Order a rollout into waves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.utils.display import Display  # type: ignore[import-untyped]  # ansible-core ships no types

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.reinstall.work import Work
from ..plugin_utils.rollout import budget
from ..plugin_utils.rollout.plan import CONTROL_PLANE_TYPES, make_plan, voters


class ActionModule(TalosAction):
    """Who goes when, and who does not go and why."""

    MODULE = "rollout_plan"

    def act(self) -> dict[str, Any]:
        params = self.params
        collected = (params["evidence"] or {"nodes": {}})["nodes"]
        judged = (params["judged"] or {"nodes": {}})["nodes"]
        state = Work(self).ledger.read()
        # One that was certainly not wiped starts over like any other, and must pass the gate again.
        resume = [
            host
            for host in self.hosts()
            if host in state.nodes and state.nodes[host].unfinished and state.nodes[host].may_be_wiped
        ]
        seen = {host: entry["summary"] for host, entry in collected.items() if host not in resume}
        rows = [self._judged(host, verdict, seen.get(host)) for host, verdict in judged.items() if host not in resume]
        # A node between wipe and install cannot say who it is; the ledger kept it.
        rows += [{"name": host, "zone": self._zone(host), **_recorded(state.nodes[host].facts)} for host in resume]
        plan = make_plan(
            rows,
            canary=params["canary"],
            batch=budget.number(params["batch"]),
            max_failures=budget.number(params["max_failures"]),
            control_planes=params["control_planes"],
            etcd_voters=_voters(seen.values(), [state.nodes[host].facts for host in resume]),
            resume=resume,
            # What was done before this run says nothing about a node that fell back to permissive since.
            after_entry=state.entries,
        )
        summary = [
            *(f"wave {wave.number}, {wave.kind}: {', '.join(wave.nodes)}" for wave in plan.waves),
            *(f"enforcing already: {host}" for host in plan.done),
            *(f"not eligible: {row['name']} ({row['decision']})" for row in plan.not_eligible),
            *plan.notes,
        ]
        Display().display("\n".join(["", *summary, ""]))
        return {
            "plan": plan.as_dict(),
            "order": [host for wave in plan.waves for host in wave.nodes],
            "sizes": [len(wave.nodes) for wave in plan.waves],
            "waves": {host: wave.kind for wave in plan.waves for host in wave.nodes},
            "summary": summary,
            "changed": False,
        }

    def _judged(self, host: str, verdict: Mapping[str, Any], seen: Mapping[str, Any] | None) -> dict[str, Any]:
        row = {
            "name": host,
            "zone": self._zone(host),
            "decision": verdict["decision"],
            "reasons": verdict["reasons"],
            "machine_type": None,
            "selinux_state": None,
        }
        if seen is None:
            return row
        node = seen["node"]
        return row | {
            "machine_type": node["machine_type"],
            "selinux_state": seen["selinux_state"],
            "address": node["address"],
            "uuid": node["uuid"],
            "identity": node["identity"],
            "boot_id": seen["boot_id"],
        }

    def _zone(self, host: str) -> Any:
        return self.variable(host, "talos_zone")


def _recorded(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: facts.get(key) for key in ("machine_type", "address", "uuid", "identity", "boot_id")}


def _voters(summaries: Iterable[Mapping[str, Any]], resumed: Iterable[Mapping[str, Any]]) -> int | None:
    """How many members vote, by the word of etcd in the evidence."""
    told = [
        seen["etcd"]["voters"]
        for seen in summaries
        if seen["etcd"] and seen["etcd"]["agreed"] is True and seen["etcd"]["voters"] is not None
    ]
    return voters(told, [len(facts["peers"]) + 1 for facts in resumed if facts["machine_type"] in CONTROL_PLANE_TYPES])
