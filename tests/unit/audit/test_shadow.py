# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far the text of a user message may reach, and whose message it is."""

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.shadow import (
    SHADOW,
    closes_quote,
    reach_of,
    subject,
)

HEAD = b"type=USER msg=audit(1.000:5): pid=1 uid=0 auid=0 ses=1 subj=u:r:pod_t:s0:c1"
MESSAGE = HEAD + b" msg='hello'\n"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (MESSAGE, b"pod_t"),
        # Only the part that the kernel wrote counts.
        (HEAD.replace(b" subj=u:r:pod_t:s0:c1", b"") + b" msg='x subj=u:r:init_t:s0'\n", b"unknown"),
        (MESSAGE.replace(b"hello", b"subj=u:r:init_t:s0"), b"pod_t"),
        (b"subj=u:r:init_t:s0", b"unknown"),
    ],
)
def test_the_sender(text: bytes, kind: bytes) -> None:
    assert subject(text) == kind


@pytest.mark.parametrize(
    ("text", "closes"), [(b"a'\n", True), (b"a'\r\n", True), (b"a'", True), (b"a' \n", False), (b"a\n", False)]
)
def test_the_quote_at_the_end_of_a_line(text: bytes, closes: bool) -> None:
    assert closes_quote(text) is closes


def test_a_message_reaches_to_the_last_line_that_ends_with_its_quote() -> None:
    block = MESSAGE + b"type=EOE msg=audit(1.000:5): \n" + b"forged'\n" + b"type=AVC\n"
    assert reach_of(block, 0, True) == block.index(b"type=AVC")


def test_without_the_rest_of_the_stream_it_is_not_known() -> None:
    assert reach_of(MESSAGE, 0, False) == -1
    assert reach_of(MESSAGE + b"x" * SHADOW, 0, False) == len(MESSAGE)


@pytest.mark.parametrize("text", [MESSAGE.replace(b"\n", b"\r\n"), HEAD + b" msg=hello\n", b"x" * 500 + MESSAGE])
def test_where_the_quote_tells_nothing_it_may_reach_as_far_as_any(text: bytes) -> None:
    assert reach_of(text, 0, True) == SHADOW
