# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every check has a page, every page has a check, and the index lists them all."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest
import quick_yaml
import refusal_index
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import policy

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "refusals"
DATA = Path(policy.__file__).parent / "data"


@functools.cache
def checks() -> dict[str, dict[str, Any]]:
    """Every check that the collection defines, by id (an overridden one as it is first defined)."""
    found: dict[str, dict[str, Any]] = {}
    for name in ("strict", "canary", "observe", "request", "fleet", "again", "history", "cohort"):
        for check in quick_yaml.load((DATA / f"{name}.yml").read_text(encoding="utf-8")).get("checks", []):
            found.setdefault(check["id"], check)
    return found


def test_ids_pages_and_index_are_one_set() -> None:
    ids = set(checks())
    assert ids == {path.stem for path in PAGES.glob("*.md")} - {"README"}
    written = (PAGES / "README.md").read_text(encoding="utf-8")
    assert written == refusal_index.index(), "run make pages"
    assert re.findall(r"^\| \[([a-z0-9-]+)\]\(([a-z0-9-]+)\.md\)", written, re.M) == [(i, i) for i in checks()]


@pytest.mark.parametrize("identifier", checks())
def test_a_page_says_what_the_check_says(identifier: str) -> None:
    check = checks()[identifier]
    assert check["doc"] == f"docs/refusals/{identifier}.md"
    text = " ".join((PAGES / f"{identifier}.md").read_text(encoding="utf-8").split())
    for part in ("title", "reason", "remedy", "assert"):
        assert " ".join(check[part].split()) in text, part
    for heading in ("## Why", "## Cause", "## How it was found", "## Remedy"):
        assert heading in text


def test_every_data_file_of_the_gate_is_known() -> None:
    assert {path.stem for path in DATA.glob("*.yml")} == {
        *policy.BUILT_IN,
        "request",
        "fleet",
        "again",
        "history",
        "cohort",
        "compatibility",
    }
