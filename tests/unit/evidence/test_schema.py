# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schema of the evidence document: what deviates from it is named by its place."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import schema


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"node": {**dict.fromkeys(schema.EVIDENCE["node"]), "uuid": 7}}, "node.uuid is not of the type"),
        ({"node": {**dict.fromkeys(schema.EVIDENCE["node"]), "colour": "red"}}, "node.colour is not in the schema"),
        ({"node": "worker-1"}, "node is not of the type"),
        ({"errors": [{"kind": "x", "source": "y"}]}, "errors[].found is missing"),
        ({"selinux": {**dict.fromkeys(schema.EVIDENCE["selinux"]), "kernel_args": [None]}}, "selinux.kernel_args is"),
        ({"time": {"synced": "true", "offset_seconds": None}}, "time.synced is not of the type"),
        ({"sha256": schema}, "sha256 is not of the type"),
        ({"surplus": None}, "surplus is not in the schema"),
    ],
)
def test_a_deviation_is_named_by_its_place(change: dict[str, Any], place: str) -> None:
    document = {**dict.fromkeys(schema.EVIDENCE), **change}
    (found,) = schema.deviations(document)
    assert found.startswith(place)


def test_what_is_not_known_deviates_from_nothing() -> None:
    assert list(schema.deviations(dict.fromkeys(schema.EVIDENCE))) == []


@pytest.mark.parametrize("key", sorted(schema.EVIDENCE))
def test_a_section_that_is_missing_is_named(key: str) -> None:
    document = dict.fromkeys(schema.EVIDENCE)
    del document[key]
    assert list(schema.deviations(document)) == [f"{key} is missing"]
