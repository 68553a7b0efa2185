# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Saved verdicts, found by the identity of the node they were made for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..canonical import sha256_of
from .signing import OUTSIDE


def newest_verdicts(directory: Path) -> dict[str, dict[str, Any]]:
    """The newest verdict on every node identity below a directory of evidence, with its ``path``.

    A file that cannot be read or whose hash does not hold is no verdict. They are looked up by identity, so that a
    reinstalled node does not inherit what was decided about its earlier installation.

    Returns:
        ``{identity: verdict}``
    """
    newest: dict[str, dict[str, Any]] = {}
    for path in sorted(directory.glob("*/*/verdict.json")):
        try:
            verdict = json.loads(path.read_bytes())
            sound = verdict["sha256"] == sha256_of(verdict, without=OUTSIDE)
            identity, issued = verdict["binds"]["identity"], str(verdict["issued_at"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if sound and isinstance(identity, str) and issued > str(newest.get(identity, {}).get("issued_at", "")):
            newest[identity] = {**verdict, "path": str(path)}
    return newest
