# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One fleet for each file of tests, well-behaved again before and after each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.probe.world import SCENARIO, World
from simulator import Simulator


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(SCENARIO, tmp_path_factory.mktemp("fleet")) as sim:
        yield sim


@pytest.fixture
def world(fleet: Simulator, tmp_path: Path) -> Iterator[World]:
    found = World(fleet, tmp_path)
    found.reset()
    yield found
    found.reset()
