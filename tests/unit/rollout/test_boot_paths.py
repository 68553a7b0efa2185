# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of boot paths, and everything that must agree with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.boot_paths import (
    BOOT_PATHS,
    BY_NAME,
    UnknownBootPath,
    boot_path,
)

ROOT = Path(__file__).resolve().parents[3]


def test_the_policy_knows_the_same_paths():
    policy = yaml.safe_load((ROOT / "plugins/plugin_utils/gate/data/strict.yml").read_text())
    assert policy["boot_paths"] == [path.name for path in BOOT_PATHS]


def test_the_reset_module_offers_the_same_paths():
    text = (ROOT / "plugins" / "modules" / "machine_reset.py").read_text()
    assert yaml.safe_load(text.split('"""')[1])["options"]["boot_path"]["choices"] == [path.name for path in BOOT_PATHS]


def test_there_are_two_of_which_one_wipes_labels():
    assert {path.name: path.labels for path in BOOT_PATHS} == {"in_place": ("META", "STATE", "EPHEMERAL"), "hook": ()}
    assert set(BY_NAME) == {"in_place", "hook"}


def test_the_documentation_shows_the_table():
    text = (ROOT / "docs" / "rollout.md").read_text()
    for path in BOOT_PATHS:
        wiped = ", ".join(path.labels) or "the whole system disk"
        assert f"| `{path.name}` | {path.what} | {wiped} | {path.minimum or 'any'} |" in text


def test_a_path_that_wipes_labels_can_be_gone_only_from_its_release_on():
    for path in BOOT_PATHS:
        assert (path.minimum is None) == (path.labels == ())


@pytest.mark.parametrize("name", [None, "", "pxe", "redfish", "replace", "IN_PLACE"])
def test_a_path_that_nobody_can_go_is_refused(name):
    with pytest.raises(UnknownBootPath, match="cannot be done here"):
        boot_path(name, "w-1", has_hook=True)


def test_a_hook_must_be_there():
    with pytest.raises(UnknownBootPath, match="there is no hook"):
        boot_path("hook", "w-1", has_hook=False)
    assert boot_path("hook", "w-1", has_hook=True) is BY_NAME["hook"]
    assert boot_path("in_place", "w-1", has_hook=False) is BY_NAME["in_place"]
