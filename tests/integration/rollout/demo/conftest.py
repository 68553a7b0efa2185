# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo's fleet after its rollout, for all tests that look at one: it takes most of a minute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from demo.run import SCENARIO
from integration import playbook
from simulator import Simulator


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[playbook.Finished]:
    """The demo's fleet, rolled out once."""
    directory = tmp_path_factory.mktemp("rollout")
    with Simulator(SCENARIO, directory / "fleet") as sim:
        before = {name: (node.boot_id, node.node_id) for name, node in sim.nodes.items()}
        run = playbook.run(
            sim,
            directory / "run",
            "talosops.selinux.rollout",
            variables=playbook.settings(sim, directory / "evidence"),
        )
        yield playbook.Finished(sim, run, directory, before, playbook.report(directory / "evidence"))
