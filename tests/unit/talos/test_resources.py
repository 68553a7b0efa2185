# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resource content from a node is data: parsed strictly, never executed, never guessed."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import wire
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.resources import (
    moment,
    parse_spec,
    resource_kind,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: yes", {"a": "yes"}),
        ("a: on\nb: no", {"a": "on", "b": "no"}),
        ("a: true\nb: False", {"a": True, "b": False}),
        ("a: 010\nb: 1:30\nc: 0x1F\nd: -7", {"a": 10, "b": "1:30", "c": 31, "d": -7}),
        ("a: 2026-11-22\nb: 2026-11-22T12:00:00Z", {"a": "2026-11-22", "b": "2026-11-22T12:00:00Z"}),
        ("a: 1.5\nb: 1e3\nc: 1.10.0", {"a": 1.5, "b": 1000.0, "c": "1.10.0"}),
        ("a: null\nb: ~\nc:", {"a": None, "b": None, "c": None}),
        ("a: |\n  x * y\n  z\n", {"a": "x * y\nz\n"}),
        ("{}", {}),
        ("worker", "worker"),
        ('"1"', "1"),
        ("=: x", {"=": "x"}),
    ],
)
def test_yaml_means_what_go_means(text: str, value: Any) -> None:
    assert parse_spec(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [",
        "\x00\x01",
        "- a\n- b",
        "12",
        "true",
        "a: 1\n---\nb: 2",
        "!!python/object/apply:os.system ['true']",
        "a: !!python/name:os.system",
        "a: &x [1]\nb: *x",
        "a: !!timestamp 2026-99-99",
        "1: a",
        "? [a]\n: b",
        "[" * 100000,
        "- " * 100000,
        "? " * 100000,
        "{a: " * 100000,
        "\n".join(" " * depth + "a:" for depth in range(2000)),
        "a: " + "9" * 5000,
        "%YAML 9.9\n---\na: b",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_spec(text)


@given(st.text(max_size=200))
def test_garbage_never_escapes_as_another_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_spec(text), (dict, str))


def test_kinds_by_name_and_by_spelling() -> None:
    assert resource_kind("security_state").type == "SecurityStates.talos.dev"
    other = resource_kind("network/LinkStatuses.net.talos.dev")
    assert (other.namespace, other.type, other.id) == ("network", "LinkStatuses.net.talos.dev", None)
    for wrong in ("securitystate", "x/y", "/a.b", ""):
        with pytest.raises(ValueError):
            resource_kind(wrong)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1))
def test_no_date_breaks_the_reader(seconds: int, nanos: int) -> None:
    when = moment(wire.message("google.protobuf.Timestamp")(seconds=seconds, nanos=nanos))
    assert when is None or when.tzinfo is not None
