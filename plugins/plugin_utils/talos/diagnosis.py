# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a connection or a call failed, in words and kinds that an operator can act on."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..texts import printable
from . import wire
from .config import Address
from .errors import (
    DeadlineExceeded,
    InvalidAnswer,
    NoForwarding,
    NotFound,
    PermissionRefused,
    Refused,
    TalosError,
    TlsFailure,
    TornStream,
    Unauthenticated,
    UnknownAuthority,
    Unreachable,
    Unsupported,
)

try:
    from grpclib.const import Status
    from grpclib.exceptions import GRPCError, StreamTerminatedError
except ImportError:
    if not TYPE_CHECKING:
        # Nothing is diagnosed where nothing can be asked; the transport names the missing library.
        GRPCError = StreamTerminatedError = ConnectionError

_CERTIFICATE_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "DECRYPT_ERROR", "CERT_")
# Texts that grpclib itself raises with status UNKNOWN.
_LOCAL_COMPLAINTS = ("Missing ", "Invalid content-type", "Invalid grpc-status", "Received :status")
# Statuses whose text changes nothing about what they mean.
_SAYS_ALL = (7, 12, 16)
# No status: a text that several statuses come with.
_NOT_REGISTERED = -1
#: What a gRPC status of a node means: the kind, what was found (with the method's name), why it matters, what to do.
_BY_STATUS: dict[int, tuple[type[TalosError], str, str, str]] = {
    4: (
        DeadlineExceeded,
        "aborted {}",
        "the time allowed for the call was over",
        "check the node, or raise the deadline",
    ),
    5: (
        NotFound,
        "has nothing under what {} asked for",
        "it does not exist on this node now",
        "check the name and the node's state",
    ),
    _NOT_REGISTERED: (
        NotFound,
        "has nothing under what {} asked for",
        "a log that is not registered belongs to a service that was never started in this boot",
        "check the name and the node's state",
    ),
    7: (
        PermissionRefused,
        "does not allow {}",
        "the roles in the client certificate are too small for it",
        "use a talosconfig with a greater role (os:reader, os:operator, os:admin)",
    ),
    12: (
        Unsupported,
        "does not have {} or what it was asked for",
        "its Talos version, or its present mode, lacks it",
        "use what this version offers, or move the node to a version that has it",
    ),
    16: (
        Unauthenticated,
        "does not accept our identity for {}",
        "it does not take the client certificate for this cluster's",
        "use the talosconfig of this cluster",
    ),
}


@dataclass(frozen=True)
class Diagnosis:
    """Names failures of one way to a node.

    Attributes:
        address: where it connects.
        node: whom the questions are for.
        forwarded: whether the address is an endpoint that forwards.
        server_name: the name that the peer's certificate has to be for.
        connect_deadline: seconds that a connection may take.
    """

    address: Address
    node: str
    forwarded: bool
    server_name: str
    connect_deadline: float

    def error(self, kind: type[TalosError], found: str, why: str, do: str, **context: Any) -> TalosError:
        """An error of one kind about this node, with the way it was asked."""
        if self.forwarded:
            context.setdefault("endpoint", str(self.address))
        return kind(found, why, do, node=self.node, **context)

    def invalid(self, method: wire.Method, what: str) -> TalosError:
        """The error for an answer that no node gives; ``what`` follows on the words *answered with*."""
        return self.error(
            InvalidAnswer,
            f"{self._who()} answered {method.name} with {what}",
            "such an answer cannot be trusted",
            "check that the address is a Talos node of a known version",
            method=method.name,
        )

    def _who(self) -> str:
        return f"node {self.node}" if not self.forwarded else f"node {self.node} (through {self.address})"

    def of_connection(self, error: BaseException, *, secured: bool) -> TalosError:
        """Name the reason why a connection could not be made."""
        where = str(self.address)
        if isinstance(error, ssl.SSLCertVerificationError):
            return self._verification_problem(error, where)
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return self._tls_problem(error, where)
        if isinstance(error, TimeoutError):
            return self.error(
                Unreachable,
                f"{where} did not complete a connection within {self.connect_deadline:g} s",
                "the node is down, frozen, or a firewall drops the packets",
                "check the node's console and the network path to the Talos API port",
                method="connect",
            )
        if isinstance(error, socket.gaierror):
            return self.error(
                Unreachable,
                f"{self.address.host} cannot be resolved to an address ({error.strerror})",
                "without an address the node cannot be asked",
                "use the node's IP address or repair the name service",
                method="connect",
            )
        if not isinstance(error, OSError):
            return self.error(
                TlsFailure,
                f"{where} presented something that cannot be understood ({type(error).__name__})",
                "this is not the Talos API, or not one that can be trusted",
                "check the address and the port (50000)",
                method="connect",
            )
        number = error.errno
        reason = os.strerror(number) if number else printable(error) or type(error).__name__
        if isinstance(error, (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, ssl.SSLEOFError)):
            return self.error(
                Unreachable,
                f"{where} {'completed TLS' if secured else 'accepted the connection'} and closed it before it answered",
                "it does not accept our client certificate (and did not say so), or its API is restarting"
                if secured
                else "the node's API is restarting, or the port is not the Talos API",
                "try again; if it stays so, check the talosconfig and the port",
                method="connect",
                retryable=True,
            )
        return self.error(
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
            return self.error(
                TlsFailure,
                f"the certificate at {where} is not for {self.server_name}",
                "another machine answered, or the node is reached by an address that it does not know",
                "add the address to machine.certSANs, or give the name that the certificate has as server_name",
                method="connect",
                verify_code=code,
            )
        if code in (9, 10):
            return self.error(
                TlsFailure,
                f"the node certificate at {where} {'is not valid yet' if code == 9 else 'has expired'}",
                "node certificates live for 24 hours, so one of the two clocks is wrong or the node is stuck",
                "compare this machine's clock with the node's",
                method="connect",
                verify_code=code,
            )
        return self.error(
            UnknownAuthority,
            f"the certificate at {where} is not signed by the cluster's authority ({printable(error.verify_message)})",
            "the node is in maintenance mode, belongs to another cluster, or is not the node",
            "look at the node's console: a node in maintenance mode must be asked as such, with its fingerprint",
            method="connect",
            verify_code=code,
        )

    def _tls_problem(self, error: ssl.SSLError, where: str) -> TalosError:
        reason = str(error.reason or printable(error))
        if "ALERT" in reason and any(word in reason for word in _CERTIFICATE_ALERTS):
            return self.error(
                Unauthenticated,
                f"{where} does not accept our client certificate ({reason})",
                "it is not signed by this cluster's current authority, or it was revoked by a new one",
                "use the talosconfig of this cluster",
                method="connect",
            )
        return self.error(
            TlsFailure,
            f"{where} does not speak the TLS of a Talos API ({reason})",
            "another service listens on this port, or a device in between interferes",
            "check the address and the port (50000)",
            method="connect",
        )

    def of_call(
        self,
        error: BaseException,
        method: wire.Method,
        *,
        received: int,
        timeout: float | None,
        lost: BaseException | None,
    ) -> TalosError:
        """Name the reason why a call on an open connection failed.

        Args:
            received: messages that arrived, or bytes of them.
            timeout: seconds that the call had; None where it had no end.
            lost: why the connection was lost; None where it was not.
        """
        if isinstance(error, GRPCError):
            if error.status is Status.UNKNOWN and (error.message or "").startswith(_LOCAL_COMPLAINTS):
                return self.invalid(method, f"something that is not gRPC ({printable(error.message)})")
            return self.from_status(error.status.value, error.message or "", method, received)
        if isinstance(error, TimeoutError):
            return self.too_late(method, timeout or 0)
        if isinstance(error, (StreamTerminatedError, OSError, AssertionError)):
            if isinstance(lost, ssl.SSLError) and not isinstance(lost, ssl.SSLEOFError):
                return self._tls_problem(lost, str(self.address))
            if received:
                return self.torn(method, printable(error))
            return self.error(
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
        return self.invalid(method, f"something that cannot be decoded ({type(error).__name__})")

    def too_late(self, method: wire.Method, timeout: float) -> TalosError:
        """The error for an answer that was not complete within ``timeout`` seconds."""
        return self.error(
            DeadlineExceeded,
            f"{self._who()} did not answer {method.name} completely within {timeout:.1f} s",
            "the node is overloaded or frozen, or the network loses packets; what arrived is not used",
            "check the node, or raise the deadline",
            method=method.name,
            **({"may_have_arrived": True} if method.writes else {}),
        )

    def torn(self, method: wire.Method, reason: str) -> TalosError:
        """The error for a stream that broke after its first message."""
        return self.error(
            TornStream,
            f"the answer of {self._who()} to {method.name} broke off ({reason})",
            "a partial answer proves nothing, so it was discarded",
            "try again; if it stays so, check the node and the network",
            method=method.name,
        )

    def from_status(self, code: int, text: str, method: wire.Method, received: int = 0) -> TalosError:
        """The error for a gRPC status other than OK, which the node itself gave."""
        said = printable(text, 2000) or f"gRPC status {code}"
        lower = text.lower()
        if code == 7 and "no request forwarding" in lower:
            return self.error(
                NoForwarding,
                f"endpoint {self.address} does not forward requests ({said})",
                "it is a worker; only control planes forward to other nodes",
                "list only control planes as endpoints",
                method=method.name,
            )
        if code in (5, 7) and "is not supported" in lower:
            code = 12
        if code not in _SAYS_ALL:
            if "out of sync" in lower:
                # Talos' log ring (pkg/runtime/logging/circular.go): the writer lapped the reader.
                torn = self.torn(method, said)
                torn.context["overtaken"] = True
                return torn
            if code == 14 and "authentication handshake failed" in lower:
                return self._unverified(said, method, unknown="unknown authority" in lower)
            if "was not registered" in lower:
                code = _NOT_REGISTERED
        if code in _BY_STATUS:
            kind, found, why, do = _BY_STATUS[code]
            return self.error(kind, f"{self._who()} {found.format(method.name)}: {said}", why, do, method=method.name)
        if code in (1, 14, 15) and received:
            return self.torn(method, said)
        if code in (1, 14):
            return self._unavailable(said, method)
        return self.error(
            Refused,
            f"{self._who()} refused {method.name}: {said}",
            "the node understood the request and would not or could not do it",
            "read the node's own text above; its dmesg and service logs have more",
            method=method.name,
            grpc_status=code,
        )

    def _unverified(self, said: str, method: wire.Method, *, unknown: bool) -> TalosError:
        return self.error(
            UnknownAuthority if unknown else TlsFailure,
            f"endpoint {self.address} cannot verify node {self.node}: {said}",
            "the node is in maintenance mode, belongs to another cluster, or is not the node"
            if unknown
            else "what answers there is not the node, or one of the clocks is wrong",
            "look at the node's console; a node in maintenance mode must be asked directly, with its fingerprint",
            method=method.name,
        )

    def _unavailable(self, said: str, method: wire.Method) -> TalosError:
        return self.error(
            Unreachable,
            f"{self._who()} is not available for {method.name}: {said}",
            "the node's API is restarting"
            if not self.forwarded
            else "the endpoint cannot reach the node, or one of the two is restarting",
            "try again; if it stays so, check the node",
            method=method.name,
            retryable=not method.writes,
            **({"may_have_arrived": True} if method.writes else {}),
        )
