# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests against simulated nodes share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import Deadlines, NodeClient, connect
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Context, Talosconfig
from simulator import Simulator

T = TypeVar("T")

VERSIONS = {"v1-10": "v1.10.9", "v1-11": "v1.11.6", "v1-12": "v1.12.11", "v1-13": "v1.13.9", "v1-14": "v1.14.1"}


class Lab:
    """A running simulator and short ways to ask its nodes."""

    def __init__(self, simulator: Any, directory: Path) -> None:
        self.sim = simulator
        self.directory = directory

    def context(self, name: str | None = None) -> Context:
        """A context of the simulator's talosconfig: admin, operator, reader or expired."""
        return Talosconfig.load(str(self.directory / "talosconfig")).context(name)

    def address(self, node: str) -> str:
        """Where the node's API listens."""
        return str(self.sim.nodes[node].address)

    def client(self, node: str, *, role: str = "admin", **how: Any) -> NodeClient:
        """A client for the node, not yet connected."""
        return connect(self.context(role), self.address(node), **how)

    def ask(self, node: str, question: Callable[[NodeClient], Awaitable[T]], **how: Any) -> T:
        """The answer of one node to one question; raises what the client raises."""

        async def go() -> T:
            async with self.client(node, **how) as client:
                return await question(client)

        return fleet.run(go())

    def seen(self, node: str) -> list[str]:
        """The short names of the methods that the node was asked, in order."""
        return [call.method.rpartition("/")[2] for call in self.sim.calls if call.node == node]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three control planes, two workers of the same release, and one worker of each release line."""
    nodes: dict[str, Any] = {f"cp-{number}": {"role": "controlplane"} for number in (1, 2, 3)}
    nodes |= {"worker-1": {"role": "worker"}, "worker-2": {"role": "worker"}}
    nodes |= {name: {"role": "worker", "talos": version} for name, version in VERSIONS.items()}
    directory = tmp_path_factory.mktemp("lab")
    scenario = {"name": "client", "talos": "v1.14.1", "time_scale": 600, "nodes": nodes}
    with Simulator(scenario, directory) as simulator:
        yield Lab(simulator, directory)


@pytest.fixture
def short() -> Deadlines:
    """Deadlines for the cases that must run into them."""
    return Deadlines(connect=3, call=1.5, log=1.5)
