# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check a compliance bundle, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.compliance import bundle


class ActionModule(TalosAction):
    """Whether a bundle is as it was written, and what is wrong with it where not."""

    MODULE = "compliance_bundle_info"

    def act(self) -> dict[str, Any]:
        key = self.params["public_key"]
        found = bundle.defects(Path(self.params["path"]), self.read_file(key, "public key") if key else None)
        if found and self.params["require_sound"]:
            raise bundle.BundleUnsound(
                f"the bundle {self.params['path']} is not as it was written: {'; '.join(found[:20])}",
                "what was changed afterwards proves nothing",
                "get the bundle again from where it was written, and find out who changed this one",
                defects=found,
            )
        return {"sound": not found, "defects": found, "signed": key is not None and not found, "changed": False}
