# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines made of sightings and visits: one for each, with the sources that know it and where they disagree.

Sightings are one machine when they share an address or Talos' node identity, or when the nodes behind their addresses
answered with one identity. A name alone joins nothing: two clusters have nodes of the same name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .sightings import Sighting

#: Names that Ansible gives a meaning of their own.
_RESERVED = frozenset({"localhost", "all", "ungrouped", "127.0.0.1", "::1"})
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


@dataclass
class Machine:
    """One machine of the inventory.

    Attributes:
        visit: what the node itself answered: ``{identity, uuid, hostname, machine_type, version, selinux}``, or
            ``{kind, found}`` when it could not be read; None when it was not asked.
        disagreements: sentences, each naming the sources and what they say.
    """

    sightings: list[Sighting] = field(default_factory=list)
    visit: Mapping[str, Any] | None = None
    name: str = ""
    address: str = ""
    disagreements: list[str] = field(default_factory=list)

    @property
    def read(self) -> bool:
        """Whether the node itself answered."""
        return self.visit is not None and "identity" in self.visit

    def own(self, key: str) -> Any:
        """What the node itself answered, or None."""
        return self.visit.get(key) if self.read and self.visit is not None else None

    def said(self, key: str) -> dict[str, str]:
        """What the sources say, as ``{source: value}``; a source that says nothing is left out."""
        return {sighting.source: value for sighting in self.sightings if (value := getattr(sighting, key)) is not None}

    def value(self, key: str) -> Any:
        """The node's own answer, or else what the sources agree on, or else None."""
        if (own := self.own(key)) is not None:
            return own
        values = set(self.said(key).values()) if key in _FIELDS else set()
        return values.pop() if len(values) == 1 else None


#: What a host variable says of a verdict.
_DECISION = ("decision", "issued_at", "expires_at", "path")
_FIELDS = frozenset(Sighting.__dataclass_fields__)
#: Facts on which every source and the node itself must agree, with what they are called in a sentence. Kubernetes'
#: word on the version is its last report, so a node that was just reinstalled may differ for a moment: it is left out.
_COMPARED = (("machine_type", "machine type"), ("identity", "node identity"), ("uuid", "machine UUID"))


def group_sightings(sightings: Iterable[Sighting], identities: Mapping[str, str | None] | None = None) -> list[Machine]:
    """The machines behind the sightings, in the order in which they were first seen.

    Args:
        sightings: of all sources.
        identities: the node identity that answered at an address, where it was asked.
    """
    sightings = list(sightings)
    leaders: list[int] = list(range(len(sightings)))

    def leader(index: int) -> int:
        while leaders[index] != index:
            leaders[index] = leaders[leaders[index]]
            index = leaders[index]
        return index

    first: dict[tuple[str, str], int] = {}
    for index, sighting in enumerate(sightings):
        for key in _keys(sighting, identities or {}):
            other = leader(first.setdefault(key, index))
            mine = leader(index)
            leaders[max(mine, other)] = min(mine, other)
    machines: dict[int, Machine] = {}
    for index, sighting in enumerate(sightings):
        machines.setdefault(leader(index), Machine()).sightings.append(sighting)
    for machine in machines.values():
        machine.address = _preferred_address(machine.sightings)
    return list(machines.values())


def _keys(sighting: Sighting, identities: Mapping[str, str | None]) -> Iterable[tuple[str, str]]:
    for address in sighting.addresses:
        yield "address", _canonical(address)
        if identity := identities.get(address):
            yield "identity", identity
    if sighting.identity:
        yield "identity", sighting.identity
    if not sighting.addresses and not sighting.identity:
        # Nothing leads to it: it stays a machine of its own, under its name in that source.
        yield "unplaced", f"{sighting.source}/{sighting.name}"


def _canonical(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address.lower().rstrip(".")


def _preferred_address(sightings: Sequence[Sighting]) -> str:
    """What an operator wrote down comes before what was discovered, and IPv4 before IPv6 among the discovered."""
    written = [s for s in sightings if s.source not in ("discovery", "kubernetes")]
    for sighting in [*written, *sightings]:
        found = sorted(sighting.addresses, key=lambda address: ":" in address) if sighting not in written else None
        for address in found or sighting.addresses:
            return address
    return next((s.name for s in sightings if s.name), "")


def settle(machines: Sequence[Machine], visits: Mapping[str, Mapping[str, Any]]) -> list[Machine]:
    """The machines with their visits, names and disagreements.

    Args:
        machines: as :func:`group_sightings` made them.
        visits: by address, see :class:`Machine`.
    """
    for machine in machines:
        machine.visit = visits.get(machine.address)
        _compare(machine)
    _name(machines)
    _find_doubles(machines)
    return sorted(machines, key=lambda machine: machine.name)


def _compare(machine: Machine) -> None:
    for key, called in _COMPARED:
        said = machine.said(key)
        if (own := machine.own(key)) is not None:
            said = {**said, "the node": own}
        if len({str(value).lower() for value in said.values()}) > 1:
            machine.disagreements.append(f"{called}: " + ", ".join(f"{who} says {what}" for who, what in said.items()))
    names = machine.said("name")
    if (own := machine.own("hostname")) is not None:
        names = {**names, "the node": own}
    # A short name and the fully qualified one of the same machine agree.
    if len({str(name).lower().partition(".")[0] for name in names.values()}) > 1:
        machine.disagreements.append("name: " + ", ".join(f"{who} says {what}" for who, what in names.items()))


def _name(machines: Sequence[Machine]) -> None:
    wanted: dict[str, list[Machine]] = {}
    for machine in machines:
        names = [machine.own("hostname"), *machine.said("name").values()]
        machine.name = next((name for name in names if name and _usable(name)), machine.address)
        refused = [name for name in names if name and not _usable(name)]
        if refused:
            machine.disagreements.append(f"name: {refused[0]!a:.80} cannot name a host of an inventory")
        wanted.setdefault(machine.name, []).append(machine)
    for name, same in wanted.items():
        if len(same) > 1:
            for machine in same:
                machine.disagreements.append(f"name: {len(same)} machines are called {name}")
                machine.name = machine.address


def _find_doubles(machines: Sequence[Machine]) -> None:
    for key, called in (("identity", "node identity"), ("uuid", "machine UUID")):
        owners: dict[str, list[Machine]] = {}
        for machine in machines:
            if (value := machine.own(key)) is not None:
                owners.setdefault(str(value).lower(), []).append(machine)
        for value, same in owners.items():
            if len(same) > 1:
                names = ", ".join(sorted(machine.name for machine in same))
                for machine in same:
                    machine.disagreements.append(f"{called}: {value} answers as {names}")


def _usable(name: str) -> bool:
    return bool(_HOST_NAME.fullmatch(name)) and name.lower() not in _RESERVED


def host_variables(machine: Machine, decisions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The variables of a host, as plain data.

    Args:
        machine: settled.
        decisions: saved verdicts by node identity, see ``gate.saved``.
    """
    identity = machine.value("identity")
    verdict = decisions.get(str(identity)) if identity is not None else None
    return {
        "ansible_host": machine.address,
        "talos_seen_in": sorted({sighting.source for sighting in machine.sightings}),
        "talos_machine_type": machine.value("machine_type"),
        "talos_version": machine.value("version"),
        "talos_selinux": machine.own("selinux") or "unknown",
        "talos_identity": identity,
        "talos_uuid": machine.value("uuid"),
        "talos_zone": machine.value("zone"),
        "talos_gate": {key: verdict[key] for key in _DECISION} if verdict else None,
        "talos_inconsistent": list(machine.disagreements),
        "talos_unread": None if machine.read else dict(machine.visit or {"kind": "not_asked", "found": "not asked"}),
    }


def groups_of(variables: Mapping[str, Any], safe: Callable[[str], str]) -> list[str]:
    """The groups that every host has without any configuration.

    Args:
        variables: of :func:`host_variables`.
        safe: makes a text a valid group name.
    """
    groups = [
        "talos",
        f"talos_type_{variables['talos_machine_type'] or 'unknown'}",
        f"talos_selinux_{variables['talos_selinux']}",
        f"talos_gate_{(variables['talos_gate'] or {}).get('decision', 'none')}",
        f"talos_version_{(variables['talos_version'] or 'unknown').removeprefix('v')}",
    ]
    if variables["talos_zone"]:
        groups.append(f"talos_zone_{variables['talos_zone']}")
    if variables["talos_inconsistent"]:
        groups.append("talos_inconsistent")
    if variables["talos_unread"]:
        groups.append("talos_unreachable" if variables["talos_unread"]["kind"] == "unreachable" else "talos_unread")
    return [safe(group[:120]) for group in groups]
