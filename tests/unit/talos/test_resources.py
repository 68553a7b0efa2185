# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kinds of resources are found by name, and their times are dates or unknown."""

from __future__ import annotations

from datetime import UTC

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import wire
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.resources import (
    moment,
    resource_kind,
)
from hypothesis import given
from hypothesis import strategies as st


def test_kinds_by_name_and_by_spelling() -> None:
    assert resource_kind("security_state").type == "SecurityStates.talos.dev"
    other = resource_kind("network/LinkStatuses.net.talos.dev")
    assert (other.namespace, other.type, other.id) == ("network", "LinkStatuses.net.talos.dev", None)
    for wrong in ("securitystate", "x/y", "/a.b", ""):
        with pytest.raises(ValueError, match="is neither one of security_state"):
            resource_kind(wrong)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1))
def test_no_date_breaks_the_reader(seconds: int, nanos: int) -> None:
    when = moment(wire.message("google.protobuf.Timestamp")(seconds=seconds, nanos=nanos))
    # The years 1 to 9999; the first and the last few seconds depend on the nanoseconds, which may be anything here.
    if abs(seconds + 62135596800) > 10 and abs(seconds - 253402300800) > 10:
        assert (when is not None) is (-62135596800 < seconds < 253402300800)
    if when is not None:
        assert when.tzinfo is UTC and abs(when.timestamp() - seconds) < 10
