# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/policies.md names everything that a policy may say, so that nobody has to read the code for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate import checks, policy, shape
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.functions import FUNCTIONS

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "policies.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("|")]


def row(name: str) -> str:
    (found,) = [line for line in ROWS if name in line.split("|")[1].replace("`", "").replace(",", "").split()]
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_with_its_arguments(name: str) -> None:
    _function, types, _answer = FUNCTIONS[name]
    cells = [cell.strip() for cell in row(name).split("|")]
    assert len(cells[2].split(", ")) == len(types) and cells[3]


@pytest.mark.parametrize("name", sorted(policy._WEAKER))
def test_each_setting(name: str) -> None:
    assert row(name)


@pytest.mark.parametrize("name", sorted(checks.FIELDS | policy._HEAD))
def test_each_key(name: str) -> None:
    assert row(name)


@pytest.mark.parametrize("name", sorted(shape.ADDED))
def test_each_path_beside_the_evidence(name: str) -> None:
    told = row(name)
    fields = shape.ADDED[name]
    if name == "compat":
        fields = {**fields, **shape._RATED}
    assert all(field in told for field in (fields if isinstance(fields, dict) else ()))
