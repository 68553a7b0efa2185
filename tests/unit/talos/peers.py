# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A peer that speaks real TLS and HTTP/2 and misbehaves to order, and the Ed25519 certificates for it.

The simulator behaves as Talos does; this server does what Talos never should, so that a broken or hostile peer cannot
pass for a clean node.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Context
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

HOST = "127.0.0.1"
_DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority in the shape that Talos makes: Ed25519, organization ``talos``."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self._name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "talos")])
        self.certificate = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(True, None), True)
        self.pem = self.certificate.sign(self._key, None).public_bytes(Encoding.PEM)

    def _builder(self, subject: x509.Name, key: Ed25519PrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)  # noqa: UP017
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - _DAY).not_valid_after(now + _DAY)

    def issue(self, organization: str, *addresses: str) -> tuple[bytes, bytes]:
        """``(certificate, key)`` PEM: a server's with addresses, a client's without."""
        key = Ed25519PrivateKey.generate()
        usage = ExtendedKeyUsageOID.SERVER_AUTH if addresses else ExtendedKeyUsageOID.CLIENT_AUTH
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)])
        builder = self._builder(subject, key).add_extension(x509.ExtendedKeyUsage([usage]), False)
        if addresses:
            names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        certificate = builder.sign(self._key, None).public_bytes(Encoding.PEM)
        return certificate, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def context(self, organization: str = "os:admin", *, trusts: Authority | None = None) -> Context:
        """A talosconfig context with a client certificate of this authority."""
        certificate, key = self.issue(organization)
        return Context("test", ca=(trusts or self).pem, crt=certificate, key=key)


class Exchange:
    """One request on one connection, and the means to answer it."""

    def __init__(self, peer: Peer, connection: socket.socket, h2: H2Connection, stream: int) -> None:
        self.peer = peer
        self.request: dict[str, str] = {}
        self.body = b""
        self.h2 = h2
        self.stream = stream
        self.connection = connection

    @property
    def path(self) -> str:
        """The method that was asked for."""
        return self.request[":path"]

    def headers(self, *, end: bool = False, **fields: str) -> None:
        """Response headers; names are given with ``_`` for ``-``."""
        named = [(name.replace("_", "-"), value) for name, value in fields.items()]
        base = [(":status", "200"), ("content-type", "application/grpc")]
        self.h2.send_headers(self.stream, [*base, *named], end_stream=end)

    def data(self, payload: bytes, *, end: bool = False, prefix: bytes | None = None) -> None:
        """One gRPC message, with an honest length prefix unless another is given."""
        head = b"\0" + len(payload).to_bytes(4, "big") if prefix is None else prefix
        self.h2.send_data(self.stream, head + payload, end_stream=end)

    def trailers(self, status: int = 0, message: str = "") -> None:
        """The end of the answer."""
        self.h2.send_headers(self.stream, [("grpc-status", str(status)), ("grpc-message", message)], end_stream=True)

    def pump(self, payload: bytes) -> bool:
        """Send one message of any size, at the pace of the reader; False when it went away."""
        rest = b"\0" + len(payload).to_bytes(4, "big") + payload
        while rest:
            room = min(self.h2.local_flow_control_window(self.stream), self.h2.max_outbound_frame_size)
            if room <= 0:
                answer = self.connection.recv(65536)
                if not answer:
                    return False
                self.h2.receive_data(answer)
                continue
            self.h2.send_data(self.stream, rest[:room])
            rest = rest[room:]
            self.flush()
        return True

    def flush(self) -> None:
        """Send what was prepared."""
        self.connection.sendall(self.h2.data_to_send())

    def hang_up(self) -> None:
        """Close the connection after what was prepared."""
        with contextlib.suppress(OSError):
            self.flush()
            self.connection.close()


class Peer:
    """A TLS server on a port (0: a free one) whose ``answer`` is called for every complete request."""

    def __init__(
        self, tls: ssl.SSLContext | None, answer: Callable[[Exchange], None], *, greet: bool = True, port: int = 0
    ) -> None:
        self.requests: list[str] = []
        self.handshakes = 0
        self._tls = tls
        self._answer = answer
        self._greet = greet
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._listener = socket.create_server((HOST, port))
        self.port = int(self._listener.getsockname()[1])
        self.address = f"{HOST}:{self.port}"
        self._start(self._accept)

    def close(self) -> None:
        """Stop listening and drop all connections.

        A connection is closed by the thread that serves it alone: its number may be another connection's right after,
        and a thread that still reads or writes there would take from, or write into, that one's TLS.
        """
        self._closing.set()
        with self._lock:
            for item in (self._listener, *self._open):
                with contextlib.suppress(OSError):
                    # Of the plain socket: ssl's own would let the other thread go on without TLS.
                    socket.socket.shutdown(item, socket.SHUT_RDWR)
        for thread in self._threads:
            # An answer may close its own peer.
            if thread is not threading.current_thread():
                thread.join()
        self._listener.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                raw, _unused = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, raw)

    def _serve(self, raw: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.suppress(OSError, ValueError))
            connection = raw
            if self._tls is not None:
                connection = self._tls.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
            stack.callback(self._drop, connection)
            with self._lock:
                self._open.add(connection)
                if self._closing.is_set():
                    return
            if isinstance(connection, ssl.SSLSocket):
                connection.do_handshake()
            self.handshakes += 1
            if self._tls is None or not self._greet:
                connection.recv(100)
                self._closing.wait(30)
                return
            self._talk(connection)

    def _drop(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)
            connection.close()

    def _talk(self, connection: socket.socket) -> None:
        h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        h2.initiate_connection()
        connection.sendall(h2.data_to_send())
        exchanges: dict[int, Exchange] = {}
        while data := connection.recv(65536):
            for event in h2.receive_data(data):
                if isinstance(event, RequestReceived):
                    exchange = exchanges[event.stream_id] = Exchange(self, connection, h2, event.stream_id)
                    exchange.request = dict(event.headers)
                elif isinstance(event, DataReceived):
                    exchanges[event.stream_id].body += event.data
                elif isinstance(event, StreamEnded):
                    exchange = exchanges[event.stream_id]
                    self.requests.append(exchange.path)
                    self._answer(exchange)
            connection.sendall(h2.data_to_send())


def server_tls(
    authority: Authority, *, clients: Authority | None, addresses: tuple[str, ...] = (HOST,), alpn: bool = True
) -> ssl.SSLContext:
    """A server's TLS context; ``clients`` is the authority that client certificates must come from."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "server.pem"
        file.write_bytes(b"".join(authority.issue("node", *addresses)))
        tls.load_cert_chain(file)
    if alpn:
        tls.set_alpn_protocols(["h2"])
    if clients is not None:
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_verify_locations(cadata=clients.pem.decode())
    return tls


@contextlib.contextmanager
def peer(
    tls: ssl.SSLContext | None, answer: Callable[[Exchange], None], *, greet: bool = True, port: int = 0
) -> Iterator[Peer]:
    """A Peer for the length of a ``with`` block."""
    server = Peer(tls, answer, greet=greet, port=port)
    try:
        yield server
    finally:
        server.close()
