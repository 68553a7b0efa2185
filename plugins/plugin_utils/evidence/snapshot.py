# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Save a snapshot of etcd, hashed: whole by its own checksum, or none.

etcd sends the pages of its database and then their SHA-256 (etcd ``client/v3/snapshot``, which ``talosctl etcd
snapshot`` follows).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ..private_files import private_directory
from ..talos.client import NodeClient
from .files import EvidenceProblem

_PAGE, _CHECKSUM = 512, 32

Ask = Callable[[Callable[[NodeClient], Awaitable[int]]], int]


def take_snapshot(path: Path, ask: Ask, *, of: str) -> dict[str, Any]:
    """Write the snapshot that a control plane gives to a file.

    Args:
        path: the file; its directory is made when missing.
        ask: puts a question to the control plane.
        of: its name, for messages.

    Returns:
        ``{path, size, sha256, taken_at}``.

    Raises:
        EvidenceProblem: it cannot be written, or does not match its own checksum.
        TalosError: the control plane did not give a whole one.
    """
    try:
        private_directory(path.parent)
        descriptor, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise EvidenceProblem(
            f"the snapshot {path} cannot be written: {error.strerror}",
            "a control plane is only wiped when a snapshot of etcd was saved",
            "make the directory writable",
        ) from error
    digest, pages, tail = hashlib.sha256(), hashlib.sha256(), bytearray()
    taken_at = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        with os.fdopen(descriptor, "wb") as file:

            def write(chunk: bytes) -> None:
                digest.update(chunk)
                file.write(chunk)
                tail.extend(chunk)
                pages.update(tail[:-_CHECKSUM])
                del tail[:-_CHECKSUM]

            async def question(client: NodeClient) -> int:
                return await client.etcd_snapshot(write)

            size = ask(question)
            file.flush()
            os.fsync(file.fileno())
        if size < _PAGE or size % _PAGE != _CHECKSUM or pages.digest() != tail:
            raise EvidenceProblem(
                f"the snapshot from {of} ({size} bytes) does not match its own checksum",
                "a control plane is only wiped when a snapshot of etcd was saved",
                "look at the etcd logs of that node, or take the snapshot from another control plane",
            )
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
    return {"path": str(path), "size": size, "sha256": digest.hexdigest(), "taken_at": taken_at}
