# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node tells of its own image is hostile input: a text that is no schematic is not known, and harms nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.sections import (
    schematic_of,
    user_volumes_section,
)

ID = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"


def schematic(text: Any) -> dict[str, Any] | None:
    """What is known of the schematic of a node whose extension has this text."""
    metadata = {"name": "schematic", "version": ID, "extraInfo": text}
    return schematic_of(None, [SimpleNamespace(spec={"metadata": metadata})])


def test_the_text_of_an_honest_schematic_is_read() -> None:
    text = (
        "customization:\n  extraKernelArgs: [enforcing=0, audit=1]\n"
        "  systemExtensions:\n    officialExtensions: [siderolabs/gvisor]\n"
    )
    assert schematic(text) == {
        "id": ID,
        "source": "extension",
        "kernel_args": ["enforcing=0", "audit=1"],
        "extensions": ["siderolabs/gvisor"],
        "text": text,
    }
    empty = schematic("customization: {}\n")
    assert empty is not None and empty["kernel_args"] == [] and empty["extensions"] == []


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "# nothing but a comment",
        "customization: of the other kind",
        "customization: [extraKernelArgs]",
        "customization: {extraKernelArgs: enforcing=0}",
        "customization: {extraKernelArgs: [{a: b}]}",
        "customization: {extraKernelArgs: [1]}",
        "customization: {systemExtensions: [a]}",
        "customization: {systemExtensions: {officialExtensions: {a: b}}}",
        "customization: &a {extraKernelArgs: [*a]}",
        "a: &a [x, x]\nb: &b [*a, *a]\ncustomization: {extraKernelArgs: *b}",
        "customization: !!python/object/apply:os.system [id]",
        "[" * 200_000,
        "- " * 100_000,
        "{" * 50_000 + "}" * 50_000,
        "\x00customization: {}",
        "customization: {}\n---\ncustomization: {}",
    ],
)
def test_a_text_that_is_no_schematic_is_not_known(text: str | None) -> None:
    found = schematic(text)
    assert found is not None and found["id"] == ID
    assert found["kernel_args"] is None and found["extensions"] is None and found["text"] is None


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        (["META", "STATE", "EPHEMERAL", "/var/lib"], []),
        (["u-data", "EPHEMERAL"], ["u-data"]),
        (["r-ceph", "e-archive", "u-data"], ["e-archive", "r-ceph", "u-data"]),
        (["s-swap", "x-nfs"], []),
        (None, None),
    ],
    ids=["none", "user", "raw and existing", "without data of the disk", "not read"],
)
def test_every_kind_of_volume_that_a_wipe_may_destroy_is_named(ids: list[str] | None, found: list[str] | None) -> None:
    volumes = None if ids is None else [SimpleNamespace(id=one) for one in ids]
    assert user_volumes_section({"volume_statuses": volumes}) == found
