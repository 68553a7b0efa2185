# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Saved verdicts: handed from task to task by path and hash, and found by the identity of the node they are on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..canonical import SEAL, parse_json, sha256_of
from .errors import VerdictRefused
from .signing import OUTSIDE


def entry_of(verdict: Mapping[str, Any], path: Path | None) -> dict[str, Any]:
    """How a verdict is handed from task to task: ``{path, sha256}``; one that was not saved is in it (``verdict``)."""
    entry = {"path": str(path) if path else None, "sha256": verdict[SEAL]}
    return entry if path else {**entry, "verdict": dict(verdict)}


def verdict_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict of an entry that :func:`entry_of` made; its signature is not looked at.

    Raises:
        VerdictRefused: it cannot be read, was changed, or is not the one that was handed over.
    """
    if entry["path"] is None:
        return dict(entry["verdict"])
    try:
        verdict = parse_json(Path(entry["path"]).read_bytes())
        sound = verdict[SEAL] == entry["sha256"] == sha256_of(verdict, without=OUTSIDE)
    except (OSError, ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise VerdictRefused(
            f"the verdict {entry['path']} is not the one that was given in this run, or cannot be read",
            "a verdict that was changed says what somebody wanted it to say",
            "let the gate judge the node again",
            bound="verdict",
        )
    return dict(verdict)


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
            verdict = parse_json(path.read_bytes())
            sound = verdict["sha256"] == sha256_of(verdict, without=OUTSIDE)
            identity, issued = verdict["binds"]["identity"], verdict["issued_at"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if not sound or not isinstance(identity, str) or not isinstance(issued, str):
            continue
        # Of two within a second, the one on the later evidence: directories are named after its time.
        if identity not in newest or issued >= newest[identity]["issued_at"]:
            newest[identity] = {**verdict, "path": str(path)}
    return newest
