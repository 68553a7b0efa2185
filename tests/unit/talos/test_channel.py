# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A connection goes to one peer that was inspected, whichever of a name's addresses it has."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import channel, fleet, wire
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.channel import PeerChannel
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import connect, ways_without
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Address
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import TlsFailure, Unreachable
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.tls import unverified_tls

from .peers import HOST, Authority, peer, server_tls
from .test_hostile_peer import good


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def test_a_name_is_reached_by_the_address_that_can_be_connected(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "resolve", lambda host, port: ["127.0.0.9", HOST])

    async def go(address: str) -> str:
        async with connect(authority.context(), address, server_name=HOST) as client:
            return (await client.version()).tag

    with peer(server_tls(authority, clients=authority), good) as server:
        assert fleet.run(go(f"node.example:{server.port}")) == "v1.14.1"
        assert server.handshakes == 1


@pytest.mark.parametrize("name", ["10.0.0..1", "a" * 64, f"node.{'a' * 64}.example"])
def test_what_cannot_be_a_name_is_not_resolved(authority: Authority, name: str) -> None:
    async def go() -> None:
        async with connect(authority.context(), name):
            raise AssertionError("nobody is there")

    with pytest.raises(Unreachable, match=f"{name} cannot be resolved to an address .it is no host name"):
        fleet.run(go())
    context = authority.context()
    context.endpoints = [name]
    assert ways_without(context, "10.0.0.1") == [name]


def test_a_channel_is_of_one_connection(authority: Authority) -> None:
    async def go(port: int) -> None:
        one = PeerChannel(Address(HOST, port), unverified_tls(), HOST, lambda _transport: None, 5)
        await one.__connect__()
        assert one.alive and one.secured
        one.drop()
        with pytest.raises(ConnectionResetError, match="lost before the call"):
            await one.__connect__()

    with peer(server_tls(authority, clients=None), good) as server:
        fleet.run(go(server.port))
        assert server.handshakes == 1


def test_a_connection_that_is_lost_names_its_loss_and_not_what_follows_from_it(authority: Authority) -> None:
    async def go() -> None:
        way = connect(authority.context(), f"{HOST}:1")._ways[0]
        request = wire.message("google.protobuf.Empty")()
        with pytest.raises(Unreachable, match="cannot be connected") as caught:
            await way.unary(wire.METHODS["Version"], request, 5)
        assert caught.value.method == "connect"

    fleet.run(go())


class Transport(asyncio.Transport):
    """A connection of which nothing is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.did: list[Any] = []

    def write(self, data: Any) -> None:
        self.did.append(data)

    def abort(self) -> None:
        self.did.append("abort")


def test_what_a_peer_sends_that_did_not_pass_is_not_read() -> None:
    """It may arrive together with the end of the handshake."""
    stranger = TlsFailure("its key is not pinned", "w", "d")

    def refuse(_transport: asyncio.BaseTransport) -> None:
        raise stranger

    async def go() -> None:
        one = PeerChannel(Address(HOST, 1), unverified_tls(), HOST, refuse, 5)
        protocol: Any = one._protocol_factory()
        transport = Transport()
        protocol.connection_made(transport)
        protocol.data_received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
        assert protocol.lost is one.lost is stranger
        assert protocol.settled.is_set() and not one.secured and not one.alive
        assert transport.did == ["abort"]

    fleet.run(go())
