# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The JSON schema of the event source's arguments, made from its documentation: `make pages`."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

from ansible_collections.talosops.selinux.plugins.plugin_utils.events.arguments import schema

SOURCE = Path(__file__).resolve().parents[1] / "extensions" / "eda" / "plugins" / "event_source" / "denials.py"
#: Where the collection ansible.eda keeps those of its own sources.
SCHEMA = SOURCE.parent / "schemas" / "denials.json"


def text() -> str:
    """The file's content."""
    documentation = runpy.run_path(str(SOURCE))["DOCUMENTATION"]
    return json.dumps(schema("talosops.selinux.denials", documentation), indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.parent.mkdir(exist_ok=True)
    SCHEMA.write_text(text(), encoding="utf-8")
    sys.exit(0)
