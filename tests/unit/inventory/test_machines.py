# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which sightings are one machine, what it is called, and where its sources disagree."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.inventory import machines
from ansible_collections.talosops.selinux.plugins.plugin_utils.inventory.machines import Machine
from ansible_collections.talosops.selinux.plugins.plugin_utils.inventory.sightings import Sighting


def seen(source: str, name: str | None, *addresses: str, **more: Any) -> Sighting:
    return Sighting(source, name, addresses, **more)


def answer(identity: str, hostname: str, **more: Any) -> dict[str, Any]:
    return {
        "identity": identity,
        "uuid": f"uuid-{identity}",
        "hostname": hostname,
        "machine_type": "worker",
        "version": "v1.14.0",
        "selinux": "permissive",
        **more,
    }


def settled(sightings: list[Sighting], visits: dict[str, dict[str, Any]] | None = None) -> list[Machine]:
    visits = visits or {}
    identities = {address: visit.get("identity") for address, visit in visits.items()}
    return machines.settle(machines.group_sightings(sightings, identities), visits)


def test_sightings_are_joined_by_address_however_it_is_written() -> None:
    found = settled([seen("topf", "n1", "FD00:0::1"), seen("discovery", "n1", "10.0.0.1", "fd00::1")])
    assert [(m.name, sorted(s.source for s in m.sightings)) for m in found] == [("n1", ["discovery", "topf"])]
    # What the operator wrote is where the node is reached.
    assert found[0].address == "FD00:0::1"


def test_sightings_are_joined_by_the_identity_that_answers_at_their_addresses() -> None:
    sightings = [seen("talosconfig", None, "n1.example"), seen("discovery", "n1", "10.0.0.1", identity="A")]
    assert len(settled(sightings)) == 2
    found = settled(sightings, {"n1.example": answer("A", "n1"), "10.0.0.1": answer("A", "n1")})
    assert [m.name for m in found] == ["n1"]
    assert found[0].disagreements == []


def test_a_name_alone_joins_nothing() -> None:
    found = settled([seen("kubernetes", "n1", "10.0.0.1"), seen("topf", "n1", "10.9.0.1")])
    assert [m.name for m in found] == ["10.0.0.1", "10.9.0.1"]
    assert all(m.disagreements == ["name: 2 machines are called n1"] for m in found)


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ({"machine_type": "worker"}, {"machine_type": "controlplane"}, "machine type: "),
        ({"identity": "A"}, {"identity": "B"}, "node identity: "),
        ({"uuid": "a"}, {"uuid": "b"}, "machine UUID: "),
    ],
)
def test_sources_that_disagree_are_named(one: dict[str, str], other: dict[str, str], reason: str) -> None:
    (found,) = settled([seen("topf", "n1", "10.0.0.1", **one), seen("discovery", "n1", "10.0.0.1", **other)])
    assert len(found.disagreements) == 1
    assert found.disagreements[0].startswith(reason)
    assert "topf says" in found.disagreements[0]
    assert "discovery says" in found.disagreements[0]


def test_the_node_itself_may_disagree_with_what_is_said_of_it() -> None:
    (found,) = settled(
        [seen("talhelper", "w1", "10.0.0.1", machine_type="controlplane")], {"10.0.0.1": answer("A", "w9")}
    )
    assert found.disagreements == [
        "machine type: talhelper says controlplane, the node says worker",
        "name: talhelper says w1, the node says w9",
    ]
    assert found.name == "w9"
    assert machines.host_variables(found, {})["talos_machine_type"] == "worker"


def test_a_short_name_agrees_with_its_qualified_one_and_uuids_in_any_case() -> None:
    sightings = [seen("topf", "n1.example", "10.0.0.1"), seen("kubernetes", "N1", "10.0.0.1", uuid="UUID-A")]
    (found,) = settled(sightings, {"10.0.0.1": answer("A", "n1")})
    assert found.disagreements == []


def test_one_machine_behind_two_addresses_is_one_host_and_a_shared_uuid_is_named() -> None:
    sightings = [seen("topf", "n1", "10.0.0.1"), seen("topf", "n2", "10.0.0.2")]
    (one,) = settled(sightings, {"10.0.0.1": answer("A", "n1"), "10.0.0.2": answer("A", "n1")})
    assert "name: " in one.disagreements[0]
    shared = settled(sightings, {"10.0.0.1": answer("A", "n1"), "10.0.0.2": answer("B", "n2", uuid="uuid-a")})
    assert [m.disagreements for m in shared] == [["machine UUID: uuid-a answers as n1, n2"]] * 2


@pytest.mark.parametrize(
    "name", ["localhost", "all", "-x", "a b", "a\x1b[31m", "{{ lookup('pipe', 'id') }}", "x" * 300]
)
def test_a_name_that_cannot_name_a_host_is_not_used(name: str) -> None:
    (found,) = settled([seen("discovery", name, "10.0.0.1")])
    assert found.name == "10.0.0.1"
    assert "cannot name a host" in found.disagreements[0]
    assert "\x1b" not in found.disagreements[0]


def test_a_machine_without_any_address_stays() -> None:
    found = settled([seen("kubernetes", "n1"), seen("kubernetes", "n2")])
    assert [m.name for m in found] == ["n1", "n2"]


def test_a_host_that_cannot_be_read_stays_and_says_why() -> None:
    (found,) = settled([seen("topf", "n1", "10.0.0.1")], {"10.0.0.1": {"kind": "unreachable", "found": "refused"}})
    variables = machines.host_variables(found, {})
    assert variables["talos_unread"] == {"kind": "unreachable", "found": "refused"}
    assert variables["talos_selinux"] == "unknown"
    groups = machines.groups_of(variables, lambda text: re.sub(r"\W", "_", text))
    assert {"talos_unreachable", "talos_selinux_unknown", "talos_gate_none"} <= set(groups)


def test_a_decision_belongs_to_an_identity_and_no_name() -> None:
    verdict = {"decision": "eligible", "issued_at": "t", "expires_at": "u", "path": "p"}
    (old,) = settled([seen("topf", "n1", "10.0.0.1")], {"10.0.0.1": answer("NEW", "n1")})
    assert machines.host_variables(old, {"OLD": verdict})["talos_gate"] is None
    assert machines.host_variables(old, {"NEW": verdict})["talos_gate"] == verdict


def test_the_same_sightings_in_any_order_give_the_same_hosts() -> None:
    sightings = [
        seen("topf", "n1", "10.0.0.1"),
        seen("discovery", "n1", "10.0.0.1", "fd00::1", identity="A"),
        seen("kubernetes", "n1", "fd00::1"),
        seen("topf", "n2", "10.0.0.2"),
    ]
    assert [m.name for m in settled(sightings)] == [m.name for m in settled(sightings[::-1])] == ["n1", "n2"]
