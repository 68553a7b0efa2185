# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all tests of the gate share."""

from __future__ import annotations

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import Policy, load_policy


@pytest.fixture(scope="session")
def strict() -> Policy:
    """The built-in policy."""
    return load_policy("strict")
