# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Through endpoints: one that is wiped, in maintenance mode, foreign or cut off is left for the next one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import NodeClient, connect, ways_without
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.config import Context
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import (
    OnlyWay,
    TalosError,
    UnknownAuthority,
    Unreachable,
    WriteNeedsLook,
)

from .conftest import Lab
from .peers import Authority, Exchange, peer, server_tls
from .test_hostile_peer import good


def visit(lab: Lab, endpoints: list[str], question: Any, *, node: str = "worker-1", route: Any = "endpoint") -> Any:
    """The answer through exactly these endpoints, or the error; and the endpoint it came through."""
    context = lab.context()
    context.endpoints = endpoints

    async def go() -> Any:
        async with connect(context, lab.address(node), route=route) as client:
            return await question(client), client.endpoint

    try:
        return fleet.run(go())
    except TalosError as error:
        return error


async def read_all(client: NodeClient) -> str:
    await client.logs("auditd")
    await client.list("extension_statuses")
    return str((await client.spec("nodename"))["nodename"])


@contextlib.contextmanager
def in_maintenance(lab: Lab, name: str) -> Iterator[None]:
    """The node's port with the certificate of maintenance mode, as after its wipe."""
    node = lab.sim.nodes[name]
    before = node.state

    async def become(state: str) -> None:
        node.state = state
        await node.gateway.open()

    lab.sim.run(become("maintenance"))
    assert node.maintenance
    try:
        yield
    finally:
        lab.sim.run(become(before))


def test_an_endpoint_in_maintenance_mode_is_left_for_the_next(lab: Lab) -> None:
    with in_maintenance(lab, "cp-1"):
        endpoints = [lab.address("cp-1"), lab.address("cp-2")]
        assert visit(lab, endpoints, read_all) == ("worker-1", endpoints[1])
        only = visit(lab, endpoints[:1], read_all)
        assert isinstance(only, UnknownAuthority) and "maintenance" in only.why


@pytest.mark.parametrize("fault", ["wrong_certificate", "expired_certificate", "not_tls", "unreachable"])
def test_an_endpoint_that_cannot_be_connected_is_left(lab: Lab, fault: str) -> None:
    lab.sim.set_fault("cp-1", fault)
    try:
        endpoints = [lab.address("cp-1"), lab.address("cp-3")]
        assert visit(lab, endpoints, read_all) == ("worker-1", endpoints[1])
    finally:
        lab.sim.clear_fault("cp-1", fault)


def test_an_endpoint_that_goes_while_it_is_used_is_left(lab: Lab) -> None:
    """The wiped control plane was the endpoint of this very visit."""
    endpoints = [lab.address(f"cp-{number}") for number in (1, 2, 3)]

    async def question(client: NodeClient) -> str:
        await client.version()
        used = client.endpoint
        name = next(name for name in ("cp-1", "cp-2", "cp-3") if lab.address(name) == used)
        with in_maintenance(lab, name):
            answer = await read_all(client)
            assert client.endpoint != used
            await client.apply_configuration(b"", dry_run=True)
        return answer

    got = visit(lab, endpoints, question)
    # The write went out, after the look through the new endpoint; the node does not take an empty configuration.
    assert isinstance(got, TalosError) and not isinstance(got, WriteNeedsLook) and got.method == "ApplyConfiguration"


def test_a_worker_among_the_endpoints_is_left(lab: Lab) -> None:
    endpoints = [lab.address("worker-2"), lab.address("v1-13"), lab.address("cp-1")]
    assert visit(lab, endpoints, read_all) == ("worker-1", endpoints[2])


def test_an_endpoint_without_a_path_to_the_node_is_left(lab: Lab) -> None:
    authority = Authority()
    tls = server_tls(authority, clients=authority)
    asked: list[str] = []

    def cut_off(exchange: Exchange) -> None:
        asked.append(exchange.path)
        text = 'connection error: desc = "transport: Error while dialing: dial tcp 10.0.2.15:50000: i/o timeout"'
        exchange.headers(grpc_status="14", grpc_message=text, end=True)

    async def go(endpoints: list[str]) -> str:
        context = authority.context()
        context.endpoints = endpoints
        async with connect(context, "10.0.2.15", route="endpoint") as client:
            return (await client.version()).tag

    with peer(tls, cut_off) as one, peer(tls, cut_off) as two, peer(tls, good) as three:
        assert fleet.run(go([one.address, two.address, three.address])) == "v1.14.1"
        with pytest.raises(Unreachable) as caught:
            fleet.run(go([one.address, two.address]))
        # Every way is named, with what it said.
        assert one.address in caught.value.found and two.address in caught.value.found
        assert "i/o timeout" in caught.value.found


def test_a_node_in_maintenance_mode_is_not_asked_for_in_vain(lab: Lab) -> None:
    """Every endpoint says that it cannot verify the node: that is about the node, and keeps its kind."""
    with in_maintenance(lab, "worker-1"):
        got = visit(lab, [lab.address("cp-1"), lab.address("cp-2")], read_all)
        assert isinstance(got, UnknownAuthority) and got.method != "connect"
        assert lab.address("cp-1") in got.found and lab.address("cp-2") in got.found
        # The node's own answer ends the direct way: the endpoints see nothing else.
        got = visit(lab, [lab.address("cp-1")], read_all, route="auto")
        assert isinstance(got, UnknownAuthority) and got.method == "connect"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_node_itself_is_the_last_endpoint(lab: Lab, number: int) -> None:
    node = f"cp-{number}"
    endpoints = [lab.address(f"cp-{one}") for one in (1, 2, 3)]
    _name, used = visit(lab, endpoints, read_all, node=node)
    assert used != lab.address(node)
    assert visit(lab, [lab.address(node)], read_all, node=node) == (node, lab.address(node))


def test_ways_without_a_node() -> None:
    context = Context("c", endpoints=["10.0.0.1", "10.0.0.2:50000", "[fd00::1]"], crt=b"", key=b"")
    assert ways_without(context, "10.0.0.1") == ["10.0.0.2:50000", "[fd00::1]"]
    assert ways_without(context, "10.0.0.2") == ["10.0.0.1", "[fd00::1]"]
    assert ways_without(context, "fd00:0::1") == ["10.0.0.1", "10.0.0.2:50000"]
    # A name is the machine it leads to, however it is spelled.
    context.endpoints = ["localhost", "127.0.0.1"]
    with pytest.raises(OnlyWay, match=r"localhost, 127\.0\.0\.1") as caught:
        ways_without(context, "127.0.0.1:50000")
    assert "virtual address" in caught.value.do
    assert ways_without(context, "127.0.0.1", ["10.0.0.3", "127.0.0.1"]) == ["10.0.0.3"]
    context.endpoints = []
    with pytest.raises(OnlyWay, match="itself"):
        ways_without(context, "10.0.0.1")
    context.endpoints = ["no-such-name.invalid"]
    assert ways_without(context, "10.0.0.1") == ["no-such-name.invalid"]
