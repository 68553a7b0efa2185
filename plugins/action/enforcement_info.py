# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prove that a node enforces, and that it was reinstalled."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.evidence import files
from ..plugin_utils.rollout.proof import prove


class ActionModule(TalosAction):
    """Two documents of one machine, compared witness by witness."""

    MODULE = "enforcement_info"

    def act(self) -> dict[str, Any]:
        before = files.load(self.params["before"])
        proof = prove(before, files.load(self.params["after"]), target=self.params["target"])
        doubts = [item["found"] for item in [*proof["witnesses"], *proof["reinstall"]] if item["ok"] is not True]
        return {
            "proven": proof["proven"],
            "witnesses": proof["witnesses"],
            "reinstall": proof["reinstall"],
            "summary": f"{before['node']['name']} is proven to enforce after a reinstall"
            if proof["proven"]
            else f"{before['node']['name']} is not proven to enforce after a reinstall: {'; '.join(doubts)}",
            "changed": False,
        }
