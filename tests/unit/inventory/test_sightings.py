# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each source of the inventory is understood to say."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.talosops.selinux.plugins.plugin_utils.inventory import sightings
from ansible_collections.talosops.selinux.plugins.plugin_utils.inventory.sightings import Sighting, SourceProblem


def test_a_talosconfig_names_its_nodes_and_endpoints_only_where_it_names_none() -> None:
    assert [s.addresses for s in sightings.of_talosconfig(["10.0.0.1", "10.0.0.2"], ["10.0.0.9"])] == [
        ("10.0.0.1",),
        ("10.0.0.2",),
    ]
    assert [s.addresses for s in sightings.of_talosconfig([], ["10.0.0.9"])] == [("10.0.0.9",)]


def test_a_discovery_member_brings_identity_addresses_and_version() -> None:
    spec = {
        "nodeId": "abc",
        "addresses": ["10.0.0.1", "fd00::1"],
        "hostname": "cp-1",
        "machineType": "controlplane",
        "operatingSystem": "Talos (v1.14.0-rc.1)",
    }
    assert sightings.of_discovery([spec]) == [
        Sighting("discovery", "cp-1", ("10.0.0.1", "fd00::1"), "controlplane", identity="abc", version="v1.14.0-rc.1")
    ]


@pytest.mark.parametrize("spec", [{}, {"addresses": "10.0.0.1"}, {"addresses": [7], "hostname": {"x": 1}}])
def test_what_a_member_does_not_say_is_none(spec: dict[str, object]) -> None:
    assert sightings.of_discovery([spec]) == [Sighting("discovery", None, ())]


def test_a_kubernetes_node_brings_uuid_zone_and_inner_addresses() -> None:
    node = {
        "metadata": {
            "name": "w-1",
            "labels": {"topology.kubernetes.io/zone": "a", "node-role.kubernetes.io/control-plane": ""},
        },
        "status": {
            "addresses": [{"type": "InternalIP", "address": "10.0.0.5"}, {"type": "Hostname", "address": "w-1"}],
            "nodeInfo": {"systemUUID": "U", "osImage": "Talos (v1.13.2)"},
        },
    }
    assert sightings.of_kubernetes([node]) == [
        Sighting("kubernetes", "w-1", ("10.0.0.5",), "controlplane", uuid="U", version="v1.13.2", zone="a")
    ]


def test_talhelper_names_several_addresses_of_one_machine_or_several_machines() -> None:
    document = yaml.safe_load(
        "nodes:\n"
        "- {hostname: cp, ipAddress: '10.0.0.1, fd00::1', controlPlane: true}\n"
        "- {hostname: w, ipAddress: '10.0.0.2, 10.0.0.3', controlPlane: false, ignoreHostname: true}\n"
    )
    assert sightings.of_talhelper(document, "f") == [
        Sighting("talhelper", "cp", ("10.0.0.1", "fd00::1"), "controlplane"),
        Sighting("talhelper", None, ("10.0.0.2",), "worker"),
        Sighting("talhelper", None, ("10.0.0.3",), "worker"),
    ]


def test_topf_is_reached_by_name_where_it_has_no_address() -> None:
    document = {"nodes": [{"host": "n1", "ip": "10.0.0.1", "role": "control-plane"}, {"host": "n2", "role": "worker"}]}
    assert sightings.of_topf(document, "f") == [
        Sighting("topf", "n1", ("10.0.0.1",), "controlplane"),
        Sighting("topf", "n2", ("n2",), "worker"),
    ]
    for ip in (None, ""):
        (one,) = sightings.of_topf({"nodes": [{"host": "n3", "ip": ip, "role": "init"}]}, "f")
        assert (one.name, one.addresses, one.machine_type) == ("n3", ("n3",), "controlplane")


@pytest.mark.parametrize(
    ("given", "addresses"),
    [("10.0.0.1,, 10.0.0.2 ,", ("10.0.0.1", "10.0.0.2")), ("", ()), (None, ())],
)
def test_talhelpers_addresses_are_parted_by_commas(given: str | None, addresses: tuple[str, ...]) -> None:
    (one,) = sightings.of_talhelper({"nodes": [{"hostname": "n", "ipAddress": given, "controlPlane": 1}]}, "f")
    assert (one.source, one.name, one.addresses, one.machine_type) == ("talhelper", "n", addresses, "worker")


@pytest.mark.parametrize("document", [None, [], {}, {"nodes": {}}, {"nodes": ["n1"]}])
@pytest.mark.parametrize("read", [sightings.of_talhelper, sightings.of_topf])
def test_a_file_without_a_list_of_nodes_is_refused(read: object, document: object) -> None:
    with pytest.raises(SourceProblem, match=r"f\.yaml has no list of nodes") as raised:
        read(document, "f.yaml")  # type: ignore[operator]  # a function picked by the test's parameters
    tool = "talhelper" if read is sightings.of_talhelper else "topf"
    assert raised.value.why == f"as a file of {tool} it should name every machine of the cluster"
    assert raised.value.do == f"name the right file, or leave the option {tool} out"


@pytest.mark.parametrize(
    ("read", "node", "found"),
    [
        (sightings.of_talhelper, {}, "neither a name nor an address"),
        (sightings.of_talhelper, {"hostname": 7, "ipAddress": " "}, "neither"),
        (sightings.of_talhelper, {"hostname": "a", "ignoreHostname": True}, "neither"),
        (sightings.of_talhelper, {"hostname": "a", "ipAddress": ["10.0.0.1"]}, "which is neither"),
        (sightings.of_talhelper, {"hostname": "a", "ipAddress": 10}, "which is neither"),
        (sightings.of_talhelper, {"hostname": "a", "ipAddress": "10.0.0.1/24"}, "which is neither"),
        (sightings.of_talhelper, {"hostname": "a", "ipAddress": "{{ x }}"}, "which is neither"),
        (sightings.of_topf, {}, "neither a name nor an address"),
        (sightings.of_topf, {"host": "a", "ip": [1]}, "which is neither"),
        (sightings.of_topf, {"host": "a\nb"}, "which is neither"),
    ],
)
def test_a_node_of_a_file_that_leads_nowhere_is_refused(read: Any, node: Any, found: str) -> None:
    with pytest.raises(SourceProblem, match=found):
        read({"nodes": [node]}, "f.yaml")


def test_what_a_node_or_a_cluster_calls_an_address_and_is_none_is_not_used() -> None:
    (member,) = sightings.of_discovery([{"hostname": "n", "addresses": ["{{ x }}", "10.0.0.1", "a b"]}])
    assert member.addresses == ("10.0.0.1",)
    status = {"addresses": [{"type": "InternalIP", "address": "a\nb"}, {"type": "ExternalIP", "address": "10.0.0.1"}]}
    (node,) = sightings.of_kubernetes([{"metadata": {"name": "n"}, "status": status}])
    assert node.addresses == ("10.0.0.1",)


def test_talm_is_read_from_its_modeline() -> None:
    text = '# talm: nodes=["10.0.0.1"], endpoints=["10.0.0.9"], templates=["templates/x.yaml"]\nmachine: {}\n'
    assert sightings.of_talm(text, "nodes/cp-1.yaml") == [Sighting("talm", "cp-1", ("10.0.0.1",))]
    assert sightings.of_talm("machine: {}\n", "nodes/patch.yaml") == []
    several = sightings.of_talm('# talm: nodes=["n1.example", "10.0.0.2"]\n', "nodes/two.yaml")
    assert several == [Sighting("talm", None, ("n1.example",)), Sighting("talm", None, ("10.0.0.2",))]


@pytest.mark.parametrize("nodes", ["[10.0.0.1]", '["10.0.0.1", 7]', '["10.0.0.1"', "10.0.0.1", '{"a": 1}', ""])
def test_a_modeline_whose_nodes_are_not_understood_is_refused(nodes: str) -> None:
    with pytest.raises(SourceProblem, match="does not list its nodes"):
        sightings.of_talm(f'# talm: endpoints=["10.0.0.9"], nodes={nodes}\n', "f")


def test_a_sighting_survives_the_cache() -> None:
    sighting = Sighting("topf", "n", ("10.0.0.1", "n"), "worker", version="v1.13.0", zone="a")
    assert Sighting.from_dict(sighting.as_dict()) == sighting


def test_a_node_of_kubernetes_whole() -> None:
    node = {
        "metadata": {
            "name": "cp-1",
            "labels": {"node-role.kubernetes.io/control-plane": "", "topology.kubernetes.io/zone": "z"},
        },
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": "10.0.0.1"},
                {"type": "Hostname", "address": "10.0.0.9"},
                {"type": "ExternalIP", "address": "fd00::1"},
            ],
            "nodeInfo": {"systemUUID": "u", "osImage": "Talos (v1.13.7)"},
        },
    }
    assert sightings.of_kubernetes([node, {}]) == [
        Sighting("kubernetes", "cp-1", ("10.0.0.1", "fd00::1"), "controlplane", uuid="u", version="v1.13.7", zone="z"),
        Sighting("kubernetes", None, (), "worker"),
    ]
