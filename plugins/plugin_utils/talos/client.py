# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed questions to one Talos node, and the few orders the collection gives it.

Answers are never completed by assumption: what a node did not say is None or an error.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, TypeVar

from ..texts import printable
from .answers import SecurityState
from .channel import resolve
from .config import API_PORT, Address, Context, parse_address
from .cosi import ResourceReads
from .errors import ConfigError, OnlyWay, PermissionRefused, Unsupported
from .etcd import EtcdCalls
from .machine import MachineReads
from .orders import Orders
from .tls import Deadlines, mutual_tls, unverified_tls
from .transport import Connection
from .versions import TalosVersion, parse_version

__all__ = ["Deadlines", "NodeClient", "Route", "connect", "connect_maintenance", "ways_without"]

Route = Literal["direct", "endpoint", "auto"]
T = TypeVar("T")

# pkg/machinery/kernel/kernel.go of Talos 1.10: selinux=1 became a default argument.
_FIRST_WITH_SELINUX = (1, 10)
# pkg/machinery/resources/runtime/security_status.go, by release.
_FIRST_WITH_UKI = (1, 10)
_FIRST_WITH_SIGNED_MODULES = (1, 12)


class NodeClient(ResourceReads, MachineReads, EtcdCalls, Orders):
    """Questions to one node. Made by ``connect`` or ``connect_maintenance``; used with ``async with``.

    Every method raises a TalosError subclass that says which kind of failure it was.
    """

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

    async def security_state(self, version: TalosVersion | None = None) -> SecurityState:
        """The node's SELinux mode and related facts.

        The key ``selinuxState`` is left out by the node when SELinux is disabled, and by releases before 1.10 always;
        the version tells the two apart. A text that is neither known is an error, never a guess. A false is left out
        too, by the releases that know the fact.

        Args:
            version: what the node runs, where it is known; it is asked for when something was left out.
        """
        raw = await self.spec("security_state")
        if version is None and not {"selinuxState", "bootedWithUKI", "moduleSignatureEnforced"} <= raw.keys():
            version = await self.talos_version()
        text = raw.get("selinuxState")
        selinux: Literal["enforcing", "permissive", "disabled", "unsupported"]
        if text == "enabled, enforcing":
            selinux = "enforcing"
        elif text == "enabled, permissive":
            selinux = "permissive"
        elif text == "disabled" or "selinuxState" not in raw:
            selinux = "unsupported" if version and version.release < _FIRST_WITH_SELINUX else "disabled"
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
            booted_with_uki=self._flag(raw, "bootedWithUKI", version, _FIRST_WITH_UKI),
            fips_state=self._typed(raw, "fipsState", str),
            module_signature_enforced=self._flag(raw, "moduleSignatureEnforced", version, _FIRST_WITH_SIGNED_MODULES),
            raw=raw,
        )

    def _flag(self, raw: dict[str, Any], key: str, version: TalosVersion | None, first: tuple[int, int]) -> bool | None:
        value = self._typed(raw, key, bool)
        return False if value is None and version and version.release >= first else value

    def _typed(self, raw: dict[str, Any], key: str, kind: type[T]) -> T | None:
        value = raw.get(key)
        if value is not None and not isinstance(value, kind):
            raise self._invalid("Get", f"a {key} that is not of type {kind.__name__}")
        return value


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
            ``auto`` tries the node once and then the endpoints. An endpoint that cannot be connected, is in
            maintenance mode, does not forward or cannot reach the node is left for the next one.
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
    return sorted(turned, key=lambda endpoint: _same_machine(endpoint.host, node.host))


def ways_without(context: Context, node: str, endpoints: Sequence[str] = ()) -> list[str]:
    """The endpoints through which ``node`` and its peers can be asked when ``node`` itself is gone.

    What is wiped forwards nothing, so a control plane may only be wiped where this is not empty. A virtual address
    counts as another machine, since nothing tells who holds it: do not use one as an endpoint.

    Args:
        context: whose endpoints to look at, unless others are given.
        node: host name or address, as for ``connect``.
        endpoints: further endpoints, such as the addresses of the other control planes.

    Raises:
        OnlyWay: there is none.
    """
    own = parse_address(node).host
    named = list(dict.fromkeys([*context.endpoints, *endpoints]))
    others = [endpoint for endpoint in named if not _same_machine(parse_address(endpoint).host, own)]
    if not others:
        raise OnlyWay(
            f"the only way to control plane {node} and its peers is through {', '.join(named) or 'itself'}",
            "once it is wiped it forwards nothing: neither it nor the other control planes could be asked any more",
            "add the addresses of other control planes to the endpoints (never a virtual address)",
            node=node,
        )
    return others


def _same_machine(one: str, other: str) -> bool:
    """Whether two host names or addresses lead to the same address; names that cannot be resolved do not."""
    return one.rstrip(".").lower() == other.rstrip(".").lower() or bool(_addresses(one) & _addresses(other))


@cache
def _addresses(host: str) -> frozenset[str]:
    # A fleet read compares the same few endpoints with every node.
    try:
        return frozenset(map(_one_form, resolve(host, API_PORT)))
    except OSError:
        return frozenset()


def _one_form(address: str) -> str:
    """An address without its zone, and one of IPv4 that is written as one of IPv6 as what it is."""
    found = ipaddress.ip_address(address.partition("%")[0])
    return str(getattr(found, "ipv4_mapped", None) or found)


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
                "copy the last one that the node's console shows (a machine makes up to three in one boot)",
                node=node,
            )
    if not fingerprints and not trust_unverified:
        raise ConfigError(
            f"no fingerprint is pinned for node {node} in maintenance mode",
            "such a node cannot be verified by a certificate, and a machine configuration holds the cluster's secrets",
            "pin the last fingerprint that the node prints on its console, or ask for trust_unverified by name",
            node=node,
        )
    limits = deadlines or Deadlines()
    way = Connection(
        parse_address(node), unverified_tls(), node=node, deadlines=limits, fingerprints=frozenset(fingerprints)
    )
    return NodeClient(node, [way], limits)
