# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A storage driver that brings no CSIDriver object is shown by its volumes, and is no less there."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.cluster import Cluster
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.joined import Machine

UUID = "4c4c4544-0042-4e10-8053-b4c04f4b4832"
MACHINE = Machine("worker-1", UUID, "f" * 32, "boot-1")
NODE = {
    "metadata": {"name": "worker-1"},
    "status": {"nodeInfo": {"systemUUID": UUID, "machineID": "f" * 32, "bootID": "boot-1"}},
}
REGISTERED = {"metadata": {"name": "topolvm.io"}}


def volume(driver: str) -> dict[str, Any]:
    return {"metadata": {"name": "pv"}, "spec": {"csi": {"driver": driver}}}


def pod(node: str, driver: str) -> dict[str, Any]:
    volumes = [{"name": "a", "emptyDir": {}}, {"name": "b", "csi": {"driver": driver}}]
    return {"metadata": {"name": "p", "namespace": "n"}, "spec": {"nodeName": node, "volumes": volumes}}


@pytest.mark.parametrize(
    ("registered", "volumes", "pods", "found"),
    [
        ([], [], [], []),
        ([REGISTERED], [volume("topolvm.io")], [], [("topolvm.io", "CSIDriver")]),
        (
            [],
            [volume("old.example"), {"metadata": {"name": "nfs"}, "spec": {}}],
            [],
            [("old.example", "PersistentVolume")],
        ),
        (
            [REGISTERED],
            [],
            [pod("worker-1", "secrets.example")],
            [("secrets.example", "Pod"), ("topolvm.io", "CSIDriver")],
        ),
        ([], [], [pod("worker-2", "secrets.example")], []),
    ],
    ids=["none", "registered", "by a volume", "by a pod", "by a pod elsewhere"],
)
def test_storage_drivers(registered: Any, volumes: Any, pods: Any, found: list[tuple[str, str]]) -> None:
    csi = Cluster([NODE], [], registered, pods, volumes).of_node(MACHINE, None)["csi"]
    assert csi == [{"name": name, "version": None, "source": source} for name, source in found]
