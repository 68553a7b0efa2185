# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The version in a report is the installed collection's, or the working copy's."""

from __future__ import annotations

import json

from ansible_collections.talosops.selinux.plugins.plugin_utils.compliance import versions


def test_the_version_of_an_installed_collection_wins_over_that_of_a_working_copy(tmp_path, monkeypatch):
    monkeypatch.setattr(versions, "_ROOT", tmp_path)
    (tmp_path / "galaxy.yml").write_text("version: 1.2.3\n")
    assert versions._version() == "1.2.3"
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"collection_info": {"version": "4.5.6"}}))
    assert versions._version() == "4.5.6"
