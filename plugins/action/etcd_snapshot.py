# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Save a snapshot of etcd, hashed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.evidence.snapshot import take_snapshot


class ActionModule(TalosAction):
    """A snapshot that matches its checksum, or an error and no file."""

    MODULE = "etcd_snapshot"

    def act(self) -> dict[str, Any]:
        path = Path(self.params["path"])
        if self.check:
            return {"path": str(path), "size": None, "sha256": None, "taken_at": None, "changed": True}
        return take_snapshot(path, self.ask, of=self.target().host) | {"changed": True}
