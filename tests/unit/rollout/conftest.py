# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A ledger of one controller, by a clock that a test moves."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import Ledger

START = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(tmp_path, clock):
    return Ledger(tmp_path / "run" / "ledger.jsonl", run="r1", owner="host-a", now=clock)
