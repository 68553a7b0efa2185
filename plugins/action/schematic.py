# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Derive, create and verify the enforcing Image Factory schematic."""

from __future__ import annotations

from typing import Any, ClassVar

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.image.resolve import ASKED, present_image, resolve


class ActionModule(TalosAction):
    """From the schematic a node runs to a verified image that enforces."""

    MODULE = "schematic"
    SECRET = frozenset({"password", "token"})
    RULES: ClassVar[dict[str, Any]] = {"mutually_exclusive": [["bundle", "save_bundle"]]}

    def act(self) -> dict[str, Any]:
        found = self.ask(present_image) if any(self.params[key] is None for key in ASKED) else None
        return resolve(self.params, found, check=self.check)
