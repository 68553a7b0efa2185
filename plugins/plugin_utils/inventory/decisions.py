# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stored gate decisions, found by the identity of the node they were made for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..canonical import sha256_of
from ..gate.signing import OUTSIDE


def stored_decisions(directory: Path) -> dict[str, dict[str, Any]]:
    """The newest verdict of every node identity below a directory of evidence.

    A file that cannot be read or whose hash does not hold is no decision. Verdicts are looked up by identity, so that a
    reinstalled node does not inherit what was decided about its earlier installation.

    Returns:
        ``{identity: {decision, issued_at, expires_at, path}}``
    """
    newest: dict[str, dict[str, Any]] = {}
    for path in sorted(directory.glob("*/*/verdict.json")):
        try:
            verdict = json.loads(path.read_bytes())
            sound = verdict["sha256"] == sha256_of(verdict, without=OUTSIDE)
            identity, decision = verdict["binds"]["identity"], verdict["decision"]
            issued, expires = verdict["issued_at"], verdict["expires_at"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if not sound or not isinstance(identity, str):
            continue
        known = newest.get(identity)
        if known is None or known["issued_at"] < issued:
            newest[identity] = {"decision": decision, "issued_at": issued, "expires_at": expires, "path": str(path)}
    return newest
