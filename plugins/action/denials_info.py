# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Group SELinux denials by signature."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from ..plugin_utils.actions import TalosAction, Target, summary
from ..plugin_utils.audit import analysis
from ..plugin_utils.audit.analysis import COUNTS
from ..plugin_utils.audit.coverage import CoverageInput
from ..plugin_utils.audit.files import analyze_files
from ..plugin_utils.audit.knowledge.advice import advise
from ..plugin_utils.evidence import files
from ..plugin_utils.evidence.collect import collect
from ..plugin_utils.report import denials as report
from ..plugin_utils.talos.client import NodeClient

#: What one node's part of the result holds.
_KEYS = ("counts", "coverage", "denials", "mac_errors")


class ActionModule(TalosAction):
    """Denials of nodes or of files, and how much is known about them."""

    MODULE = "denials_info"

    def act(self) -> dict[str, Any]:
        time.sleep(self.params["watch_seconds"])
        result, heading, version = self._of_files() if self.params["files"] else self._of_nodes()
        result["advice"] = advise(
            result["denials"],
            talos_version=self.params["talos_version"] or version,
            policy=self.params["policy"],
            policy_sources=self.params["policy_sources"],
        )
        result["table"] = "\n".join(
            [*heading, report.render(result["denials"], unread=result["advice"]["policy_unread"])]
        )
        result["known_benign"] = [
            {key: denial[key] for key in ("signature", "catalogue_id", "count")}
            for denial in result["denials"]
            if denial["known_benign"]
        ]
        result["enforced"] = [d for d in result["denials"] if d["permissive"] is False and not d["known_benign"]]
        if self.params["compare_with"]:
            earlier = {d["signature"] for d in files.load(self.params["compare_with"])["audit"]["denials"]}
            now = {d["signature"] for d in result["denials"]}
            result["difference"] = {
                "new": sorted(now - earlier),
                "gone": sorted(earlier - now),
                "still": sorted(now & earlier),
            }
        return result | {"changed": False}

    def _of_files(self) -> tuple[dict[str, Any], list[str], str | None]:
        context = CoverageInput(talos_version=self.params["talos_version"])
        found = analyze_files(self.params["files"], context, max_samples=self.params["max_samples"])
        return {key: found[key] for key in _KEYS}, report.knowledge(found["coverage"]), None

    def _of_nodes(self) -> tuple[dict[str, Any], list[str], str | None]:
        versions: set[str | None] = set()

        async def read(client: NodeClient, target: Target) -> dict[str, Any]:
            document = (
                await collect(
                    client,
                    name=target.host,
                    address=target.address,
                    endpoint=client.endpoint,
                    peer=lambda address: self.target(target.host, address=address).connect(),
                    kubernetes=None,
                    config=None,
                    operation={},
                    cluster={},
                    max_samples=self.params["max_samples"],
                    **self.audit_terms(target.host),
                )
            ).document
            versions.add(document["talos"]["version"])
            return {key: document["audit"][key] for key in _KEYS}

        nodes, unread = self.ask_fleet(read)
        merged = analysis.merge(
            [{**denial, "nodes": [host]} for host, node in nodes.items() for denial in node["denials"]],
            self.params["max_samples"],
        )
        for denial in merged:
            denial["nodes"] = sorted(
                host
                for host, node in nodes.items()
                if any(other["signature"] == denial["signature"] for other in node["denials"])
            )
        result = {
            "nodes": nodes,
            "unread": unread,
            "summary": summary(nodes, unread),
            "counts": {name: sum(node["counts"][name] for node in nodes.values()) for name in COUNTS},
            "coverage": {host: node["coverage"]["verdict"] for host, node in nodes.items()},
            "denials": merged,
        }
        # Advice for several releases at once would be wrong for some of them.
        return result, list(_coverage_lines(nodes, unread)), versions.pop() if len(versions) == 1 else None


def _coverage_lines(nodes: Mapping[str, Any], unread: Mapping[str, Any]) -> Iterator[str]:
    for host, node in sorted(nodes.items()):
        reasons = ", ".join(reason["id"] for reason in node["coverage"]["reasons"])
        yield f"{host}: coverage {node['coverage']['verdict']}{f' ({reasons})' if reasons else ''}"
    for host, failure in sorted(unread.items()):
        yield f"{host}: not read, {failure['found']}"
