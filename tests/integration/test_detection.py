# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The evidence says how each network plugin, storage driver and add-on was found, not only that it is there."""

from __future__ import annotations

from pathlib import Path

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
