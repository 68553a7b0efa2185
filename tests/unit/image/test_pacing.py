# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is left of the time of a whole answer."""

from __future__ import annotations

import time

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image import pacing


def test_after_the_deadline_nothing_is_left() -> None:
    assert 0 < pacing.left(time.monotonic() + 60) <= 60
    for end in (time.monotonic(), time.monotonic() - 1):
        with pytest.raises(TimeoutError, match="the deadline is over"):
            pacing.left(end)
