# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values of ours in texts of others, by their length."""

from __future__ import annotations

from ansible_collections.talosops.selinux.plugins.plugin_utils.quoted import MASK, Quoted


def test_a_long_value_is_known_again_as_it_is() -> None:
    value = "".join(f"{number:05d}x" for number in range(2000))
    quoted = Quoted()
    quoted.learn(value)
    assert quoted.masked(f"it says {value[6000:6040]} there") == f"it says {MASK} there"
    assert quoted.masked(f"it says {value[6000:6040].upper()} there") == f"it says {MASK} there"
    assert quoted.masked("it says nothing of ours") == "it says nothing of ours"
