# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Group SELinux denials by signature."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from ..plugin_utils.actions import TalosAction, Target, summary
from ..plugin_utils.arguments import read_once
from ..plugin_utils.audit import analysis
from ..plugin_utils.audit.analysis import COUNTS
from ..plugin_utils.audit.coverage import CoverageInput
from ..plugin_utils.audit.files import analyze_files
from ..plugin_utils.audit.knowledge import catalogue
from ..plugin_utils.audit.knowledge.advice import advise
from ..plugin_utils.evidence import files
from ..plugin_utils.evidence.collect import collect
from ..plugin_utils.report import denials as report
from ..plugin_utils.talos.boots import SAME, Look, compare, look, of_evidence
from ..plugin_utils.talos.client import NodeClient

#: What one node's part of the result holds.
_KEYS = ("counts", "coverage", "denials", "mac_errors")

read_once(catalogue.load)


class ActionModule(TalosAction):
    """Denials of nodes or of files, and how much is known about them."""

    MODULE = "denials_info"

    def act(self) -> dict[str, Any]:
        before = self._watch()
        result, heading, version = self._of_files() if self.params["files"] else self._of_nodes(before)
        found, unsure = result["denials"] or [], result.pop("unsure")
        result["advice"] = advise(
            found,
            talos_version=self.params["talos_version"] or version,
            policy=self.params["policy"],
            policy_sources=self.params["policy_sources"],
        )
        shown = report.render(result["denials"], unread=result["advice"]["policy_unread"])
        result["table"] = "\n".join([*heading, shown])
        result["known_benign"] = [
            {key: denial[key] for key in ("signature", "catalogue_id", "count")}
            for denial in found
            if denial["known_benign"]
        ]
        enforced = [denial for denial in found if denial["permissive"] is False and not denial["known_benign"]]
        # A log that nobody read may hold an enforced denial though another one holds denials.
        result["enforced"] = enforced if enforced or not unsure else None
        if self.params["compare_with"]:
            result["difference"] = _difference(files.load(self.params["compare_with"]), result["denials"])
        return result | {"changed": False}

    def _watch(self) -> dict[str, Look]:
        """Wait for the time that was asked for; which boot each node was in before."""
        if not self.params["watch_seconds"]:
            return {}
        before: dict[str, Look] = {}
        if not self.params["files"]:
            before, _unread = self.ask_fleet(_look)
        time.sleep(self.params["watch_seconds"])
        return before

    def _of_files(self) -> tuple[dict[str, Any], list[str], str | None]:
        context = CoverageInput(talos_version=self.params["talos_version"])
        found = analyze_files(self.params["files"], context, max_samples=self.params["max_samples"])
        unsure = found["denials"] is None or found["coverage"]["verdict"] == "none"
        return {key: found[key] for key in _KEYS} | {"unsure": unsure}, report.knowledge(found["coverage"]), None

    def _of_nodes(self, before: Mapping[str, Look]) -> tuple[dict[str, Any], list[str], str | None]:
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
            node = {key: document["audit"][key] for key in _KEYS} | {"boot": document["boot"]["id"], "watched": None}
            if self.params["watch_seconds"]:
                node["watched"] = compare(before.get(target.host, Look()), of_evidence(document["boot"]))
            return node

        nodes, unread = self.ask_fleet(read)
        merged = analysis.merge(
            [denial for node in nodes.values() for denial in node["denials"] or ()], self.params["max_samples"]
        )
        hosts: dict[str, set[str]] = {}
        for host, node in nodes.items():
            for denial in node["denials"] or ():
                hosts.setdefault(denial["signature"], set()).add(host)
        for denial in merged:
            denial["nodes"] = sorted(hosts[denial["signature"]])
        unsure = bool(unread) or any(
            node["denials"] is None or node["coverage"]["verdict"] == "none" or node["watched"] not in (None, SAME)
            for node in nodes.values()
        )
        result = {
            "nodes": nodes,
            "unread": unread,
            "summary": summary(nodes, unread),
            "counts": {name: sum(node["counts"][name] for node in nodes.values()) for name in COUNTS},
            "coverage": {host: node["coverage"]["verdict"] for host, node in nodes.items()},
            "denials": merged if merged or not unsure else None,
            "unsure": unsure,
        }
        # Advice for several releases at once would be wrong for some of them.
        return result, list(_coverage_lines(nodes, unread)), versions.pop() if len(versions) == 1 else None


async def _look(client: NodeClient, _target: Target) -> Look:
    return await look(client)


def _difference(earlier: Mapping[str, Any], denials: list[dict[str, Any]] | None) -> dict[str, list[str]] | None:
    """Signatures by what became of them; None where either side was not read."""
    saved = earlier["audit"]["denials"]
    if saved is None or denials is None:
        return None
    before, now = ({denial["signature"] for denial in one} for one in (saved, denials))
    return {"new": sorted(now - before), "gone": sorted(before - now), "still": sorted(now & before)}


def _coverage_lines(nodes: Mapping[str, Any], unread: Mapping[str, Any]) -> Iterator[str]:
    for host, node in sorted(nodes.items()):
        reasons = ", ".join(reason["id"] for reason in node["coverage"]["reasons"])
        boot = {None: "", SAME: ""}.get(node["watched"], ", not known to be in the boot it was in before the wait")
        yield f"{host}: coverage {node['coverage']['verdict']}{f' ({reasons})' if reasons else ''}{boot}"
    for host, failure in sorted(unread.items()):
        yield f"{host}: not read, {failure['found']}"
