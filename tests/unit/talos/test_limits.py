# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A peer that sends more than anything honest is refused early: by size, by number, by time, before it costs memory.

All of it over real TLS; whoever answers may be a machine in maintenance mode, which nobody has verified.
"""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import calls, cosi, fleet, machine, wire
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import (
    Deadlines,
    NodeClient,
    connect_maintenance,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import TalosError

from .peers import Authority, Exchange, Peer, peer, server_tls

MIB = 1024 * 1024


def resource(text: str, kind: str, id: str) -> Any:
    metadata = {"namespace": "runtime", "type": kind, "id": id, "version": "1", "phase": "running"}
    return {"resource": {"metadata": metadata, "spec": {"yaml_spec": text}}}


def status(text: str) -> bytes:
    answer = wire.message("cosi.resource.GetResponse")
    return bytes(answer(**resource(text, "MachineStatuses.runtime.talos.dev", "machine")).SerializeToString())


def volume(text: str) -> bytes:
    answer = wire.message("cosi.resource.ListResponse")
    return bytes(answer(**resource(text, "VolumeStatuses.block.talos.dev", "x")).SerializeToString())


def once(payload: bytes) -> Callable[[Exchange], None]:
    def answer(exchange: Exchange) -> None:
        exchange.headers()
        if exchange.pump(payload):
            exchange.trailers()

    return answer


def endless(payload: bytes, sent: list[int]) -> Callable[[Exchange], None]:
    def answer(exchange: Exchange) -> None:
        exchange.headers()
        with contextlib.suppress(OSError):
            while exchange.pump(payload):
                sent.append(len(payload))

    return answer


def ask(
    answer: Callable[[Exchange], None], question: Callable[[NodeClient], Awaitable[Any]], **deadlines: float
) -> tuple[Any, Peer]:
    """The answer or the error of a machine in maintenance mode that nobody has verified."""

    async def go() -> Any:
        limits = Deadlines(**deadlines)
        async with connect_maintenance(server.address, trust_unverified=True, deadlines=limits) as client:
            return await question(client)

    with peer(server_tls(Authority(), clients=None), answer) as server:
        try:
            return fleet.run(go()), server
        except TalosError as error:
            return error, server


@pytest.mark.parametrize(
    "text",
    [
        "a: [" + "1," * (2 * MIB) + "1]\n",
        "a: [" + "1," * 60_000 + "1]\n",
        "a: '" + "x" * (4 * MIB) + "'\n",
        "k" * (4 * MIB) + ": 1\n",
        "a: &a [x,x,x,x]\nb: [*a,*a,*a,*a]\n",
        "[" * 200_000,
        "stage: " + "9" * 100_000 + "\n",
        "stage: running\nstage: maintenance\n",
        "a: 1\n---\n" * 20_000,
    ],
    ids=[
        "4 MiB list",
        "list of many nodes",
        "4 MiB text",
        "4 MiB key",
        "aliases",
        "deep",
        "integer",
        "keys",
        "documents",
    ],
)
def test_a_bomb_in_one_resource_is_no_answer(text: str) -> None:
    got, server = ask(once(status(text)), lambda client: client.spec("machine_status"))
    assert isinstance(got, TalosError) and got.kind == "invalid_answer", got
    assert server.requests == ["/cosi.resource.State/Get"] and len(str(got)) < 1000


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("Get", lambda client: client.spec("machine_status")),
        ("List", lambda client: client.list("volume_statuses")),
        ("Version", lambda client: client.version()),
        ("ServiceList", lambda client: client.services()),
        ("Logs", lambda client: client.logs("auditd")),
    ],
)
def test_a_message_that_is_too_long_is_refused_before_it_is_read(name: str, question: Any) -> None:
    sent: list[int] = []

    def answer(exchange: Exchange) -> None:
        exchange.headers()
        # The length is announced first; nothing more of it is taken than what fits the window.
        exchange.data(b"x" * 1000, prefix=b"\0" + (33 * MIB if name == "Logs" else 5 * MIB).to_bytes(4, "big"))
        sent.append(1)

    got, _server = ask(answer, question)
    assert isinstance(got, TalosError) and got.kind == "invalid_answer" and sent == [1], got


def test_the_sum_of_a_list_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cosi, "_MOST_BYTES", 2 * MIB)
    sent: list[int] = []
    tracemalloc.start()
    try:
        got, _server = ask(
            endless(volume("a: '" + "x" * 200_000 + "'\n"), sent), lambda client: client.list("volume_statuses")
        )
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(got, TalosError) and got.kind == "invalid_answer" and "bytes" in got.found, got
    assert sum(sent) < 10 * MIB and peak < 20 * MIB


@pytest.mark.parametrize(
    ("limit", "module", "payload", "question"),
    [
        ("_MOST_RESOURCES", cosi, volume("a: 1\n"), lambda client: client.list("volume_statuses")),
        (
            "_MOST_CHUNKS",
            machine,
            wire.message("common.Data")(bytes=b"x").SerializeToString(),
            lambda client: client.logs("auditd"),
        ),
        (
            "_MOST_CHUNKS",
            machine,
            wire.message("machine.FileInfo")(name="x").SerializeToString(),
            lambda client: client.list_files("/"),
        ),
    ],
    ids=["resources", "log", "files"],
)
def test_the_number_of_messages_is_limited(
    monkeypatch: pytest.MonkeyPatch, limit: str, module: Any, payload: bytes, question: Any
) -> None:
    monkeypatch.setattr(module, limit, 500)
    got, _server = ask(endless(payload, []), question)
    assert isinstance(got, TalosError) and got.kind == "invalid_answer" and "500 messages" in got.found, got


def test_files_with_large_attributes_are_limited_in_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_MOST_BYTES", 4 * MIB)
    attributes = [{"name": "security.selinux", "data": b"x" * MIB}]
    payload = wire.message("machine.FileInfo")(name="x", xattrs=attributes).SerializeToString()
    got, _server = ask(endless(payload, []), lambda client: client.list_files("/", xattrs=True))
    assert isinstance(got, TalosError) and got.kind == "invalid_answer" and "bytes" in got.found, got


def test_a_deadline_ends_a_stream_that_never_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that have arrived are taken without a pause, in which no timer of the event loop could fire."""
    now = [0.0]
    clock = calls.time.monotonic
    monkeypatch.setattr(calls.time, "monotonic", lambda: clock() + now[0])

    def slowly(text: str, most_bytes: int) -> dict[str, Any]:
        # Each resource takes four seconds to parse.
        now[0] += 4
        return {"a": 1}

    monkeypatch.setattr(cosi, "parse_spec", slowly)
    got, _server = ask(endless(volume("a: 1\n"), []), lambda client: client.list("volume_statuses"), log=30)
    assert isinstance(got, TalosError) and got.kind == "deadline" and got.method == "List", got
    assert now[0] <= 40
