# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Derive, create and verify the enforcing Image Factory schematic."""

from __future__ import annotations

from typing import Any, ClassVar

from ..plugin_utils.actions import TalosAction, summary
from ..plugin_utils.canonical import canonical_json
from ..plugin_utils.evidence.machine import FINGERPRINT
from ..plugin_utils.image.errors import WrongCmdline
from ..plugin_utils.image.resolve import ASKED, present_image, require_same_command_line, resolve
from ..plugin_utils.problem import Problem
from ..plugin_utils.talos.errors import TalosError

#: What of an image is told for each host of a fleet.
_OF_EACH = ("present", "id", "added", "removed", "verified", "target", "cmdline")


class ActionModule(TalosAction):
    """From the schematic a node runs to a verified image that enforces."""

    MODULE = "schematic"
    SECRET = frozenset({"password", "token"})
    RULES: ClassVar[dict[str, Any]] = {"mutually_exclusive": [["bundle", "save_bundle"]]}

    def act(self) -> dict[str, Any]:
        asks = any(self.params[key] is None for key in ASKED)
        if self.run_once:
            return self._fleet(asks)
        found = self.ask(present_image) if asks else None
        image = resolve(self.params, found, check=self.check)
        if found is not None:
            require_same_command_line(found, image)
        return image

    def _fleet(self, asks: bool) -> dict[str, Any]:
        """The images of all hosts; nodes that run the same get theirs by one derivation and one verification."""
        # A machine that waits for its first installation runs no image of its own.
        hosts = [host for host in self.hosts() if self.variable(host, FINGERPRINT) is None]
        found: dict[str, Any] = dict.fromkeys(hosts)
        unread: dict[str, dict[str, Any]] = {}
        if asks:
            without = [host for host in self.hosts() if host not in found]
            found, unread = self.ask_fleet(lambda client, _target: present_image(client), without=without)
        alike: dict[bytes, list[str]] = {}
        for host, present in found.items():
            image_of = {key: present[key] for key in ("id", "schematic", *ASKED[1:])} if present else None
            alike.setdefault(canonical_json(image_of), []).append(host)
        nodes: dict[str, dict[str, Any]] = {}
        changed = False
        diffs: list[dict[str, str]] = []
        for members in alike.values():
            try:
                image = resolve(self.params, found[members[0]], check=self.check)
            except Problem as problem:
                # A factory that cannot be trusted is everybody's business.
                if not (isinstance(problem, TalosError) or problem.context.get("of_node")):
                    raise
                unread |= dict.fromkeys(members, problem.as_dict())
                continue
            changed = changed or image["changed"]
            diffs += [{"prepared": f"{', '.join(members)}\n{image['diff']['prepared']}"}] if image["diff"] else []
            for host in members:
                try:
                    if asks:
                        require_same_command_line(found[host], image)
                    nodes[host] = {key: image[key] for key in _OF_EACH}
                except WrongCmdline as problem:
                    unread[host] = problem.as_dict()
        warnings = _warnings({host: problem for host, problem in unread.items() if host in found})
        return {
            "nodes": nodes,
            "unread": unread,
            "summary": summary(nodes, unread),
            **({"warnings": warnings} if warnings else {}),
            "changed": changed,
            "diff": diffs,
        }


def _warnings(unread: dict[str, dict[str, Any]]) -> list[str]:
    """Why hosts that answered have no image, each reason once: the gate can only say that they have none."""
    hosts: dict[tuple[str, str], list[str]] = {}
    for host, problem in unread.items():
        hosts.setdefault((str(problem["found"]), str(problem["do"])), []).append(host)
    return [f"No image for {', '.join(sorted(members))}: {found}; {do}" for (found, do), members in hosts.items()]
