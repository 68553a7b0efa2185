# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A factory, a registry or what they redirect to may be slow by design: every request ends at its deadline."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.access import Access
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.errors import FactoryError, Unavailable
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.factory import Factory
from ansible_collections.talosops.selinux.plugins.plugin_utils.image.http import Http

Answer = Callable[[socket.socket], None]
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Start a server that hands each connection to a function; gives its URL."""
    listeners: list[socket.socket] = []

    def start(answer: Answer) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def one(connection: socket.socket) -> None:
            # The reader leaves at its deadline, which breaks the pipe.
            with connection:
                try:
                    answer(connection)
                except OSError:
                    return

        def accept() -> None:
            while True:
                try:
                    connection, _unused = listener.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def drip(connection: socket.socket, piece: bytes) -> None:
    while True:
        connection.sendall(piece)
        time.sleep(0.05)


def head(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-A: ")
    drip(connection, b"a")


def status_line(connection: socket.socket) -> None:
    connection.recv(4096)
    drip(connection, b"H")


def going_on(connection: socket.socket) -> None:
    connection.recv(4096)
    drip(connection, b"HTTP/1.1 100 Continue\r\n\r\n")


def body(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
    drip(connection, b"[")


def chunks(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    drip(connection, b"1\r\n[\r\n")


def chunk_size(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    drip(connection, b"0")


def error_body(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad\r\nContent-Length: 60000\r\n\r\n")
    drip(connection, b"n")


def silence(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def factory(access: Access | str) -> Factory:
    return Factory(access, http=Http(timeout=0.6, deadline=1.0, attempts=2, backoff=0.05))


@pytest.mark.parametrize("answer", [head, status_line, going_on, body, chunks, chunk_size, error_body, silence])
def test_a_request_ends_at_its_deadline(serve: Callable[[Answer], str], answer: Answer) -> None:
    with pytest.raises(Unavailable) as caught:
        factory(serve(answer)).versions()
    assert "TimeoutError" in caught.value.found


def test_a_handshake_ends_at_its_deadline(serve: Callable[[Answer], str]) -> None:
    url = serve(lambda connection: drip(connection, b"\x16"))
    with pytest.raises(FactoryError, match="does not answer GET /versions"):
        factory(url.replace("http://", "https://")).versions()
    with pytest.raises(Unavailable, match="TimeoutError"):
        factory(serve(silence).replace("http://", "https://")).versions()


def test_what_it_redirects_to_ends_at_the_same_deadline(serve: Callable[[Answer], str]) -> None:
    target = serve(body)

    def redirect(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(f"HTTP/1.1 302 F\r\nLocation: {target}/x\r\nContent-Length: 0\r\n\r\n".encode())

    with pytest.raises(Unavailable, match="TimeoutError"):
        factory(serve(redirect)).versions()


def test_a_token_service_ends_at_its_deadline(serve: Callable[[Answer], str]) -> None:
    realm = serve(head)

    def challenge(connection: socket.socket) -> None:
        connection.recv(4096)
        answer = f'HTTP/1.1 401 U\r\nWWW-Authenticate: Bearer realm="{realm}/t"\r\nContent-Length: 0\r\n\r\n'
        connection.sendall(answer.encode())

    url = serve(challenge)
    reference = f"{url.removeprefix('http://')}/metal-installer/{'a' * 64}:v1.14.1"
    with pytest.raises(Unavailable, match="does not answer GET /t "):
        factory(url).registries.resolve(reference)


def test_an_answer_without_end_is_cut_by_size(serve: Callable[[Answer], str]) -> None:
    def endless(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with pytest.raises(Unavailable, match="more than 8388608 bytes"):
        Factory(serve(endless), http=Http(timeout=30, deadline=60, attempts=1)).versions()


def test_a_slow_honest_answer_is_read(serve: Callable[[Answer], str]) -> None:
    def slow(connection: socket.socket) -> None:
        connection.recv(4096)
        for piece in (b"HTTP/1.1 200 OK\r\nConte", b'nt-Length: 11\r\n\r\n["v1', b'.14.1"]'):
            connection.sendall(piece)
            time.sleep(0.1)

    patient = Http(timeout=30, deadline=60, attempts=1)
    assert Factory(serve(slow), http=patient).versions() == ["v1.14.1"]
