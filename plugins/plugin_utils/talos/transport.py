# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One gRPC connection to a Talos API, by grpclib over Python's own ssl.

grpclib is adapted in four places, each because a default would hide a failure or leak one node's trouble into others:
the peer is checked before the first request is written; a connection counts only after the server's first frame,
since TLS 1.3 reports a refused client certificate only then; the end of a stream is believed only with its
trailers; and messages have a size limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any

from ..problem import Problem, missing_library
from . import wire
from .config import Address
from .diagnosis import Diagnosis
from .errors import PeerChanged, TlsFailure, WriteNeedsLook
from .tls import Deadlines, spki_fingerprint

try:
    from grpclib.client import Channel, Stream
    from grpclib.const import Cardinality
    from grpclib.encoding.base import CodecBase
    from grpclib.exceptions import ProtocolError, StreamTerminatedError
    from grpclib.metadata import Deadline
    from grpclib.protocol import H2Protocol
except ImportError as error:
    _GRPCLIB_ERROR: ImportError | None = error
    if not TYPE_CHECKING:
        # The classes below must still be definable where the library is absent, as in ansible-test's import test.
        class _Absent:
            def __class_getitem__(cls, item):
                return cls

        Channel = Stream = CodecBase = H2Protocol = _Absent
        ProtocolError = StreamTerminatedError = ConnectionError
else:
    _GRPCLIB_ERROR = None


class _Codec(CodecBase):
    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message.SerializeToString())

    def decode(self, data: bytes, message_type: Any) -> Any:
        return message_type.FromString(data)


class _Protocol(H2Protocol):
    """An HTTP/2 connection that remembers how it ended and whether the server ever spoke."""

    def __init__(self, inspect: Callable[[asyncio.BaseTransport], None], *parts: Any) -> None:
        super().__init__(*parts)
        self._inspect = inspect
        self._transport: asyncio.Transport | None = None
        self.secured = False
        self.settled = asyncio.Event()
        self.lost: BaseException | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise AssertionError("the connection is no stream")
        self._transport = transport
        try:
            self._inspect(transport)
        except Exception as error:
            # Nothing has been written yet, and nothing will be.
            self.lost = error
            self.settled.set()
            transport.abort()
            return
        super().connection_made(transport)
        self.secured = True

    def data_received(self, data: bytes) -> None:
        if not self.secured:
            return
        try:
            super().data_received(data)
        except Exception as error:
            # grpclib raises for frames it does not know; to the caller that is a broken peer, not a crash.
            self.lost = self.lost or error
            self.abort()
        if self.connection.is_closing():
            self.lost = self.lost or ConnectionResetError("closed on a protocol error or by GOAWAY")
        self.settled.set()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost = self.lost or exc or ConnectionResetError("closed by the peer")
        self.settled.set()
        if self.secured:
            super().connection_lost(exc)

    def abort(self) -> None:
        """Close at once; an orderly TLS shutdown would wait up to 30 s for a peer that may be frozen."""
        if self._transport is not None:
            self._transport.abort()


class _Stream(Stream[Any, Any]):
    """A call whose end is believed only when the trailers say so, and whose messages have a size limit."""

    most_bytes: int

    async def recv_message(self) -> Any:
        if not self._recv_initial_metadata_done:
            await self.recv_initial_metadata()
        with self._wrapper:
            head = await self._stream.recv_data(5)
            if head:
                length = int.from_bytes(head[1:5], "big")
                if head[0] or length > self.most_bytes:
                    raise ProtocolError(f"message of {length} bytes, compression flag {head[0]}")
                body = await self._stream.recv_data(length)
                if len(body) != length:
                    raise AssertionError("message cut short")
                return self._codec.decode(body, self._recv_type)
            if not self._trailers_only and self._stream.trailers is None:
                raise StreamTerminatedError("the stream ended without a status")
        # grpclib skips this when the connection is closing, which would turn an error status into a clean end.
        if not self._trailers_only and not self._recv_trailing_metadata_done:
            await self.recv_trailing_metadata()
        return None


class _Channel(Channel):
    def __init__(self, address: Address, tls: ssl.SSLContext, server_name: str, inspect: Any, timeout: float) -> None:
        super().__init__(address.host, address.port, ssl=tls, codec=_Codec())
        self._server_name = server_name
        self._inspect = inspect
        self._connect_timeout = timeout
        self.latest: _Protocol | None = None

    def _protocol_factory(self) -> H2Protocol:
        from grpclib.client import Handler

        self.latest = _Protocol(self._inspect, Handler(), self._config, self._h2_config)
        return self.latest

    async def _create_connection(self) -> H2Protocol:
        if self.latest is not None:
            # grpclib would connect anew, unseen, under a call that was meant for the peer of the first connection.
            raise ConnectionResetError("the connection was lost before the call")
        addresses = resolve(self._host, self._port)
        try:
            for address in addresses:
                try:
                    await self._loop.create_connection(
                        self._protocol_factory,
                        address,
                        self._port,
                        ssl=self._ssl,
                        server_hostname=self._server_name,
                        # The deadline around the whole connection comes first; this only keeps 60 s from applying.
                        ssl_handshake_timeout=self._connect_timeout + 1,
                        ssl_shutdown_timeout=0.1,
                    )
                    break
                except OSError as error:
                    # A name may stand for addresses of which only some can be connected from here.
                    if isinstance(error, ssl.SSLError) or address == addresses[-1]:
                        raise
            protocol = self.latest
            if protocol is None:
                raise AssertionError("the connection has no protocol")
            await protocol.settled.wait()
            if protocol.lost is not None:
                raise protocol.lost
        except BaseException:
            if self.latest is not None:
                self.latest.abort()
            raise
        return protocol


def resolve(host: str, port: int) -> list[str]:
    """The IP addresses of ``host``, in the system's order of preference.

    asyncio would resolve names in a thread; the collection runs inside Ansible, which forks, and a fork of a
    process with threads can hang. Nodes are named by addresses in all but a few inventories.

    Raises:
        OSError: the name service does not know it.
    """
    return list(dict.fromkeys(str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


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
        if _GRPCLIB_ERROR is not None:
            raise missing_library("grpclib", _GRPCLIB_ERROR)
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
        self._channel: _Channel | None = None
        self._looked = False

    @property
    def alive(self) -> bool:
        """True while the connection is open."""
        if self._channel is None or self._channel.latest is None:
            return False
        return self._channel.latest.lost is None and self._channel._connected

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
        self._channel = _Channel(self.address, self._tls, name, self._inspect, deadline)
        try:
            async with asyncio.timeout(deadline):
                await self._channel.__connect__()
        except Problem:
            raise
        except Exception as error:
            latest = self._channel.latest
            secured = latest is not None and latest.secured
            raise self.diagnosis.of_connection(error, secured=secured) from error
        self.peer_fingerprint = self._latest_fingerprint

    def close(self) -> None:
        """Drop the connection at once; safe to call twice."""
        self._looked = False
        channel, self._channel = self._channel, None
        if channel is None:
            return
        if channel.latest is not None:
            channel.latest.abort()
        # So that grpclib's finalizer does not warn about a connection it did not close itself.
        channel._protocol = None

    async def stream(self, method: wire.Method, request: Any, timeout: float | None) -> AsyncGenerator[Any, None]:
        """Send ``request`` once and yield each message of the answer; ends only on a status of OK.

        A write goes out only on the connection on which something was read before, never on a new one: whoever
        answers there may be another machine than the one that was looked at.

        Raises:
            WriteNeedsLook: a write without a look on the open connection; nothing was sent.
            TalosError: one subclass per failure kind.
        """
        if method.writes:
            await _hear()
            if not (self.alive and self._looked):
                raise self._no_look(method)
        received = 0
        call: _Stream | None = None
        task = asyncio.current_task()
        cancelled_before = task.cancelling() if task else 0
        try:
            await self.open()
            if self._channel is None:
                raise AssertionError("an open connection has no channel")
            call = _Stream(
                self._channel,
                method.path,
                self._headers(),
                Cardinality.UNARY_STREAM,
                wire.message(method.request),
                wire.message(method.reply),
                codec=self._channel._codec,
                status_details_codec=None,
                dispatch=self._channel.__dispatch__,
                deadline=None if timeout is None else Deadline.from_timeout(timeout),
            )
            call.most_bytes = method.most_bytes
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
            carried = getattr(getattr(call, "_stream", None), "data_received", 0)
            latest = self._channel.latest if self._channel is not None else None
            raise self.diagnosis.of_call(
                error,
                method,
                received=received or carried,
                timeout=timeout,
                lost=None if latest is None else latest.lost,
            ) from error

    async def unary(self, method: wire.Method, request: Any, timeout: float) -> Any:
        """Send ``request`` once and return the one message of the answer.

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

    def _headers(self) -> Any:
        from multidict import MultiDict

        return MultiDict({"node": self.forwarded_to} if self.forwarded_to else {})

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
