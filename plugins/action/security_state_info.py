# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the SELinux state of a fleet."""

from __future__ import annotations

from typing import Any

from ansible.utils.display import Display  # type: ignore[import-untyped]  # ansible-core ships no types

from ..plugin_utils.actions import TalosAction, Target, summary
from ..plugin_utils.evidence.sections import mode_disagreements
from ..plugin_utils.evidence.visit import text_at
from ..plugin_utils.report import status
from ..plugin_utils.talos.client import NodeClient
from ..plugin_utils.talos.errors import Unsupported
from ..plugin_utils.talos.versions import parse_version


class ActionModule(TalosAction):
    """The fleet's SELinux states; a node that cannot be read has none."""

    MODULE = "security_state_info"

    def act(self) -> dict[str, Any]:
        nodes, unread = self.ask_fleet(_state)
        table = status.render(nodes, unread)
        if self.params["show"]:
            # Not every result callback shows text with line breaks as people would want to read it.
            Display().display(f"\n{table}\n")
        return {"nodes": nodes, "unread": unread, "summary": summary(nodes, unread), "table": table, "changed": False}


async def _state(client: NodeClient, _target: Target) -> dict[str, Any]:
    version = await client.version()
    state = await client.security_state(parse_version(version.tag))
    try:
        words = text_at(await client.get("kernel_cmdline"), "cmdline")
        kernel_args = words.split() if words is not None else None
    except Unsupported:
        kernel_args = None
    return {
        "selinux": state.selinux,
        "talos_version": version.tag,
        "kernel_args": kernel_args,
        "disagreements": mode_disagreements(state.selinux, kernel_args, None, None),
        "booted_with_uki": state.booted_with_uki,
        "secure_boot": state.secure_boot,
        "uki_signing_key_fingerprint": state.uki_signing_key_fingerprint,
        "pcr_signing_key_fingerprint": state.pcr_signing_key_fingerprint,
        "fips_state": state.fips_state,
        "module_signature_enforced": state.module_signature_enforced,
    }
