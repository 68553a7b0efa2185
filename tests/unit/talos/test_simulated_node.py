# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client against simulated Talos nodes over real TLS: every call, every role, every release line, every route."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import cosi, fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.answers import ApplyResult
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import (
    Deadlines,
    NodeClient,
    connect,
    connect_maintenance,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import (
    InvalidAnswer,
    NotFound,
    PermissionRefused,
    Refused,
    TalosError,
    TlsFailure,
    Unauthenticated,
    Unreachable,
    Unsupported,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.resources import RESOURCES
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.versions import parse_version
from simulator.proto import make

from .conftest import VERSIONS, Lab
from .peers import Authority


async def reset_after_a_look(client: NodeClient) -> str:
    await client.version()
    return await client.reset(graceful=True, reboot=True)


def test_what_a_node_runs(lab: Lab) -> None:
    version = lab.ask("worker-1", lambda client: client.version(), role="reader")
    assert (version.tag, version.platform, version.mode, version.rbac) == ("v1.14.1", "metal", "metal", True)


def test_security_state_has_every_field(lab: Lab) -> None:
    state = lab.ask("worker-1", lambda client: client.security_state(), role="reader")
    assert (state.selinux, state.secure_boot, state.booted_with_uki) == ("permissive", False, True)
    assert state.raw["selinuxState"] == "enabled, permissive"


@pytest.mark.parametrize(
    ("tag", "uki", "signed"),
    [("v1.9.6", None, None), ("v1.10.0", False, None), ("v1.11.6", False, None), ("v1.12.0-alpha.0", False, False)],
)
def test_a_false_that_yaml_leaves_out_is_false_where_the_release_knows_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tag: str, uki: bool | None, signed: bool | None
) -> None:
    # As recorded from a real node without a UKI.
    monkeypatch.setattr(cosi, "parse_spec", lambda text, limit: {"secureBoot": False, "selinuxState": "disabled"})
    state = lab.ask("worker-1", lambda client: client.security_state(parse_version(tag)))
    assert (state.booted_with_uki, state.module_signature_enforced) == (uki, signed)


def test_the_version_is_asked_for_what_was_left_out(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    spec: dict[str, Any] = {"secureBoot": False, "selinuxState": "enabled, permissive"}
    monkeypatch.setattr(cosi, "parse_spec", lambda text, limit: spec)
    state = lab.ask("worker-1", lambda client: client.security_state())
    assert (state.booted_with_uki, state.module_signature_enforced) == (False, False)
    spec["bootedWithUKI"] = "no"
    with pytest.raises(TalosError, match="not of type bool"):
        lab.ask("worker-1", lambda client: client.security_state())


def test_logs_are_whole(lab: Lab) -> None:
    log = lab.ask("worker-1", lambda client: client.logs("auditd"), role="reader")
    lines = log.splitlines()
    assert log.endswith(b"\n") and all(line.startswith(b"type=") for line in lines) and len(lines) > 10
    records = lab.ask("worker-1", lambda client: client.dmesg(), role="reader")
    assert b"Linux version" in records[0] and len(records) > 10


def test_a_log_that_never_was(lab: Lab) -> None:
    with pytest.raises(NotFound, match="never started") as caught:
        lab.ask("worker-1", lambda client: client.logs("nonesuch"))
    assert 'log "nonesuch" was not registered' in caught.value.found


def test_services_processes_and_boot_time(lab: Lab) -> None:
    services = {service.id: service for service in lab.ask("cp-1", lambda client: client.services())}
    assert services["auditd"].state == "Running" and {"etcd", "kubelet", "apid"} <= set(services)
    assert services["auditd"].events[0]["state"] == "Starting"
    assert all(str(event["ts"]).endswith("Z") for event in services["auditd"].events)
    labels = {process.pid: process.label for process in lab.ask("cp-1", lambda client: client.processes())}
    assert labels[1] == "system_u:system_r:init_t:s0"
    assert lab.ask("cp-1", lambda client: client.system_stat()).boot_time > 1_600_000_000


def test_files_with_labels(lab: Lab) -> None:
    files = lab.ask("worker-1", lambda client: client.list_files("/var/log", xattrs=True), role="reader")
    assert files and all(b"_t:s0" in file.xattrs["security.selinux"] for file in files)
    assert lab.ask("worker-1", lambda client: client.read("/proc/cmdline")).startswith(b"talos.platform=")


def test_etcd(lab: Lab) -> None:
    async def both(client: NodeClient) -> tuple[Any, Any, Any]:
        return await client.etcd_members(), await client.etcd_status(), await client.etcd_alarms()

    members, status, alarms = lab.ask("cp-2", both, role="reader")
    assert {member.hostname for member in members} == {"cp-1", "cp-2", "cp-3"}
    assert not any(member.is_learner for member in members) and alarms == []
    assert status.member_id in {member.id for member in members} and status.leader and status.errors == []
    pieces: list[bytes] = []
    size = lab.ask("cp-2", lambda client: client.etcd_snapshot(pieces.append), role="operator")
    assert size == len(b"".join(pieces)) > 0
    with pytest.raises(TalosError, match="only available on control plane nodes"):
        lab.ask("worker-1", lambda client: client.etcd_members())


async def dry_run(client: NodeClient, config: bytes) -> ApplyResult:
    await client.version()
    return await client.apply_configuration(config, dry_run=True)


@pytest.mark.parametrize("name", ["worker-2", "v1-12", "v1-13"])
def test_a_dry_run_changes_nothing_and_leaves_a_trial_to_be_taken_back(lab: Lab, name: str) -> None:
    before = len(lab.sim.writes())
    config = (lab.directory / "configs" / f"{name}.yaml").read_bytes()
    lab.sim.set_fault(name, "trial")
    result = lab.ask(name, lambda client: dry_run(client, config))
    assert result.details.startswith("Dry run summary:") and len(lab.sim.writes()) == before
    assert "trial" in lab.sim.nodes[name].faults


def test_a_dry_run_of_what_needs_a_reboot_is_answered_as_well(lab: Lab) -> None:
    config = (lab.directory / "configs" / "v1-13.yaml").read_bytes()
    lab.sim.set_fault("v1-13", "needs_reboot")
    try:
        result = lab.ask("v1-13", lambda client: dry_run(client, config))
    finally:
        lab.sim.clear_fault("v1-13", "needs_reboot")
    assert result.details.startswith("Dry run summary:")


def test_a_dry_run_that_is_refused_is_asked_once(lab: Lab) -> None:
    before = len(lab.sim.calls)
    with pytest.raises(Refused, match="refused ApplyConfiguration"):
        lab.ask("worker-2", lambda client: dry_run(client, b"version: v1alpha1\nmachine: []\n"))
    assert sum(call.method.endswith("/ApplyConfiguration") for call in lab.sim.calls[before:]) == 1


#: What control planes have and workers do not.
ABSENT = {("worker-1", "etcd_member"), ("worker-1", "manifest_status")}


@pytest.mark.parametrize("name", sorted(RESOURCES))
@pytest.mark.parametrize("node", ["cp-1", "worker-1"])
def test_every_kind_of_resource_can_be_asked_for(lab: Lab, name: str, node: str) -> None:
    kind = RESOURCES[name]

    async def question(client: NodeClient) -> Any:
        return await client.get(name) if kind.id else await client.list(name)

    if (node, name) in ABSENT:
        with pytest.raises(NotFound, match="has nothing under what Get asked for"):
            lab.ask(node, question)
        return
    answer = lab.ask(node, question)
    found = answer if isinstance(answer, list) else [answer]
    assert found
    for item in found:
        assert (item.type, item.namespace) == (kind.type, kind.namespace) and item.spec is not None
        assert str(item.spec) not in repr(item)


@pytest.mark.parametrize("node", sorted(VERSIONS))
def test_each_release_line_can_be_read(lab: Lab, node: str) -> None:
    async def question(client: NodeClient) -> tuple[Any, ...]:
        return await client.talos_version(), await client.security_state(), await client.logs("auditd"), client.notes

    version, state, log, notes = lab.ask(node, question, role="reader")
    assert str(version) == VERSIONS[node] and state.selinux == "permissive" and log and notes == []
    # A zero value is left out, such as the state of FIPS where it is off.
    later = {"fipsState", "moduleSignatureEnforced"} & set(state.raw)
    assert later == ({"moduleSignatureEnforced"} if version.release >= (1, 12) else set())


@pytest.mark.parametrize(
    ("role", "call", "allowed"),
    [
        ("reader", "version", True),
        ("reader", "logs", True),
        ("reader", "read", False),
        ("reader", "reset", False),
        ("operator", "logs", True),
        ("operator", "read", False),
        ("operator", "reset", False),
        ("admin", "read", True),
    ],
)
def test_roles(lab: Lab, role: str, call: str, allowed: bool) -> None:
    questions: dict[str, Any] = {
        "version": lambda client: client.version(),
        "logs": lambda client: client.logs("auditd"),
        "read": lambda client: client.read("/proc/cmdline"),
        "reset": reset_after_a_look,
    }
    if allowed:
        lab.ask("worker-2", questions[call], role=role)
        return
    with pytest.raises(PermissionRefused, match="roles in the client certificate"):
        lab.ask("worker-2", questions[call], role=role)


def test_an_expired_certificate_is_named_with_its_date_and_nothing_is_asked(lab: Lab) -> None:
    before = len(lab.seen("worker-1"))
    with pytest.raises(Unauthenticated, match=r"expired on \d{4}-\d\d-\d\dT"):
        lab.ask("worker-1", lambda client: client.version(), role="expired")
    assert len(lab.seen("worker-1")) == before


def test_a_foreign_certificate_is_named_as_the_likely_reason(lab: Lab) -> None:
    context = Authority().context()
    context.ca = lab.context().ca

    async def go() -> None:
        async with connect(context, lab.address("worker-1")) as client:
            await client.version()

    # Talos sends a TLS alert, which test_hostile_peer.py has; the simulator's asyncio drops it and only hangs up.
    with pytest.raises(TalosError, match="does not accept our client certificate"):
        fleet.run(go())


def test_endpoint_route_asks_the_right_node(lab: Lab) -> None:
    async def question(client: NodeClient) -> tuple[str, str | None, Any, bytes, bytes]:
        name = await client.spec("nodename")
        return client.route, client.endpoint, name["nodename"], await client.logs("auditd"), await client.dmesg()

    for node in ("worker-1", "cp-1", "v1-13"):
        route, endpoint, name, log, dmesg = lab.ask(node, question, route="endpoint", role="reader")
        assert (route, name) == ("endpoint", node) and log and dmesg
        assert endpoint in {lab.address(f"cp-{number}") for number in (1, 2, 3)}
    assert {call.via for call in lab.sim.calls if call.node == "v1-13"} & {"cp-1", "cp-2", "cp-3"}


def test_a_worker_does_not_forward(lab: Lab) -> None:
    context = lab.context("reader")
    context.endpoints = [lab.address("worker-2")]

    async def go() -> None:
        async with connect(context, lab.address("worker-1"), route="endpoint") as client:
            await client.version()

    with pytest.raises(PermissionRefused, match="only control planes forward"):
        fleet.run(go())


@pytest.mark.parametrize("route", ["endpoint", "auto"])
def test_the_next_endpoint_is_tried(lab: Lab, route: Any) -> None:
    context = lab.context("reader")
    dead = [f"{lab.address('worker-1')}:{port}" for port in (1, 2, 3)]
    context.endpoints = [*dead[:2], lab.address("cp-3"), dead[2]]

    async def go() -> tuple[str, str | None, str]:
        async with connect(context, lab.address("worker-2"), route=route) as client:
            return client.route, client.endpoint, (await client.version()).tag

    expected = ("direct", None) if route == "auto" else ("endpoint", lab.address("cp-3"))
    assert fleet.run(go()) == (*expected, "v1.14.1")
    context.endpoints = dead
    if route == "endpoint":
        with pytest.raises(Unreachable, match="on any way"):
            fleet.run(go())


def test_auto_goes_round_a_closed_port(lab: Lab) -> None:
    context = lab.context("reader")

    async def go() -> tuple[str, str]:
        # The node's own port is closed to us; endpoints forward by address alone.
        async with connect(context, f"{lab.address('worker-1')}:1", route="auto") as client:
            return client.route, (await client.spec("nodename"))["nodename"]

    assert fleet.run(go()) == ("endpoint", "worker-1")


def test_following_a_log_gives_its_start(lab: Lab) -> None:
    async def question(client: NodeClient) -> bytes:
        async with contextlib.aclosing(client.follow_logs("auditd")) as pieces:
            async for piece in pieces:
                return piece
        return b""

    assert lab.ask("worker-1", question, role="reader").startswith(b"type=")


def _task(name: str, action: int) -> bytes:
    return bytes(make("machine.TaskEvent", task=name, action=action).SerializeToString())


def test_following_an_order_gives_the_tasks_that_it_begins_and_no_others(lab: Lab) -> None:
    node = lab.sim.nodes["worker-1"]
    node.add_event("machine.TaskEvent", _task("stopAllServices", 0), "of somebody else")
    node.add_event("machine.TaskEvent", _task("stopAllServices", 0))
    node.add_event("machine.PhaseEvent", _task("stopAllServices", 0), "mine")
    node.add_event("machine.TaskEvent", _task("stopAllServices", 1), "mine")
    for name in ("drain", "leave\x1b[2J", "last"):
        node.add_event("machine.TaskEvent", _task(name, 0), "mine")

    async def question(client: NodeClient) -> list[str]:
        told = []
        async with contextlib.aclosing(client.follow_tasks("mine")) as tasks:
            async for task in tasks:
                told.append(task)
                if task == "last":
                    break
        return told

    assert lab.ask("worker-1", question, role="reader") == ["drain", "leave\\x1b[2J", "last"]


def test_an_event_that_cannot_be_read_is_no_task(lab: Lab) -> None:
    lab.sim.nodes["worker-1"].add_event("machine.TaskEvent", b"\xff\xff", "torn")

    async def question(client: NodeClient) -> str:
        async with contextlib.aclosing(client.follow_tasks("torn")) as tasks:
            return await anext(tasks)

    with pytest.raises(InvalidAnswer, match="an event that cannot be read"):
        lab.ask("worker-1", question, role="reader")


def test_a_fleet_with_two_dead_nodes(lab: Lab) -> None:
    nodes = list(lab.sim.nodes)
    assert len(nodes) == 10
    for node in ("worker-2", "v1-11"):
        lab.sim.set_fault(node, "unreachable")
    try:

        async def question(node: str) -> tuple[str, bytes]:
            async with lab.client(node, role="reader") as client:
                return (await client.version()).tag, await client.logs("auditd")

        answers = fleet.run(fleet.ask_all(nodes, question))
    finally:
        for node in ("worker-2", "v1-11"):
            lab.sim.clear_fault(node, "unreachable")
    assert list(answers) == nodes
    failed = {node: answer for node, answer in answers.items() if isinstance(answer, TalosError)}
    assert {node: error.kind for node, error in failed.items()} == {"worker-2": "unreachable", "v1-11": "unreachable"}
    assert all(answers[node][1] for node in nodes if node not in failed)  # type: ignore[index]  # these have an answer


@pytest.fixture(scope="module")
def maintenance(lab: Lab) -> Any:
    """A way to bring a node of a release line into maintenance mode by its own reset, and its address."""

    def bring(node: str) -> str:
        async def go() -> None:
            async with lab.client(node) as client:
                await client.version()
                await client.reset(["STATE", "EPHEMERAL"], graceful=False, reboot=True)
            for _unused in range(100):
                try:
                    async with lab.client(node, deadlines=Deadlines(call=1)):
                        pass
                except TlsFailure as error:
                    assert "maintenance" in error.why
                    return
                except TalosError:
                    pass
                await asyncio.sleep(0.1)
            raise AssertionError(f"{node} did not reach maintenance mode")

        fleet.run(go())
        return lab.address(node)

    return bring


def test_maintenance_of_1_14(lab: Lab, maintenance: Any) -> None:
    address = maintenance("v1-14")

    async def look(**how: Any) -> tuple[str | None, Any, str, bytes]:
        async with connect_maintenance(address, **how) as client:
            stage = (await client.spec("machine_status"))["stage"]
            return client.peer_fingerprint, stage, str(await client.talos_version()), await client.logs("auditd")

    fingerprint, stage, version, log = fleet.run(look(trust_unverified=True))
    assert fingerprint and (stage, version) == ("maintenance", "v1.14.1") and log
    assert fleet.run(look(fingerprints=[fingerprint]))[0] == fingerprint

    before = len(lab.seen("v1-14"))
    with pytest.raises(TlsFailure, match="not pinned"):
        fleet.run(look(fingerprints=["A" * 43 + "="]))
    assert len(lab.seen("v1-14")) == before

    async def read_and_reset(order: bool) -> None:
        async with connect_maintenance(address, fingerprints=[fingerprint]) as client:
            await (reset_after_a_look(client) if order else client.read("/proc/cmdline"))

    for order in (True, False):
        with pytest.raises(PermissionRefused, match="not authorized"):
            fleet.run(read_and_reset(order))


def test_maintenance_of_1_12_serves_less(lab: Lab, maintenance: Any) -> None:
    address = maintenance("v1-12")

    async def look() -> tuple[str, str]:
        async with connect_maintenance(address, trust_unverified=True) as client:
            for question in (client.version, lambda: client.logs("auditd"), client.services, client.dmesg):
                with pytest.raises(Unsupported, match=r"not implemented"):
                    await question()
            return (await client.spec("machine_status"))["stage"], str(await client.talos_version())

    assert fleet.run(look()) == ("maintenance", "v1.12.11")


def test_no_upgrade_was_ever_asked_for(lab: Lab) -> None:
    assert lab.sim.upgrades() == []
