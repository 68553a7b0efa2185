# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge the health of etcd from every member's view."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.evidence.members import read_etcd
from ..plugin_utils.evidence.visit import Visit
from ..plugin_utils.talos.client import NodeClient


class ActionModule(TalosAction):
    """etcd as all its members see it."""

    MODULE = "etcd_info"

    def act(self) -> dict[str, Any]:
        target = self.target()

        async def question(client: NodeClient) -> dict[str, Any]:
            visit = Visit(client)
            etcd = await read_etcd(visit, lambda address: self.target(target.host, address=address).connect())
            return {"etcd": etcd, "errors": visit.errors, "changed": False}

        return self.ask(question, target)
