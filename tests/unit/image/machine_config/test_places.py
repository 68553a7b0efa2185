# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of places: what one configuration gives for a fact, without showing it."""

from __future__ import annotations

from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.document import Configuration
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.machine_config.places import PLACES, values


def test_a_value_that_was_found_is_not_shown():
    (place,) = (place for place in PLACES if place.where == "machine.token")
    found = values(Configuration("machine: {token: s3cr3t-value}"), place.fact)
    assert [(one.place, one.value) for one in found] == [(place, "s3cr3t-value")]
    assert repr(found) == "[Value(machine.token)]"
