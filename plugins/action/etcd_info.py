# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge the health of etcd from every member's view."""

from __future__ import annotations

from typing import Any, ClassVar

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.evidence.members import read_etcd
from ..plugin_utils.evidence.visit import Visit
from ..plugin_utils.talos.client import NodeClient
from ..plugin_utils.talos.errors import TalosError
from ..plugin_utils.waiting import poll


class ActionModule(TalosAction):
    """etcd as all its members see it, now or once it is as wished."""

    MODULE = "etcd_info"
    RULES: ClassVar[dict[str, Any]] = {
        "required_if": [["wait_for", "voter", ["member"]], ["wait_for", "gone", ["member"]]]
    }

    def act(self) -> dict[str, Any]:
        wish = self.params["wait_for"]
        if wish is None:
            return self._look()
        return poll(
            self._look,
            lambda seen: self._fulfilled(wish, seen["etcd"]),
            timeout=self.params["wait_timeout"],
            sleep=self.params["wait_sleep"],
            waiting_for=f"etcd member {self.params['member']} to be {wish}"
            if self.params["member"]
            else "etcd to be healthy",
            do="look at etcd on the other control planes (talosctl etcd members, talosctl logs etcd) and run again",
            patient_with=(TalosError,),
        )

    def _look(self) -> dict[str, Any]:
        target = self.target()

        async def question(client: NodeClient) -> dict[str, Any]:
            visit = Visit(client)
            etcd = await read_etcd(visit, lambda address: self.target(target.host, address=address).connect())
            return {"etcd": etcd, "errors": visit.errors, "changed": False}

        return self.ask(question, target)

    def _fulfilled(self, wish: str, etcd: dict[str, Any]) -> bool:
        if etcd["agreed"] is not True:
            return False
        found = [m for m in etcd["members"] if self.params["member"] in (m["id"], m["hostname"])]
        if wish == "gone":
            return not found
        if wish == "voter" and not (
            len(found) == 1 and found[0]["is_learner"] is False and found[0]["healthy"] is True
        ):
            return False
        return etcd["healthy"] is True
