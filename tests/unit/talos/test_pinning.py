# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A visit stays with the machine that answered first, and a write goes to the machine that was just looked at.

Two machines of one cluster have certificates of the same authority; whoever takes the other's address passes TLS.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import NodeClient, connect
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import (
    PeerChanged,
    PermissionRefused,
    TalosError,
    WriteNeedsLook,
)

from .conftest import Lab
from .peers import Authority, Exchange, Peer, peer, server_tls
from .test_hostile_peer import ask, chunk, good

WRITES: dict[str, Callable[[NodeClient], Awaitable[Any]]] = {
    "Reset": lambda client: client.reset(["EPHEMERAL"], graceful=False, reboot=True),
    "ApplyConfiguration": lambda client: client.apply_configuration(b"secrets: true\n"),
    "a dry run": lambda client: client.apply_configuration(b"secrets: true\n", dry_run=True),
    "EtcdForfeitLeadership": lambda client: client.etcd_forfeit_leadership(),
}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@contextlib.contextmanager
def swapped(lab: Lab, one: str, other: str) -> Iterator[None]:
    """Give each of two nodes the other's address, as a DHCP server may; their open connections are lost."""
    first, second = lab.sim.nodes[one], lab.sim.nodes[other]

    async def swap() -> None:
        for node in (first, second):
            await node.gateway.close()
        first.address, second.address = second.address, first.address
        for node in (first, second):
            await node.gateway.open()

    lab.sim.run(swap())
    try:
        yield
    finally:
        lab.sim.run(swap())


async def swap_in_the_middle(lab: Lab, client: NodeClient, pair: tuple[str, str], act: Any) -> None:
    await client.version()
    with swapped(lab, *pair):
        await act(client)


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("node", ["worker-1", "cp-1"])
def test_a_write_never_reaches_the_machine_that_took_the_address(lab: Lab, name: str, node: str) -> None:
    other = {"worker-1": "worker-2", "cp-1": "cp-2"}[node]
    before = len(lab.sim.writes())
    with pytest.raises(WriteNeedsLook, match="connection to it was lost") as caught:
        lab.ask(node, lambda client: swap_in_the_middle(lab, client, (node, other), WRITES[name]))
    assert "may_have_arrived" not in caught.value.context and caught.value.do
    assert len(lab.sim.writes()) == before


@pytest.mark.parametrize("name", WRITES)
def test_a_swapped_endpoint_gets_no_write(lab: Lab, name: str) -> None:
    before = len(lab.sim.writes())
    context = lab.context()
    context.endpoints = [lab.address("cp-1")]

    async def go() -> None:
        async with connect(context, lab.address("worker-1"), route="endpoint") as client:
            await swap_in_the_middle(lab, client, ("cp-1", "cp-2"), WRITES[name])

    with pytest.raises(WriteNeedsLook, match="the connection to it was lost"):
        fleet.run(go())
    assert len(lab.sim.writes()) == before


@pytest.mark.parametrize("route", ["direct", "endpoint"])
def test_a_read_that_meets_another_key_fails_by_name(lab: Lab, route: Any) -> None:
    context = lab.context("reader")
    context.endpoints = [lab.address("cp-1")]
    pair = ("worker-1", "worker-2") if route == "direct" else ("cp-1", "cp-2")

    async def go(question: Callable[[NodeClient], Awaitable[Any]]) -> None:
        async with connect(context, lab.address("worker-1"), route=route) as client:
            await swap_in_the_middle(lab, client, pair, question)

    asked: dict[str, Callable[[NodeClient], Awaitable[Any]]] = {
        "unary": lambda client: client.spec("machine_status"),
        "stream": lambda client: client.logs("auditd"),
        "list": lambda client: client.list("extension_statuses"),
    }
    for question in asked.values():
        with pytest.raises(PeerChanged) as caught:
            fleet.run(go(question))
        assert caught.value.context["pinned"] != caught.value.context["fingerprint"]
        assert "restart" in caught.value.why


@contextlib.contextmanager
def restarted(authority: Authority, first: Peer, *, same_key: Any = None) -> Iterator[Peer]:
    """Another server on the first one's port, with its own key unless told otherwise."""
    first.close()
    with peer(same_key or server_tls(authority, clients=authority), good, port=first.port) as second:
        yield second


def test_a_read_goes_on_with_the_same_key(authority: Authority) -> None:
    tls = server_tls(authority, clients=authority)

    async def question(client: NodeClient) -> bytes:
        await client.version()
        with restarted(authority, server, same_key=tls):
            return await client.logs("auditd")

    with peer(tls, good) as server:
        assert ask(authority, server, question) == b"type=AVC\n"


def test_a_log_that_breaks_is_not_continued_on_another_machine(authority: Authority) -> None:
    other: list[Any] = []

    def swap(exchange: Exchange) -> None:
        if exchange.path.endswith("Version"):
            good(exchange)
            return
        exchange.headers()
        exchange.data(chunk(b"type=AVC of the first machine\n"))
        exchange.flush()
        exchange.peer.close()
        other.append(Peer(server_tls(authority, clients=authority), good, port=exchange.peer.port))

    async def question(client: NodeClient) -> bytes:
        await client.version()
        return await client.logs("auditd")

    with peer(server_tls(authority, clients=authority), swap) as server:
        got = ask(authority, server, question)
    for item in other:
        item.close()
    assert isinstance(got, PeerChanged) and other[0].requests == []


@pytest.mark.parametrize("name", WRITES)
def test_a_write_needs_a_look_on_its_own_connection(authority: Authority, name: str) -> None:
    tls = server_tls(authority, clients=authority)

    async def unseen(client: NodeClient) -> Any:
        return await WRITES[name](client)

    async def refused_look(client: NodeClient) -> Any:
        with pytest.raises(PermissionRefused):
            await client.logs("refused")
        return await WRITES[name](client)

    async def cut(client: NodeClient) -> Any:
        await client.version()
        with restarted(authority, server, same_key=tls) as second:
            seconds.append(second)
            return await WRITES[name](client)

    async def look_on_the_new_connection(client: NodeClient) -> Any:
        await client.version()
        with restarted(authority, server, same_key=tls) as second:
            seconds.append(second)
            await client.version()
            return await WRITES[name](client)

    def answer(exchange: Exchange) -> None:
        if exchange.path.endswith("Logs"):
            exchange.headers(grpc_status="7", grpc_message="no", end=True)
        else:
            good(exchange)

    for question in (unseen, refused_look, cut):
        seconds: list[Peer] = []
        with peer(tls, answer) as server:
            got = ask(authority, server, question)
        assert isinstance(got, WriteNeedsLook), (question, got)
        assert not any("Version" not in path and "Logs" not in path for path in server.requests)
        assert all(second.requests == [] for second in seconds)
    seconds = []
    with peer(tls, good) as server:
        got = ask(authority, server, look_on_the_new_connection)
    # The peer answers a write with nonsense; what counts is that it was sent, once, after the look.
    assert not isinstance(got, WriteNeedsLook)
    assert [path.rpartition("/")[2] for path in seconds[0].requests] == [
        "Version",
        name if name in ("Reset", "EtcdForfeitLeadership") else "ApplyConfiguration",
    ]


def test_a_first_connection_that_failed_pins_nothing(authority: Authority) -> None:
    """A node that restarts while it is first connected has shown nothing that could be mixed up."""

    def hang_up(exchange: Exchange) -> None:
        exchange.hang_up()

    tls = server_tls(authority, clients=authority)
    stranger = server_tls(Authority(), clients=None)

    async def go(server: Peer) -> str:
        client = connect(authority.context(), server.address)
        with pytest.raises(TalosError):
            async with client:
                pass
        server.close()
        with peer(tls, good, port=server.port):
            async with client:
                return (await client.version()).tag

    with peer(stranger, hang_up) as server:
        assert fleet.run(go(server)) == "v1.14.1"
