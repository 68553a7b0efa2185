# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a Node object of Kubernetes is the machine and the boot that Talos told of.

A kubeconfig may belong to another cluster with nodes of the same names, and a Node object may be left over from an
earlier boot or an earlier machine. The kubelet reports ``nodeInfo.systemUUID``, ``machineID`` and ``bootID``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..problem import Problem
from .identity import doubts_of, machine_id_of, same_uuid, spelled


class NotThisNode(Problem):
    """Kubernetes' node of that name is another machine or boot, or it is not known whether it is."""

    kind = "not_this_node"


@dataclasses.dataclass(frozen=True)
class Machine:
    """Who is looked for: what Talos told of the node.

    Attributes:
        nodename: its name in Kubernetes.
        uuid: its SMBIOS UUID.
        machine_id: ``/etc/machine-id``, which Talos derives from the node identity (``identity.machine_id_of``).
        boot_id: the kernel's boot id; None where it could not be read.
    """

    nodename: str
    uuid: str | None
    machine_id: str | None
    boot_id: str | None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Machine:
        """The machine that an evidence document tells of."""
        node = document["node"]
        return cls(
            str(node["hostname"]), node["uuid"], machine_id_of(node["identity"]), document["kubernetes"]["boot_id"]
        )


@dataclasses.dataclass(frozen=True)
class Join:
    """Whether it is this node: True, False, or None for not known; ``doubts`` says why it is not True."""

    joined: bool | None
    doubts: tuple[str, ...]


class Nodes:
    """The Node objects (``core/v1``, as plain data) of one reading, found by name and by each id without a search.

    A fleet is held against one reading node by node, so that a search for each would grow with its square.
    """

    def __init__(self, objects: Iterable[Mapping[str, Any]]) -> None:
        self._named: dict[str, list[Mapping[str, Any]]] = {}
        self._claiming: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for node in objects:
            self._named.setdefault(_name(node), []).append(node)
            reported = _reported(node)
            for key in ("systemUUID", "machineID", "bootID"):
                if isinstance(value := reported.get(key), str):
                    self._claiming.setdefault((key, _spelled(key, value)), []).append(node)

    def join(self, machine: Machine) -> Join:
        """Find a machine among them; see :func:`join`."""
        named = self._named.get(machine.nodename, [])
        if len(named) != 1:
            count = "no node" if not named else f"{len(named)} nodes"
            return Join(False, (f"Kubernetes has {count} of the name {machine.nodename}",))
        reported = _reported(named[0])
        unknown: list[str] = []
        differing: list[str] = []
        for key, told in _ids(machine):
            value = reported.get(key)
            if not told or not isinstance(value, str) or not value:
                unknown.append(f"{key} is not known {'to Talos' if not told else 'to Kubernetes'}")
            elif not (same_uuid(told, value) if key == "systemUUID" else _spelled(key, told) == _spelled(key, value)):
                differing.append(f"{key} is {value}, and the machine's is {told}")
        others = self._claims(machine, named[0])
        if others:
            unknown.append(f"the nodes {', '.join(sorted(others))} claim to be the same machine")
        if differing:
            return Join(False, tuple(differing))
        return Join(None if unknown else True, tuple(unknown))

    def _claims(self, machine: Machine, own: Mapping[str, Any]) -> set[str]:
        """The names of other nodes that report an id of this machine that no other can have."""
        unique = not doubts_of(machine.uuid, None)
        return {
            _name(node)
            for key, told in _ids(machine)
            if told and (unique or key != "systemUUID")
            for node in self._claiming.get((key, _spelled(key, told)), ())
            if node is not own
        }


def join(nodes: Iterable[Mapping[str, Any]], machine: Machine) -> Join:
    """Find the machine among the Node objects of a cluster.

    Args:
        nodes: all Node objects (``core/v1``) as plain data, or the one object of that name where only it is at hand.
        machine: who is looked for.

    Returns:
        True only when exactly one object has the name, and its ``systemUUID``, ``machineID`` and ``bootID`` are the
        machine's. One that differs makes it False, one that either side does not tell makes it None.
    """
    return Nodes(nodes).join(machine)


def require_joined(nodes: Sequence[Mapping[str, Any]], machine: Machine) -> None:
    """Return only when Kubernetes' node of that name is this machine in this boot. To be called before the cordon.

    Args:
        nodes: Node objects, read just now (see :func:`join`).
        machine: ``Machine.of`` the evidence that was judged.

    Raises:
        NotThisNode: it is another, or that is not known.
    """
    found = join(nodes, machine)
    if found.joined is not True:
        raise NotThisNode(
            f"the Kubernetes node {machine.nodename} is not known to be the machine that was judged:"
            f" {'; '.join(found.doubts)}",
            "another machine of that name would be cordoned and drained, and this one wiped with its pods running",
            "use the kubeconfig of the node's own cluster; if the node rebooted meanwhile, collect and judge again",
            node=machine.nodename,
            joined=found.joined,
        )


def _ids(machine: Machine) -> tuple[tuple[str, str | None], ...]:
    """What identifies a machine, by the name of the field of ``nodeInfo`` that reports it."""
    return ("systemUUID", machine.uuid), ("machineID", machine.machine_id), ("bootID", machine.boot_id)


def _spelled(key: str, value: str) -> str:
    return spelled("uuid" if key == "systemUUID" else key, value)


def _reported(node: Mapping[str, Any]) -> Mapping[str, Any]:
    return (node.get("status") or {}).get("nodeInfo") or {}


def _name(node: Mapping[str, Any]) -> str:
    return str((node.get("metadata") or {}).get("name"))
