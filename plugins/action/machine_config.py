# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rewrite, validate, check with the node, and apply a node's machine configuration."""

from __future__ import annotations

from typing import Any, ClassVar

from ..plugin_utils.actions import InventoryProblem, TalosAction
from ..plugin_utils.image.machine_config.document import ConfigError
from ..plugin_utils.image.machine_config.dry_run import APPROVED, Judgement, judge
from ..plugin_utils.image.machine_config.prepare import Prepared, prepare
from ..plugin_utils.image.machine_config.quotes import Quotes
from ..plugin_utils.problem import Problem
from ..plugin_utils.talos import fleet
from ..plugin_utils.talos.client import NodeClient, connect_maintenance


class ActionModule(TalosAction):
    """The operator's configuration, pointed at the enforcing image. It never leaves this process but to its node."""

    MODULE = "machine_config"
    RULES: ClassVar[dict[str, Any]] = {"required_if": [["state", "applied", ["fingerprint"]]]}

    def act(self) -> dict[str, Any]:
        params = self.params
        prepared = prepare(
            self._text(),
            installer=params["installer"],
            version=params["version"],
            boot=params["boot"],
            kernel_args=params["kernel_args"],
            machine_type=params["machine_type"],
            hostname=params["hostname"],
        ).require_usable(self.host)
        if params["expect_sha256"] not in (None, prepared.facts["sha256"]):
            raise ConfigError(
                f"the machine configuration of {self.host} is not the one that was judged",
                "the verdict holds for the configuration it was given for, and no other",
                "bring the judged configuration back; the node waits for it in maintenance mode",
                node=self.host,
            )
        judgement = self._judged(prepared) if params["state"] == "checked" else None
        warnings = self._apply(prepared) if params["state"] == "applied" else None
        diff = prepared.rewritten.diff
        return {
            "sha256": prepared.facts["sha256"],
            "facts": prepared.facts,
            "differences": list(judgement.differences) if judgement else [],
            "remarks": list(judgement.remarks) if judgement else [],
            "warnings_of_node": warnings or [],
            "changed": warnings is not None,
            "diff": {"prepared": "\n".join(diff) + "\n"} if diff else {},
        }

    def _text(self) -> str:
        text = self.machine_config_text(self.host, self.params["src"])
        if text is None:
            raise InventoryProblem(
                f"the inventory names no machine configuration for {self.host}",
                "a wiped node can only be installed with its configuration, and the node does not give it back",
                "set talos_machine_config for the host to the file's path",
                node=self.host,
            )
        return text

    def _judged(self, prepared: Prepared) -> Judgement:
        async def ask(client: NodeClient) -> Judgement:
            return await judge(client, prepared.rewritten, target=self.params["version"], node=self.host)

        judgement = self.ask(ask)
        approve = self.params["approve"]
        judgement.require(self.variable(self.host, APPROVED) if approve is None else approve, node=self.host)
        return judgement

    def _apply(self, prepared: Prepared) -> list[str]:
        text = prepared.rewritten.text
        client = connect_maintenance(self.target().address, fingerprints=[self.params["fingerprint"]])

        async def send() -> list[str]:
            async with client:
                # The connection's look, without which the client sends no write.
                await client.spec("machine_status")
                return (await client.apply_configuration(text.encode(), dry_run=self.check)).warnings

        try:
            return [Quotes(text).masked(warning) for warning in fleet.run(send())]
        except Problem as problem:
            failed = Quotes(text).problem(problem)
        raise failed
