# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No broken or hostile peer passes for a clean node: every misbehaviour ends in the right kind of error.

All of it over real TLS and HTTP/2, by a server that is told to misbehave.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.problem import MissingLibrary, missing_library
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos import fleet, wire
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.client import (
    Deadlines,
    NodeClient,
    connect,
    connect_maintenance,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.talos.errors import ConfigError, TalosError

from .peers import HOST, Authority, Exchange, Peer, peer, server_tls

# Long enough for a loaded machine, short enough for the cases that must run into them.
DEADLINES = Deadlines(connect=3, call=1.5, log=1.5)
PATIENT = Deadlines()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def ask(
    authority: Authority,
    server: Peer,
    question: Callable[[NodeClient], Awaitable[Any]],
    *,
    deadlines: Deadlines = PATIENT,
    client_of: Authority | None = None,
) -> Any:
    """The answer, or the TalosError that came instead."""

    async def go() -> Any:
        context = (client_of or authority).context(trusts=authority)
        async with connect(context, server.address, deadlines=deadlines) as client:
            return await question(client)

    try:
        return fleet.run(go())
    except TalosError as error:
        return error


def version_message(**metadata: Any) -> bytes:
    answer = wire.message("machine.VersionResponse")()
    message = answer.messages.add()
    message.version.tag = "v1.14.1"
    if metadata:
        message.metadata.error = metadata.get("error", "")
        message.metadata.status.code = metadata.get("code", 0)
        message.metadata.status.message = metadata.get("text", "")
    return bytes(answer.SerializeToString())


def chunk(payload: bytes = b"type=AVC\n") -> bytes:
    return bytes(wire.message("common.Data")(bytes=payload).SerializeToString())


def good(exchange: Exchange) -> None:
    exchange.headers()
    exchange.data(version_message() if exchange.path.endswith("Version") else chunk())
    exchange.trailers()


def no_trailers(exchange: Exchange) -> None:
    exchange.headers()
    exchange.data(chunk(), end=True)


def error_after_data_then_close(exchange: Exchange) -> None:
    exchange.headers()
    exchange.data(chunk())
    exchange.trailers(14, "going down")
    exchange.h2.close_connection()
    exchange.hang_up()


def reset_after_data(exchange: Exchange) -> None:
    exchange.headers()
    exchange.data(chunk())
    exchange.flush()
    exchange.h2.reset_stream(exchange.stream, error_code=2)


def close_after_data(exchange: Exchange) -> None:
    exchange.headers()
    exchange.data(chunk())
    exchange.hang_up()


def cut_message(exchange: Exchange) -> None:
    exchange.headers()
    exchange.data(chunk())
    exchange.data(b"short", prefix=b"\0\0\0\1\0")
    exchange.trailers()


def forwarded_error_in_stream(exchange: Exchange) -> None:
    exchange.headers()
    data = wire.message("common.Data")()
    data.metadata.error = "dial tcp 10.0.0.5:50000: i/o timeout"
    exchange.data(data.SerializeToString())
    exchange.trailers()


def empty_then_error(exchange: Exchange) -> None:
    exchange.headers()
    exchange.trailers(13, "boom \x1b[31m")


def oversized(exchange: Exchange) -> None:
    exchange.headers()
    exchange.data(b"x", prefix=b"\0\x7f\0\0\0")


def compressed(exchange: Exchange) -> None:
    exchange.headers()
    exchange.data(chunk(), prefix=b"\1" + len(chunk()).to_bytes(4, "big"))
    exchange.trailers()


def undecodable(exchange: Exchange) -> None:
    exchange.headers()
    exchange.data(b"\xff\xff\xff\xff")
    exchange.trailers()


def web_page(exchange: Exchange) -> None:
    exchange.h2.send_headers(exchange.stream, [(":status", "200"), ("content-type", "text/html")])
    exchange.h2.send_data(exchange.stream, b"<html>", end_stream=True)


def bad_gateway(exchange: Exchange) -> None:
    exchange.h2.send_headers(exchange.stream, [(":status", "502"), ("content-type", "text/html")], end_stream=True)


def garbage_frames(exchange: Exchange) -> None:
    # A DATA frame on stream 0, which no peer may send.
    exchange.connection.sendall(b"\0\0\1\0\0\0\0\0\0x")


def strange_frame(exchange: Exchange) -> None:
    # One that HTTP/2 allows and no Talos API sends: another place where the service can be had.
    exchange.h2.advertise_alternative_service(b'h2=":8000"', origin=b"https://elsewhere")


def hang(exchange: Exchange) -> None:
    exchange.headers()
    exchange.data(chunk())


def flood(exchange: Exchange) -> None:
    exchange.headers()
    for _unused in range(40):
        exchange.data(chunk(b"x" * 1000))
    exchange.trailers()


LOG_CASES = [
    (no_trailers, "torn_stream"),
    (error_after_data_then_close, "torn_stream"),
    (reset_after_data, "torn_stream"),
    (close_after_data, "torn_stream"),
    (cut_message, "torn_stream"),
    (forwarded_error_in_stream, "refused"),
    (empty_then_error, "refused"),
    (oversized, "invalid_answer"),
    (compressed, "invalid_answer"),
    (undecodable, "invalid_answer"),
    (web_page, "invalid_answer"),
    (bad_gateway, "unreachable"),
    (garbage_frames, "unreachable"),
    (strange_frame, "unreachable"),
    (hang, "deadline"),
    (flood, "invalid_answer"),
]


@pytest.mark.parametrize(("answer", "kind"), LOG_CASES, ids=[case[0].__name__ for case in LOG_CASES])
def test_a_log_is_whole_or_an_error(authority: Authority, answer: Callable[[Exchange], None], kind: str) -> None:
    with peer(server_tls(authority, clients=authority), answer) as server:
        deadlines = DEADLINES if kind == "deadline" else PATIENT
        got = ask(authority, server, lambda client: client.logs("auditd", max_bytes=30_000), deadlines=deadlines)
    assert isinstance(got, TalosError) and got.kind == kind, got
    assert got.node == server.address and got.method == "Logs"
    assert "\x1b" not in str(got)


def test_the_same_log_when_nothing_is_wrong(authority: Authority) -> None:
    with peer(server_tls(authority, clients=authority), good) as server:
        assert ask(authority, server, lambda client: client.logs("auditd")) == b"type=AVC\n"
        assert ask(authority, server, lambda client: client.dmesg()) == [b"type=AVC\n"]


def test_a_kernel_record_is_a_message_whatever_line_breaks_it_holds(authority: Authority) -> None:
    records = [b"one\n", b"two\nlines\n", b"", b"no break", b"\n", b"three\n\n"]

    def answer(exchange: Exchange) -> None:
        exchange.headers()
        for record in records:
            exchange.data(chunk(record))
        exchange.trailers()

    with peer(server_tls(authority, clients=authority), answer) as server:
        assert ask(authority, server, lambda client: client.dmesg()) == records


def test_a_torn_log_is_read_again_once_from_its_start(authority: Authority) -> None:
    def first_torn(exchange: Exchange) -> None:
        (close_after_data if len(exchange.peer.requests) == 1 else good)(exchange)

    with peer(server_tls(authority, clients=authority), first_torn) as server:
        assert ask(authority, server, lambda client: client.logs("auditd")) == b"type=AVC\n"
        assert len(server.requests) == 2
    with peer(server_tls(authority, clients=authority), close_after_data) as server:
        assert ask(authority, server, lambda client: client.logs("auditd")).kind == "torn_stream"
        assert len(server.requests) == 2


def test_a_log_that_was_overtaken_is_read_again_and_leaves_a_note(authority: Authority) -> None:
    def overtaken(exchange: Exchange) -> None:
        if len(exchange.peer.requests) == 1:
            exchange.headers()
            exchange.data(chunk(b"lost"))
            exchange.trailers(2, "the reader is out of sync")
        else:
            good(exchange)

    async def question(client: NodeClient) -> tuple[bytes, list[str]]:
        return await client.logs("auditd"), client.notes

    with peer(server_tls(authority, clients=authority), overtaken) as server:
        log, notes = ask(authority, server, question)
    assert log == b"type=AVC\n" and len(notes) == 1 and "flood" in notes[0]


def test_unregistered_log_is_told_from_other_errors(authority: Authority) -> None:
    def unregistered(exchange: Exchange) -> None:
        exchange.headers(grpc_status="2", grpc_message='log "auditd" was not registered', end=True)

    with peer(server_tls(authority, clients=authority), unregistered) as server:
        got = ask(authority, server, lambda client: client.logs("auditd"))
    assert got.kind == "not_found" and 'log "auditd" was not registered' in got.found


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"", "invalid_answer"),
        (version_message(error="x", code=14), "unreachable"),
        (version_message(error="x", code=7), "permission"),
        (version_message(error="x"), "refused"),
        (version_message(code=7), "permission"),
        (version_message(code=14, text="no route"), "unreachable"),
        (version_message() + version_message(), "invalid_answer"),
        (wire.message("machine.VersionResponse")(messages=[{}]).SerializeToString(), "invalid_answer"),
    ],
    ids=[
        "no message",
        "forwarded 14",
        "forwarded 7",
        "forwarded text",
        "code alone",
        "code and its text",
        "two messages",
        "no version",
    ],
)
def test_unary_answers_are_checked(authority: Authority, payload: bytes, kind: str) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.headers()
        exchange.data(payload)
        exchange.trailers()

    with peer(server_tls(authority, clients=authority), answer) as server:
        got = ask(authority, server, lambda client: client.version())
    assert isinstance(got, TalosError) and got.kind == kind, got


def resource(type: str = "Nodenames.kubernetes.talos.dev", id: str = "nodename", spec: str = "nodename: n") -> Any:
    """A resource that a node answers with."""
    return wire.message("cosi.resource.Resource")(metadata={"type": type, "id": id}, spec={"yaml_spec": spec})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (resource(), None),
        (resource(id="another"), "another instead of Nodenames.kubernetes.talos.dev nodename"),
        (resource(id=""), "a resource without a spec or a name"),
        (resource(type="Identities.cluster.talos.dev"), "Identities.cluster.talos.dev nodename instead of"),
        (resource(type=""), "a resource without a spec or a name"),
        (resource(spec="- a"), "not"),
        (resource(spec="worker"), "a Nodenames.kubernetes.talos.dev that is not a mapping"),
        (
            wire.message("cosi.resource.Resource")(
                metadata={"type": "Nodenames.kubernetes.talos.dev", "id": "nodename"}
            ),
            "a spec",
        ),
        (None, "no resource for"),
    ],
    ids=["good", "another id", "no id", "another kind", "no kind", "a list", "a text", "no spec", "nothing"],
)
def test_a_resource_is_the_one_that_was_asked_for(authority: Authority, given: Any, told: str | None) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.headers()
        exchange.data(wire.message("cosi.resource.GetResponse")(resource=given).SerializeToString())
        exchange.trailers()

    with peer(server_tls(authority, clients=authority), answer) as server:
        got = ask(authority, server, lambda client: client.spec("nodename"))
    if told is None:
        assert got == {"nodename": "n"}
    else:
        assert got.kind == "invalid_answer" and told in got.found, got


def machine(reply: str) -> bytes:
    """An answer of a MachineService that says nothing."""
    return bytes(wire.message(reply)(messages=[{}]).SerializeToString())


@pytest.mark.parametrize(
    ("payload", "question", "told"),
    [
        (machine("machine.EtcdMemberListResponse"), lambda client: client.etcd_members(), "no members"),
        (machine("machine.EtcdStatusResponse"), lambda client: client.etcd_status(), "no member id"),
        (chunk(b""), lambda client: client.etcd_snapshot(lambda data: None), "an empty snapshot"),
        (machine("machine.SystemStatResponse"), lambda client: client.system_stat(), "no boot time"),
        (machine("machine.ProcessesResponse"), lambda client: client.processes(), "no processes"),
        (machine("time.TimeResponse"), lambda client: client.local_time(), "no time"),
    ],
    ids=["members", "etcd", "snapshot", "boot time", "processes", "time"],
)
def test_an_answer_that_says_nothing_is_none(authority: Authority, payload: bytes, question: Any, told: str) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.headers()
        exchange.data(payload)
        exchange.trailers()

    with peer(server_tls(authority, clients=authority), answer) as server:
        got = ask(authority, server, question)
    assert isinstance(got, TalosError) and got.kind == "invalid_answer" and got.found.endswith(f"with {told}"), got


def test_the_tasks_of_an_order_end_with_what_reports_them(authority: Authority) -> None:
    task = wire.message("machine.TaskEvent")(task="drain").SerializeToString()
    data = {"type_url": "talos/runtime/machine.TaskEvent", "value": task}

    def answer(exchange: Exchange) -> None:
        exchange.headers()
        for actor in ("mine", "of another"):
            exchange.data(wire.message("machine.Event")(actor_id=actor, data=data).SerializeToString())
        exchange.trailers()

    async def question(client: NodeClient) -> list[str]:
        return [task async for task in client.follow_tasks("mine")]

    with peer(server_tls(authority, clients=authority), answer) as server:
        assert ask(authority, server, question) == ["drain"]
    assert server.requests == ["/machine.MachineService/Events"]


def test_every_resource_of_a_list_is_of_the_kind_that_was_asked_for(authority: Authority) -> None:
    listed = [resource("Members.cluster.talos.dev", name) for name in ("one", "two")]

    def answer(exchange: Exchange) -> None:
        exchange.headers()
        for one in listed:
            exchange.data(wire.message("cosi.resource.ListResponse")(resource=one).SerializeToString())
        exchange.trailers()

    with peer(server_tls(authority, clients=authority), answer) as server:
        got = ask(authority, server, lambda client: client.list("members"))
        assert [one.id for one in got] == ["one", "two"]
        listed.append(resource())
        got = ask(authority, server, lambda client: client.list("members"))
    assert got.kind == "invalid_answer" and "instead of Members.cluster.talos.dev" in got.found


@pytest.mark.parametrize("count", [0, 2])
def test_a_unary_answer_is_exactly_one_message(authority: Authority, count: int) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.headers()
        for _unused in range(count):
            exchange.data(version_message())
        exchange.trailers()

    with peer(server_tls(authority, clients=authority), answer) as server:
        assert ask(authority, server, lambda client: client.version()).kind == "invalid_answer"


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (1, "context canceled", "unreachable"),
        (2, "something", "refused"),
        (3, "bad argument", "refused"),
        (4, "too slow", "deadline"),
        (5, "not there", "not_found"),
        (6, "exists", "refused"),
        (7, "not authorized", "permission"),
        (7, 'resource type "X" is not supported', "unsupported"),
        (7, "no request forwarding", "no_forwarding"),
        (9, "not now", "refused"),
        (12, "API is not implemented in maintenance mode", "unsupported"),
        (13, "internal", "refused"),
        (14, "connection refused", "unreachable"),
        (16, "who are you", "unauthenticated"),
    ],
)
def test_every_status_has_its_kind(authority: Authority, status: int, text: str, kind: str) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.headers(grpc_status=str(status), grpc_message=text, end=True)

    with peer(server_tls(authority, clients=authority), answer) as server:
        got = ask(authority, server, lambda client: client.version())
    assert isinstance(got, TalosError) and got.kind == kind, got
    assert text in str(got) and got.why and got.do
    # Only what may pass by itself is asked again.
    assert len(server.requests) == (3 if kind == "unreachable" else 1)


@pytest.mark.parametrize("answer", [bad_gateway, close_after_data, error_after_data_then_close, hang])
def test_a_write_is_sent_once(authority: Authority, answer: Callable[[Exchange], None]) -> None:
    def look_then_trouble(exchange: Exchange) -> None:
        (good if exchange.path.endswith("Version") else answer)(exchange)

    async def question(client: NodeClient) -> str:
        await client.version()
        return await client.reset(["EPHEMERAL"], graceful=True, reboot=True)

    with peer(server_tls(authority, clients=authority), look_then_trouble) as server:
        got = ask(authority, server, question, deadlines=DEADLINES)
        assert isinstance(got, TalosError) and not got.retryable
        assert server.requests == ["/machine.MachineService/Version", "/machine.MachineService/Reset"]


def test_requests_carry_a_deadline_and_the_whole_log_is_asked_for(authority: Authority) -> None:
    seen: list[Any] = []

    def record(exchange: Exchange) -> None:
        seen.append(exchange)
        good(exchange)

    with peer(server_tls(authority, clients=authority), record) as server:
        ask(authority, server, lambda client: client.logs("auditd"))
    (exchange,) = seen
    request = wire.message("machine.LogsRequest").FromString(exchange.body[5:])
    # The server's default for tail_lines is 0, which means none: a perfect but false silence.
    assert (request.namespace, request.id, request.follow, request.tail_lines) == ("system", "auditd", False, -1)
    assert exchange.request["grpc-timeout"] and "node" not in exchange.request and "nodes" not in exchange.request


@pytest.mark.parametrize("tls12", [False, True])
def test_a_refused_client_certificate_is_not_a_lost_connection(authority: Authority, tls12: bool) -> None:
    tls = server_tls(authority, clients=authority)
    if tls12:
        tls.maximum_version = 0x0303  # TLS 1.2
    with peer(tls, good) as server:
        got = ask(authority, server, lambda client: client.version(), client_of=Authority())
    assert isinstance(got, TalosError) and got.kind == "unauthenticated", got


def test_not_http2_and_silence_after_tls(authority: Authority) -> None:
    with peer(server_tls(authority, clients=authority, alpn=False), good) as server:
        got = ask(authority, server, lambda client: client.version())
        assert got.kind == "tls" and "HTTP/2" in got.found and server.requests == []
    with peer(server_tls(authority, clients=authority), good, greet=False) as server:
        got = ask(authority, server, lambda client: client.version(), deadlines=Deadlines(connect=1))
        assert got.kind == "unreachable" and got.method == "connect"
    with peer(None, good) as server:
        got = ask(authority, server, lambda client: client.version(), deadlines=Deadlines(connect=1))
        assert got.kind == "unreachable"


def test_wrong_name_and_its_override(authority: Authority) -> None:
    with peer(server_tls(authority, clients=authority, addresses=("10.9.8.7",)), good) as server:
        got = ask(authority, server, lambda client: client.version())
        assert got.kind == "tls" and "is not for 127.0.0.1" in got.found and server.requests == []

        async def overridden() -> str:
            async with connect(authority.context(), server.address, server_name="10.9.8.7") as client:
                return (await client.version()).tag

        assert fleet.run(overridden()) == "v1.14.1"


def test_maintenance_pin_is_checked_before_the_first_request(authority: Authority) -> None:
    wrong = "A" * 43 + "="

    async def visit(address: str, **how: Any) -> tuple[str, str | None]:
        async with connect_maintenance(address, **how) as client:
            return (await client.version()).tag, client.peer_fingerprint

    with peer(server_tls(Authority(), clients=None), good) as server:
        with pytest.raises(TalosError) as caught:
            fleet.run(visit(server.address, fingerprints=[wrong]))
        assert caught.value.kind == "tls" and "not pinned" in caught.value.found
        assert server.requests == []
        tag, fingerprint = fleet.run(visit(server.address, trust_unverified=True))
        assert tag == "v1.14.1" and fingerprint is not None and fingerprint in caught.value.found
        assert fleet.run(visit(server.address, fingerprints=[wrong, fingerprint])) == (tag, fingerprint)
        # With the cluster's own identity such a node must not pass.
        got = ask(authority, server, lambda client: client.version())
        assert got.kind == "unknown_authority" and "maintenance" in got.why


def test_an_enclosing_timeout_still_works_after_a_broken_stream(authority: Authority) -> None:
    """grpclib's way of interrupting a task must not leave a cancellation behind that confuses asyncio.timeout."""

    async def go(address: str) -> str:
        async with connect(authority.context(), address, deadlines=PATIENT) as client:
            try:
                async with asyncio.timeout(1.5):
                    with pytest.raises(TalosError, match="to Logs broke off"):
                        await client.logs("auditd")
                    await asyncio.sleep(30)
            except TimeoutError:
                return "timeout"
        return "slept"

    with peer(server_tls(authority, clients=authority), reset_after_data) as server:
        assert fleet.run(go(server.address)) == "timeout"


def test_a_problem_that_all_nodes_share_is_raised_once() -> None:
    async def ask_one(node: str) -> str:
        raise missing_library("grpclib", ImportError("absent"))

    with pytest.raises(MissingLibrary, match="grpclib"):
        fleet.run(fleet.ask_all(["a", "b"], ask_one))

    class Over(BaseException):
        """As what Ansible ends a task with whose time is over."""

    async def end(node: str) -> str:
        raise Over

    with pytest.raises(Over):
        fleet.run(fleet.ask_all(["a", "b"], end))
    for wrong in (0, 257):
        with pytest.raises(ConfigError, match=f"^in_flight is {wrong}. .* Give a number from 1 to 256"):
            fleet.run(fleet.ask_all(["a"], ask_one, in_flight=wrong))
    assert fleet.run(fleet.ask_all([], ask_one)) == {}


def test_fleet_gives_a_value_or_an_error_for_each(authority: Authority) -> None:
    context = authority.context()
    with peer(server_tls(authority, clients=authority), good) as alive:

        async def ask_one(node: str) -> str:
            if node == "odd":
                raise RuntimeError("a bug")
            if node == "slow":
                await asyncio.sleep(30)
            address = alive.address if node.startswith("up") else f"{HOST}:1"
            async with connect(context, address) as client:
                return (await client.version()).tag

        nodes = [*(f"up-{number}" for number in range(8)), "down-1", "down-2", "odd", "slow"]
        answers = fleet.run(fleet.ask_all(nodes, ask_one, in_flight=4, node_deadline=4))
    assert list(answers) == nodes
    assert [answers[node] for node in nodes[:8]] == ["v1.14.1"] * 8
    kinds = [getattr(answers[node], "kind", None) for node in nodes[8:]]
    assert kinds == ["unreachable", "unreachable", "invalid_answer", "deadline"]


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "not_kept", "could not be kept: No space left on device"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "not_kept", "could not be kept: Disk quota exceeded"),
        (PermissionError(errno.EACCES, "Permission denied", "/srv/a"), "not_kept", "kept in /srv/a: Permission denied"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/srv/a"), "not_kept", "kept in /srv/a: Is a directory"),
        # Whatever a connection ends with is no matter of the disk.
        (ConnectionResetError(errno.ECONNRESET, "reset"), "invalid_answer", "an unexpected ConnectionResetError"),
        (PermissionError(errno.EACCES, "Permission denied"), "invalid_answer", "an unexpected PermissionError"),
        (OSError("odd"), "invalid_answer", "an unexpected OSError"),
    ],
)
def test_what_the_control_host_cannot_keep_is_not_the_nodes_fault(error: OSError, kind: str, told: str) -> None:
    async def ask_one(node: str) -> str:
        if node == "b":
            raise error
        return "good"

    answers = fleet.run(fleet.ask_all(["a", "b"], ask_one))
    assert answers["a"] == "good"
    problem = answers["b"]
    assert isinstance(problem, TalosError)
    assert (problem.kind, problem.node) == (kind, "b") and told in problem.found
    assert ("make it writable" in problem.do) == (kind == "not_kept")
