# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The simulator for tests: a fleet in a thread of its own, ready when entered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from . import scenario as scenarios
from .fleet import Fleet
from .node import Node
from .wire import Call

T = TypeVar("T")


class Simulator:
    """Run a scenario (mapping, YAML text or path) with its files in ``directory``."""

    def __init__(self, scenario: Mapping[str, Any] | str | Path, directory: Path | str) -> None:
        self.directory = Path(directory)
        self._scenario = scenarios.load(scenario)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulator", daemon=True)
        self.fleet = Fleet(self._scenario, self.directory)

    def __enter__(self) -> Simulator:
        self._thread.start()
        try:
            self.run(self.fleet.start())
        except BaseException:
            self._finish()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish()
        if kind is None and self.fleet.errors:
            raise AssertionError(f"the simulator itself failed: {self.fleet.errors[0]!r}") from self.fleet.errors[0]

    def _finish(self) -> None:
        try:
            self.run(self.fleet.stop())
            self.run(self._drain())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _drain(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the fleet's event loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    # -- what tests look at --

    @property
    def nodes(self) -> dict[str, Node]:
        """The nodes by name."""
        return self.fleet.nodes

    @property
    def factory_url(self) -> str:
        """URL of the Image Factory."""
        return self.fleet.connection["factory_url"]

    @property
    def control_url(self) -> str:
        """URL of the control API."""
        return self.fleet.connection["control_url"]

    @property
    def calls(self) -> list[Call]:
        """Every call so far, in the order in which they ended."""
        return list(self.fleet.calls)

    def writes(self) -> list[Call]:
        """Calls that asked to change the world, Talos and Kubernetes."""
        return self.fleet.writes()

    def upgrades(self) -> list[Call]:
        """Calls of any upgrade method; tests want none."""
        return self.fleet.upgrades()

    def wait_for(self, name: str, state: str, *, ready: bool | None = None, timeout: float = 200) -> Node:
        """Wait until a node is in a stage. Raises TimeoutError."""

        async def wait() -> None:
            node = self.nodes[name]
            while node.state != state or (ready is not None and node.ready != ready):
                await node.changed.wait()

        self.run(asyncio.wait_for(wait(), timeout))
        return self.nodes[name]

    # -- what tests do --

    def set_fault(self, name: str, fault: str, value: Any = True) -> None:
        """Switch a node's fault on."""
        self.run(self.fleet.set_fault(name, fault, value))

    def clear_fault(self, name: str, fault: str) -> None:
        """Switch a node's fault off."""
        self.run(self.fleet.clear_fault(name, fault))

    def add_denial(self, name: str, denial: Any) -> None:
        """Let a node log one more denial."""
        self.run(self.fleet.add_denial(name, denial))

    def step_clock(self, name: str, seconds: float) -> None:
        """Set a node's wall clock forwards or back, as NTP does that finds it wrong."""
        self.run(self.fleet.step_clock(name, seconds))

    def swap_addresses(self, name: str, other: str) -> None:
        """Let two machines change their addresses."""
        self.run(self.fleet.swap_addresses(name, other))

    def console(self, name: str) -> str:
        """What a node's console shows of its present boot."""
        return self.nodes[name].console()

    def advance(self, seconds: float) -> None:
        """Let simulated time pass on every machine at once, with what they log meanwhile."""
        self.run(self.fleet.advance(seconds))

    def boot_medium(
        self,
        name: str,
        *,
        schematic: Mapping[str, Any] | str | None = None,
        version: str | None = None,
        kernel_args: list[str] | None = None,
        once: bool = True,
    ) -> None:
        """Insert a boot medium and select it for the next start through the firmware."""
        medium = {"schematic": schematic, "version": version, "kernel_args": kernel_args}
        self.run(self.fleet.boot_medium(name, medium, once=once))

    def eject_medium(self, name: str) -> None:
        """Remove a node's boot medium."""
        self.run(self.fleet.eject_medium(name))

    def new_system(
        self,
        name: str,
        *,
        version: str | None = None,
        kernel_args: list[str] | None = None,
        wiped: bool | Sequence[str] = False,
    ) -> None:
        """What somebody did by hand: another system on a node's disk, by an upgrade or (``wiped``) by an install.

        With the labels of some partitions, these were wiped before the upgrade.
        """
        self.run(self.fleet.new_system(name, version=version, kernel_args=kernel_args, wiped=wiped))

    def power_on(self, name: str) -> None:
        """Start a machine that is down."""
        self.run(self.fleet.power_on(name))

    def power_off(self, name: str) -> None:
        """Cut a machine's power."""
        self.run(self.fleet.power_off(name))

    def restart(self, name: str) -> None:
        """Restart a machine through its firmware; returns when it is in another boot."""
        self.run(self.fleet.restart(name))
