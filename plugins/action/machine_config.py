# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rewrite, validate and apply a node's machine configuration."""

from __future__ import annotations

from typing import Any, ClassVar

from ..plugin_utils.actions import InventoryProblem, TalosAction
from ..plugin_utils.image import machine_config
from ..plugin_utils.talos import fleet
from ..plugin_utils.talos.answers import ApplyResult
from ..plugin_utils.talos.client import connect_maintenance


class ActionModule(TalosAction):
    """The operator's configuration, pointed at the enforcing image. It never leaves this process but to its node."""

    MODULE = "machine_config"
    RULES: ClassVar[dict[str, Any]] = {"required_if": [["state", "applied", ["fingerprint"]]]}

    def act(self) -> dict[str, Any]:
        params = self.params
        text = self.machine_config_text(self.host, params["src"])
        if text is None:
            raise InventoryProblem(
                f"the inventory names no machine configuration for {self.host}",
                "a wiped node can only be installed with its configuration, and the node does not give it back",
                "set talos_machine_config for the host to the file's path",
                node=self.host,
            )
        rewritten = machine_config.rewrite(
            text,
            params["installer"],
            boot=params["boot"],
            version=params["version"],
            schematic_args=params["kernel_args"],
        )
        facts = machine_config.facts(rewritten.text, version=params["version"])
        problems = [*rewritten.problems, *facts["problems"]]
        if problems:
            raise machine_config.ConfigError(
                f"the machine configuration of {self.host} cannot be used: {'; '.join(problems)}",
                "the node would not come back, or not enforcing",
                "correct the configuration, and let the gate judge the node again",
                node=self.host,
            )
        if params["expect_sha256"] not in (None, facts["sha256"]):
            raise machine_config.ConfigError(
                f"the machine configuration of {self.host} is not the one that was judged",
                "the verdict holds for the configuration it was given for, and no other",
                "bring the judged configuration back; the node waits for it in maintenance mode",
                node=self.host,
            )
        applied = self._apply(rewritten.text) if params["state"] == "applied" else None
        return {
            "sha256": facts["sha256"],
            "facts": facts,
            "warnings_of_node": applied.warnings if applied else [],
            "changed": applied is not None,
            "diff": {"prepared": "\n".join(rewritten.diff) + "\n"} if rewritten.diff else {},
        }

    def _apply(self, text: str) -> ApplyResult:
        client = connect_maintenance(self.target().address, fingerprints=[self.params["fingerprint"]])

        async def send() -> ApplyResult:
            async with client:
                # The connection's look, without which the client sends no write.
                await client.spec("machine_status")
                return await client.apply_configuration(text.encode(), dry_run=self.check)

        return fleet.run(send())
