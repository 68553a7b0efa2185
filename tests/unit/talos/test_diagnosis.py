# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a gRPC status of a node means, by its number and by the words that come with it."""

from __future__ import annotations

import socket
import ssl
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import wire
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.calls import Calls
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Address
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.diagnosis import Diagnosis
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import Refused

DIRECT = Diagnosis(Address("10.0.0.21", 50000), "10.0.0.21", False, "10.0.0.21", 5)
FORWARDED = Diagnosis(Address("10.0.0.11", 50000), "10.0.0.21", True, "10.0.0.11", 5)
READ, WRITE = wire.METHODS["Logs"], wire.METHODS["Reset"]
PEER = "connection error: authentication handshake failed: x509: certificate signed by unknown authority"


@pytest.mark.parametrize(
    ("code", "text", "kind", "words"),
    [
        (7, "no request forwarding", "no_forwarding", "does not forward requests"),
        (7, "not authorized", "permission", "does not allow Logs: not authorized"),
        (7, "the buffer is out of sync", "permission", "does not allow"),
        (7, "the API is not supported in maintenance mode", "unsupported", "or its present mode"),
        (5, "resource is not supported", "unsupported", "or its present mode"),
        (12, "unknown method", "unsupported", "does not have Logs"),
        (12, "log was not registered", "unsupported", "does not have Logs"),
        (16, "x509", "unauthenticated", "does not accept our identity"),
        (5, "gone", "not_found", "it does not exist on this node now"),
        (2, "log auditd was not registered", "not_found", "a service that was never started in this boot"),
        (5, "log auditd was not registered", "not_found", "a service that was never started in this boot"),
        (2, "reader is out of sync", "torn_stream", "broke off (reader is out of sync)"),
        (4, "context deadline exceeded", "deadline", "aborted Logs"),
        (14, PEER, "unknown_authority", "cannot verify node 10.0.0.21"),
        (14, "authentication handshake failed: EOF", "tls", "one of the clocks is wrong"),
        (14, "gone", "unreachable", "is not available for Logs"),
        (1, "canceled", "unreachable", "is not available for Logs"),
        (15, "data loss", "refused", "refused Logs: data loss"),
        (9, "", "refused", "refused Logs: gRPC status 9"),
    ],
)
def test_a_status(code: int, text: str, kind: str, words: str) -> None:
    error = FORWARDED.from_status(code, text, READ)
    assert error.kind == kind and words in f"{error.found}; {error.why}"
    assert error.context["endpoint"] == "10.0.0.11" and error.context["method"] == "Logs"


@pytest.mark.parametrize("code", [1, 14, 15])
def test_what_ends_a_stream_that_has_begun_is_torn(code: int) -> None:
    assert DIRECT.from_status(code, "gone", READ, received=1).kind == "torn_stream"


@pytest.mark.parametrize(("code", "status"), [(9, 9), (2, 2), (0, None)])
def test_whose_error_it_is_that_has_no_code_is_not_known(code: int, status: int | None) -> None:
    """An endpoint words what broke between it and the node as an error of the answer; the node may have acted."""
    client: Any = SimpleNamespace(_way=SimpleNamespace(diagnosis=FORWARDED))
    message = wire.message("machine.Reset")()
    message.metadata.error = "error reading from server: EOF"
    message.metadata.status.code = code
    with pytest.raises(Refused, match="EOF") as caught:
        Calls._check_metadata(client, message, "Reset")
    assert caught.value.context["grpc_status"] == status


def test_a_write_that_was_not_answered_may_have_arrived() -> None:
    read, write = (DIRECT.from_status(14, "gone", method) for method in (READ, WRITE))
    assert (read.retryable, write.retryable) == (True, False)
    assert write.context["may_have_arrived"] is True and "may_have_arrived" not in read.context
    assert DIRECT.from_status(9, "no", WRITE).context["grpc_status"] == 9


def test_an_answer_that_names_who_gave_it_is_no_error() -> None:
    client: Any = SimpleNamespace(_way=SimpleNamespace(diagnosis=FORWARDED))
    message = wire.message("machine.Reset")(metadata={"hostname": "worker-1"})
    Calls._check_metadata(client, message, "Reset")


ALERT = ssl.SSLError(1, "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca")
ALERT.reason = "TLSV1_ALERT_UNKNOWN_CA"
GARBLED = ssl.SSLError(1, "[SSL: BAD_RECORD] bad record")
GARBLED.reason = "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "unreachable",
            "10.0.0.21 cannot be resolved to an address (Name or service not known)",
        ),
        (RuntimeError("x"), "tls", "presented something that cannot be understood (RuntimeError)"),
        (UnicodeDecodeError("ascii", b"x", 0, 1, "y"), "tls", "cannot be understood (UnicodeDecodeError)"),
        (ALERT, "unauthenticated", "does not accept our client certificate"),
        (GARBLED, "tls", "does not speak the TLS of a Talos API (DECRYPTION_FAILED_OR_BAD_RECORD_MAC)"),
    ],
)
def test_why_there_is_no_connection(error: Exception, kind: str, words: str) -> None:
    found = DIRECT.of_connection(error, secured=False)
    assert (found.kind, found.method) == (kind, "connect") and words in found.found


@pytest.mark.parametrize(
    ("lost", "received", "kind"),
    [
        (ALERT, 0, "unauthenticated"),
        (ALERT, 3, "unauthenticated"),
        (GARBLED, 3, "tls"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), 0, "unreachable"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), 3, "torn_stream"),
        (None, 3, "torn_stream"),
    ],
)
def test_a_call_that_broke_is_named_by_how_the_connection_was_lost(
    lost: Exception | None, received: int, kind: str
) -> None:
    error = ConnectionResetError("connection lost")
    assert DIRECT.of_call(error, READ, received=received, timeout=1, lost=lost).kind == kind
