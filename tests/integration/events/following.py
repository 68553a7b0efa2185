# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the event source over a simulated fleet, in this process, until something was told."""

from __future__ import annotations

import asyncio
import contextlib
import runpy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from integration import playbook
from simulator import Simulator

SOURCE = playbook.ROOT / "extensions" / "eda" / "plugins" / "event_source" / "denials.py"
MAIN = runpy.run_path(str(SOURCE))["main"]


class Collected:
    """A queue that remembers; with feedback it gives every event back, as ansible-rulebook does."""

    def __init__(self, state: Path | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.feedback: asyncio.Queue[Any] = asyncio.Queue()
        self._state = state
        self._before: set[tuple[str, int, int]] | None = None

    async def put(self, event: dict[str, Any]) -> None:
        self._before = self._written()
        self.events.append(event["talos"])
        await self.feedback.put(event)

    def is_written_down(self) -> bool:
        """Whether the source wrote down the last event that it handed over: then it hands it over no more."""
        return self._before is None or self._before != self._written()

    def _written(self) -> set[tuple[str, int, int]]:
        found = set()
        for path in [] if self._state is None else self._state.glob("*"):
            with contextlib.suppress(FileNotFoundError):
                known = path.stat()
                found.add((path.name, known.st_ino, known.st_mtime_ns))
        return found

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] in kinds]


def follow(
    sim: Simulator,
    state: Path,
    until: Callable[[Collected], bool],
    *,
    nodes: list[str] | None = None,
    during: Callable[[Collected], None] | None = None,
    feedback: bool = False,
    **arguments: Any,
) -> Collected:
    """Run the source until a condition holds and what it reported is written down.

    ``during`` is called once, after every node was visited, and one of them by this source.
    """
    queue, calls = Collected(state), len(sim.calls)

    async def work() -> None:
        args: dict[str, Any] = {
            "state": str(state),
            "talosconfig": str(sim.directory / "talosconfig"),
            "context": "reader",
            "nodes": nodes or [node.address for node in sim.nodes.values()],
            "poll_seconds": 0.2,
            **arguments,
        }
        if feedback:
            args["eda_feedback_queue"] = queue.feedback
        task = asyncio.create_task(MAIN(queue, args))
        done_during = during is None
        while not (done_during and until(queue)) and not task.done():
            visited = len(sim.calls) > calls and len(list(state.glob("*.json"))) >= len(args["nodes"])
            if not done_during and visited:
                assert during is not None
                await asyncio.to_thread(during, queue)
                done_during = True
            await asyncio.sleep(0.05)
        # What an engine does not give back is never written down.
        end = time.monotonic() + 5
        while not (queue.is_written_down() or task.done()) and time.monotonic() < end:
            await asyncio.sleep(0.02)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(work())
    return queue


def settled(state: Path, nodes: int) -> Callable[[Collected], bool]:
    """Whether so many machines have a cursor."""
    return lambda _queue: len(list(state.glob("*.json"))) >= nodes
