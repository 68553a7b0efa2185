# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a security context says."""

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log import contexts


@pytest.mark.parametrize(
    ("context", "kind"),
    [
        (b"u:r:pod_t:s0", b"pod_t"),
        (b"u:r:pod_t", b"pod_t"),
        (b"u:r:pod_t:s0:c1,c2", b"pod_t"),
        (b"u:r", b"u:r"),
        (b"u:r:", b"u:r:"),
        (b"", b""),
    ],
)
def test_the_type_of_a_context(context: bytes, kind: bytes) -> None:
    assert contexts.context_type(context) == kind


@pytest.mark.parametrize(
    ("context", "found"),
    [
        (b"u:r:t:s0:c1", {1}),
        (b"u:r:t:s0:c0.c3,c9", {0, 1, 2, 3, 9}),
        (b"u:r:t:s0:c1-s0:c2.c4", {2, 3, 4}),
        (b"u:r:t:s0-s0", set()),
        (b"u:r:t", set()),
        (b"u:r", None),
        (b"u:r:t:s0:c4096", {4096}),
        (b"u:r:t:s0:c4097", None),
        (b"u:r:t:s0:c3.c1", None),
        (b"u:r:t:s0:c", None),
        (b"u:r:t:s0:c1,x", None),
    ],
)
def test_the_categories_of_a_context(context: bytes, found: set[int] | None) -> None:
    assert contexts.categories(context) == found


@pytest.mark.parametrize(
    ("source", "target", "tclass", "refused"),
    [
        (b"u:r:pod_t:s0:c1", b"u:r:t:s0:c1,c2", b"file", True),
        (b"u:r:pod_t:s0:c1,c2", b"u:r:t:s0:c1", b"file", False),
        (b"u:r:pod_t:s0:c1", b"u:r:t:s0:c2", None, True),
        (b"u:r:pod_t:s0:c1", b"u:r:t:s0:c2", b"tcp_socket", False),
        (b"u:r:init_t:s0", b"u:r:t:s0:c2", b"file", False),
        (b"u:r", b"u:r:t:s0:c2", b"file", False),
        (b"u:r:pod_t:s0", b"u:r:t:s0:x", b"file", False),
    ],
)
def test_what_categories_refuse(source: bytes, target: bytes, tclass: bytes | None, refused: bool) -> None:
    assert contexts.refused_by_categories(source, target, tclass) is refused
