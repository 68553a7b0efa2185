# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Data on a node's disks is listed however a volume says where it is; what cannot be told is listed too."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.local_data import LocalData
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.workloads import network_plugins

NODES = [
    {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "zone": "a", "disk": name}}}
    for name in ("n1", "n2", "n3")
]
LOCAL: dict[str, Any] = {"local": {"path": "/var/mnt/a"}}
CSI: dict[str, Any] = {"csi": {"driver": "topolvm.io", "volumeHandle": "x"}}


def affinity(key: str, operator: str, values: Any, kind: str = "matchExpressions") -> dict[str, Any]:
    """A required node affinity of one term."""
    rule = {"key": key, "operator": operator, "values": values}
    return {"nodeAffinity": {"required": {"nodeSelectorTerms": [{kind: [rule]}]}}}


def listed(spec: dict[str, Any], *pods: dict[str, Any]) -> list[str]:
    """What is listed for n1 in a cluster with one volume."""
    return LocalData(NODES, [{"metadata": {"name": "v"}, "spec": spec}]).of("n1", pods)


@pytest.mark.parametrize(
    "spec",
    [
        {**LOCAL, **affinity("kubernetes.io/hostname", "In", ["n1"])},
        {**LOCAL, **affinity("metadata.name", "In", ["n1"], "matchFields")},
        {**LOCAL, **affinity("disk", "In", ["n1"])},
        {**LOCAL, **affinity("kubernetes.io/hostname", "NotIn", ["n2", "n3"])},
        {**CSI, **affinity("disk", "In", ["n1"])},
        {"hostPath": {"path": "/var/data"}, **affinity("kubernetes.io/hostname", "In", ["n1"])},
        {**LOCAL, **affinity("metadata.name", "NotIn", ["n2", "n3"], "matchFields")},
        {**LOCAL, **affinity("disk", "Exists", None)},
        {**LOCAL, **affinity("a-label-nobody-has", "DoesNotExist", None)},
    ],
)
def test_a_volume_on_this_node_is_listed(spec: dict[str, Any]) -> None:
    assert listed(spec) == ["PersistentVolume v"]


@pytest.mark.parametrize(
    "spec",
    [
        {"hostPath": {"path": "/var/data"}},
        {"hostPath": {"path": "/var/data"}, "claimRef": {"name": "c", "namespace": "d"}},
        LOCAL,
        {**LOCAL, **affinity("disk", "Near", ["n1"])},
        {**LOCAL, **affinity("a-label-nobody-has", "In", ["n1"])},
        {**CSI, **affinity("a-label-nobody-has", "In", ["n1"])},
        {**LOCAL, **affinity("a-label-nobody-has", "Exists", None)},
        {**LOCAL, **affinity("disk", "DoesNotExist", None)},
        {**LOCAL, "nodeAffinity": {"required": {}}},
        {**CSI, "nodeAffinity": {"required": {"nodeSelectorTerms": []}}},
    ],
)
def test_a_volume_whose_node_cannot_be_told_is_listed_as_that(spec: dict[str, Any]) -> None:
    assert listed(spec) == ["PersistentVolume v (which node holds it is not known)"]


@pytest.mark.parametrize(
    "spec",
    [
        {**LOCAL, **affinity("kubernetes.io/hostname", "In", ["n2"])},
        {**CSI, **affinity("disk", "In", ["n2"])},
        {**CSI, **affinity("disk", "Exists", None)},
        # Storage of a zone, or of the whole cluster.
        {**CSI, **affinity("zone", "In", ["a"])},
        CSI,
        {"nfs": {"server": "192.0.2.1", "path": "/"}},
    ],
)
def test_a_volume_elsewhere_is_not_listed(spec: dict[str, Any]) -> None:
    assert listed(spec) == []


def test_each_volume_is_listed_on_its_own_node_by_one_reading_of_the_cluster() -> None:
    """Volumes of all nodes at once: what is found for one node is not mixed with another's."""
    volumes = [
        {"metadata": {"name": f"v-{name}"}, "spec": {**LOCAL, **affinity("disk", "In", [name, "gone"])}}
        for name in ("n1", "n2")
    ]
    volumes += [
        {"metadata": {"name": "shared"}, "spec": {**LOCAL, **affinity("zone", "In", ["a"])}},
        {"metadata": {"name": "odd"}, "spec": {**LOCAL, **affinity("disk", "In", "n1 n2")}},
        {"metadata": {"name": "lost"}, "spec": {**LOCAL, **affinity("disk", "In", ["n9"])}},
        {"metadata": {"name": "bare"}, "spec": {**LOCAL, "claimRef": {"namespace": "db", "name": "c"}}},
    ]
    using = {
        "metadata": {"namespace": "db", "name": "p"},
        "spec": {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "c"}}]},
    }
    unknown = "(which node holds it is not known)"
    found = LocalData(NODES, volumes)
    everywhere = [f"PersistentVolume lost {unknown}", "PersistentVolume shared"]
    assert found.of("n1", [using]) == [
        "PersistentVolume bare",
        everywhere[0],
        "PersistentVolume odd",
        everywhere[1],
        "PersistentVolume v-n1",
    ]
    assert found.of("n2", []) == [
        f"PersistentVolume bare {unknown}",
        everywhere[0],
        "PersistentVolume odd",
        everywhere[1],
        "PersistentVolume v-n2",
    ]
    assert found.of("n3", []) == [f"PersistentVolume bare {unknown}", *everywhere]
    with pytest.raises(ValueError, match="none of the nodes"):
        found.of("n9", [])


def test_a_label_without_a_text_selects_no_node() -> None:
    nodes = [{"metadata": {"name": "n1", "labels": {"disk": None}}}]
    volume = {"metadata": {"name": "v"}, "spec": {**LOCAL, **affinity("disk", "In", ["n1"])}}
    assert LocalData(nodes, [volume]).of("n1", []) == ["PersistentVolume v (which node holds it is not known)"]


def pod(path: str, *, read_only: bool = False, image: str = "pg", host: bool = False) -> dict[str, Any]:
    """A pod on n1 with one directory of the host."""
    mounts = [{"name": "d", "mountPath": "/data", "readOnly": read_only}]
    return {
        "metadata": {"namespace": "db", "name": "pg-0"},
        "spec": {
            "hostNetwork": host,
            "volumes": [{"name": "d", "hostPath": {"path": path}}],
            "containers": [{"image": image, "volumeMounts": mounts}],
        },
    }


@pytest.mark.parametrize(
    "path", ["/var/lib/longhorn", "/var/lib/postgres", "/var/mnt/x", "/opt/data", "/var", "/", "/run/../var/x"]
)
def test_a_directory_that_a_pod_writes_to_is_listed(path: str) -> None:
    assert LocalData(NODES, []).of("n1", [pod(path)]) == [f"{path} of the host, written by pods of db"]


@pytest.mark.parametrize(
    "path", ["/run/flannel", "/var/log/pods", "/var/lib/kubelet/plugins/x", "/etc/cni/net.d", "/opt/cni/bin"]
)
def test_what_is_made_anew_or_does_not_last_is_not_listed(path: str) -> None:
    assert LocalData(NODES, []).of("n1", [pod(path)]) == []
    assert LocalData(NODES, []).of("n1", [pod("/var/lib/postgres", read_only=True)]) == []


def test_only_a_plugin_that_runs_here_counts_and_an_unknown_one_is_named() -> None:
    flannel = pod("/etc/cni/net.d", image="ghcr.io/siderolabs/flannel:v0.27.4", host=True)
    assert [found["name"] for found in network_plugins([flannel])] == ["flannel"]
    # An image of that name that installs no network is none.
    assert network_plugins([pod("/var/data", image="evil.example/flannel:v1", host=True)]) == []
    assert network_plugins([pod("/etc/cni/net.d", image="evil.example/flannel:v1")]) == []
    (unknown,) = network_plugins([pod("/opt/cni/bin", image="registry.corp/net/mycni:1", host=True)])
    assert unknown["name"] == "unknown: db/pg-0" and unknown["version"] is None
