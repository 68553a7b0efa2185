# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Take one step of a node's reinstall."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible.utils.display import Display  # type: ignore[import-untyped]  # ansible-core ships no types

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.arguments import read_once
from ..plugin_utils.audit.knowledge import catalogue
from ..plugin_utils.evidence.identity import placeholders
from ..plugin_utils.evidence.workloads import known_workloads
from ..plugin_utils.gate import compat
from ..plugin_utils.gate.policy import load_policy
from ..plugin_utils.image.access import system_tls
from ..plugin_utils.reinstall.step import fail_and_release, take
from ..plugin_utils.reinstall.work import Work
from ..plugin_utils.rollout.owner import this_boot
from ..plugin_utils.rollout.steps import STEP_NAMES
from ..plugin_utils.talos.specs import core_loader
from ..plugin_utils.talos.wire import classes

# Twelve processes for each node would each make these anew.
read_once(catalogue.load, compat.load, load_policy, placeholders, known_workloads)
read_once(core_loader, classes, system_tls, this_boot)


class ActionModule(TalosAction):
    """One step, one act, one entry in the ledger."""

    MODULE = "reinstall_step"
    SECRET = frozenset({"password", "token"})
    RULES: ClassVar[dict[str, Any]] = {
        "required_if": [["state", "taken", ["step"]], ["state", "released", ["reason"]]],
    }

    def act(self) -> dict[str, Any]:
        work = Work(self)
        if self.check:
            return self._announced(work)
        if self.params["state"] == "released":
            told = fail_and_release(work, self.params["reason"])
            return {"step": None, "taken": False, "facts": {}, "node": told, "changed": True}
        return {**take(work, self.params["step"]), "node": None}

    def _announced(self, work: Work) -> dict[str, Any]:
        """What would be done, said once for a node."""
        known = work.ledger.node(self.host)
        target = self.variable(self.host, "talos_target") or known.facts.get("target") or {}
        path = known.facts.get("boot_path") or self.variable(self.host, "talos_boot_path") or "no known path"
        told = (
            f"{self.host} would be taken through {', '.join(name for name in STEP_NAMES if name not in known.done)}, "
            f"booted by {path}, and installed from {target.get('installer', 'an image that is not registered yet')}"
        )
        if self.params["step"] == STEP_NAMES[0]:
            Display().display(told)
        return {"step": self.params["step"], "taken": False, "facts": {}, "node": None, "msg": told, "changed": True}
