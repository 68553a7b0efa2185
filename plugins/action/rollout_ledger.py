# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Record the steps of a node's reinstall."""

from __future__ import annotations

import datetime as dt
import os
from typing import Any, ClassVar

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.rollout.ledger import CONTROL_PLANE_LOCK, Ledger
from ..plugin_utils.rollout.owner import is_gone, of_process
from ..plugin_utils.rollout.steps import POINT_OF_NO_RETURN, STEP_NAMES

#: The first step that changes anything, and the last one.
_FIRST, _LAST = "drain", "soak"


class ActionModule(TalosAction):
    """One entry before and after every step."""

    MODULE = "rollout_ledger"
    RULES: ClassVar[dict[str, Any]] = {
        "required_if": [
            ["state", "begun", ["step"]],
            ["state", "done", ["step"]],
            ["state", "failed", ["step"]],
            ["state", "closed", ["reason"]],
            ["state", "restarted", ["reason"]],
        ]
    }

    def act(self) -> dict[str, Any]:
        state, step, facts = self.params["state"], self.params["step"], self.params["facts"]
        # Ansible runs each task in a process of its own, whose parent is the one that lives as long as the playbook.
        owner = str(of_process(os.getppid()))
        ledger = Ledger(self.params["path"], run=self.params["run"], owner=owner)
        changed = state != "look"
        if changed and not self.check:
            if state == "begun":
                self._take_lock(ledger)
                ledger.begin(self.host, step, **facts)
                if step == POINT_OF_NO_RETURN:
                    ledger.intent(self.host, step)
            elif state in ("closed", "restarted"):
                end = ledger.close if state == "closed" else ledger.restart
                end(self.host, self.params["reason"])
                self._give_lock_back(ledger)
            else:
                ledger.finish(self.host, step, state, **facts)
                wiped = ledger.node(self.host).may_be_wiped
                if (step == _LAST and state != "failed") or (state == "failed" and not wiped):
                    self._give_lock_back(ledger)
        node = ledger.node(self.host)
        known = node.as_dict()
        following = ledger.next_step(self.host)
        return {
            "node": {**known, "facts": node.facts},
            "pending": [name for name in STEP_NAMES if name not in known["done"]],
            "look_first": following is not None and following.look_first,
            "abandoned": known["unfinished"] and not known["may_be_wiped"] and is_gone(known["by"]),
            "changed": changed,
        }

    def _take_lock(self, ledger: Ledger) -> None:
        if self.params["facts"].get("machine_type") == "controlplane" and self.params["step"] == _FIRST:
            expires = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.params["lock_timeout"])
            ledger.acquire(CONTROL_PLANE_LOCK, self.host, self.params["run"], expires)

    def _give_lock_back(self, ledger: Ledger) -> None:
        held = ledger.read().locks.get(CONTROL_PLANE_LOCK)
        if held is not None and held["node"] == self.host:
            ledger.release(CONTROL_PLANE_LOCK, self.host, held["owner"])
