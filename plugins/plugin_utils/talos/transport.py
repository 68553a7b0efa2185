# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One gRPC connection to a Talos API, by grpclib over Python's own ssl.

grpcio is not used: its wheels cannot complete a TLS handshake with the Ed25519 certificates that Talos makes.
grpclib is adapted in four places, each because a default would hide a failure or leak one node's trouble into others:
the peer is checked before the first request is written; a connection counts only after the server's first frame,
since TLS 1.3 reports a refused client certificate only then; the end of a stream is believed only with its
trailers; and messages have a size limit.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import hashlib
import os
import socket
import ssl
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ..problem import Problem, missing_library
from . import wire
from .config import Address, Context
from .errors import (
    ConfigError,
    DeadlineExceeded,
    InvalidAnswer,
    NotFound,
    PermissionRefused,
    Refused,
    TalosError,
    TlsFailure,
    TornStream,
    Unauthenticated,
    Unreachable,
    Unsupported,
    printable,
)

try:
    from grpclib.client import Channel, Stream
    from grpclib.const import Cardinality, Status
    from grpclib.encoding.base import CodecBase
    from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
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
        GRPCError = ProtocolError = StreamTerminatedError = ConnectionError
else:
    _GRPCLIB_ERROR = None

try:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
except ImportError as error:
    _X509_ERROR: ImportError | None = error
else:
    _X509_ERROR = None

# The limit that Talos and talosctl use (pkg/machinery/constants).
MAX_MESSAGE = 32 * 1024 * 1024

T = TypeVar("T")


@dataclass(frozen=True)
class Deadlines:
    """How long to wait, in seconds.

    Attributes:
        connect: TCP, TLS and the server's first HTTP/2 frame together.
        call: one question, with its retries.
        log: a whole log, list or file, with its retries.
        node: everything that is asked of one node in a fleet read.
        snapshot: a whole etcd snapshot.
    """

    connect: float = 5.0
    call: float = 10.0
    log: float = 30.0
    node: float = 45.0
    snapshot: float = 300.0


def spki_fingerprint(certificate: bytes) -> str:
    """Base64 of the SHA-256 of a DER certificate's SubjectPublicKeyInfo, as talosctl prints it.

    The source of the form is x509/fingerprint.go of siderolabs/crypto.
    """
    if _X509_ERROR is not None:
        raise missing_library("cryptography", _X509_ERROR)
    key = x509.load_der_x509_certificate(certificate).public_key()
    return base64.b64encode(
        hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    ).decode("ascii")


def _base_context() -> ssl.SSLContext:
    if ssl.OPENSSL_VERSION.startswith("LibreSSL") or ssl.OPENSSL_VERSION_INFO < (1, 1, 1):
        raise ConfigError(
            f"this Python's TLS library is {ssl.OPENSSL_VERSION}, which has no Ed25519",
            "Talos nodes present Ed25519 certificates",
            "run Ansible with a Python that is built with OpenSSL 1.1.1 or later",
        )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.set_alpn_protocols(["h2"])
    return tls


def mutual_tls(context: Context) -> ssl.SSLContext:
    """A TLS context that proves the client with ``context``'s certificate and trusts only its authority.

    Raises:
        Unauthenticated: the client certificate is outside its dates.
        ConfigError: the certificate, key or authority cannot be loaded.
    """
    context.check_dates()
    tls = _base_context()
    try:
        if context.ca is None:
            tls.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            tls.load_verify_locations(cadata=context.ca.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError, ValueError):
        raise _unloadable(context, "the ca is not a usable certificate") from None
    if context.crt is not None and context.key is not None:
        with _short_lived_file(context.crt + b"\n" + context.key) as name:
            try:
                tls.load_cert_chain(name, password=_no_password)
            except (ssl.SSLError, OSError, ValueError) as error:
                reason = getattr(error, "reason", None)
                what = (
                    "the key does not belong to the crt"
                    if reason == "KEY_VALUES_MISMATCH"
                    else f"the crt and key cannot be loaded by {ssl.OPENSSL_VERSION} ({reason or 'unusable key'})"
                )
                raise _unloadable(context, what) from None
    return tls


def _no_password() -> str:
    # Without this OpenSSL would ask on the terminal for an encrypted key's pass phrase and hang the task.
    raise ValueError("the key is encrypted")


def _unloadable(context: Context, what: str) -> ConfigError:
    return ConfigError(
        f"the talosconfig {context.source}: in context {context.name!r} {what}",
        "no node can be asked with it",
        "make the talosconfig again",
        file=context.source,
        context=context.name,
    )


def unverified_tls() -> ssl.SSLContext:
    """A TLS context that accepts any certificate: only for maintenance mode, where the caller checks the pin."""
    tls = _base_context()
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    return tls


@contextlib.contextmanager
def _short_lived_file(content: bytes) -> Iterator[str]:
    """A file name under which ``content`` can be read, for ssl, which takes key material by name only."""
    if hasattr(os, "memfd_create"):
        # In memory only: the key never touches a disk.
        descriptor = os.memfd_create("talos", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.NamedTemporaryFile(prefix="talos") as file:
            file.write(content)
            file.flush()
            yield file.name


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
    """A call whose end is believed only when the trailers say so."""

    async def recv_message(self) -> Any:
        if not self._recv_initial_metadata_done:
            await self.recv_initial_metadata()
        with self._wrapper:
            head = await self._stream.recv_data(5)
            if head:
                length = int.from_bytes(head[1:5], "big")
                if head[0] or length > MAX_MESSAGE:
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
        self.latest = None
        addresses = _resolve(self._host, self._port)
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


def _resolve(host: str, port: int) -> list[str]:
    """The IP addresses of ``host``, in the system's order of preference.

    asyncio would resolve names in a thread; the collection runs inside Ansible, which forks, and a fork of a
    process with threads can hang. Nodes are named by addresses in all but a few inventories.
    """
    return list(dict.fromkeys(str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


class Connection:
    """A connection to one Talos API, either the node itself or an endpoint that forwards to it.

    Args:
        address: where to connect.
        tls: from mutual_tls or unverified_tls.
        node: whom the questions are for, in messages and (through an endpoint) in the ``node`` header.
        forwarded_to: the address for the ``node`` header; None for a direct connection.
        server_name: the name to verify instead of the address, for nodes behind NAT.
        fingerprints: when given, the peer's key must have one of them.
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
        self._peer: bytes | None = None
        self._tls = tls
        self._server_name = server_name or address.host
        self._fingerprints = fingerprints
        self._deadlines = deadlines
        self._channel: _Channel | None = None

    @property
    def peer_fingerprint(self) -> str | None:
        """The fingerprint of the key that answered; None before the first connection."""
        return None if self._peer is None else spki_fingerprint(self._peer)

    @property
    def alive(self) -> bool:
        """True while the connection is open."""
        return self._channel is not None and self._channel._connected

    async def open(self) -> None:
        """Connect, unless connected.

        Raises:
            Unreachable, TlsFailure, Unauthenticated: see ``_connect_problem``.
        """
        if self.alive:
            return
        self.close()
        self._channel = _Channel(self.address, self._tls, self._server_name, self._inspect, self._deadlines.connect)
        try:
            async with asyncio.timeout(self._deadlines.connect):
                await self._channel.__connect__()
        except Problem:
            raise
        except Exception as error:
            raise self._connect_problem(error) from error

    def close(self) -> None:
        """Drop the connection at once; safe to call twice."""
        channel, self._channel = self._channel, None
        if channel is None:
            return
        if channel.latest is not None:
            channel.latest.abort()
        # So that grpclib's finalizer does not warn about a connection it did not close itself.
        channel._protocol = None

    async def stream(self, method: wire.Method, request: Any, timeout: float | None) -> AsyncGenerator[Any, None]:
        """Send ``request`` once and yield each message of the answer; ends only on a status of OK.

        Raises:
            TalosError: one subclass per failure kind.
        """
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
            async with call:
                await call.send_message(request, end=True)
                while (message := await call.recv_message()) is not None:
                    received += 1
                    yield message
        except Problem:
            raise
        except Exception as error:
            # grpclib interrupts a waiting task by cancelling it and then swallows the cancellation; undo the count,
            # or an enclosing asyncio.timeout would mistake its own expiry for a foreign cancellation.
            while task is not None and task.cancelling() > cancelled_before:
                task.uncancel()
            # Messages that arrived together with a reset are never handed out, but they did arrive.
            carried = getattr(getattr(call, "_stream", None), "data_received", 0)
            raise self._call_problem(error, method, received or carried, timeout) from error

    async def unary(self, method: wire.Method, request: Any, timeout: float) -> Any:
        """Send ``request`` once and return the one message of the answer.

        Raises:
            TalosError: one subclass per failure kind.
        """
        answer = None
        async with contextlib.aclosing(self.stream(method, request, timeout)) as messages:
            async for message in messages:
                if answer is not None:
                    raise self._invalid(method, "more than one message")
                answer = message
        if answer is None:
            raise self._invalid(method, "no message")
        return answer

    def _headers(self) -> Any:
        from multidict import MultiDict

        return MultiDict({"node": self.forwarded_to} if self.forwarded_to else {})

    def _inspect(self, transport: asyncio.BaseTransport) -> None:
        secured = transport.get_extra_info("ssl_object")
        self._peer = secured.getpeercert(binary_form=True)
        if self._fingerprints and self.peer_fingerprint not in self._fingerprints:
            raise self._error(
                TlsFailure,
                f"the key at {self.address} has the fingerprint {self.peer_fingerprint}, which is not pinned",
                "another machine may have answered; nothing was sent to it (a node makes a new key at each boot)",
                "read the fingerprint from the node's console or dmesg and pin that one",
                method="connect",
                fingerprint=self.peer_fingerprint,
            )
        if secured.selected_alpn_protocol() != "h2":
            raise self._error(
                TlsFailure,
                f"{self.address} speaks TLS but not HTTP/2",
                "this is not the Talos API",
                "check the address and the port (50000)",
                method="connect",
            )

    def _error(self, kind: type[TalosError], found: str, why: str, do: str, **context: Any) -> TalosError:
        if self.forwarded_to is not None:
            context.setdefault("endpoint", str(self.address))
        return kind(found, why, do, node=self.node, **context)

    def _invalid(self, method: wire.Method, what: str) -> TalosError:
        return self._error(
            InvalidAnswer,
            f"{self._who()} answered {method.name} with {what}",
            "such an answer cannot be trusted",
            "check that the address is a Talos node of a known version",
            method=method.name,
        )

    def _who(self) -> str:
        return f"node {self.node}" if self.forwarded_to is None else f"node {self.node} (through {self.address})"

    def _connect_problem(self, error: BaseException) -> TalosError:
        """Name the reason why a connection could not be made."""
        where = str(self.address)
        if isinstance(error, ssl.SSLCertVerificationError):
            return self._verification_problem(error, where)
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return self._tls_problem(error, where)
        if isinstance(error, TimeoutError):
            return self._error(
                Unreachable,
                f"{where} did not complete a connection within {self._deadlines.connect:g} s",
                "the node is down, frozen, or a firewall drops the packets",
                "check the node's console and the network path to the Talos API port",
                method="connect",
            )
        if isinstance(error, socket.gaierror):
            return self._error(
                Unreachable,
                f"the name {self.address.host} cannot be resolved ({error.strerror})",
                "without an address the node cannot be asked",
                "use the node's IP address or repair the name service",
                method="connect",
            )
        if not isinstance(error, OSError):
            return self._error(
                TlsFailure,
                f"{where} presented something that cannot be understood ({type(error).__name__})",
                "this is not the Talos API, or not one that can be trusted",
                "check the address and the port (50000)",
                method="connect",
            )
        number = error.errno
        reason = os.strerror(number) if number else printable(error) or type(error).__name__
        if isinstance(error, (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, ssl.SSLEOFError)):
            latest = self._channel.latest if self._channel is not None else None
            secured = latest is not None and latest.secured
            return self._error(
                Unreachable,
                f"{where} {'completed TLS' if secured else 'accepted the connection'} and closed it before it answered",
                "it does not accept our client certificate (and did not say so), or its API is restarting"
                if secured
                else "the node's API is restarting, or the port is not the Talos API",
                "try again; if it stays so, check the talosconfig and the port",
                method="connect",
                retryable=True,
            )
        return self._error(
            Unreachable,
            f"{where} cannot be connected: {reason}",
            "nothing listens there: the node is down, starting or at another address"
            if number == errno.ECONNREFUSED
            else "there is no path to the node from here",
            "check that the node runs and that the address and port are right",
            method="connect",
            retryable=True,
        )

    def _verification_problem(self, error: ssl.SSLCertVerificationError, where: str) -> TalosError:
        code = error.verify_code
        # X509_V_ERR_*: see openssl verify(1).
        if code in (62, 64):
            return self._error(
                TlsFailure,
                f"the certificate at {where} is not for {self._server_name}",
                "another machine answered, or the node is reached by an address that it does not know",
                "add the address to machine.certSANs, or give the name that the certificate has as server_name",
                method="connect",
                verify_code=code,
            )
        if code in (9, 10):
            return self._error(
                TlsFailure,
                f"the node certificate at {where} {'is not valid yet' if code == 9 else 'has expired'}",
                "node certificates live for 24 hours, so one of the two clocks is wrong or the node is stuck",
                "compare this machine's clock with the node's",
                method="connect",
                verify_code=code,
            )
        return self._error(
            TlsFailure,
            f"the certificate at {where} is not signed by the cluster's authority ({printable(error.verify_message)})",
            "the node is in maintenance mode, belongs to another cluster, or is not the node",
            "look at the node's console: a node in maintenance mode must be asked as such, with its fingerprint",
            method="connect",
            verify_code=code,
        )

    def _tls_problem(self, error: ssl.SSLError, where: str) -> TalosError:
        reason = str(error.reason or printable(error))
        if "ALERT" in reason and any(word in reason for word in _CERTIFICATE_ALERTS):
            return self._error(
                Unauthenticated,
                f"{where} does not accept our client certificate ({reason})",
                "it is not signed by this cluster's current authority, or it was revoked by a new one",
                "use the talosconfig of this cluster",
                method="connect",
            )
        return self._error(
            TlsFailure,
            f"{where} does not speak the TLS of a Talos API ({reason})",
            "another service listens on this port, or a device in between interferes",
            "check the address and the port (50000)",
            method="connect",
        )

    def _call_problem(
        self, error: BaseException, method: wire.Method, received: int, timeout: float | None
    ) -> TalosError:
        """Name the reason why a call on an open connection failed."""
        if isinstance(error, GRPCError):
            if error.status is Status.UNKNOWN and (error.message or "").startswith(_LOCAL_COMPLAINTS):
                return self._invalid(method, f"something that is not gRPC ({printable(error.message)})")
            return self.from_status(error.status.value, error.message or "", method, received)
        if isinstance(error, TimeoutError):
            return self._error(
                DeadlineExceeded,
                f"{self._who()} did not answer {method.name} completely within {timeout or 0:.1f} s",
                "the node is overloaded or frozen, or the network loses packets; what arrived is not used",
                "check the node, or raise the deadline",
                method=method.name,
                **({"may_have_arrived": True} if method.writes else {}),
            )
        lost = self._channel.latest.lost if self._channel is not None and self._channel.latest is not None else None
        if isinstance(error, (StreamTerminatedError, OSError, AssertionError)):
            if isinstance(lost, ssl.SSLError) and not isinstance(lost, ssl.SSLEOFError):
                return self._tls_problem(lost, str(self.address))
            if received:
                return self.torn(method, printable(error))
            return self._error(
                Unreachable,
                f"{self._who()} broke the connection during {method.name} ({printable(error)})",
                "its API is restarting or the network dropped the connection",
                "look at the node's state before any further step"
                if method.writes
                else "try again; if it stays so, check the node",
                method=method.name,
                retryable=not method.writes,
                **({"may_have_arrived": True} if method.writes else {}),
            )
        return self._invalid(method, f"something that cannot be decoded ({type(error).__name__})")

    def torn(self, method: wire.Method, reason: str) -> TalosError:
        """The error for a stream that broke after its first message."""
        return self._error(
            TornStream,
            f"the answer of {self._who()} to {method.name} broke off ({reason})",
            "a partial answer proves nothing, so it was discarded",
            "try again; if it stays so, check the node and the network",
            method=method.name,
        )

    def from_status(self, code: int, text: str, method: wire.Method, received: int = 0) -> TalosError:
        """The error for a gRPC status other than OK, which the node itself gave."""
        said = printable(text) or f"gRPC status {code}"
        name, who = method.name, self._who()
        lower = text.lower()
        if code == 7 and "no request forwarding" in lower:
            return self._error(
                PermissionRefused,
                f"endpoint {self.address} does not forward requests ({said})",
                "it is a worker; only control planes forward to other nodes",
                "list only control planes as endpoints",
                method=name,
            )
        if code == 12 or (code in (5, 7) and "is not supported" in lower):
            return self._error(
                Unsupported,
                f"{who} does not have {name} or what it was asked for: {said}",
                "its Talos version, or its present mode, lacks it",
                "use what this version offers, or move the node to a version that has it",
                method=name,
            )
        if code == 7:
            return self._error(
                PermissionRefused,
                f"{who} does not allow {name}: {said}",
                "the roles in the client certificate are too small for it",
                "use a talosconfig with a greater role (os:reader, os:operator, os:admin)",
                method=name,
            )
        if code == 16:
            return self._error(
                Unauthenticated,
                f"{who} does not accept our identity for {name}: {said}",
                "it does not take the client certificate for this cluster's",
                "use the talosconfig of this cluster",
                method=name,
            )
        if "out of sync" in lower:
            # Talos' log ring (pkg/runtime/logging/circular.go): the writer lapped the reader.
            torn = self.torn(method, said)
            torn.context["overtaken"] = True
            return torn
        if code == 14 and "authentication handshake failed" in lower:
            return self._error(
                TlsFailure,
                f"endpoint {self.address} cannot verify node {self.node}: {said}",
                "the node is in maintenance mode, belongs to another cluster, or is not the node",
                "look at the node's console; a node in maintenance mode must be asked directly, with its fingerprint",
                method=name,
            )
        if code == 5 or "was not registered" in lower:
            return self._error(
                NotFound,
                f"{who} has nothing under what {name} asked for: {said}",
                "a log that is not registered belongs to a service that was never started in this boot"
                if "was not registered" in lower
                else "it does not exist on this node now",
                "check the name and the node's state",
                method=name,
            )
        if code == 4:
            return self._error(
                DeadlineExceeded,
                f"{who} gave up {name}: {said}",
                "the time allowed for the call was over",
                "check the node, or raise the deadline",
                method=name,
            )
        if code in (1, 14, 15) and received:
            return self.torn(method, said)
        if code in (1, 14):
            return self._error(
                Unreachable,
                f"{who} is not available for {name}: {said}",
                "the node's API is restarting"
                if self.forwarded_to is None
                else "the endpoint cannot reach the node, or one of the two is restarting",
                "try again; if it stays so, check the node",
                method=name,
                retryable=not method.writes,
                **({"may_have_arrived": True} if method.writes else {}),
            )
        return self._error(
            Refused,
            f"{who} refused {name}: {said}",
            "the node understood the request and would not or could not do it",
            "read the node's own text above; its dmesg and service logs tell more",
            method=name,
            grpc_status=code,
        )


_CERTIFICATE_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "DECRYPT_ERROR", "CERT_")
# Texts that grpclib itself raises with status UNKNOWN.
_LOCAL_COMPLAINTS = ("Missing ", "Invalid content-type", "Invalid grpc-status", "Received :status")
