# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the SELinux state of a fleet."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.actions import TalosAction, Target, summary
from ..plugin_utils.talos.client import NodeClient
from ..plugin_utils.talos.errors import Unsupported
from ..plugin_utils.talos.versions import parse_version


class ActionModule(TalosAction):
    """The fleet's SELinux states; a node that cannot be read has none."""

    MODULE = "security_state_info"

    def act(self) -> dict[str, Any]:
        nodes, unread = self.ask_fleet(_state)
        return {"nodes": nodes, "unread": unread, "summary": summary(nodes, unread), "changed": False}


async def _state(client: NodeClient, _target: Target) -> dict[str, Any]:
    version = await client.version()
    state = await client.security_state(parse_version(version.tag))
    try:
        cmdline = await client.get("kernel_cmdline")
        kernel_args = str(cmdline.spec["cmdline"]).split()
    except Unsupported:
        kernel_args = None
    return {
        "selinux": state.selinux,
        "talos_version": version.tag,
        "kernel_args": kernel_args,
        "booted_with_uki": state.booted_with_uki,
        "secure_boot": state.secure_boot,
        "uki_signing_key_fingerprint": state.uki_signing_key_fingerprint,
        "pcr_signing_key_fingerprint": state.pcr_signing_key_fingerprint,
        "fips_state": state.fips_state,
        "module_signature_enforced": state.module_signature_enforced,
    }
