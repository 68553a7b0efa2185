# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a machine does things by itself: its background task, simulated time, and the events that tell of it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from .proto import make

if TYPE_CHECKING:
    from .node import Node

# Simulated seconds; divided by the scenario's time_scale.
DRAIN, DRAIN_TIMEOUT, LEAVE, LEAVE_TIMEOUT, STOP, WIPE = 10, 300, 3, 300, 8, 3
KEXEC, FIRMWARE, INITIALIZE, BOOT, INSTALL, RETRY, KUBELET, LEARNER = 8, 40, 6, 10, 40, 15, 10, 12

NOOP, START, STOPPED = 0, 1, 2
FATAL, LOCKED = 0, 1


def new_actor() -> str:
    """Id by which the events of one request are found."""
    return str(uuid.uuid4())


async def sleep(node: Node, seconds: float) -> None:
    """Let simulated seconds pass."""
    await asyncio.sleep(seconds / node.fleet.scenario.time_scale)


async def followed(node: Node, actor: str) -> None:
    """Stay up until somebody follows this work's events, or for 15 seconds of ours.

    Whoever asked for the work has 18 s on real Talos to follow it; of simulated ones there is a moment left.
    """
    until = time.monotonic() + 15
    while node.fleet.scenario.time_scale > 1 and actor not in node.followed and time.monotonic() < until:
        await asyncio.sleep(0.02)


def sequence(node: Node, actor: str, name: str, action: int, error: str = "", *, code: int = FATAL) -> None:
    """Tell that a sequence begins, ends, or does nothing."""
    message = make("machine.SequenceEvent", sequence=name, action=action)
    if error:
        message.error.message, message.error.code = error, code
    node.add_event("machine.SequenceEvent", message.SerializeToString(), actor)


def phase(node: Node, actor: str, name: str) -> None:
    """Tell of a phase of a sequence."""
    for action in (0, 1):
        payload = make("machine.PhaseEvent", phase=name, action=action).SerializeToString()
        node.add_event("machine.PhaseEvent", payload, actor)


def stop_everything(node: Node, actor: str) -> None:
    """The last events before the API goes down: talosctl waits for this very task."""
    name, task = "machine.TaskEvent", "stopAllServices"
    for action in (0, 1):
        node.add_event(name, make(name, task=task, action=action).SerializeToString(), actor)


def start(node: Node, work: Coroutine[Any, Any, None]) -> None:
    """Run a node's own background work; what it was doing before ends."""
    if node.task is not None and not node.task.done() and node.task is not asyncio.current_task():
        node.task.cancel()

    async def run() -> None:
        # The caller gets its answer before its connection is cut, whatever the time scale.
        await asyncio.sleep(0.05)
        try:
            await work
        except Exception as error:
            node.fleet.errors.append(error)
            raise

    node.task = asyncio.get_running_loop().create_task(run())
    # Cancelled before its first step, the work itself was never started.
    node.task.add_done_callback(lambda _task: work.close())
