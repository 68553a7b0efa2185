# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a TLS connection to a method: listeners, callers, proxying by ``node`` and ``nodes``, records of calls."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
import time
import weakref
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grpclib.config import Configuration
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.protocol import H2Protocol
from grpclib.server import Server, Stream
from h2.exceptions import H2Error

from . import pki, services
from .proto import message_class

if TYPE_CHECKING:
    from .fleet import Fleet
    from .node import Node

logging.getLogger("grpclib").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Call:
    """One call as a node saw it.

    ``via`` is the endpoint it came through, '' when direct; ``code`` is the name of the gRPC status.
    """

    node: str
    via: str
    method: str
    role: str
    code: str
    dry_run: bool = False
    time: float = 0.0

    @property
    def is_write(self) -> bool:
        """Tell whether the call asked to change the world (refused or not)."""
        return self.method in services.WRITES and not self.dry_run

    @property
    def is_upgrade(self) -> bool:
        """Tell whether an upgrade was asked for."""
        return self.method.endswith("/Upgrade")


class _Mapping(dict[str, Handler]):
    """Every path has a handler, so that an unknown one gets the text that Talos gives."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self._gateway = gateway

    def get(self, path: str, default: Any = None) -> Any:
        known = services.METHODS.get(path)
        if known is None:
            empty = message_class("google.protobuf.Empty")
            return Handler(self._gateway.unknown, Cardinality.UNARY_STREAM, empty, empty)

        async def handle(stream: Stream[Any, Any]) -> None:
            await self._gateway.serve(known, stream)

        cardinality = Cardinality.UNARY_STREAM if known.stream else Cardinality.UNARY_UNARY
        return Handler(handle, cardinality, message_class(known.request), message_class(known.reply))


class _GrpcServer(Server):
    """A grpclib server that remembers its connections: a reboot cuts them, a graceful close would not."""

    def __init__(self, mapping: _Mapping) -> None:
        super().__init__([], config=Configuration())
        self._mapping = mapping
        self._connections: weakref.WeakSet[H2Protocol] = weakref.WeakSet()

    def _protocol_factory(self) -> H2Protocol:
        protocol = super()._protocol_factory()
        self._connections.add(protocol)
        return protocol

    def cut(self) -> None:
        """Drop every connection at once."""
        for protocol in list(self._connections):
            connection = getattr(protocol, "connection", None)
            if connection is not None:
                connection._transport.abort()


# How many certificates a machine in maintenance mode makes until its addresses are all there.
_CERTIFICATES = 3


class Gateway:
    """The API port of one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._server: _GrpcServer | None = None
        self._plain: asyncio.Server | None = None
        self.certificate: pki.Pair | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether the port is bound."""
        return self._server is not None or self._plain is not None

    async def open(self) -> None:
        """Bind the port with the certificate that the node's stage and faults call for."""
        await self.close()
        node = self.node
        if "unreachable" in node.faults:
            return
        if "not_tls" in node.faults:
            self._plain = await asyncio.start_server(_no_tls, node.address, 50000)
            return
        if node.maintenance:
            # Each address that arrives makes a new certificate; two of three come before the API listens.
            for _unused in range(_CERTIFICATES - 1):
                self._issue()
        server = _GrpcServer(_Mapping(self))
        await _bind(server, node.address, self._context())
        self._server = server

    def _context(self) -> ssl.SSLContext:
        node, authorities = self.node, self.node.fleet.pki
        if node.maintenance:
            self.certificate = self._issue()
            return pki.server_context(self.certificate, None)
        if "wrong_certificate" in node.faults:
            self.certificate = pki.make_server(authorities.foreign, node.address, node.name)
        elif "expired_certificate" in node.faults:
            self.certificate = pki.make_server(authorities.talos, node.address, node.name, days=1, start=-2)
        else:
            self.certificate = pki.make_server(authorities.talos, node.address, node.name)
        return pki.server_context(self.certificate, authorities.talos.crt)

    def _issue(self) -> pki.Pair:
        """A certificate of the machine's own, and its fingerprint on the console."""
        pair = pki.make_server(None, self.node.address, self.node.name)
        self.node.inform("this machine is reachable at:")
        self.node.inform(f" {self.node.address}")
        self.node.inform("server certificate issued", fingerprint=pair.fingerprint)
        return pair

    async def close(self) -> None:
        """Close the port and drop all connections."""
        if self._plain is not None:
            self._plain.close()
            self._plain = None
        if self._server is not None:
            server, self._server = self._server, None
            server.close()
            server.cut()

    # -- calls --

    async def unknown(self, stream: Stream[Any, Any]) -> None:
        """Answer a method that no version of Talos in this table has."""
        await stream.recv_message()
        service, _unused, name = stream._method_name.strip("/").partition("/")
        if any(path.startswith(f"/{service}/") for path in services.METHODS):
            raise GRPCError(Status.UNIMPLEMENTED, f"unknown method {name} for service {service}")
        raise GRPCError(Status.UNIMPLEMENTED, f"unknown service {service}")

    def _caller(self, stream: Stream[Any, Any]) -> services.Caller:
        certificate = stream.peer.cert() if not self.node.maintenance else None
        if not certificate:
            return services.Caller(frozenset({services.READER}), insecure=True)
        roles = {value for part in certificate["subject"] for key, value in part if key == "organizationName"}
        return services.Caller(frozenset(roles))

    async def serve(self, known: services.Method, stream: Stream[Any, Any]) -> None:
        """Handle one call: route it, run it on its target or targets, record it."""
        fleet = self.node.fleet
        request = await stream.recv_message()
        caller = self._caller(stream)
        metadata = stream.metadata
        node_header = metadata.getall("node", []) if metadata is not None else []
        nodes_header = metadata.getall("nodes", []) if metadata is not None else []
        many = [name for entry in nodes_header for name in str(entry).split(",") if name]
        try:
            targets = self._route(known, [str(name) for name in node_header], many)
        except GRPCError as error:
            fleet.record(self.node.name, "", known, request, caller, error.status)
            raise
        if many and targets is not None:
            await self._fan_out(known, stream, request, caller, many)
            return
        target = self.node if targets is None else targets
        via = "" if target is self.node else self.node.name
        if isinstance(target, str):
            fleet.record(target, via, known, request, caller, Status.UNAVAILABLE)
            raise _unreachable(target, "i/o timeout")
        await self._one(known, stream, request, caller, target, via)

    def _route(self, known: services.Method, node: list[str], nodes: list[str]) -> Node | str | None:
        """The one target (None: this node itself); with ``nodes`` the value only says that fan-out is allowed."""
        if self.node.maintenance:
            # In maintenance mode apid looks at no routing metadata; talosctl relies on it.
            nodes.clear()
            return None
        if len(node) > 1:
            raise GRPCError(Status.INVALID_ARGUMENT, "node metadata must be single-valued")
        forwards = self.node.role == "controlplane" and not self.node.maintenance
        fleet = self.node.fleet

        def local(name: str) -> bool:
            return name in (self.node.address, self.node.hostname, "127.0.0.1")

        if nodes and not (not forwards and len(nodes) == 1 and local(nodes[0])):
            if not known.path.startswith(services.FAN_OUT):
                raise GRPCError(
                    Status.INVALID_ARGUMENT, f"one-2-many proxying is not supported for method {known.path}"
                )
            if not forwards:
                raise GRPCError(Status.PERMISSION_DENIED, "no request forwarding")
            return self.node
        if not node or local(node[0]):
            nodes.clear()
            return None
        if not forwards:
            raise GRPCError(Status.PERMISSION_DENIED, "no request forwarding")
        return fleet.find(node[0]) or node[0]

    async def _one(
        self,
        known: services.Method,
        stream: Stream[Any, Any],
        request: Any,
        caller: services.Caller,
        target: Node,
        via: str,
    ) -> None:
        fleet, code = self.node.fleet, Status.OK
        try:
            async for message in answers(known, request, caller, target, via):
                await stream.send_message(message)
        except services.Abort:
            code = Status.UNAVAILABLE
            if via:
                raise GRPCError(
                    Status.UNAVAILABLE, "error reading from server: read: connection reset by peer"
                ) from None
            _reset(stream)
        except GRPCError as error:
            code = error.status
            raise
        except (asyncio.CancelledError, StreamTerminatedError, OSError, H2Error, ProtocolError):
            # The caller went away or its deadline passed (TimeoutError is an OSError): no fault of the simulator.
            code = Status.CANCELLED
            raise
        except Exception as error:
            fleet.errors.append(error)
            code = Status.INTERNAL
            raise GRPCError(Status.INTERNAL, f"simulator: {error!r}") from error
        finally:
            fleet.record(target.name, via, known, request, caller, code)

    async def _fan_out(
        self, known: services.Method, stream: Stream[Any, Any], request: Any, caller: services.Caller, names: list[str]
    ) -> None:
        fleet = self.node.fleet
        merged = None if known.stream else message_class(known.reply)()
        for name in names:
            target = self.node if name == "127.0.0.1" else fleet.find(name)
            code, text = Status.OK, ""
            try:
                if target is None:
                    raise _unreachable(name, "i/o timeout")
                async for message in answers(known, request, caller, target, self.node.name):
                    if merged is None:
                        message.metadata.hostname = name
                        await stream.send_message(message)
                    else:
                        for entry in message.messages:
                            entry.metadata.hostname = name
                        merged.MergeFrom(message)
            except services.Abort:
                code, text = Status.UNAVAILABLE, "error reading from server: read: connection reset by peer"
            except GRPCError as error:
                code, text = error.status, error.message or ""
            if code is not Status.OK:
                # A failing node is one message with only its metadata set; the call as a whole succeeds.
                failed = message_class(known.reply)()
                entry = failed if merged is None else merged.messages.add()
                entry.metadata.hostname = name
                entry.metadata.error = f"rpc error: code = {_camel(code)} desc = {text}"
                entry.metadata.status.code = code.value
                entry.metadata.status.message = text
                if merged is None:
                    await stream.send_message(failed)
            fleet.record(target.name if target else name, self.node.name, known, request, caller, code)
        if merged is not None:
            await stream.send_message(merged)


def _camel(code: Status) -> str:
    return "".join(part.title() for part in code.name.split("_"))


def _unreachable(name: str, why: str) -> GRPCError:
    text = f'connection error: desc = "transport: Error while dialing: dial tcp {name}:50000: {why}"'
    return GRPCError(Status.UNAVAILABLE, text)


def _handshake(why: str) -> GRPCError:
    return GRPCError(
        Status.UNAVAILABLE, f'connection error: desc = "transport: authentication handshake failed: {why}"'
    )


def _backend(target: Node) -> None:
    """What an endpoint meets when it connects to a target. Raises GRPCError."""
    if not target.gateway.is_open:
        raise _unreachable(target.address, "connect: connection refused")
    if "not_tls" in target.faults:
        raise _handshake("tls: first record does not look like a TLS handshake")
    if target.maintenance or "wrong_certificate" in target.faults:
        raise _handshake("tls: failed to verify certificate: x509: certificate signed by unknown authority")
    if "expired_certificate" in target.faults:
        raise _handshake("tls: failed to verify certificate: x509: certificate has expired or is not yet valid")


async def answers(
    known: services.Method, request: Any, caller: services.Caller, target: Node, via: str
) -> AsyncIterator[Any]:
    """Run a method on a node and yield its messages."""
    faults = target.faults
    if via:
        _backend(target)
    if "slow" in faults:
        value = faults["slow"]
        await asyncio.sleep(float(value) if not isinstance(value, bool) else 3.0)
    if faults.get("hanging_stream") == "all":
        await asyncio.Event().wait()
    denied = faults.get("permission_denied")
    if denied is not None and (denied is True or known.path.rpartition("/")[2] in denied):
        raise GRPCError(Status.PERMISSION_DENIED, "not authorized")
    if target.boot is None:
        raise _unreachable(target.address, "connect: connection refused")
    services.authorize(target, known, caller)
    if known.stream:
        async for message in known.call(target, request, caller):
            yield message
    else:
        yield await known.call(target, request, caller)


def _reset(stream: Stream[Any, Any]) -> None:
    """Send a TCP reset: what the peer sees when a machine loses its state under an open connection."""
    transport = stream._stream._transport
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _bind(server: _GrpcServer, address: str, context: ssl.SSLContext) -> None:
    await server.start(address, 50000, ssl=context, reuse_address=True, backlog=1024)


async def _no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1024)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    writer.close()


def record_of(
    fleet: Fleet, node: str, via: str, known: services.Method, request: Any, caller: services.Caller, code: Status
) -> Call:
    """Make the record of a call."""
    dry = bool(getattr(request, "dry_run", False))
    return Call(node, via, known.path, caller.role, code.name, dry, time.time())
