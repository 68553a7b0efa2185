# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which versions made a report: the collection's, and the hash of the known-denial catalogue."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ..audit.knowledge import catalogue
from ..yaml_loader import load_yaml

_ROOT = Path(__file__).resolve().parents[3]
TOOL = "talosops.selinux"


def versions() -> dict[str, Any]:
    """``{tool: {name, version}, catalogue: {sha256}}``.

    The version is that of the installed collection (MANIFEST.json) or of the working copy (galaxy.yml).
    """
    return {
        "tool": {"name": TOOL, "version": _version()},
        "catalogue": {"sha256": hashlib.sha256(catalogue.DATA.read_bytes()).hexdigest()},
    }


def _version() -> str:
    manifest = _ROOT / "MANIFEST.json"
    if manifest.exists():
        return str(json.loads(manifest.read_bytes())["collection_info"]["version"])
    return str(load_yaml((_ROOT / "galaxy.yml").read_bytes())["version"])
