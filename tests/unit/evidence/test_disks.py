# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disks of a machine are known in whole, or not at all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.disks import FIELDS, disks_of

SDA = {"dev_path": "/dev/sda", "size": 1, "readonly": False, "cdrom": False}


def of(*specs: Any) -> Any:
    resources: Any = [SimpleNamespace(id=f"disk{9 - number}", spec=spec) for number, spec in enumerate(specs)]
    return disks_of(resources)


def test_what_is_left_out_is_empty() -> None:
    found = of({**SDA, "io_size": 512}, {**SDA, "serial": "S", "symlinks": ["/dev/x"], "rotational": True})
    assert found == [
        {**FIELDS, "name": "disk8", **SDA, "serial": "S", "symlinks": ["/dev/x"], "rotational": True},
        {**FIELDS, "name": "disk9", **SDA},
    ]
    assert of() == []


@pytest.mark.parametrize(
    "spec",
    [
        "text",
        {},
        {"dev_path": "/dev/sda", "size": 1, "readonly": False},
        {**SDA, "size": "1"},
        {**SDA, "size": True},
        {**SDA, "readonly": None},
        {**SDA, "serial": 7},
        {**SDA, "symlinks": "/dev/x"},
        {**SDA, "symlinks": [7]},
    ],
    ids=str,
)
def test_of_one_that_cannot_be_read_nothing_is_known(spec: Any) -> None:
    assert of(SDA, spec) is None


def test_of_no_answer_nothing_is_known() -> None:
    assert disks_of(None) is None
