# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Save a snapshot of etcd, hashed."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.evidence.files import EvidenceProblem
from ..plugin_utils.talos.client import NodeClient


class ActionModule(TalosAction):
    """A whole, non-empty snapshot, or an error and no file."""

    MODULE = "etcd_snapshot"

    def act(self) -> dict[str, Any]:
        path = Path(self.params["path"])
        if self.check:
            return {"path": str(path), "size": None, "sha256": None, "taken_at": None, "changed": True}
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        except OSError as error:
            raise EvidenceProblem(
                f"the snapshot {path} cannot be written: {error.strerror}",
                "a control plane is only wiped when a snapshot of etcd was saved",
                "make the directory writable",
            ) from error
        digest = hashlib.sha256()
        taken_at = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            with os.fdopen(descriptor, "wb") as file:

                def write(chunk: bytes) -> None:
                    digest.update(chunk)
                    file.write(chunk)

                async def question(client: NodeClient) -> int:
                    return await client.etcd_snapshot(write)

                size = self.ask(question)
                file.flush()
                os.fsync(file.fileno())
            if size == 0:
                raise EvidenceProblem(
                    f"the snapshot from {self.target().host} is empty",
                    "a control plane is only wiped when a snapshot of etcd was saved",
                    "look at the etcd logs of that node, or take the snapshot from another control plane",
                )
            Path(scratch).replace(path)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
        return {"path": str(path), "size": size, "sha256": digest.hexdigest(), "taken_at": taken_at, "changed": True}
