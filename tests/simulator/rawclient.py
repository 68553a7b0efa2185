# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bare gRPC client for testing the simulator itself: no retries, no interpretation, one connection per call."""

from __future__ import annotations

import asyncio
import base64
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import quick_yaml
from grpclib.client import Channel, UnaryStreamMethod, UnaryUnaryMethod

from . import services
from .proto import make, message_class


def client_context(directory: Path, name: str = "admin") -> ssl.SSLContext:
    """The TLS context of one talosconfig context."""
    config = quick_yaml.load((directory / "talosconfig").read_text())["contexts"][name]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=base64.b64decode(config["ca"]).decode())
    context.set_alpn_protocols(["h2"])
    with tempfile.NamedTemporaryFile() as file:
        key = base64.b64decode(config["key"]).replace(b"ED25519 PRIVATE", b"PRIVATE")
        file.write(base64.b64decode(config["crt"]) + key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def insecure_context() -> ssl.SSLContext:
    """What ``--insecure`` does: no verification, no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


async def call_async(
    address: str, context: ssl.SSLContext, path: str, request: Any, metadata: Mapping[str, str] | None, timeout: float
) -> Any:
    """One call; a list of messages for a stream. Raises what grpclib raises."""
    known = services.METHODS[path]
    channel = Channel(address, 50000, ssl=context)
    kind: Any = UnaryStreamMethod if known.stream else UnaryUnaryMethod
    try:
        method = kind(channel, path, message_class(known.request), message_class(known.reply))
        return await method(request, metadata=metadata, timeout=timeout)
    finally:
        channel.close()


def call(
    address: str,
    context: ssl.SSLContext,
    path: str,
    *,
    metadata: Mapping[str, str] | None = None,
    timeout: float = 20,
    **fields: Any,
) -> Any:
    """One call by full method path with the request's fields."""
    request = make(services.METHODS[path].request, **fields)
    return asyncio.run(call_async(address, context, path, request, metadata, timeout))


def machine(address: str, context: ssl.SSLContext, name: str, **fields: Any) -> Any:
    """One MachineService call."""
    return call(address, context, f"/machine.MachineService/{name}", **fields)


def get(address: str, context: ssl.SSLContext, kind: str, identifier: str, namespace: str = "runtime") -> Any:
    """The parsed YAML spec of one resource."""
    path = "/cosi.resource.State/Get"
    answer = call(address, context, path, namespace=namespace, type=kind, id=identifier)
    return quick_yaml.load(answer.resource.spec.yaml_spec)


def read_log(address: str, context: ssl.SSLContext, **fields: Any) -> bytes:
    """The whole auditd log, unless fields say otherwise."""
    wanted = {"namespace": "system", "id": "auditd", "tail_lines": -1, **fields}
    return b"".join(message.bytes for message in machine(address, context, "Logs", **wanted))


def read_dmesg(address: str, context: ssl.SSLContext) -> list[str]:
    """The kernel records as text."""
    return [message.bytes.decode() for message in machine(address, context, "Dmesg")]
