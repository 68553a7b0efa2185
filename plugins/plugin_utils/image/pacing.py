# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A deadline for a whole HTTP answer, where Python has a timeout for each read of the socket.

A peer that sends a byte now and then never meets that timeout. Here every read, of headers too, gets what is left.
"""

from __future__ import annotations

import functools
import http.client
import io
import socket
import ssl
import time
import urllib.request
from typing import Any


class Request(urllib.request.Request):
    """A request whose answer has to be complete at ``end``, on the monotonic clock."""

    end: float


class _Paced(io.RawIOBase):
    """A socket's bytes, each read with what is left of the time."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, timeout: float, end: float) -> None:
        self._sock = sock
        self._raw = raw
        self._timeout = timeout
        self._end = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(min(self._timeout, left(self._end)))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, timeout: float, end: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_Paced(sock, raw, timeout, end))


def _connection(kind: Any, end: float, host: str, *, timeout: float, **how: Any) -> Any:
    made = kind(host, timeout=timeout, **how)
    made.response_class = functools.partial(_Response, timeout=timeout, end=end)
    return made


class HttpHandler(urllib.request.HTTPHandler):
    """Opens a Request without TLS."""

    def http_open(self, req: Any) -> Any:
        return self.do_open(functools.partial(_connection, http.client.HTTPConnection, req.end), req)


class HttpsHandler(urllib.request.HTTPSHandler):
    """Opens a Request over TLS."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._tls = context

    def https_open(self, req: Any) -> Any:
        kind = functools.partial(_connection, http.client.HTTPSConnection, req.end)
        return self.do_open(kind, req, context=self._tls)


def left(end: float) -> float:
    """Seconds until ``end`` on the monotonic clock; raises TimeoutError when there are none."""
    seconds = end - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the deadline is over")
    return seconds
