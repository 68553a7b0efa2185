# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The evidence says how each network plugin, storage driver and add-on was found, not only that it is there."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.workloads import with_manifests
from integration import judging
from simulator import Simulator

POD = {"kind": "DaemonSet", "name": "exporter", "image": "quay.io/prometheus/node-exporter:v1.9.0"}


def test_each_finding_names_what_it_was_found_by(tmp_path: Path) -> None:
    scenario = {
        "name": "detection",
        "kubernetes": {"cni": "cilium", "csi": ["driver.longhorn.io", "nfs.csi.k8s.io"]},
        "nodes": {"cp-1": {"role": "controlplane"}, "worker-1": {"pods": [POD]}},
    }
    with Simulator(scenario, tmp_path / "fleet") as sim:
        read = judging.collect_all(sim, {"worker-1": judging.OPERATOR})["worker-1"]
    found = read["kubernetes"]
    (cni,) = found["cni"]
    assert (cni["name"], cni["source"]) == ("cilium", "DaemonSet kube-system/cilium")
    assert cni["version"] is not None
    assert [(csi["name"], csi["source"]) for csi in found["csi"]] == [
        ("driver.longhorn.io", "CSIDriver"),
        ("nfs.csi.k8s.io", "CSIDriver"),
    ]
    (addon,) = [item for item in found["addons"] if item["name"] == "node-exporter"]
    assert addon["version"] == "1.9.0" and "exporter" in addon["source"]


def test_a_control_plane_tells_what_talos_applied_itself(tmp_path: Path) -> None:
    nodes = {"cp-1": {"role": "controlplane"}, "worker-1": {}}
    with Simulator({"name": "manifests", "nodes": nodes}, tmp_path / "fleet") as sim:
        read = judging.collect_all(sim, dict.fromkeys(nodes, judging.OPERATOR))
    sources = {name: [cni["source"] for cni in read[name]["kubernetes"]["cni"]] for name in nodes}
    assert sources == {
        "cp-1": ["DaemonSet kube-system/kube-flannel, Talos manifest 05-flannel"],
        "worker-1": ["DaemonSet kube-system/kube-flannel"],
    }
    assert read["cp-1"]["errors"] == []


def test_manifests_add_to_what_kubernetes_shows_and_never_stand_for_it() -> None:
    cilium = {"name": "cilium", "version": "1.18.4", "source": "DaemonSet kube-system/cilium"}
    flannel = {"name": "flannel", "version": "0.27.4", "source": "DaemonSet kube-system/kube-flannel"}
    both = {**flannel, "source": "DaemonSet kube-system/kube-flannel, Talos manifest 05-flannel"}
    assert with_manifests([cilium, flannel], ["05-flannel", "11-core-dns"]) == [cilium, both]
    assert with_manifests([flannel], ["11-core-dns"]) == with_manifests([flannel], None) == [flannel]
    # Talos brought it once; what runs instead of it now was not recognised, and stays unknown.
    assert with_manifests([cilium], ["05-flannel"]) == [cilium]
    assert with_manifests([], ["05-flannel"]) == []
    assert with_manifests(None, ["05-flannel"]) is None
