# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs on a node: network plugins by what they mount, add-ons by their images, pods that are older than a boot."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import workloads

CNI = {"name": "cni", "hostPath": {"path": "/etc/cni/net.d"}}


def pod(
    name: str,
    *images: str,
    owner: tuple[str, str] | None = None,
    network: bool = True,
    volumes: list[Any] | None = None,
    started: list[str | None] | None = None,
) -> dict[str, Any]:
    """A pod of the namespace ``n``."""
    owners = [{"kind": owner[0], "name": owner[1], "controller": True}] if owner else None
    return {
        "metadata": {"namespace": "n", "name": name, "ownerReferences": owners},
        "spec": {"hostNetwork": network, "volumes": volumes, "containers": [{"image": image} for image in images]},
        "status": {
            "containerStatuses": [
                {"state": {"running": {"startedAt": at}} if at else {"waiting": {}}} for at in started
            ]
            if started is not None
            else None
        },
    }


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (
            pod("f-1", "ghcr.io/siderolabs/flannel:v0.27.4", owner=("DaemonSet", "kube-flannel"), volumes=[CNI]),
            [("flannel", "0.27.4", "DaemonSet n/kube-flannel")],
        ),
        (pod("c-1", "quay.io/cilium/cilium@sha256:0", volumes=[CNI]), [("cilium", None, "Pod n/c-1")]),
        (
            pod("x-1", "registry/own:1", owner=("ReplicaSet", "x"), volumes=[CNI]),
            [("unknown: n/x", None, "Pod n/x-1")],
        ),
        (pod("x-1", "own", volumes=[CNI]), [("unknown: n/x-1", None, "Pod n/x-1")]),
        (
            pod("both", "a/flannel:1", "b/multus-cni:2", volumes=[CNI]),
            [("flannel", "1", "Pod n/both"), ("multus", "2", "Pod n/both")],
        ),
        (
            pod("bin", "own", volumes=[{"name": "b", "hostPath": {"path": "/opt/cni"}}]),
            [("unknown: n/bin", None, "Pod n/bin")],
        ),
        # Those that only look, and those that make no network of the host's.
        (pod("f-1", "a/flannel:1"), []),
        (pod("f-1", "a/flannel:1", volumes=[CNI], network=False), []),
        (pod("f-1", "a/flannel:1", volumes=[{"name": "b", "hostPath": {"path": "/etc/cnix"}}]), []),
        (pod("f-1", "a/flannel:1", volumes=[{"name": "b", "emptyDir": {}}]), []),
    ],
)
def test_a_network_plugin_is_what_mounts_its_directories(given: dict[str, Any], found: list[Any]) -> None:
    told = workloads.network_plugins([given, given])
    assert told == [{"name": name, "version": version, "source": source} for name, version, source in found]


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("quay.io/cilium/cilium:v1.18.2", "1.18.2"),
        ("quay.io/cilium/cilium:1.18.2@sha256:4f0", "1.18.2"),
        ("registry.example:5000/cilium/cilium:v1.18.2-rc.1", "1.18.2-rc.1"),
        # What has no tag has no version, whatever its digest or the port of its registry is.
        ("quay.io/cilium/cilium@sha256:4f0", None),
        ("registry.example:5000/cilium/cilium", None),
        ("registry.example:5000/cilium/cilium@sha256:17", None),
        ("quay.io/cilium/cilium:latest", None),
        ("quay.io/cilium/cilium", None),
    ],
)
def test_the_version_is_the_tag_of_the_image(image: str, version: str | None) -> None:
    (told,) = workloads.network_plugins([pod("c", image, volumes=[CNI])])
    assert (told["name"], told["version"]) == ("cilium", version)


def test_add_ons_are_known_by_the_images_of_pods_and_of_what_makes_pods() -> None:
    template = {
        "spec": {"initContainers": [{"image": "a/falco:0.1"}], "containers": [{"image": "prom/node-exporter:v1.9"}]}
    }
    made = {"metadata": {"namespace": "m", "name": "exporter"}, "spec": {"template": template}}
    named = {**made, "kind": "Deployment", "metadata": {"namespace": "m", "name": "named"}}
    given = [made, named, pod("p-1", "b/topolvm:0.38", "other", owner=("StatefulSet", "t")), pod("q-1", "c/flannel:1")]
    assert workloads.addons(given) == [
        {"name": "falco", "version": "0.1", "source": "DaemonSet m/exporter"},
        {"name": "node-exporter", "version": "1.9", "source": "DaemonSet m/exporter"},
        {"name": "topolvm", "version": "0.38", "source": "StatefulSet n/t"},
    ]
    assert [one["source"] for one in workloads.addons([named])] == ["Deployment m/named"] * 2
    assert workloads.addons([]) == []


def test_drivers_of_volumes_that_pods_bring() -> None:
    volumes = [
        {"name": "a", "csi": {"driver": "secrets.example"}},
        {"name": "b", "emptyDir": {}},
        {"name": "c", "csi": {}},
    ]
    assert workloads.inline_drivers([pod("p", volumes=volumes), pod("q")]) == {"secrets.example": "Pod"}


@pytest.mark.parametrize(
    ("cni", "applied", "found"),
    [
        (None, ["05-flannel"], None),
        ([("flannel", "DaemonSet n/f")], ["05-flannel"], ["DaemonSet n/f, Talos manifest 05-flannel"]),
        ([("flannel", "DaemonSet n/f")], ["10-other"], ["DaemonSet n/f"]),
        ([("flannel", "DaemonSet n/f")], None, ["DaemonSet n/f"]),
        ([("cilium", "Pod n/c")], ["05-flannel"], ["Pod n/c"]),
        ([], ["05-flannel"], []),
    ],
)
def test_what_talos_applied_itself_is_named(cni: Any, applied: list[str] | None, found: list[str] | None) -> None:
    given = None if cni is None else [{"name": name, "version": "1", "source": source} for name, source in cni]
    told = workloads.with_manifests(given, applied)
    assert (None if told is None else [one["source"] for one in told]) == found
    for before, after in zip(given or (), told or (), strict=True):
        assert {**after, "source": None} == {**before, "source": None}


EARLY, BOOT, LATE = "2026-11-30T09:59:59Z", "2026-11-30T10:00:00Z", "2026-11-30T10:00:01Z"


@pytest.mark.parametrize(
    ("owner", "started", "checked", "stale"),
    [
        (("DaemonSet", "d"), [LATE], 1, []),
        (("DaemonSet", "d"), [BOOT, LATE], 1, []),
        (("StatefulSet", "s"), [LATE, EARLY], 1, ["n/p"]),
        (("DaemonSet", "d"), [None], 1, ["n/p"]),
        (("DaemonSet", "d"), [], 1, ["n/p"]),
        (("DaemonSet", "d"), None, 1, ["n/p"]),
        # Others come and go, and say nothing about the boot.
        (("ReplicaSet", "r"), [EARLY], 0, []),
        (None, [EARLY], 0, []),
    ],
)
def test_resident_pods_that_did_not_start_since_the_boot(
    owner: tuple[str, str] | None, started: list[str | None] | None, checked: int, stale: list[str]
) -> None:
    given = pod("p", owner=owner, started=started)
    assert workloads.restarts([given], BOOT) == {"checked": checked, "stale": stale}
    assert workloads.restarts([given], None) is None


def test_stale_pods_are_named_in_order() -> None:
    given = [pod(name, owner=("DaemonSet", "d"), started=[EARLY]) for name in ("b", "a")]
    assert workloads.restarts(given, BOOT) == {"checked": 2, "stale": ["n/a", "n/b"]}


def test_paths_of_the_host_by_volume() -> None:
    volumes = [CNI, {"name": "none", "hostPath": {}}, {"name": "e", "emptyDir": {}}, {"hostPath": {"path": "/x"}}]
    assert workloads.host_paths(pod("p", volumes=volumes)) == {"cni": "/etc/cni/net.d", "None": "/x"}
    assert workloads.host_paths(pod("p")) == {}
