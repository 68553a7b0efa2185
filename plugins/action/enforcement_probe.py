# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Try on an enforcing node what its policy forbids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.audit.store.store import AuditStore
from ..plugin_utils.evidence.files import safe_name
from ..plugin_utils.probe.run import Settings, probe


class ActionModule(TalosAction):
    """One probe of the task's own node."""

    MODULE = "enforcement_probe"

    def act(self) -> dict[str, Any]:
        params = self.params
        settings = Settings(
            name=self.host,
            image=params["image"],
            kubeconfig=params["kubeconfig"],
            context=params["kube_context"],
            seconds=params["wait_timeout"],
            poll=params["wait_sleep"],
            check=self.check,
        )
        return probe(self.ask, AuditStore(Path(params["store"]) / safe_name(self.host)), settings)
