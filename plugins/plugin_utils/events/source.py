# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Follow many nodes at once and put what happens on them into a queue.

A node's cursor is written after its events were put (or, with feedback, after each was taken). So a source that is
killed loses nothing, and repeats at most the events of the visits that were under way: their ids are the same.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ..audit.knowledge.catalogue import Catalogue
from ..problem import Problem
from ..talos.client import NodeClient
from ..talos.errors import TalosError
from .cursor import CursorProblem, Cursors
from .event import Event
from .waivers import WaiverWatch
from .watch import Visit, silent, unseen, visit

logger = logging.getLogger(__name__)
#: How long an event may be with the rule engine before that is said in the log.
_FEEDBACK_SECONDS = 60.0


class Queue(Protocol):
    """What events are put into."""

    async def put(self, event: dict[str, Any]) -> None:
        """Hand over one event."""


@dataclass
class Source:
    """Many nodes, one queue.

    Attributes:
        nodes: addresses.
        connect: an unopened client for an address.
        waivers: those of the fleet, watched too; None when there are none.
        feedback: gives each event back once it was taken; None when nobody does.
        poll: seconds between two visits to one node.
        most: records of one signature told individually in one visit.
        in_flight: nodes visited at the same time.
        node_deadline: seconds for one visit.
        store: the audit stores, with the enforcement probes in them; None where nobody probes.
    """

    nodes: Sequence[str]
    connect: Callable[[str], NodeClient]
    queue: Queue
    cursors: Cursors
    catalogue: Catalogue
    waivers: WaiverWatch | None = None
    feedback: asyncio.Queue[Any] | None = None
    poll: float = 10.0
    most: int = 5
    in_flight: int = 32
    node_deadline: float = 45.0
    store: Path | None = None

    async def run(self) -> None:
        """Follow all nodes until cancelled."""
        self._delivering = asyncio.Lock()
        places = asyncio.Semaphore(self.in_flight)
        first_run = self.cursors.first_run
        async with asyncio.TaskGroup() as group:
            for node in self.nodes:
                group.create_task(self._follow(node, places, first_run))
            if self.waivers is not None:
                group.create_task(self._follow_waivers(self.waivers))

    async def _follow(self, node: str, places: asyncio.Semaphore, first_run: bool) -> None:
        never_seen = False
        while True:
            async with places:
                found = await self._visit(node, first_run)
            if isinstance(found, Visit):
                if await self._deliver_visit(found):
                    first_run = False
            elif not never_seen:
                # Without a machine there is no cursor, so this is said once in each run.
                async with self._delivering:
                    await self._deliver([unseen(node, found)], lambda: None)
                never_seen = True
            await asyncio.sleep(self.poll)

    async def _follow_waivers(self, waivers: WaiverWatch) -> None:
        while True:
            try:
                events, keep = await asyncio.to_thread(waivers.look, dt.datetime.now(dt.UTC))
            except Exception:
                # As of a node: a strange file must not end the watch over all nodes.
                logger.exception("looking at the waivers")
            else:
                async with self._delivering:
                    await self._deliver(events, keep)
            await asyncio.sleep(self.poll)

    async def _visit(self, node: str, first_run: bool) -> Visit | str:
        """What a visit brought; why there was none, for a node of which no machine was ever seen."""
        found = ""
        try:
            async with asyncio.timeout(self.node_deadline), self.connect(node) as client:
                return await visit(
                    client,
                    node,
                    self.cursors,
                    most=self.most,
                    catalogue=self.catalogue,
                    first_run=first_run,
                    store=self.store,
                )
        except (Problem, TimeoutError) as problem:
            found = problem.found if isinstance(problem, TalosError) else f"{node} was not read in time"
        except Exception as error:
            # One node's strange answer must not end the watch over all others.
            logger.exception("visiting %s", node)
            found = f"reading {node} ended with an unexpected {type(error).__name__}"
        known = self.cursors.of_node(node)
        return silent(known, found) if known is not None else found

    async def _deliver_visit(self, found: Visit) -> bool:
        """Hand over what a visit brought, unless its machine was visited by another address meanwhile."""
        async with self._delivering:
            if self.cursors.of_machine(found.cursor.uuid) is not found.since:
                return False
            await self._deliver(found.events, partial(self.cursors.keep, found.cursor))
        return True

    async def _deliver(self, events: Sequence[Event], keep: Callable[[], None]) -> None:
        """One after the other, so that what comes back is what was handed over; then write down that it was."""
        for event in events:
            await self._put(event)
        while True:
            try:
                # It waits for the disk, and nobody else has to.
                await asyncio.to_thread(keep)
            except CursorProblem as problem:
                # To go on would report everything again, to end would report to nobody that a disk is full.
                logger.error("nothing more is reported until this can be kept: %s", problem)
                await asyncio.sleep(self.poll)
            else:
                return

    async def _put(self, event: Event) -> None:
        await self.queue.put({"talos": event})
        while self.feedback is not None:
            try:
                # Not wait_for, which before Python 3.12 can take a cancellation for the end of the time.
                async with asyncio.timeout(_FEEDBACK_SECONDS):
                    await self.feedback.get()
                return
            except TimeoutError:
                # It is not put again: a rule engine that is only busy would act on it twice.
                logger.warning(
                    "the rule engine has not returned event %s yet; nothing is reported meanwhile", event["id"]
                )
