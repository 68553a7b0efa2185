# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Talos versions compare as semantic versions do."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.versions import (
    TalosVersion,
    parse_version,
)
from hypothesis import given
from hypothesis import strategies as st

ORDERED = [
    "v1.9.6",
    "v1.10.0-alpha.0",
    "1.10.9",
    "v1.13.6",
    "v1.13.7",
    "v1.13.12",
    "v1.14.0-alpha.1",
    "v1.14.0-beta.0",
    "v1.14.0-rc.1",
    "v1.14.0-rc.2",
    "v1.14.0-rc.10",
    "v1.14.0",
    "v1.14.1",
    "v1.15.0-alpha.0-23-gabc123",
    "v2.0.0",
]


def test_order() -> None:
    versions = [parse_version(text) for text in ORDERED]
    for lower, higher in itertools.combinations(versions, 2):
        assert lower < higher and higher > lower and lower != higher


@pytest.mark.parametrize(
    "text", ["", "1.14", "latest", "v1.14.x", "v1.14.1 ", "1.14.1; rm -rf", "v1.14.1\n", "\u0663.1.1"]
)
def test_only_complete_versions(text: str) -> None:
    if text.strip() in ("v1.14.1",):
        assert str(parse_version(text)) == "v1.14.1"
        return
    with pytest.raises(ValueError, match="not a Talos version"):
        parse_version(text)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.sampled_from(["", "-alpha.1", "-rc.2"]))
def test_round_trip(major: int, minor: int, patch: int, suffix: str) -> None:
    text = f"v{major}.{minor}.{patch}{suffix}"
    version = parse_version(text)
    assert isinstance(version, TalosVersion)
    assert str(version) == text and parse_version(str(version)) == version
    assert version.release == (major, minor)
