# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One gRPC connection to a Talos API: whom it is pinned to, what may be sent over it, how its failures are named."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator
from typing import Any

from ..problem import Problem
from . import wire
from .channel import PeerChannel, PeerStream, require_library
from .config import Address
from .diagnosis import Diagnosis
from .errors import PeerChanged, TlsFailure, WriteNeedsLook
from .tls import Deadlines, spki_fingerprint


async def _hear() -> None:
    """Let the event loop deliver what already arrived, so that a connection which is lost is known to be."""
    for _unused in range(5):
        await asyncio.sleep(0)


class Connection:
    """A connection to one Talos API, either the node itself or an endpoint that forwards to it.

    Args:
        address: where to connect.
        tls: from mutual_tls or unverified_tls.
        node: whom the questions are for, in messages and (through an endpoint) in the ``node`` header.
        forwarded_to: the address for the ``node`` header; None for a direct connection.
        server_name: the name to verify instead of the address, for nodes behind NAT.
        fingerprints: when given, the peer's key must have one of them.

    The key that answers first is pinned for the life of this object: a later connection to another key fails, since
    the address may have become another machine's.

    Attributes:
        diagnosis: names the failures of this connection.
        peer_fingerprint: of the key that answered first, to which this object is pinned; None before that.
    """

    def __init__(
        self,
        address: Address,
        tls: ssl.SSLContext,
        *,
        node: str,
        deadlines: Deadlines,
        forwarded_to: str | None = None,
        server_name: str | None = None,
        fingerprints: frozenset[str] = frozenset(),
    ) -> None:
        require_library()
        self.address = address
        self.node = node
        self.forwarded_to = forwarded_to
        self.peer_fingerprint: str | None = None
        self._latest_fingerprint: str | None = None
        self._tls = tls
        self.diagnosis = Diagnosis(
            address, node, forwarded_to is not None, server_name or address.host, deadlines.connect
        )
        self._fingerprints = fingerprints
        self._channel: PeerChannel | None = None
        self._looked = False

    @property
    def alive(self) -> bool:
        """True while the connection is open."""
        return self._channel is not None and self._channel.alive

    async def open(self) -> None:
        """Connect, unless connected.

        Raises:
            PeerChanged: another key answers than on the first connection.
            Unreachable, TlsFailure, Unauthenticated: see ``Diagnosis.of_connection``.
        """
        if self.alive:
            return
        self.close()
        name, deadline = self.diagnosis.server_name, self.diagnosis.connect_deadline
        self._channel = PeerChannel(self.address, self._tls, name, self._inspect, deadline)
        try:
            async with asyncio.timeout(deadline):
                await self._channel.__connect__()
        except Problem:
            raise
        except Exception as error:
            raise self.diagnosis.of_connection(error, secured=self._channel.secured) from error
        self.peer_fingerprint = self._latest_fingerprint

    def close(self) -> None:
        """Drop the connection at once; safe to call twice."""
        self._looked = False
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.drop()

    async def stream(self, method: wire.Method, request: Any, timeout: float | None) -> AsyncGenerator[Any, None]:
        """Send ``request`` once and yield each message of the answer; ends only on a status of OK.

        A write goes out only on the connection on which something was read before, never on a new one: whoever
        answers there may be another machine than the one that was looked at.

        Args:
            timeout: seconds for the whole answer; None for one that does not end.

        Raises:
            WriteNeedsLook: a write without a look on the open connection; nothing was sent.
            TalosError: one subclass per failure kind.
        """
        if method.writes:
            await _hear()
            if not (self.alive and self._looked):
                raise self._no_look(method)
        received = 0
        call: PeerStream | None = None
        task = asyncio.current_task()
        cancelled_before = task.cancelling() if task else 0
        try:
            await self.open()
            if self._channel is None:
                raise AssertionError("an open connection has no channel")
            call = self._channel.call(method, {"node": self.forwarded_to} if self.forwarded_to else {}, timeout)
            async with call:
                await call.send_message(request, end=True)
                while (message := await call.recv_message()) is not None:
                    received += 1
                    yield message
            self._looked = self._looked or not method.writes
        except Problem:
            raise
        except Exception as error:
            # grpclib interrupts a waiting task by cancelling it and then swallows the cancellation; undo the count,
            # or an enclosing asyncio.timeout would mistake its own expiry for a foreign cancellation.
            while task is not None and task.cancelling() > cancelled_before:
                task.uncancel()
            # Messages that arrived together with a reset are never handed out, but they did arrive.
            arrived = 0 if call is None else call.arrived
            raise self.diagnosis.of_call(
                error,
                method,
                received=received or arrived,
                timeout=timeout,
                lost=None if self._channel is None else self._channel.lost,
            ) from error

    async def unary(self, method: wire.Method, request: Any, timeout: float) -> Any:
        """Send ``request`` once and return the one message of the answer, within ``timeout`` seconds.

        Raises:
            TalosError: one subclass per failure kind.
        """
        answer = None
        async with contextlib.aclosing(self.stream(method, request, timeout)) as messages:
            async for message in messages:
                if answer is not None:
                    raise self.diagnosis.invalid(method, "more than one message")
                answer = message
        if answer is None:
            raise self.diagnosis.invalid(method, "no message")
        return answer

    def _no_look(self, method: wire.Method) -> WriteNeedsLook:
        state = "nothing was read over the open connection" if self.alive else "the connection to it was lost"
        return WriteNeedsLook(
            f"{method.name} was not sent to node {self.node}: {state}",
            "whoever answers a new connection may be another machine than the one that was looked at",
            "run again, which looks at the machine from the beginning",
            node=self.node,
            method=method.name,
        )

    def _inspect(self, transport: asyncio.BaseTransport) -> None:
        secured = transport.get_extra_info("ssl_object")
        found = spki_fingerprint(secured.getpeercert(binary_form=True))
        if self._fingerprints and found not in self._fingerprints:
            raise self.diagnosis.error(
                TlsFailure,
                f"the key at {self.address} has the fingerprint {found}, which is not pinned",
                "another machine may have answered, and nothing was sent to it; or an earlier key was pinned: in one "
                "boot a machine makes up to three, as its addresses arrive, and serves the last",
                "pin the last fingerprint that the machine's console shows, once its addresses have settled",
                method="connect",
                fingerprint=found,
            )
        if found != (self.peer_fingerprint or found):
            raise self.diagnosis.error(
                PeerChanged,
                f"the key at {self.address} has the fingerprint {found}, and had {self.peer_fingerprint} before",
                "the address may have become another machine's, or the machine made a new key (at a restart, or for a "
                "new address); what was read before may not be about the machine that answers now, and nothing was "
                "sent to it",
                "run again, which looks at the machine that answers now from the beginning",
                method="connect",
                fingerprint=found,
                pinned=self.peer_fingerprint,
            )
        self._latest_fingerprint = found
        if secured.selected_alpn_protocol() != "h2":
            raise self.diagnosis.error(
                TlsFailure,
                f"{self.address} speaks TLS but not HTTP/2",
                "this is not the Talos API",
                "check the address and the port (50000)",
                method="connect",
            )
