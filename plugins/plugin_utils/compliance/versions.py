# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which versions made a report: the collection's, and the hash of the known-denial catalogue."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from ..audit.knowledge import catalogue
from ..canonical import canonical_json
from ..yaml_loader import load_yaml

_ROOT = Path(__file__).resolve().parents[3]
TOOL = "talosops.selinux"


def versions() -> dict[str, Any]:
    """``{tool: {name, version, sha256}, catalogue: {sha256}}``.

    The version is that of the installed collection (MANIFEST.json) or of the working copy (galaxy.yml); the hash is of
    all its plugins' files, so that two that call themselves alike are told apart.
    """
    return {
        "tool": {"name": TOOL, "version": _version(), "sha256": _sha256()},
        "catalogue": {"sha256": hashlib.sha256(catalogue.DATA.read_bytes()).hexdigest()},
    }


def _version() -> str:
    manifest = _ROOT / "MANIFEST.json"
    if manifest.exists():
        return str(json.loads(manifest.read_bytes())["collection_info"]["version"])
    return str(load_yaml((_ROOT / "galaxy.yml").read_bytes())["version"])


@functools.cache
def _sha256() -> str:
    """The hash of ``{path: hash}`` of every file that is shipped below ``plugins``."""
    files = {
        path.relative_to(_ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (_ROOT / "plugins").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    return hashlib.sha256(canonical_json(files)).hexdigest()
