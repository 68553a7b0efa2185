# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Order a rollout into waves."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.rollout.ledger import Ledger
from ..plugin_utils.rollout.plan import make_plan


class ActionModule(TalosAction):
    """Who goes when, and who does not go and why."""

    MODULE = "rollout_plan"

    def act(self) -> dict[str, Any]:
        params = self.params
        collected, judged = params["evidence"]["nodes"], params["judged"]["nodes"]
        ledger = Ledger(params["ledger"])
        # One that was not wiped starts over like any other, and must pass the gate again.
        unfinished = {host: state for host, state in ledger.open_operations().items() if state["may_be_wiped"]}
        nodes = []
        for host, verdict in judged.items():
            document = collected[host]["evidence"] if host in collected else None
            nodes.append(
                {
                    "name": host,
                    "machine_type": (
                        document["node"]["machine_type"]
                        if document
                        # A node between wipe and install cannot say it; the ledger kept it.
                        else unfinished.get(host, {}).get("machine_type")
                    ),
                    "zone": self.variable(host, "talos_zone"),
                    "decision": verdict["decision"],
                    "selinux_state": document["selinux"]["state"] if document else None,
                    "reasons": verdict["reasons"],
                }
            )
        plan = make_plan(
            nodes,
            canary=params["canary"],
            batch=_number(params["batch"]),
            max_failures=_number(params["max_failures"]),
            control_planes=params["control_planes"],
            resume=unfinished,
            # What was done before this run says nothing about a node that fell back to permissive since.
            after_entry=ledger.read().entries,
        )
        return {
            "plan": plan.as_dict(),
            "order": [host for wave in plan.waves for host in wave.nodes],
            "sizes": [len(wave.nodes) for wave in plan.waves],
            "control_planes": sorted(row["name"] for row in nodes if row["machine_type"] == "controlplane"),
            "waves": {host: wave.kind for wave in plan.waves for host in wave.nodes},
            "summary": [
                *(f"wave {wave.number}, {wave.kind}: {', '.join(wave.nodes)}" for wave in plan.waves),
                *(f"enforcing already: {host}" for host in plan.done),
                *(f"stays: {row['name']} ({row['decision']})" for row in plan.not_eligible),
                *plan.notes,
            ],
            "changed": False,
        }


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() else text
