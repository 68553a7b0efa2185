# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep the audit logs of Talos nodes."""

from __future__ import annotations

from typing import Any

from ansible.utils.display import Display  # type: ignore[import-untyped]  # ansible-core ships no types

from ..plugin_utils.actions import TalosAction, Target, summary
from ..plugin_utils.audit.store.rates import table
from ..plugin_utils.evidence.keep import keep
from ..plugin_utils.problem import Problem
from ..plugin_utils.talos.client import NodeClient
from ..plugin_utils.talos.errors import TalosError


class ActionModule(TalosAction):
    """One stream for each node and boot; only what is new is read, where that can be, and added."""

    MODULE = "audit_log"

    def act(self) -> dict[str, Any]:
        follow = self.params["follow_seconds"]
        nodes, unread = self.ask_fleet(self._visit, node_deadline=45.0 + follow)
        shown = table(nodes, unread)
        if self.params["show"]:
            # Not every result callback shows text with line breaks as people would want to read it.
            Display().display("\n" + "\n".join(shown) + "\n")
        return {
            "nodes": nodes,
            "unread": unread,
            "summary": summary(nodes, unread),
            "table": "\n".join(shown),
            "warnings": [f"{host}: {text}" for host, node in sorted(nodes.items()) for text in node["warnings"]],
            "changed": any(sum(node["appended"].values()) for node in nodes.values()),
        }

    async def _visit(self, client: NodeClient, target: Target) -> dict[str, Any] | Problem:
        try:
            return await keep(
                client,
                target.host,
                self.params["directory"],
                persisted=self.params["persisted"],
                follow_seconds=self.params["follow_seconds"],
                check=self.check,
            )
        except TalosError:
            raise
        except Problem as problem:
            # One node's damaged store must not cost the logs of all others.
            return problem
