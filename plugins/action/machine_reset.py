# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wipe a node, if its verdict still holds."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.reinstall.order import Order, send


class ActionModule(TalosAction):
    """The last line of defence stands next to the trigger."""

    MODULE = "machine_reset"

    def act(self) -> dict[str, Any]:
        options = (
            "evidence verdict boot_path config_sha256 installer_digest policy public_key waivers store "
            "kubeconfig kube_context"
        )
        sent = send(self, Order(**{name: self.params[name] for name in options.split()}), self.target())
        return {
            "actor_id": sent.actor_id,
            "labels": list(sent.labels),
            "boot": sent.boot.as_dict(),
            "changed": True,
        }
