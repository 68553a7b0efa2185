# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sightings of machines: what talosconfig, discovery, Kubernetes and the files of configuration generators say exists.

A sighting is one source's word about one machine. It is never taken for the machine: what is true of a node is asked of
the node itself, and sources that disagree are named.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..problem import Problem

#: What generators call a control plane or a worker, and what Talos calls it.
_ROLES = {
    "controlplane": "controlplane",
    "control-plane": "controlplane",
    "init": "controlplane",
    "worker": "worker",
}
_DNS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_VERSION = re.compile(r"Talos \((v[0-9][0-9A-Za-z.+-]{0,60})\)")
_ZONE = "topology.kubernetes.io/zone"
_CONTROL_PLANE_LABELS = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


class SourceProblem(Problem):
    """A source of the inventory cannot be read, or does not say what such a source says."""

    kind = "inventory_source"


@dataclass(frozen=True)
class Sighting:
    """One source's word about one machine. What the source does not say is None.

    Attributes:
        source: talosconfig, discovery, kubernetes, talhelper, topf or talm.
        addresses: IP addresses and DNS names under which the source knows the machine.
        identity: Talos' node id (discovery).
        uuid: the machine's UUID (Kubernetes: ``nodeInfo.systemUUID``).
        machine_type: controlplane or worker.
    """

    source: str
    name: str | None
    addresses: tuple[str, ...]
    machine_type: str | None = None
    identity: str | None = None
    uuid: str | None = None
    version: str | None = None
    zone: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for the cache."""
        return {**asdict(self), "addresses": list(self.addresses)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Sighting:
        """What :meth:`as_dict` gave."""
        return cls(**{**data, "addresses": tuple(data["addresses"])})


def of_talosconfig(nodes: Iterable[str], endpoints: Iterable[str]) -> list[Sighting]:
    """The nodes of a talosconfig context, and its endpoints, which are control planes unless they are load balancers.

    An endpoint that no node is known under is no machine by itself: it may be a virtual address. So endpoints that are
    not among ``nodes`` are only sightings when the context names no nodes at all.
    """
    named = list(nodes) or list(endpoints)
    return [Sighting("talosconfig", None, (address,)) for address in dict.fromkeys(named)]


def of_discovery(members: Iterable[Mapping[str, Any]]) -> list[Sighting]:
    """Discovery members, from specs of ``Members.cluster.talos.dev`` (Talos ``pkg/machinery/resources/cluster``)."""
    found = []
    for spec in members:
        version = _VERSION.fullmatch(str(spec.get("operatingSystem") or ""))
        found.append(
            Sighting(
                "discovery",
                _text(spec.get("hostname")),
                tuple(filter(_is_address, _texts(spec.get("addresses")))),
                _ROLES.get(str(spec.get("machineType"))),
                identity=_text(spec.get("nodeId")),
                version=version[1] if version else None,
            )
        )
    return found


def of_kubernetes(nodes: Iterable[Mapping[str, Any]]) -> list[Sighting]:
    """Kubernetes nodes, as the API sends them (v1 Node)."""
    found = []
    for node in nodes:
        metadata, status = node.get("metadata") or {}, node.get("status") or {}
        labels, info = metadata.get("labels") or {}, status.get("nodeInfo") or {}
        addresses = [
            str(address.get("address"))
            for address in status.get("addresses") or []
            if address.get("type") in ("InternalIP", "ExternalIP") and _is_address(str(address.get("address")))
        ]
        version = _VERSION.fullmatch(str(info.get("osImage") or ""))
        found.append(
            Sighting(
                "kubernetes",
                _text(metadata.get("name")),
                tuple(addresses),
                "controlplane" if any(label in labels for label in _CONTROL_PLANE_LABELS) else "worker",
                uuid=_text(info.get("systemUUID")),
                version=version[1] if version else None,
                zone=_text(labels.get(_ZONE)),
            )
        )
    return found


def of_talhelper(document: Any, path: str) -> list[Sighting]:
    """The nodes of talhelper's ``talconfig.yaml``: ``hostname``, ``ipAddress`` (one, or several with commas) and
    ``controlPlane``. With ``ignoreHostname`` each address is a machine of its own.

    Raises:
        SourceProblem: the document is not of that form.
    """
    found = []
    for node in _nodes(document, path, "talhelper"):
        name, given = _text(node.get("hostname")), node.get("ipAddress")
        if not isinstance(given, str):
            given = [given] if given is not None else []
        else:
            given = [part.strip() for part in given.split(",") if part.strip()]
        addresses = _reachable(given, path)
        role = "controlplane" if node.get("controlPlane") is True else "worker"
        if node.get("ignoreHostname") is True:
            found += [Sighting("talhelper", None, (address,), role) for address in addresses]
            name = None
        elif addresses or name:
            found.append(Sighting("talhelper", name, addresses, role))
        if not addresses and not name:
            raise _nowhere(node, path)
    return found


def of_topf(document: Any, path: str) -> list[Sighting]:
    """The nodes of topf's ``topf.yaml``: ``host``, an optional ``ip``, ``role`` (control-plane or worker).

    Raises:
        SourceProblem: the document is not of that form.
    """
    found = []
    for node in _nodes(document, path, "topf"):
        name, address = _text(node.get("host")), node.get("ip")
        where = name if address is None or address == "" else address
        if not where:
            raise _nowhere(node, path)
        found.append(Sighting("topf", name, _reachable([where], path), _ROLES.get(str(node.get("role")))))
    return found


_MODELINE = re.compile(r"^#\s*talm:\s*(.*)$", re.MULTILINE)
_MODELINE_NODES = re.compile(r"(?:^|,\s*)nodes\s*=\s*(\[[^\]]*\]|)")


def of_talm(text: str, path: str) -> list[Sighting]:
    """The node of one of talm's ``nodes/*.yaml``, from its modeline ``# talm: nodes=["10.0.0.1"], ...``.

    A file without a modeline, or with one that says nothing of nodes, is a patch of others and names no node.

    Raises:
        SourceProblem: the modeline's nodes are not a JSON list of texts.
    """
    line = _MODELINE.search(text)
    nodes = _MODELINE_NODES.search(line[1]) if line else None
    if nodes is None:
        return []
    try:
        addresses = json.loads(nodes[1])
    except ValueError:
        addresses = None
    if not isinstance(addresses, list) or not all(isinstance(address, str) for address in addresses):
        raise SourceProblem(
            f"the talm modeline of {path} does not list its nodes",
            _WHY,
            'write nodes=["10.0.0.1"] in the modeline',
        )
    name = Path(path).stem if len(addresses) == 1 and not _is_address(Path(path).stem) else None
    return [Sighting("talm", name, (address,)) for address in _reachable(addresses, path)]


def _nodes(document: Any, path: str, tool: str) -> list[Mapping[str, Any]]:
    nodes = document.get("nodes") if isinstance(document, Mapping) else None
    if not isinstance(nodes, list) or not all(isinstance(node, Mapping) for node in nodes):
        raise SourceProblem(
            f"{path} has no list of nodes",
            f"as a file of {tool} it should name every machine of the cluster",
            f"name the right file, or leave the option {tool} out",
        )
    return nodes


_WHY = "a machine that is left out of the inventory is a machine that nobody looks at"


def _nowhere(node: Mapping[str, Any], path: str) -> SourceProblem:
    return SourceProblem(
        f"{path} has a node with neither a name nor an address (its keys are {sorted(map(str, node))!a:.200})",
        _WHY,
        "give it an address, or take it out of the file",
    )


def _reachable(addresses: Sequence[Any], path: str) -> tuple[str, ...]:
    """The addresses, each an IP address or a DNS name.

    Raises:
        SourceProblem: one is neither, or no text.
    """
    for address in addresses:
        if not isinstance(address, str) or not (_is_address(address) or _DNS.fullmatch(address)):
            raise SourceProblem(
                f"{path} says that a node is at {address!a:.80}, which is neither an IP address nor a DNS name",
                _WHY,
                "write the address as a text, such as 10.0.0.1",
            )
    return tuple(addresses)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str) and item] if isinstance(value, list) else []


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
