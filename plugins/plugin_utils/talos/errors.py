# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One error class for each way in which asking a Talos node can fail."""

from __future__ import annotations

from typing import Any, ClassVar

from ..problem import Problem


class TalosError(Problem):
    """A question to a node, or the preparation of one, that got no usable answer.

    Attributes:
        node: the node the question was for, as the caller named it; None before any node is involved.
        method: the gRPC method or the step (``connect``) that failed; None when neither applies.
        retryable: True when the same read may succeed if it is repeated at once.
    """

    kind: ClassVar[str] = "talos"

    def __init__(
        self,
        found: str,
        why: str,
        do: str,
        *,
        node: str | None = None,
        method: str | None = None,
        retryable: bool = False,
        **context: Any,
    ) -> None:
        self.node = node
        self.method = method
        self.retryable = retryable
        for key, value in (("node", node), ("method", method)):
            if value is not None:
                context[key] = value
        super().__init__(found, why, do, **context)


class ConfigError(TalosError):
    """The talosconfig file, or what was asked of it, cannot be used."""

    kind = "config"


class OnlyWay(ConfigError):
    """A control plane that is to go away is the only way to itself and its peers."""

    kind = "only_way"


class Unreachable(TalosError):
    """No connection, or the connection or the node's API went away before an answer."""

    kind = "unreachable"


class TlsFailure(TalosError):
    """The peer is not the node it should be, or does not speak TLS with HTTP/2."""

    kind = "tls"


class UnknownAuthority(TlsFailure):
    """The peer's certificate is of another authority: maintenance mode, another cluster, or not the node."""

    kind = "unknown_authority"


class PeerChanged(TlsFailure):
    """Another key answers than the one that answered first in this visit."""

    kind = "peer_changed"


class WriteNeedsLook(TalosError):
    """A write was refused because nothing was read over the connection that it would go out on; it was not sent."""

    kind = "write_needs_look"


class Unauthenticated(TalosError):
    """The node does not accept the client certificate."""

    kind = "unauthenticated"


class PermissionRefused(TalosError):
    """The client certificate is accepted but its roles do not allow the call."""

    kind = "permission"


class NoForwarding(PermissionRefused):
    """The endpoint is a worker, which does not forward requests."""

    kind = "no_forwarding"


class Unsupported(TalosError):
    """This Talos version, or this mode of the machine, does not have the method or resource."""

    kind = "unsupported"


class NotFound(TalosError):
    """The resource, file, log or member does not exist on the node."""

    kind = "not_found"


class DeadlineExceeded(TalosError):
    """The node was connected but did not answer completely in the allowed time."""

    kind = "deadline"


class TornStream(TalosError):
    """A stream broke after its first message; what arrived was discarded."""

    kind = "torn_stream"


class Refused(TalosError):
    """The node understood the call and answered with an error of its own."""

    kind = "refused"


class NotKept(TalosError):
    """What the node answered could not be written down on the control host."""

    kind = "not_kept"


class InvalidAnswer(TalosError):
    """The node answered with something that cannot be what it claims to be."""

    kind = "invalid_answer"
