# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The index of the refusal pages, made from the policies: `make pages`."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "plugins" / "plugin_utils" / "gate" / "data"
INDEX = ROOT / "docs" / "refusals" / "README.md"
#: The files of checks in the order in which a node meets them, with their headings.
SECTIONS = {
    "strict": "Evidence of a node (policy strict)",
    "canary": "Policy canary",
    "observe": "Policy observe",
    "request": "Operations",
    "fleet": "All hosts of a run together",
    "again": "Once more, before the wipe",
    "history": "After the move",
    "cohort": "Machines that were never installed",
}


def index() -> str:
    """The page: a table for each file, each check where it is first defined."""
    seen: set[str] = set()
    parts = ["# Refusals\n\nOne page for each check of the gate. The ids are stable.\n"]
    for name, heading in SECTIONS.items():
        checks = yaml.safe_load((DATA / f"{name}.yml").read_text(encoding="utf-8")).get("checks", [])
        rows = [f"| [{c['id']}]({c['id']}.md) | {c['title']} |" for c in checks if c["id"] not in seen]
        seen |= {check["id"] for check in checks}
        if rows:
            parts.append("\n".join([f"## {heading}\n", "| Check | Passes when |", "|---|---|", *rows]) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    INDEX.write_text(index(), encoding="utf-8")
    sys.exit(0)
