# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cordon, drain or uncordon a node in Kubernetes."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.rollout.drain import cordon, drain, uncordon


class ActionModule(TalosAction):
    """In Ansible's own process, as a process for each node of a fleet takes longer than most drains."""

    MODULE = "node_drain"

    def act(self) -> dict[str, Any]:
        state, node = self.params["state"], self.params["name"]
        where = (self.params["kubeconfig"], self.params["kube_context"], node)
        patience = {"timeout": self.params["wait_timeout"], "poll": self.params["wait_sleep"], "check": self.check}
        result: dict[str, Any] = {"node": node}
        if state == "drained":
            drained = drain(*where, **patience)
            toggled = drained.pop("cordoned")
            result |= drained
        else:
            toggled = (cordon if state == "cordoned" else uncordon)(*where, **patience)
        after = state != "uncordoned"
        if self._task.diff:
            result["diff"] = {"before": {"unschedulable": after != toggled}, "after": {"unschedulable": after}}
        return {**result, "changed": toggled or bool(result.get("pods"))}
