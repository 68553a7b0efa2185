# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ranges of Talos versions in the catalogue."""

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.knowledge.ranges import clauses_of, in_range


@pytest.mark.parametrize(
    ("version", "clauses", "inside"),
    [
        ("v1.14.0", ">=1.14.0,<1.15.0", True),
        ("1.14.9", ">=v1.14.0, <v1.15.0", True),
        ("v1.15.0", ">=1.14.0,<1.15.0", False),
        ("v1.14.0-rc.1", ">=1.14.0", False),
        ("v1.14.0-rc.10", ">1.14.0-rc.9", True),
        ("v1.14.0", "<=1.14.0", True),
        ("v1.14.0", "==1.14.0", True),
        ("v1.14.1", "==1.14.0", False),
        ("v1.14.0+mine", ">=1.14.0", False),
        ("v1.14", ">=1.14.0", False),
        ("main", ">=1.0.0", False),
    ],
)
def test_a_version_is_in_a_range(version: str, clauses: str, inside: bool) -> None:
    assert in_range(version, clauses) is inside


@pytest.mark.parametrize("text", ["", "1.14.0", ">=1.14", "=>1.14.0", ">=1.14.0,", ">=1.14.0+mine"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a comparison with a version"):
        clauses_of(text)
