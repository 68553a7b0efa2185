# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wipe a node, if its verdict still holds."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from ..plugin_utils.actions import TalosAction, Target
from ..plugin_utils.audit.store.store import AuditStore
from ..plugin_utils.evidence import files
from ..plugin_utils.evidence.collect import collect
from ..plugin_utils.evidence.etcd import may_remove
from ..plugin_utils.evidence.members import read_etcd
from ..plugin_utils.evidence.visit import Visit
from ..plugin_utils.gate.binding import recheck
from ..plugin_utils.gate.errors import RequestRefused, VerdictRefused
from ..plugin_utils.gate.functions import moment
from ..plugin_utils.gate.policy import load_policy
from ..plugin_utils.gate.request import judge_request
from ..plugin_utils.talos.client import NodeClient

#: What is wiped. Without META the machine counts as not installed and installs anew; no labels mean the whole disk.
LABELS = {"in_place": ("META", "STATE", "EPHEMERAL"), "hook": ()}


class ActionModule(TalosAction):
    """The last line of defence stands next to the trigger."""

    MODULE = "machine_reset"

    def act(self) -> dict[str, Any]:
        evidence = files.load(self.params["evidence"])
        verdict = _load_verdict(self.params["verdict"])
        labels = LABELS[self.params["boot_path"]]
        target = self.target()
        store = self.params["store"]
        control_plane = evidence["node"]["machine_type"] == "controlplane"
        if control_plane:
            self._refuse_own_branch(target)
        key = self.read_file(self.params["public_key"], "public key") if self.params["public_key"] else None
        request = {
            "api": "Reset",
            "path": self.params["boot_path"],
            "labels": list(labels),
            "mode": "SYSTEM_DISK",
        }

        async def question(client: NodeClient) -> dict[str, Any]:
            live = (
                await collect(
                    client,
                    name=self.host,
                    address=target.address,
                    endpoint=client.endpoint,
                    peer=lambda address: self.target(address=address).connect(),
                    kubernetes=None,
                    config=None,
                    operation={},
                    cluster=evidence["cluster"],
                    **self.audit_terms(self.host),
                    store=AuditStore(Path(store) / files.safe_name(self.host)) if store else None,
                    keep=not self.check,
                )
            ).document
            bound = dict(evidence["operation"]["target"] or {})
            bound["installer_digest"] = self.params["installer_digest"]
            recheck(
                verdict,
                {
                    "node": self.host,
                    "identity": live["node"]["identity"],
                    "uuid": live["node"]["uuid"],
                    "boot_id": live["boot"]["id"],
                    "boot_time": live["boot"]["time"],
                    "talos_version": live["talos"]["version"],
                    "target": bound,
                    "config_sha256": self.params["config_sha256"],
                    "policy_sha256": load_policy(self.params["policy"]).sha256,
                    "evidence": evidence,
                    "coverage": live["audit"]["coverage"]["verdict"],
                    "denials": live["audit"]["denials"],
                },
                dt.datetime.now(dt.UTC),
                required_key=key,
            )
            _refuse_expired_waivers(verdict, dt.datetime.now(dt.UTC))
            judge_request(request, live)
            if control_plane:
                await self._spare(client, target)
            boot_time = (await client.system_stat()).boot_time
            actor = None
            if not self.check:
                if control_plane:
                    # Empty when this node is not the leader.
                    await client.etcd_forfeit_leadership()
                actor = await client.reset(labels, graceful=True, reboot=True, mode="system_disk")
            return {"actor_id": actor, "labels": list(labels), "boot_time": boot_time, "changed": True}

        return self.ask(question, target)

    async def _spare(self, client: NodeClient, target: Target) -> None:
        visit = Visit(client)
        etcd = await read_etcd(visit, lambda address: self.target(target.host, address=address).connect())
        may_remove(etcd["member_id"], etcd)

    def _refuse_own_branch(self, target: Target) -> None:
        if target.route != "endpoint" or target.address in target.context.endpoints or not target.context.endpoints:
            raise RequestRefused(
                f"the reset of the control plane {self.host} was to be sent through {target.route} to {target.address}",
                "a control plane's own API goes away during its reset, and whether it left etcd is then unknown",
                "set route to endpoint, and endpoints to other control planes (never to a virtual address)",
            )


def _refuse_expired_waivers(verdict: dict[str, Any], now: dt.datetime) -> None:
    """A verdict outlives its waivers by hours; nobody answers for their denials by then."""
    for waived in verdict.get("waived") or ():
        if moment(waived["expires"]) <= now:
            raise VerdictRefused(
                f"the waiver {waived['waiver_id']} of {waived['owner']} expired at {waived['expires']}",
                "the verdict let its denials pass on that word, which no longer holds",
                "mend what causes the denials, or have the waiver renewed, and ask the gate for a new verdict",
                bound="waived",
            )


def _load_verdict(path: str) -> dict[str, Any]:
    try:
        verdict = json.loads(Path(path).read_bytes())
    except (OSError, ValueError):
        verdict = None
    if not isinstance(verdict, dict):
        raise VerdictRefused(
            f"the verdict {path} cannot be read",
            "nothing is wiped without a saved verdict",
            "let the gate judge the node again",
            bound="verdict",
        )
    return verdict
