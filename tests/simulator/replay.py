# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node that answers with what a real one answered: recorded messages, byte for byte, over TLS."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from grpclib.config import Configuration
from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream

from . import pki, services
from .proto import message_class


class Recorded(Protocol):
    """One question and its answer, see ``real_talos.Answer``."""

    @property
    def name(self) -> str:
        """What the question is called."""

    @property
    def method(self) -> str:
        """The full path of the method."""

    @property
    def request(self) -> Mapping[str, Any]:
        """The fields of the request, and ``node`` or ``nodes`` of its metadata."""

    @property
    def error(self) -> tuple[str, str] | None:
        """Code and text of an error."""

    @property
    def messages(self) -> tuple[bytes, ...]:
        """The response messages."""


_GET, _LIST, _LISTED = "/cosi.resource.State/Get", "/cosi.resource.State/List", "cosi.resource.ListResponse"


@dataclass(frozen=True)
class _Answer:
    name: str
    method: str
    request: Mapping[str, Any]
    error: tuple[str, str] | None
    messages: tuple[bytes, ...]


class _Bytes(CodecBase):
    """Messages as they are: what was recorded must reach the client unchanged."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> Any:
        return data


class _Mapping(dict[str, Handler]):
    def __init__(self, replay: Replay) -> None:
        super().__init__()
        self._replay = replay

    def get(self, path: str, default: Any = None) -> Any:
        async def handle(stream: Stream[Any, Any]) -> None:
            await self._replay.answer(path, stream)

        return Handler(handle, Cardinality.UNARY_STREAM, bytes, bytes)


class _Server(Server):
    def __init__(self, mapping: _Mapping) -> None:
        super().__init__([], codec=_Bytes(), config=Configuration())
        self._mapping = mapping


class Replay:
    """Serve recorded answers on a free port of 127.0.0.1, in a thread of its own.

    Args:
        answers: what was recorded in one state.
        directory: where ``talosconfig`` is written (contexts ``admin`` and ``reader``).
        maintenance: whether to serve as in maintenance mode: a certificate of the machine's own, none asked for.
    """

    def __init__(self, answers: Sequence[Recorded], directory: Path, *, maintenance: bool = False) -> None:
        self._answers = answers
        self._maintenance = maintenance
        self._pki = pki.Pki()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="replay", daemon=True)
        self._server: _Server | None = None
        self.certificate = pki.make_server(None if maintenance else self._pki.talos, "127.0.0.1", "n1")
        self.directory = directory
        self.address = ""
        #: Questions that have no recorded answer, as (method, request).
        self.unanswered: list[tuple[str, str]] = []

    def __enter__(self) -> Replay:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        # grpclib binds a server to the loop that is running when it is made.
        self._server = _Server(_Mapping(self))
        authority = None if self._maintenance else self._pki.talos.crt
        await self._server.start("127.0.0.1", 0, ssl=pki.server_context(self.certificate, authority))
        inner: Any = self._server._server
        self.address = f"127.0.0.1:{inner.sockets[0].getsockname()[1]}"
        self.directory.mkdir(parents=True, exist_ok=True)
        roles = {"admin": services.ADMIN, "reader": services.READER}
        pairs = {name: self._pki.client(role) for name, role in roles.items()}
        text = pki.talosconfig(pairs, self._pki.talos.crt, [self.address], [self.address])
        pki.write_private(self.directory / "talosconfig", text.encode())

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def answer(self, path: str, stream: Stream[Any, Any]) -> None:
        """Answer one call with what was recorded for it."""
        data = await stream.recv_message()
        found = self._find(path, bytes(data or b""))
        if found is None:
            self.unanswered.append((path, _readable(path, bytes(data or b""))))
            raise GRPCError(Status.UNAVAILABLE, "this question was not recorded")
        if found.error is not None:
            raise GRPCError(Status[found.error[0]], found.error[1])
        for message in found.messages:
            await stream.send_message(message)

    def _find(self, path: str, data: bytes) -> Recorded | None:
        fields = _fields(path, data)
        for answer in self._answers:
            if answer.method == path and all(
                fields.get(key, _NONE.get(key)) == answer.request[key] for key in answer.request
            ):
                return answer
        return self._from_list(fields) if path == _GET else None

    def _from_list(self, fields: Mapping[str, Any]) -> Recorded | None:
        """One resource out of a recorded list: both answers have the same form on the wire."""
        for answer in self._answers:
            place = {key: answer.request.get(key) for key in ("namespace", "type")}
            if answer.method == _LIST and answer.error is None and place == {key: fields.get(key) for key in place}:
                for message in answer.messages:
                    if message_class(_LISTED).FromString(message).resource.metadata.id == fields.get("id"):
                        return _Answer(answer.name, _GET, {}, None, (message,))
                where = f"{fields.get('type')}({fields.get('namespace')}/{fields.get('id')}@undefined)"
                return _Answer(answer.name, _GET, {}, ("NOT_FOUND", f"resource {where} doesn't exist"), ())
        return None


# What a recorded request says that the wire leaves out.
_NONE = {"recurse": False, "tail_lines": 0}


def _fields(path: str, data: bytes) -> dict[str, Any]:
    known = services.METHODS.get(path)
    if known is None:
        return {}
    message = message_class(known.request)()
    message.ParseFromString(data)
    return {field.name: value for field, value in message.ListFields()}


def _readable(path: str, data: bytes) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in _fields(path, data).items())
