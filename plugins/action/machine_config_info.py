# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node's machine configuration becomes for the enforcing image, and what the running node says about it."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.image.machine_config.dry_run import APPROVED, Judgement, judge
from ..plugin_utils.image.machine_config.prepare import Prepared, prepare
from ..plugin_utils.talos.client import NodeClient


class ActionModule(TalosAction):
    """The operator's configuration, pointed at the enforcing image. It never leaves this process but to its node."""

    MODULE = "machine_config_info"

    def act(self) -> dict[str, Any]:
        params = self.params
        prepared = prepare(
            self.required_machine_config_text(self.host, params["src"]),
            installer=params["installer"],
            version=params["version"],
            boot=params["boot"],
            kernel_args=params["kernel_args"],
            machine_type=params["machine_type"],
            hostname=params["hostname"],
        ).require_usable(self.host)
        judgement = self._judged(prepared) if params["dry_run"] else None
        return {
            "sha256": prepared.facts["sha256"],
            "facts": prepared.facts,
            "rewritten": list(prepared.rewritten.diff),
            "differences": list(judgement.differences) if judgement else None,
            "remarks": list(judgement.remarks) if judgement else None,
            "changed": False,
        }

    def _judged(self, prepared: Prepared) -> Judgement:
        async def ask(client: NodeClient) -> Judgement:
            return await judge(client, prepared.rewritten, target=self.params["version"], node=self.host)

        judgement = self.ask(ask)
        approve = self.params["approve"]
        judgement.require(self.variable(self.host, APPROVED) if approve is None else approve, node=self.host)
        return judgement
