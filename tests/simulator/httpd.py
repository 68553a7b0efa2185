# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The small HTTP/1.1 server under the simulated Image Factory, Kubernetes API and control API.

It lives inside an asyncio loop that already runs, so one simulator is one thread and every answer is
computed from one consistent state.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_MAX_HEAD = 64 * 1024
_MAX_BODY = 16 * 1024 * 1024


@dataclass(frozen=True)
class Request:
    """One request as received. ``headers`` has lower-case names; ``query`` maps a name to all its values."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    peer_certificate: Mapping[str, Any] | None = None

    def argument(self, name: str) -> str | None:
        """The first value of the query argument ``name``, or None."""
        values = self.query.get(name)
        return values[0] if values else None


@dataclass(frozen=True)
class Response:
    """One answer; HEAD sends its headers only."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer, with the trailing newline Go's encoder writes."""
    return Response(status, json.dumps(value).encode() + b"\n", "application/json", dict(headers or {}))


def text_response(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A plain-text answer."""
    return Response(status, text.encode(), headers=dict(headers or {}))


Handler = Callable[[Request], Awaitable[Response]]


class _BadRequest(Exception):
    """The bytes received are no HTTP request."""


class HttpServer:
    """Serve ``handler`` on one address. Start and stop it inside the loop that is to run it."""

    def __init__(self, handler: Handler, context: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._context = context
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.host = ""
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen on ``host``:``port``; port 0 takes a free one, to be read from ``self.port``."""
        self._server = await asyncio.start_server(self._serve, host, port, ssl=self._context, limit=_MAX_HEAD)
        address = self._server.sockets[0].getsockname()
        self.host, self.port = address[0], address[1]

    async def stop(self) -> None:
        """Stop listening and drop every connection, also those that hang on purpose."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError, TimeoutError):
            # A client that goes away, or a server that stops: neither is an error of the simulator.
            pass
        finally:
            self._connections.discard(task)
            with contextlib.suppress(Exception):
                writer.transport.abort()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False when the connection ends after it."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return False
        try:
            request, keep = await self._read_request(head, reader, writer)
        except (_BadRequest, asyncio.LimitOverrunError, ValueError):
            await self._send(writer, "GET", text_response("bad request\n", 400), keep=False)
            return False
        try:
            response = await self._handler(request)
        except Exception as error:
            response = text_response(f"the simulator failed: {type(error).__name__}: {error}\n", 500)
        await self._send(writer, request.method, response, keep)
        return keep

    async def _read_request(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[Request, bool]:
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        parts = first.split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            raise _BadRequest(first)
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise _BadRequest(line)
            headers[name.strip().lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await self._read_body(headers, reader)
        url = urlsplit(parts[1])
        keep = parts[2] == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        tls = writer.get_extra_info("ssl_object")
        peer = tls.getpeercert() if tls is not None else None
        query = parse_qs(url.query, keep_blank_values=True)
        return Request(parts[0], unquote(url.path), query, headers, body, peer or None), keep

    async def _read_body(self, headers: Mapping[str, str], reader: asyncio.StreamReader) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            chunks = bytearray()
            while True:
                size = int((await reader.readline()).split(b";")[0].strip(), 16)
                chunk = await reader.readexactly(size)
                await reader.readexactly(2)
                if not size:
                    return bytes(chunks)
                chunks += chunk
                if len(chunks) > _MAX_BODY:
                    raise _BadRequest("body too large")
        length = int(headers.get("content-length", "0"))
        if not 0 <= length <= _MAX_BODY:
            raise _BadRequest("body too large")
        return await reader.readexactly(length) if length else b""

    async def _send(self, writer: asyncio.StreamWriter, method: str, response: Response, keep: bool) -> None:
        try:
            reason = HTTPStatus(response.status).phrase
        except ValueError:
            reason = "Unknown"
        headers = {
            "Content-Type": response.content_type,
            "Content-Length": str(len(response.body)),
            "Connection": "keep-alive" if keep else "close",
            "Date": formatdate(usegmt=True),
            **response.headers,
        }
        lines = [f"HTTP/1.1 {response.status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")
        if method != "HEAD":
            writer.write(response.body)
        await writer.drain()
