# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Halt a rollout, or lift a halt."""

from __future__ import annotations

from typing import Any, ClassVar

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.reinstall.work import Work
from ..plugin_utils.rollout.halts import halt_entry, lift_entry, stands
from ..plugin_utils.texts import printable


class ActionModule(TalosAction):
    """One entry in the ledger, whoever holds the rollout's lock."""

    MODULE = "rollout_halt"
    RULES: ClassVar[dict[str, Any]] = {"required_if": [["state", "lifted", ["halts"]]]}

    def act(self) -> dict[str, Any]:
        ledger, numbers = Work(self).ledger, self.params["halts"]
        # What an event says comes from a node's log.
        reason, who = (printable(self.params[name], 500) for name in ("reason", "who"))
        if self.check:
            state = ledger.read()
            if self.params["state"] == "lifted":
                lift_entry(state, numbers, reason, who)
                changed = True
            else:
                halt_entry(state, reason, who)
                changed = not stands(state, reason, who)
        elif self.params["state"] == "lifted":
            changed = bool(ledger.lift(numbers, reason, who))
        else:
            changed = ledger.halt(reason, who) is not None
        return {"halts": ledger.halts(), "changed": changed}
