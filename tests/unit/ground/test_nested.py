# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.talosops.selinux.plugins.plugin_utils.nested import value_at


def test_a_value_is_found_and_what_is_not_there_is_none() -> None:
    assert value_at({"a": {"b": 1}}, "a", "b") == 1
    assert value_at({"a": [1]}, "a", "b", "c") is None
    assert value_at(None, "a") is None
