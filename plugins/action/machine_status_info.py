# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a node's stage, and wait for it."""

from __future__ import annotations

from typing import Any, ClassVar

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.reinstall.looks import WrongMachine, status
from ..plugin_utils.talos import boots, fleet
from ..plugin_utils.talos.client import NodeClient, connect_maintenance
from ..plugin_utils.talos.errors import PermissionRefused, TalosError, Unsupported
from ..plugin_utils.waiting import poll


class ActionModule(TalosAction):
    """The stage of one node, now or once it is as wished."""

    MODULE = "machine_status_info"
    RULES: ClassVar[dict[str, Any]] = {
        "required_if": [["wait_for", "stage", ["stage"]], ["wait_for", "down", ["boot"]]]
    }

    def act(self) -> dict[str, Any]:
        wish = self.params["wait_for"]
        if self.params["mode"] == "maintenance" and not (self.params["fingerprint"] or self._expected()):
            raise WrongMachine(
                f"nothing is known by which {self.host} could be recognised in maintenance mode",
                "a machine in maintenance mode cannot prove who it is, and the next step hands it secrets",
                "give its fingerprint, or the UUID or serial number that its evidence recorded",
            )
        if wish is None:
            return self._look()
        if wish == "down":
            return self._wait_until_down()
        goal = self.params["stage"] if wish == "stage" else "ready"
        return poll(
            self._look,
            lambda seen: (
                seen["stage"] == goal if wish == "stage" else (seen["stage"] == "running" and seen["ready"] is True)
            ),
            timeout=self.params["wait_timeout"],
            sleep=self.params["wait_sleep"],
            waiting_for=f"{self.host} to be {goal}",
            do=f"look at the console of {self.host}, then run again",
            # While a machine boots it refuses connections, and answers with the other mode's certificate.
            patient_with=(TalosError,),
        )

    def _look(self) -> dict[str, Any]:
        target = self.target()
        if self.params["mode"] == "running":
            return self.ask(_status, target)
        pinned = self.params["fingerprint"]
        client = connect_maintenance(
            target.address, fingerprints=[pinned] if pinned else [], trust_unverified=not pinned
        )

        async def visit() -> dict[str, Any]:
            async with client:
                return await _status(client) | {"fingerprint": client.peer_fingerprint}

        seen = fleet.run(visit())
        self._compare(seen)
        return seen

    def _wait_until_down(self) -> dict[str, Any]:
        earlier = boots.Look.of(self.params["boot"])

        def look() -> dict[str, Any]:
            try:
                return self._look()
            except TalosError as error:
                return {"stage": "down", "ready": False, "boot": None, "found": error.found, "changed": False}

        return poll(
            look,
            lambda seen: (
                seen["stage"] == "down" or boots.compare(earlier, boots.Look.of(seen["boot"])) == boots.ANOTHER
            ),
            timeout=self.params["wait_timeout"],
            sleep=self.params["wait_sleep"],
            waiting_for=f"{self.host} to go down",
            do=f"look at the console of {self.host}, then run again",
        )

    def _expected(self) -> dict[str, str]:
        return {key: value for key, value in (self.params["expect"] or {}).items() if value}

    def _compare(self, seen: dict[str, Any]) -> None:
        for key, expected in self._expected().items():
            found = seen[key]
            if found is None or found.lower() != expected.lower():
                what = key.replace("_", " ")
                raise WrongMachine(
                    f"the machine at the address of {self.host} has the {what} {found or 'unknown'}, not {expected}",
                    "the machine configuration holds secrets and must only reach the machine that was wiped",
                    "find out which machine took that address before going on",
                    expected=expected,
                )


async def _status(client: NodeClient) -> dict[str, Any]:
    try:
        boot = (await boots.look(client)).as_dict()
    except (Unsupported, PermissionRefused):
        # Before Talos 1.13 a node in maintenance mode does not serve it.
        boot = None
    return {**await status(client), "fingerprint": None, "boot": boot, "changed": False}
