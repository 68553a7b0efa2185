# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Halt a rollout, or lift a halt."""

from __future__ import annotations

from typing import Any, ClassVar

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.reinstall.work import Work
from ..plugin_utils.texts import printable


class ActionModule(TalosAction):
    """One entry in the ledger, whoever holds the rollout's lock."""

    MODULE = "rollout_halt"
    RULES: ClassVar[dict[str, Any]] = {"required_if": [["state", "lifted", ["halts"]]]}

    def act(self) -> dict[str, Any]:
        ledger, numbers = Work(self).ledger, self.params["halts"]
        # What an event says comes from a node's log.
        reason, who = (printable(self.params[name], 500) for name in ("reason", "who"))
        entry: dict[str, Any] | None
        if self.params["state"] == "lifted":
            entry = ledger.lift(numbers, reason, who, check=self.check)
        else:
            entry = ledger.halt(reason, who, check=self.check)
        return {"halts": ledger.halts(), "changed": entry is not None}
