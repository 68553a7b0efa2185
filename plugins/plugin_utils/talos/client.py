# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Typed questions to one Talos node, and the few orders the collection gives it.

Answers are never completed by assumption: what a node did not say is None or an error. A stream that breaks gives an
error, not its first part. Reads are repeated when the connection failed in passing; what changes a node is sent once.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import builtins
import contextlib
import random
import time
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, TypeVar

from . import wire
from .config import Address, Context, parse_address
from .errors import (
    ConfigError,
    InvalidAnswer,
    NotFound,
    PermissionRefused,
    TalosError,
    TornStream,
    Unreachable,
    Unsupported,
    printable,
)
from .resources import RESOURCES, Resource, ResourceKind, moment, parse_spec, resource_kind
from .transport import Connection, Deadlines, mutual_tls, unverified_tls
from .versions import TalosVersion, parse_version, supports

__all__ = [
    "RESOURCES",
    "ApplyResult",
    "Deadlines",
    "EtcdAlarm",
    "EtcdMember",
    "EtcdStatus",
    "Event",
    "FileInfo",
    "NodeClient",
    "Process",
    "Resource",
    "ResourceKind",
    "SecurityState",
    "ServiceInfo",
    "SystemStat",
    "Version",
    "connect",
    "connect_maintenance",
]

Route = Literal["direct", "endpoint", "auto"]
T = TypeVar("T")

_TRIES = 3
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 2.0
# The longest honest stream is a log of 64 MiB in pieces of 1 KiB; a hostile one must not fill the memory.
_MOST_MESSAGES = 200_000


@dataclass(frozen=True)
class Version:
    """What the node runs. ``rbac`` is None while the node has no configuration; platform and mode likewise."""

    tag: str
    sha: str
    platform: str | None
    mode: str | None
    rbac: bool | None
    arch: str


@dataclass(frozen=True)
class SecurityState:
    """The node's own view of its security (pkg/machinery/resources/runtime/security_status.go).

    Attributes:
        selinux: ``unsupported`` when this Talos release has no SELinux by default (before 1.10).
        fips_state: the node's text; None when absent (disabled, or before 1.11).
        raw: the whole spec.
    """

    selinux: Literal["enforcing", "permissive", "disabled", "unsupported"]
    secure_boot: bool
    uki_signing_key_fingerprint: str | None
    pcr_signing_key_fingerprint: str | None
    booted_with_uki: bool | None
    fips_state: str | None
    module_signature_enforced: bool | None
    raw: dict[str, Any]


@dataclass(frozen=True)
class ServiceInfo:
    """A Talos service. ``events`` are ``{msg, state, ts}`` oldest first, ts ISO-8601 UTC or None.

    ``healthy`` is None when the node does not know (``unknown`` is then True) or runs no check.
    """

    id: str
    state: str
    events: list[dict[str, str | None]]
    healthy: bool | None
    unknown: bool
    last_message: str


@dataclass(frozen=True)
class SystemStat:
    """``boot_time`` in seconds since 1970; it drifts with clock steps."""

    boot_time: int


@dataclass(frozen=True)
class Process:
    """A process. ``label`` is its SELinux context, None when the node gave none."""

    pid: int
    ppid: int
    state: str
    command: str
    executable: str
    args: str
    label: str | None


@dataclass(frozen=True)
class FileInfo:
    """A file. ``error`` tells why the node could not read it; ``modified`` in seconds since 1970."""

    name: str
    relative_name: str
    size: int
    mode: int
    modified: int
    is_dir: bool
    link: str
    uid: int
    gid: int
    xattrs: dict[str, bytes]
    error: str


@dataclass(frozen=True)
class ApplyResult:
    """What the node did, or in a dry run would do, with a configuration. ``details`` may quote that configuration."""

    warnings: list[str]
    mode: str
    details: str


@dataclass(frozen=True)
class Event:
    """A runtime event: ``type`` is the short name (``SequenceEvent``), ``data`` its content.

    ``data`` is empty for a type that is not decoded.
    """

    id: str
    actor_id: str
    type: str
    data: dict[str, Any]


@dataclass(frozen=True)
class EtcdMember:
    """An etcd member as the cluster knows it."""

    id: int
    hostname: str
    peer_urls: list[str]
    client_urls: list[str]
    is_learner: bool


@dataclass(frozen=True)
class EtcdStatus:
    """The etcd member on the asked node; ``leader`` is a member id, 0 when there is none."""

    member_id: int
    leader: int
    is_learner: bool
    raft_index: int
    raft_term: int
    raft_applied_index: int
    db_size: int
    db_size_in_use: int
    protocol_version: str
    storage_version: str | None
    errors: list[str]


@dataclass(frozen=True)
class EtcdAlarm:
    """An active alarm: ``alarm`` is ``nospace`` or ``corrupt``."""

    member_id: int
    alarm: str


def connect(
    context: Context,
    node: str,
    *,
    route: Route = "direct",
    deadlines: Deadlines | None = None,
    server_name: str | None = None,
) -> NodeClient:
    """A client for ``node``, to be used as ``async with connect(context, "10.0.0.5") as client``.

    Args:
        node: host name or address, optionally with a port.
        route: ``direct`` connects to the node; ``endpoint`` asks one of the context's endpoints to forward;
            ``auto`` tries the node once and then the endpoints.
        server_name: the name to verify in the certificate of the node (or of the endpoint, for that route).

    Raises:
        ConfigError, Unauthenticated: the context cannot be used; the connection itself is made on entering.
    """
    limits = deadlines or Deadlines()
    address = parse_address(node)
    tls = context.tls(mutual_tls)
    ways: list[Connection] = []
    if route in ("direct", "auto"):
        ways.append(Connection(address, tls, node=node, deadlines=limits, server_name=server_name))
    elif route != "endpoint":
        raise ValueError(f"route {route!r} is not direct, endpoint or auto")
    if route in ("endpoint", "auto"):
        endpoints = [parse_address(endpoint) for endpoint in context.endpoints]
        if not endpoints and route == "endpoint":
            raise ConfigError(
                f"the talosconfig context {context.name!r} has no endpoints",
                "the endpoint route needs a control plane that forwards",
                "add endpoints to the context, or connect to the nodes directly",
                node=node,
            )
        for endpoint in _spread(endpoints, address):
            name = server_name if route == "endpoint" else None
            ways.append(
                Connection(endpoint, tls, node=node, deadlines=limits, forwarded_to=address.host, server_name=name)
            )
    return NodeClient(node, ways, limits, retry_first=route != "auto")


def _spread(endpoints: list[Address], node: Address) -> list[Address]:
    """The endpoints in an order that differs by node, so that a fleet read loads them evenly.

    The node itself comes last: it is no way around its own trouble.
    """
    if not endpoints:
        return []
    start = zlib.crc32(node.host.encode()) % len(endpoints)
    turned = endpoints[start:] + endpoints[:start]
    return [item for item in turned if item.host != node.host] + [item for item in turned if item.host == node.host]


def connect_maintenance(
    node: str,
    *,
    fingerprints: Sequence[str] = (),
    trust_unverified: bool = False,
    deadlines: Deadlines | None = None,
) -> NodeClient:
    """A client for a node in maintenance mode, which has no certificate of the cluster and asks for none.

    Args:
        fingerprints: base64 SHA-256 of the node's public key (as the node prints on its console), one of which
            must match before anything is sent.
        trust_unverified: accept any key. Whoever answers is then unknown: send no secrets on the strength of it.

    Raises:
        ConfigError: neither is given, or a fingerprint is not one.
    """
    for fingerprint in fingerprints:
        try:
            digest = base64.b64decode(fingerprint, validate=True)
        except (binascii.Error, ValueError):
            digest = b""
        if len(digest) != 32:
            raise ConfigError(
                f"{printable(fingerprint, 80)!r} is not a certificate fingerprint",
                "a fingerprint is the base64 of a SHA-256 digest, 44 characters long",
                "copy it from the node's console or dmesg",
                node=node,
            )
    if not fingerprints and not trust_unverified:
        raise ConfigError(
            f"no fingerprint is pinned for node {node} in maintenance mode",
            "such a node cannot be verified by a certificate, and a machine configuration holds the cluster's secrets",
            "pin the fingerprint that the node prints on its console, or ask for trust_unverified by name",
            node=node,
        )
    limits = deadlines or Deadlines()
    way = Connection(
        parse_address(node), unverified_tls(), node=node, deadlines=limits, fingerprints=frozenset(fingerprints)
    )
    return NodeClient(node, [way], limits)


class NodeClient:
    """Questions to one node. Made by ``connect`` or ``connect_maintenance``; used with ``async with``.

    Every method raises a TalosError subclass that says which kind of failure it was.

    Attributes:
        node: as the caller named it.
        notes: things that happened on the way and that matter as evidence, such as a log that was overtaken
            by its writer while it was read.
    """

    def __init__(
        self, node: str, ways: Sequence[Connection], deadlines: Deadlines, *, retry_first: bool = True
    ) -> None:
        self.node = node
        self.deadlines = deadlines
        self.notes: builtins.list[str] = []
        self._ways = list(ways)
        self._retry_first = retry_first
        self._way = self._ways[0]

    async def __aenter__(self) -> NodeClient:
        try:
            await self._connected(time.monotonic() + self.deadlines.call)
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        # Lets the event loop finish the closing, so that a loop that ends now leaves no open socket behind.
        await asyncio.sleep(0)

    def close(self) -> None:
        """Drop the connection; safe to call twice."""
        for way in self._ways:
            way.close()

    @property
    def route(self) -> str:
        """``direct`` or ``endpoint``: the way that is in use."""
        return "direct" if self._way.forwarded_to is None else "endpoint"

    @property
    def endpoint(self) -> str | None:
        """The endpoint that forwards; None on the direct route."""
        return None if self._way.forwarded_to is None else str(self._way.address)

    @property
    def peer_fingerprint(self) -> str | None:
        """Base64 SHA-256 of the public key that answered (the endpoint's, on that route)."""
        return self._way.peer_fingerprint

    # --- connection and repetition -------------------------------------------------------------------------

    async def _connected(self, end: float) -> Connection:
        if self._way.alive:
            return self._way
        failures: builtins.list[TalosError] = []
        for attempt in range(_TRIES):
            again = False
            for index, way in enumerate(self._ways):
                if attempt and index == 0 and not self._retry_first:
                    continue
                try:
                    await way.open()
                except Unreachable as error:
                    failures.append(error)
                    again = again or error.retryable
                else:
                    self._way = way
                    return way
            if not again or attempt + 1 == _TRIES or not await _pause(attempt, end):
                break
        if len(self._ways) == 1:
            raise failures[-1]
        tried = "; ".join(dict.fromkeys(printable(failure.found) for failure in failures))
        raise Unreachable(
            f"node {self.node} cannot be reached on any way: {tried}",
            "neither the node's own port nor an endpoint answers",
            "check the endpoints and the network path to them",
            node=self.node,
            method="connect",
        )

    async def _repeat(self, budget: float, ask: Callable[[Connection, float], Awaitable[T]]) -> T:
        """Ask until an answer comes, a lasting failure comes, or ``budget`` seconds are over."""
        end = time.monotonic() + budget
        attempt = 0
        torn_once = False
        while True:
            way = await self._connected(end)
            try:
                return await ask(way, max(end - time.monotonic(), 0.001))
            except TornStream as error:
                # Again from the start; parts are never joined, since the log moved on in between.
                if error.context.get("overtaken"):
                    # The writer overtook the reader: more is written than can be read, which is evidence.
                    self.notes.append(f"{error.method}: the log overtook its reader, a flood of records")
                elif torn_once:
                    raise
                else:
                    torn_once = True
                failure: TalosError = error
            except TalosError as error:
                if not error.retryable:
                    raise
                failure = error
            attempt += 1
            if attempt >= _TRIES or not await _pause(attempt - 1, end):
                raise failure

    async def _unary(self, name: str, /, **fields: Any) -> Any:
        method = wire.METHODS[name]
        request = wire.message(method.request)(**fields)
        if method.writes:
            # Connecting may be repeated, the request itself never: the node may have begun to act on it.
            way = await self._connected(time.monotonic() + self.deadlines.call)
            return await way.unary(method, request, self.deadlines.call)
        return await self._repeat(self.deadlines.call, lambda way, left: way.unary(method, request, left))

    async def _machine(self, name: str, /, **fields: Any) -> Any:
        """The one message inside a MachineService answer, with a forwarded error brought to light."""
        answer = await self._unary(name, **fields)
        if len(answer.messages) != 1:
            raise self._invalid(name, f"{len(answer.messages)} messages where one node answers with one")
        self._check_metadata(answer.messages[0], name)
        return answer.messages[0]

    async def _collect(self, name: str, start: Callable[[], Callable[[Any], T]], /, **fields: Any) -> builtins.list[T]:
        """All messages of a stream, or nothing when it did not end properly.

        ``start`` is called for each reading and gives the function through which its messages pass.
        """
        method = wire.METHODS[name]
        request = wire.message(method.request)(**fields)

        async def ask(way: Connection, left: float) -> builtins.list[T]:
            taken: builtins.list[T] = []
            take = start()
            async with contextlib.aclosing(way.stream(method, request, left)) as messages:
                async for message in messages:
                    taken.append(take(message))
                    if len(taken) > _MOST_MESSAGES:
                        raise self._invalid(name, f"more than {_MOST_MESSAGES} messages")
            return taken

        return await self._repeat(self.deadlines.log, ask)

    async def _follow(self, name: str, /, **fields: Any) -> AsyncGenerator[Any, None]:
        method = wire.METHODS[name]
        way = await self._connected(time.monotonic() + self.deadlines.call)
        async with contextlib.aclosing(way.stream(method, wire.message(method.request)(**fields), None)) as messages:
            async for message in messages:
                yield message

    def _check_metadata(self, message: Any, name: str) -> None:
        """An endpoint that fans out reports a dead node as a message that holds only an error."""
        if not message.HasField("metadata"):
            return
        metadata = message.metadata
        if metadata.error or metadata.status.code:
            text = metadata.status.message or metadata.error
            # Status 2, unknown, for an error that carries no code.
            raise self._way.from_status(metadata.status.code or 2, text, wire.METHODS[name])

    def _invalid(self, name: str, what: str) -> InvalidAnswer:
        return InvalidAnswer(
            f"node {self.node} answered {name} with {what}",
            "an answer that is not understood must not count as a good one",
            "check the node; if it is healthy, this Talos version answers in a way that the collection does not know",
            node=self.node,
            method=name,
        )

    # --- resources ------------------------------------------------------------------------------------------

    async def get(self, resource: str, id: str | None = None) -> Resource:
        """One resource.

        Args:
            resource: a name in RESOURCES, or ``namespace/Type.group``.
            id: needed for kinds that have more than one instance.

        Raises:
            NotFound: the kind is known but holds no such id.
            Unsupported: this Talos version has no such kind.
        """
        kind = resource_kind(resource)
        wanted = id or kind.id
        if wanted is None:
            raise ValueError(f"{resource} has no fixed id; give one, or list them")
        answer = await self._unary("Get", namespace=kind.namespace, type=kind.type, id=wanted)
        if not answer.HasField("resource"):
            raise self._invalid("Get", f"no resource for {kind.type} {wanted}")
        found = self._resource(answer.resource, "Get")
        if (found.type, found.id) != (kind.type, wanted):
            raise self._invalid("Get", f"{printable(found.type)} {printable(found.id)} instead of {kind.type} {wanted}")
        return found

    async def list(self, resource: str) -> builtins.list[Resource]:
        """All resources of a kind (a name in RESOURCES, or ``namespace/Type.group``); may be empty.

        Raises:
            Unsupported: this Talos version has no such kind.
        """
        kind = resource_kind(resource)
        found = await self._collect(
            "List",
            lambda: lambda message: self._resource(message.resource, "List"),
            namespace=kind.namespace,
            type=kind.type,
        )
        for item in found:
            if item.type != kind.type:
                raise self._invalid("List", f"a {printable(item.type)} among {kind.type}")
        return found

    async def watch(self, resource: str, id: str | None = None) -> AsyncGenerator[tuple[str, Resource], None]:
        """Changes of one resource, or of all of a kind, as ``(event type, resource)``, without end.

        Event types: ``created``, ``updated``, ``destroyed`` and, for a whole kind, ``bootstrapped`` once the present
        content was told. The caller stops by leaving the loop (``contextlib.aclosing``) or by a timeout of its own.
        """
        kind = resource_kind(resource)
        wanted = id or kind.id
        fields: dict[str, Any] = {"namespace": kind.namespace, "type": kind.type, "api_version": 1}
        if wanted is not None:
            fields["id"] = wanted
        else:
            # The server rejects this option for a single id, whose present state it tells anyway.
            fields["options"] = wire.message("cosi.resource.WatchOptions")(bootstrap_contents=True)
        async with contextlib.aclosing(self._follow("Watch", **fields)) as messages:
            async for message in messages:
                for event in message.event:
                    name = wire.enum_name("cosi.resource.EventType", event.event_type)
                    if name == "errored":
                        raise self._way.from_status(2, event.error, wire.METHODS["Watch"])
                    if name == "noop":
                        continue
                    yield name, self._resource(event.resource, "Watch", complete=name in ("created", "updated"))

    def _resource(self, message: Any, method: str, *, complete: bool = True) -> Resource:
        metadata = message.metadata
        spec: dict[str, Any] | str | None = None
        if complete or message.spec.yaml_spec:
            if not message.HasField("spec") or not (metadata.type and metadata.id):
                raise self._invalid(method, "a resource without a spec or a name")
            try:
                spec = parse_spec(message.spec.yaml_spec)
            except ValueError as error:
                raise self._invalid(
                    method, f"{printable(metadata.type, 80)} {printable(metadata.id, 80)} whose content {error}"
                ) from None
        return Resource(
            type=metadata.type,
            namespace=metadata.namespace,
            id=metadata.id,
            version=metadata.version,
            phase=metadata.phase,
            created=moment(metadata.created) if metadata.HasField("created") else None,
            updated=moment(metadata.updated) if metadata.HasField("updated") else None,
            owner=metadata.owner,
            labels=dict(metadata.labels),
            spec=spec,
        )

    async def spec(self, resource: str, id: str | None = None) -> dict[str, Any]:
        """The content of one resource that must be a mapping.

        Raises:
            InvalidAnswer: it is a text instead. And all that ``get`` raises.
        """
        found = await self.get(resource, id)
        if not isinstance(found.spec, dict):
            raise self._invalid("Get", f"a {found.type} that is not a mapping")
        return found.spec

    async def talos_version(self) -> TalosVersion:
        """The Talos version, also of a node in maintenance mode before 1.13, which serves only its resource."""
        try:
            tag = (await self.version()).tag
        except (Unsupported, PermissionRefused):
            value = (await self.spec("version")).get("version")
            if not isinstance(value, str):
                raise self._invalid("Get", "a Version resource without a version") from None
            tag = value
        try:
            return parse_version(tag)
        except ValueError as error:
            raise self._invalid("Version", printable(error, 80)) from None

    async def security_state(self) -> SecurityState:
        """The node's SELinux mode and related facts.

        The key ``selinuxState`` is left out by the node when SELinux is disabled, and by releases before 1.10 always;
        the version tells the two apart. A text that is neither known is an error, never a guess.
        """
        raw = await self.spec("security_state")
        text = raw.get("selinuxState")
        selinux: Literal["enforcing", "permissive", "disabled", "unsupported"]
        if text == "enabled, enforcing":
            selinux = "enforcing"
        elif text == "enabled, permissive":
            selinux = "permissive"
        elif text == "disabled" or "selinuxState" not in raw:
            selinux = "disabled" if supports(await self.talos_version(), "selinux") else "unsupported"
        else:
            raise self._invalid("Get", f"a SecurityState with selinuxState {printable(text, 60)!r}")
        secure_boot = raw.get("secureBoot")
        if not isinstance(secure_boot, bool):
            raise self._invalid("Get", "a SecurityState without secureBoot")
        return SecurityState(
            selinux=selinux,
            secure_boot=secure_boot,
            uki_signing_key_fingerprint=self._typed(raw, "ukiSigningKeyFingerprint", str),
            pcr_signing_key_fingerprint=self._typed(raw, "pcrSigningKeyFingerprint", str),
            booted_with_uki=self._typed(raw, "bootedWithUKI", bool),
            fips_state=self._typed(raw, "fipsState", str),
            module_signature_enforced=self._typed(raw, "moduleSignatureEnforced", bool),
            raw=raw,
        )

    def _typed(self, raw: dict[str, Any], key: str, kind: type[T]) -> T | None:
        value = raw.get(key)
        if value is not None and not isinstance(value, kind):
            raise self._invalid("Get", f"a {key} that is not of type {kind.__name__}")
        return value

    # --- machine: reading -----------------------------------------------------------------------------------

    async def version(self) -> Version:
        """What the node runs."""
        answer = await self._machine("Version")
        if not answer.version.tag:
            raise self._invalid("Version", "no version")
        return Version(
            tag=answer.version.tag,
            sha=answer.version.sha,
            platform=answer.platform.name or None,
            mode=answer.platform.mode or None,
            rbac=answer.features.rbac if answer.HasField("features") else None,
            arch=answer.version.arch,
        )

    async def logs(self, service: str, *, tail_lines: int = -1, max_bytes: int = 64 * 1024 * 1024) -> bytes:
        """The whole in-memory log of a Talos service since boot, or since its ring wrapped.

        Args:
            tail_lines: only so many of its last lines; -1 for all.

        Raises:
            NotFound: the service never wrote anything in this boot (it was not started).
            TornStream: the stream broke twice; no part is returned.
            InvalidAnswer: more than ``max_bytes``.
        """
        # tail_lines: the server's default of 0 means "the last 0 lines", a perfect but false silence.
        return await self._data("Logs", max_bytes, namespace="system", id=service, tail_lines=tail_lines)

    async def follow_logs(self, service: str) -> AsyncGenerator[bytes, None]:
        """The log from its start and then as it grows, in pieces that are not lines, without end."""
        fields = {"namespace": "system", "id": service, "tail_lines": -1, "follow": True}
        async with contextlib.aclosing(self._follow("Logs", **fields)) as messages:
            async for message in messages:
                self._check_metadata(message, "Logs")
                yield message.bytes

    async def dmesg(self, *, max_bytes: int = 64 * 1024 * 1024) -> bytes:
        """The kernel log, one record per line, each ending with a newline."""
        records = await self._chunks("Dmesg", max_bytes)
        return b"".join(record if record.endswith(b"\n") else record + b"\n" for record in records)

    async def read(self, path: str, *, max_bytes: int = 64 * 1024 * 1024) -> bytes:
        """A regular file; needs os:admin."""
        return await self._data("Read", max_bytes, path=path)

    async def _data(self, name: str, max_bytes: int, /, **fields: Any) -> bytes:
        return b"".join(await self._chunks(name, max_bytes, **fields))

    async def _chunks(self, name: str, max_bytes: int, /, **fields: Any) -> builtins.list[bytes]:
        size = 0

        def start() -> Callable[[Any], bytes]:
            nonlocal size
            size = 0
            return take

        def take(message: Any) -> bytes:
            nonlocal size
            self._check_metadata(message, name)
            size += len(message.bytes)
            if size > max_bytes:
                raise self._invalid(name, f"more than {max_bytes} bytes")
            return bytes(message.bytes)

        return await self._collect(name, start, **fields)

    async def services(self) -> builtins.list[ServiceInfo]:
        """The Talos services with their histories."""
        answer = await self._machine("ServiceList")
        return [
            ServiceInfo(
                id=service.id,
                state=service.state,
                events=[
                    {"msg": event.msg, "state": event.state, "ts": _iso(event.ts) if event.HasField("ts") else None}
                    for event in service.events.events
                ],
                healthy=service.health.healthy if service.HasField("health") and not service.health.unknown else None,
                unknown=service.health.unknown or not service.HasField("health"),
                last_message=service.health.last_message,
            )
            for service in answer.services
        ]

    async def system_stat(self) -> SystemStat:
        """When the node booted."""
        answer = await self._machine("SystemStat")
        if not answer.boot_time:
            raise self._invalid("SystemStat", "no boot time")
        return SystemStat(boot_time=answer.boot_time)

    async def processes(self) -> builtins.list[Process]:
        """All processes; never empty, since a node without processes cannot answer."""
        answer = await self._machine("Processes")
        if not answer.processes:
            raise self._invalid("Processes", "no processes")
        return [
            Process(
                pid=process.pid,
                ppid=process.ppid,
                state=process.state,
                command=process.command,
                executable=process.executable,
                args=process.args,
                label=process.label or None,
            )
            for process in answer.processes
        ]

    async def list_files(
        self, root: str, recurse: bool = False, depth: int = 0, xattrs: bool = False
    ) -> builtins.list[FileInfo]:
        """Files under ``root``; ``depth`` 0 means no limit when ``recurse``; ``xattrs`` tells SELinux labels."""

        def take(message: Any) -> FileInfo:
            self._check_metadata(message, "ListFiles")
            return FileInfo(
                name=message.name,
                relative_name=message.relative_name,
                size=message.size,
                mode=message.mode,
                modified=message.modified,
                is_dir=message.is_dir,
                link=message.link,
                uid=message.uid,
                gid=message.gid,
                xattrs={xattr.name: bytes(xattr.data) for xattr in message.xattrs},
                error=message.error,
            )

        return await self._collect(
            "ListFiles", lambda: take, root=root, recurse=recurse, recursion_depth=depth, report_xattrs=xattrs
        )

    async def events(self, actor_id: str | None = None, tail: int = 0) -> AsyncGenerator[Event, None]:
        """Runtime events as they happen, without end.

        Args:
            actor_id: only those that follow from one reset or reboot (its returned actor id).
            tail: how many past events to tell first; -1 for all that the node keeps.
        """
        fields: dict[str, Any] = {"tail_events": tail}
        if actor_id is not None:
            fields["with_actor_id"] = actor_id
        async with contextlib.aclosing(self._follow("Events", **fields)) as messages:
            async for message in messages:
                self._check_metadata(message, "Events")
                # The first message is an empty greeting.
                if message.data.type_url:
                    yield self._event(message)

    def _event(self, message: Any) -> Event:
        full_name = message.data.type_url.rpartition("/")[2]
        short = full_name.rpartition(".")[2]
        data: dict[str, Any] = {}
        if full_name in _EVENT_READERS:
            try:
                data = _EVENT_READERS[full_name](wire.message(full_name).FromString(message.data.value))
            except wire.DecodeError:
                raise self._invalid("Events", f"a {short} that cannot be decoded") from None
        return Event(id=message.id, actor_id=message.actor_id, type=short or full_name, data=data)

    # --- machine: changing ----------------------------------------------------------------------------------

    async def reset(
        self,
        labels: Sequence[str] = (),
        *,
        graceful: bool,
        reboot: bool,
        mode: str = "system_disk",
        user_disks: Sequence[str] = (),
    ) -> str:
        """Order a wipe; the node answers at once and works in the background.

        Args:
            labels: system partitions to wipe; none means the whole system disk.
            graceful: leave etcd and drain first; etcd errors then stop the reset.
            reboot: False powers the machine off at the end.
            mode: ``all``, ``system_disk`` or ``user_disks``.
            user_disks: device paths to wipe besides.

        Returns:
            The actor id by which ``events`` tells the progress; may be empty.
        """
        answer = await self._machine(
            "Reset",
            graceful=graceful,
            reboot=reboot,
            # A label without wipe=True is accepted by every version and then not wiped.
            system_partitions_to_wipe=[{"label": label, "wipe": True} for label in labels],
            user_disks_to_wipe=list(user_disks),
            mode=wire.enum_number("machine.ResetRequest.WipeMode", mode),
        )
        return str(answer.actor_id)

    async def apply_configuration(self, data: bytes, *, mode: str = "auto", dry_run: bool = False) -> ApplyResult:
        """Give the node a machine configuration (YAML), or with ``dry_run`` ask what it would do with it.

        ``mode``: ``auto`` works in every version and state; also ``no_reboot``, ``staged``, ``try``.
        """
        enum = "machine.ApplyConfigurationRequest.Mode"
        answer = await self._machine(
            "ApplyConfiguration", data=data, mode=wire.enum_number(enum, mode), dry_run=dry_run
        )
        return ApplyResult(
            warnings=list(answer.warnings), mode=wire.enum_name(enum, answer.mode), details=answer.mode_details
        )

    async def reboot(self, mode: str = "default") -> str:
        """Order a reboot (``default``, ``powercycle``, ``force``); returns the actor id, which may be empty."""
        answer = await self._machine("Reboot", mode=wire.enum_number("machine.RebootRequest.Mode", mode))
        return str(answer.actor_id)

    # --- etcd -----------------------------------------------------------------------------------------------

    async def etcd_members(self, query_local: bool = False) -> builtins.list[EtcdMember]:
        """The members; ``query_local`` takes this node's own view instead of the cluster's agreed one."""
        answer = await self._machine("EtcdMemberList", query_local=query_local)
        if not answer.members:
            raise self._invalid("EtcdMemberList", "no members")
        return [
            EtcdMember(
                id=member.id,
                hostname=member.hostname,
                peer_urls=list(member.peer_urls),
                client_urls=list(member.client_urls),
                is_learner=member.is_learner,
            )
            for member in answer.members
        ]

    async def etcd_status(self) -> EtcdStatus:
        """The state of the member on this node."""
        answer = await self._machine("EtcdStatus")
        status = answer.member_status
        if not status.member_id:
            raise self._invalid("EtcdStatus", "no member id")
        return EtcdStatus(
            member_id=status.member_id,
            leader=status.leader,
            is_learner=status.is_learner,
            raft_index=status.raft_index,
            raft_term=status.raft_term,
            raft_applied_index=status.raft_applied_index,
            db_size=status.db_size,
            db_size_in_use=status.db_size_in_use,
            protocol_version=status.protocol_version,
            storage_version=status.storage_version or None,
            errors=list(status.errors),
        )

    async def etcd_alarms(self) -> builtins.list[EtcdAlarm]:
        """The active alarms; an empty list is the healthy answer."""
        answer = await self._machine("EtcdAlarmList")
        alarms = [
            EtcdAlarm(alarm.member_id, wire.enum_name("machine.EtcdMemberAlarm.AlarmType", alarm.alarm))
            for alarm in answer.member_alarms
        ]
        return [alarm for alarm in alarms if alarm.alarm != "none"]

    async def etcd_forfeit_leadership(self) -> str | None:
        """Give up leadership; returns the new leader's name, None when this node was not the leader."""
        return (await self._machine("EtcdForfeitLeadership")).member or None

    async def etcd_remove_member(self, id: int) -> bool:
        """Remove a member by id; False when it was gone already."""
        try:
            await self._machine("EtcdRemoveMemberByID", member_id=id)
        except NotFound:
            return False
        return True

    async def etcd_leave(self) -> None:
        """Make this node's member leave the cluster."""
        await self._machine("EtcdLeaveCluster")

    async def etcd_snapshot(self, write: Callable[[bytes], None]) -> int:
        """Stream a snapshot into ``write`` and return its size in bytes.

        On any error what was written is not a snapshot and must be thrown away. It is not repeated, since ``write``
        cannot be taken back.

        Raises:
            InvalidAnswer: an empty snapshot.
        """
        method = wire.METHODS["EtcdSnapshot"]
        way = await self._connected(time.monotonic() + self.deadlines.call)
        size = 0
        request = wire.message(method.request)()
        async with contextlib.aclosing(way.stream(method, request, self.deadlines.snapshot)) as messages:
            async for message in messages:
                self._check_metadata(message, "EtcdSnapshot")
                write(bytes(message.bytes))
                size += len(message.bytes)
        if not size:
            raise self._invalid("EtcdSnapshot", "an empty snapshot")
        return size


def _sequence(event: Any) -> dict[str, Any]:
    error = None
    if event.HasField("error"):
        error = {"code": wire.enum_name("common.Code", event.error.code), "message": event.error.message}
    action = wire.enum_name("machine.SequenceEvent.Action", event.action)
    return {"sequence": event.sequence, "action": action, "error": error}


def _machine_status(event: Any) -> dict[str, Any]:
    return {
        "stage": wire.enum_name("machine.MachineStatusEvent.MachineStage", event.stage),
        "ready": event.status.ready if event.HasField("status") else None,
        "unmet_conditions": [{"name": item.name, "reason": item.reason} for item in event.status.unmet_conditions],
    }


_EVENT_READERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "machine.SequenceEvent": _sequence,
    "machine.PhaseEvent": lambda event: {
        "phase": event.phase,
        "action": wire.enum_name("machine.PhaseEvent.Action", event.action),
    },
    "machine.TaskEvent": lambda event: {
        "task": event.task,
        "action": wire.enum_name("machine.TaskEvent.Action", event.action),
    },
    "machine.MachineStatusEvent": _machine_status,
}


def _iso(stamp: Any) -> str | None:
    when: datetime | None = moment(stamp)
    return None if when is None else when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def _pause(attempt: int, end: float) -> bool:
    """Wait before the next try, longer each time; False when the time until ``end`` does not allow it."""
    pause = min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE)
    # Jitter keeps a fleet read from hitting a restarted endpoint with all nodes at once.
    pause *= 0.5 + random.random() / 2
    if time.monotonic() + pause >= end:
        return False
    await asyncio.sleep(pause)
    return True
