# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a node is asked: over which way, how often, and what of an answer is believed.

Reads are repeated when the connection failed in passing, over the next endpoint when there are several; what changes a
node is sent once, over the connection of the last look. A stream that breaks gives an error, not its first part.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from ..texts import printable
from . import wire
from .errors import (
    InvalidAnswer,
    NoForwarding,
    PeerChanged,
    TalosError,
    TlsFailure,
    TornStream,
    Unauthenticated,
    Unreachable,
)
from .tls import Deadlines
from .transport import Connection

T = TypeVar("T")

_TRIES = 3
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 2.0
# So many messages are taken before others may run.
_BREATH = 64


class Calls:
    """The ways to one node, and questions over them.

    Every method raises a TalosError subclass that says which kind of failure it was.

    Attributes:
        node: as the caller named it.
        notes: things that happened on the way and that matter as evidence, such as a log that was overtaken
            by its writer while it was read.
    """

    def __init__(
        self, node: str, ways: Sequence[Connection], deadlines: Deadlines, *, retry_first: bool = True
    ) -> None:
        self.node = node
        self.deadlines = deadlines
        self.notes: list[str] = []
        self._ways = list(ways)
        self._retry_first = retry_first
        self._way = self._ways[0]

    async def __aenter__(self) -> Self:
        try:
            await self._connected(time.monotonic() + self.deadlines.call)
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        # Lets the event loop finish the closing, so that a loop that ends now leaves no open socket behind.
        await asyncio.sleep(0)

    def close(self) -> None:
        """Drop the connection; safe to call twice."""
        for way in self._ways:
            way.close()

    @property
    def route(self) -> str:
        """``direct`` or ``endpoint``: the way that is in use."""
        return "direct" if self._way.forwarded_to is None else "endpoint"

    @property
    def endpoint(self) -> str | None:
        """The endpoint that forwards; None on the direct route."""
        return None if self._way.forwarded_to is None else str(self._way.address)

    @property
    def peer_fingerprint(self) -> str | None:
        """Base64 SHA-256 of the public key that answered (the endpoint's, on that route)."""
        return self._way.peer_fingerprint

    async def _connected(self, end: float) -> Connection:
        """The open connection, or a new one by the first way that can be opened, the present way first."""
        if self._way.alive:
            return self._way
        failures: list[TalosError] = []
        again = False
        for attempt in range(_TRIES):
            if attempt and not (again and await _pause(attempt - 1, end)):
                break
            again = False
            for way in self._in_order(first_try=attempt == 0):
                try:
                    await way.open()
                except TalosError as error:
                    if not _leads_on(way, error):
                        raise
                    failures.append(error)
                    again = again or error.retryable
                else:
                    self._way = way
                    return way
        raise self._on_no_way(failures)

    def _in_order(self, *, first_try: bool) -> list[Connection]:
        start = self._ways.index(self._way)
        turned = self._ways[start:] + self._ways[:start]
        if first_try or self._retry_first:
            return turned
        return [way for way in turned if way is not self._ways[0]]

    def _abandon(self) -> None:
        """Go on with the next way, which is the same one again where there is no other."""
        self._way.close()
        self._way = self._ways[(self._ways.index(self._way) + 1) % len(self._ways)]

    def _on_no_way(self, failures: Sequence[TalosError]) -> TalosError:
        """The error for a node that no way leads to: the one there is, or one that names what each way gave."""
        last = failures[-1]
        if len(self._ways) == 1:
            return last
        tried = "; ".join(dict.fromkeys(printable(failure.found) for failure in failures))
        kinds = {type(failure) for failure in failures}
        return (type(last) if len(kinds) == 1 else Unreachable)(
            f"node {self.node} cannot be reached on any way: {tried}",
            "neither the node's own port nor an endpoint gives an answer of the node",
            last.do if len(kinds) == 1 else "check the endpoints and the network path to them",
            node=self.node,
            method=last.method,
        )

    async def _repeat(self, budget: float, ask: Callable[[Connection, float], Awaitable[T]]) -> T:
        """Ask until an answer comes, a lasting failure comes, or ``budget`` seconds are over."""
        end = time.monotonic() + budget
        attempt = 0
        torn_once = False
        abandoned: list[TalosError] = []
        while True:
            way = await self._connected(end)
            try:
                return await ask(way, max(end - time.monotonic(), 0.001))
            except TornStream as error:
                # Again from the start; parts are never joined, since the log moved on in between.
                if error.context.get("overtaken"):
                    # The writer overtook the reader: more is written than can be read, which is evidence.
                    self.notes.append(f"{error.method}: the log overtook its reader, a flood of records")
                elif torn_once:
                    raise
                else:
                    torn_once = True
                failure: TalosError = error
            except TalosError as error:
                failure = error
                if len(self._ways) > 1 and _leads_on(way, error):
                    abandoned.append(error)
                    if len(abandoned) >= max(_TRIES, len(self._ways)):
                        raise self._on_no_way(abandoned) from error
                    self._abandon()
                elif not error.retryable:
                    raise
            attempt += 1
            if attempt >= max(_TRIES, len(self._ways)) or not await _pause(attempt - 1, end):
                raise self._on_no_way(abandoned) if abandoned else failure

    async def _unary(self, name: str, /, **fields: Any) -> Any:
        method = wire.METHODS[name]
        request = wire.message(method.request)(**fields)
        if method.writes:
            # Neither repeated nor sent anew elsewhere: the node may have begun to act on it.
            return await self._way.unary(method, request, self.deadlines.call)
        return await self._repeat(self.deadlines.call, lambda way, left: way.unary(method, request, left))

    async def _machine(self, name: str, /, **fields: Any) -> Any:
        """The one message inside a MachineService answer, with a forwarded error brought to light."""
        answer = await self._unary(name, **fields)
        if len(answer.messages) != 1:
            raise self._invalid(name, f"{len(answer.messages)} messages where one node answers with one")
        self._check_metadata(answer.messages[0], name)
        return answer.messages[0]

    async def _collect(
        self,
        name: str,
        take: Callable[[Any], T],
        /,
        *,
        most_messages: int,
        most_bytes: int,
        **fields: Any,
    ) -> list[T]:
        """What ``take`` makes of every message of a stream, or nothing when the stream did not end properly.

        Messages that have arrived are handed out without a pause, so that neither the call's deadline nor the node's
        could fire while a peer sends as fast as its messages are taken; so both are looked at here.
        """
        method = wire.METHODS[name]
        request = wire.message(method.request)(**fields)

        async def ask(way: Connection, left: float) -> list[T]:
            end = time.monotonic() + left
            taken: list[T] = []
            size = 0
            async with contextlib.aclosing(way.stream(method, request, left)) as messages:
                async for message in messages:
                    size += message.ByteSize()
                    if size > most_bytes:
                        raise self._invalid(name, f"more than {most_bytes} bytes")
                    taken.append(take(message))
                    if len(taken) > most_messages:
                        raise self._invalid(name, f"more than {most_messages} messages")
                    if time.monotonic() > end:
                        raise way.diagnosis.too_late(method, left)
                    if len(taken) % _BREATH == 0:
                        await asyncio.sleep(0)
            return taken

        return await self._repeat(self.deadlines.log, ask)

    async def _follow(self, name: str, /, **fields: Any) -> AsyncGenerator[Any, None]:
        method = wire.METHODS[name]
        way = await self._connected(time.monotonic() + self.deadlines.call)
        async with contextlib.aclosing(way.stream(method, wire.message(method.request)(**fields), None)) as messages:
            async for message in messages:
                yield message

    def _check_metadata(self, message: Any, name: str) -> None:
        """An endpoint that fans out reports a dead node as a message that holds only an error."""
        if not message.HasField("metadata"):
            return
        metadata = message.metadata
        if metadata.error or metadata.status.code:
            text = metadata.status.message or metadata.error
            # Status 2, unknown, for an error that carries no code.
            error = self._way.diagnosis.from_status(metadata.status.code or 2, text, wire.METHODS[name])
            if not metadata.status.code and "grpc_status" in error.context:
                # Nobody knows whose error it is: an endpoint words what broke between it and the node like this.
                error.context["grpc_status"] = None
            raise error

    def _invalid(self, name: str, what: str) -> InvalidAnswer:
        return InvalidAnswer(
            f"node {self.node} answered {name} with {what}",
            "an answer that is not understood must not count as a good one",
            "check the node; if it is healthy, this Talos version answers in a way that the collection does not know",
            node=self.node,
            method=name,
        )


def _leads_on(way: Connection, error: TalosError) -> bool:
    """Whether another way may do better: this one cannot be connected, or is an endpoint that cannot forward.

    What the node itself said is final, and so is a key that changed.
    """
    if isinstance(error, PeerChanged):
        return False
    if isinstance(error, Unreachable):
        return True
    if way.forwarded_to is None:
        return False
    if error.method == "connect":
        return isinstance(error, (TlsFailure, Unauthenticated))
    return isinstance(error, (NoForwarding, TlsFailure))


async def _pause(attempt: int, end: float) -> bool:
    """Wait before the next try, longer each time; False when the time until ``end`` does not allow it."""
    pause = min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE)
    # Jitter keeps a fleet read from hitting a restarted endpoint with all nodes at once.
    pause *= 0.5 + random.random() / 2
    if time.monotonic() + pause >= end:
        return False
    await asyncio.sleep(pause)
    return True
