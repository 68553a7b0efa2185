# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""grpclib's channel and stream, adapted where a default would hide a failure or leak one node's trouble into others.

The peer is checked before the first request is written; a connection counts only after the server's first frame,
since TLS 1.3 reports a refused client certificate only then; the end of a stream is believed only with its
trailers; and messages have a size limit.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..problem import missing_library
from . import wire
from .config import Address

try:
    from grpclib.client import Channel, Handler, Stream
    from grpclib.const import Cardinality
    from grpclib.encoding.base import CodecBase
    from grpclib.exceptions import ProtocolError, StreamTerminatedError
    from grpclib.metadata import Deadline
    from grpclib.protocol import H2Protocol
    from multidict import MultiDict
except ImportError as error:
    _IMPORT_ERROR: ImportError | None = error
    if not TYPE_CHECKING:
        # The classes below must still be definable where the library is absent, as in ansible-test's import test.
        class _Absent:
            def __class_getitem__(cls, item):
                return cls

        Channel = Stream = CodecBase = H2Protocol = _Absent
        ProtocolError = StreamTerminatedError = ConnectionError
else:
    _IMPORT_ERROR = None


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


class PeerStream(Stream[Any, Any]):
    """A call whose end is believed only when the trailers say so, and whose messages have a size limit."""

    most_bytes: int

    @property
    def arrived(self) -> int:
        """The bytes of messages that arrived, also of such as were never handed out."""
        return int(getattr(getattr(self, "_stream", None), "data_received", 0))

    async def recv_message(self) -> Any:
        """The next message, or None at an end that the trailers confirm.

        Raises:
            ProtocolError: the message is compressed, or longer than ``most_bytes``.
            StreamTerminatedError: the stream ended without a status.
        """
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


class PeerChannel(Channel):
    """A channel to one peer: it connects once, and a call never goes to whoever answers a second time.

    Args:
        server_name: the name that the peer's certificate must have.
        inspect: called with the transport before anything is written; what it raises ends the connection.
        timeout: seconds for the TLS handshake.
    """

    def __init__(
        self,
        address: Address,
        tls: ssl.SSLContext,
        server_name: str,
        inspect: Callable[[asyncio.BaseTransport], None],
        timeout: float,
    ) -> None:
        super().__init__(address.host, address.port, ssl=tls, codec=_Codec())
        self._server_name = server_name
        self._inspect = inspect
        self._connect_timeout = timeout
        self._latest: _Protocol | None = None

    @property
    def alive(self) -> bool:
        """True while the connection is open."""
        return self._latest is not None and self._latest.lost is None and bool(self._connected)

    @property
    def secured(self) -> bool:
        """Whether the peer passed the inspection."""
        return self._latest is not None and self._latest.secured

    @property
    def lost(self) -> BaseException | None:
        """Why the connection was lost; None while it is not, or never was one."""
        return None if self._latest is None else self._latest.lost

    def call(self, method: wire.Method, headers: Mapping[str, str], timeout: float | None) -> PeerStream:
        """A call that was not sent yet; ``timeout`` in seconds, None for one without an end."""
        # Any, since grpclib's own type for it is private.
        metadata: Any = MultiDict(headers)
        call = PeerStream(
            self,
            method.path,
            metadata,
            Cardinality.UNARY_STREAM,
            wire.message(method.request),
            wire.message(method.reply),
            codec=self._codec,
            status_details_codec=None,
            dispatch=self.__dispatch__,
            deadline=None if timeout is None else Deadline.from_timeout(timeout),
        )
        call.most_bytes = method.most_bytes
        return call

    def drop(self) -> None:
        """Close at once."""
        if self._latest is not None:
            self._latest.abort()
        # So that grpclib's finalizer does not warn about a connection it did not close itself.
        self._protocol = None

    def _protocol_factory(self) -> H2Protocol:
        self._latest = _Protocol(self._inspect, Handler(), self._config, self._h2_config)
        return self._latest

    async def _create_connection(self) -> H2Protocol:
        if self._latest is not None:
            # grpclib would connect anew, unseen, under a call that was meant for the peer of the first connection.
            raise ConnectionResetError("the connection was lost before the call")
        addresses = resolve(self._host, self._port)
        try:
            for number, address in enumerate(addresses, 1):
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
                    if isinstance(error, ssl.SSLError) or number == len(addresses):
                        raise
            protocol = self._latest
            if protocol is None:
                raise AssertionError("the connection has no protocol")
            await protocol.settled.wait()
            if protocol.lost is not None:
                raise protocol.lost
        except BaseException:
            if self._latest is not None:
                self._latest.abort()
            raise
        return protocol


def resolve(host: str, port: int) -> list[str]:
    """The IP addresses of ``host``, in the system's order of preference.

    asyncio would resolve names in a thread; the collection runs inside Ansible, which forks, and a fork of a
    process with threads can hang. Nodes are named by addresses in all but a few inventories.

    Raises:
        OSError: the name service does not know it, or it is no name.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        # An empty or too long part, as in 10.0.0..1: the name service is not even asked.
        raise socket.gaierror(socket.EAI_NONAME, "it is no host name") from None
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def require_library() -> None:
    """Fail where grpclib is absent.

    Raises:
        MissingLibrary: it cannot be imported.
    """
    if _IMPORT_ERROR is not None:
        raise missing_library("grpclib", _IMPORT_ERROR)
