# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read where a node stands in the ledger, or close its operation."""

from __future__ import annotations

from typing import Any, ClassVar

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.reinstall.settle import close
from ..plugin_utils.reinstall.work import Work
from ..plugin_utils.rollout.steps import STEP_NAMES


class ActionModule(TalosAction):
    """What the steps recorded, and the one thing that only a person may record."""

    MODULE = "rollout_ledger"
    RULES: ClassVar[dict[str, Any]] = {"required_if": [["state", "closed", ["reason"]]]}

    def act(self) -> dict[str, Any]:
        work = Work(self)
        changed = self.params["state"] == "closed"
        if changed and not self.check:
            close(work, self.params["reason"])
        node = work.ledger.node(self.host)
        return {
            "node": {**node.as_dict(), "facts": node.facts},
            "pending": [name for name in STEP_NAMES if name not in node.done],
            "changed": changed,
        }
