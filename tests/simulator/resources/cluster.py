# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configuration, cluster, Kubernetes, etcd, network."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import quick_yaml
import yaml

from .. import versions
from .table import Specs, elsewhere, resource, up

if TYPE_CHECKING:
    from ..node import Node


@resource("MachineTypes.config.talos.dev", namespace="config")
def _machine_type(node: Node) -> Specs:
    return {"machine-type": node.role if node.config_applied else "unknown"}


@resource("MachineConfigs.config.talos.dev", namespace="config", sensitive=True, aliases=("mc",))
def _machine_config(node: Node) -> Specs:
    if not node.config:
        return {}
    # The one in force, and (since 1.14) the one on STATE.
    names = ["v1alpha1"] + (["persistent"] if versions.at_least(node.version, "1.14") else [])
    return dict.fromkeys(names, node.config)


@functools.lru_cache(maxsize=1024)
def _identity_of(config: str) -> tuple[str, str]:
    """Id and name of the cluster, from the place where the configuration's release has them; '' for none."""
    found = ["", ""]
    for document in yaml.load_all(config, quick_yaml.Loader):
        old = document.get("cluster") if isinstance(document, dict) else None
        if isinstance(old, dict):
            found = [str(old.get("id") or found[0]), str(old.get("clusterName") or found[1])]
        elif isinstance(document, dict):
            found = [str(document.get("clusterID") or found[0]), str(document.get("clusterName") or found[1])]
    return found[0], found[1]


def _operating_system(node: Node) -> str:
    return f"Talos ({node.version})"


def _cluster_nodes(node: Node) -> list[Node]:
    return [other for other in node.fleet.nodes.values() if other.config_applied and other.node_id]


def _member(other: Node) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "nodeId": other.node_id,
        "addresses": [other.address],
        "hostname": other.hostname,
        "machineType": other.role,
        "operatingSystem": _operating_system(other),
    }
    if other.role == "controlplane":
        spec["controlPlane"] = {"port": 6443}
    return spec


@resource("Members.cluster.talos.dev", namespace="cluster")
def _members(node: Node) -> Specs:
    if not up(node):
        return {}
    return {other.hostname: _member(other) for other in _cluster_nodes(node)}


@resource("Affiliates.cluster.talos.dev", namespace="cluster", namespaces=("cluster-raw",))
def _affiliates(node: Node) -> Specs:
    if not up(node):
        return {}
    return {str(other.node_id): {**_member(other), "nodename": other.name} for other in _cluster_nodes(node)}


@resource("Identities.cluster.talos.dev", namespace="cluster")
def _identity(node: Node) -> Specs:
    if node.node_id is None:
        return {}
    other = elsewhere(node)
    if other is not None:
        real = node.fleet.nodes.get(other)
        return {"local": {"nodeId": real.node_id if real else f"Str4nger{node.node_id[:20]}"}}
    return {"local": {"nodeId": node.node_id}}


@resource("Infos.cluster.talos.dev", namespace="cluster")
def _info(node: Node) -> Specs:
    """What the configuration in force says; none without an identity for the discovery service."""
    if not node.config_applied:
        return {}
    identifier, name = _identity_of(node.config or "")
    identifier = str(node.faults.get("cluster_id", identifier))
    return {"current": {"clusterId": identifier, "clusterName": name}} if identifier else {}


@resource("Nodenames.kubernetes.talos.dev", namespace="k8s")
def _nodename(node: Node) -> Specs:
    if not up(node):
        return {}
    name = elsewhere(node) or node.name
    return {"nodename": {"nodename": name, "hostnameVersion": "1", "skipNodeRegistration": False}}


@resource("NodeStatuses.kubernetes.talos.dev", namespace="k8s")
def _node_status(node: Node) -> Specs:
    if not up(node):
        return {}
    labels = {"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux"}
    if node.spec.zone:
        labels["topology.kubernetes.io/zone"] = node.spec.zone
    if node.role == "controlplane":
        labels["node-role.kubernetes.io/control-plane"] = ""
    name = elsewhere(node) or node.name
    return {
        name: {
            "nodename": name,
            "nodeReady": node.ready,
            "unschedulable": node.unschedulable,
            "labels": labels,
            "annotations": {},
            "podCIDRs": [f"10.244.{node.index}.0/24"],
        }
    }


_STATIC = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


@resource("ManifestStatuses.kubernetes.talos.dev", namespace="controlplane")
def _manifest_status(node: Node) -> Specs:
    if node.role != "controlplane" or not up(node):
        return {}
    network = (node.fleet.scenario.raw.get("kubernetes") or {}).get("cni", "flannel")
    names = ["01-csr-node-bootstrap", "11-core-dns", "11-kube-config-in-cluster"]
    if network == "flannel":
        names += ["05-flannel", "10-kube-proxy"]
    return {"manifests": {"manifestsApplied": sorted(names)}}


@resource("StaticPods.kubernetes.talos.dev", namespace="k8s")
def _static_pods(node: Node) -> Specs:
    if node.role != "controlplane" or not up(node):
        return {}
    return {
        name: {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "kube-system"}}
        for name in _STATIC
    }


@resource("StaticPodStatuses.kubernetes.talos.dev", namespace="k8s", aliases=("podstatus",))
def _static_pod_statuses(node: Node) -> Specs:
    if node.role != "controlplane" or not up(node):
        return {}
    ready = "True" if node.ready else "False"
    return {
        f"kube-system/{name}-{node.name}": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": ready}, {"type": "ContainersReady", "status": ready}],
        }
        for name in _STATIC
    }


@resource("EtcdMembers.etcd.talos.dev", namespace="etcd")
def _etcd_member(node: Node) -> Specs:
    member = node.fleet.etcd.members.get(node.name)
    if member is None or not up(node):
        return {}
    return {"local": {"memberID": f"{member.id:016x}"}}


@resource("SystemInformations.hardware.talos.dev", namespace="hardware", aliases=("systeminformation",))
def _system_information(node: Node) -> Specs:
    uuid, serial = node.uuid, node.serial
    other = elsewhere(node)
    if other is not None:
        real = node.fleet.nodes.get(other)
        uuid, serial = (real.uuid, real.serial) if real else (uuid[::-1].replace("-", "")[:32], serial[::-1])
    return {
        "systeminformation": {
            "manufacturer": "Simulated",
            "productName": "Fleet Node",
            "version": "1",
            "biosVersion": "2.14.0",
            "serialnumber": serial,
            "uuid": uuid,
            "wakeUpType": "Power Switch",
        }
    }


@resource("HostnameStatuses.net.talos.dev", namespace="network", aliases=("hostname",))
def _hostname(node: Node) -> Specs:
    return {"hostname": {"hostname": node.hostname, "domainname": ""}}


@resource("NodeAddresses.net.talos.dev", namespace="network")
def _addresses(node: Node) -> Specs:
    return {"default": {"addresses": [f"{node.address}/8"]}, "routed": {"addresses": [f"{node.address}/8"]}}


@resource("VolumeConfigs.block.talos.dev", sensitive=True)
@resource("NodeCordonedSpecs.k8s.talos.dev", namespace="k8s", since="1.9", sensitive=True)
@resource("OSRootSecrets.secrets.talos.dev", namespace="secrets", sensitive=True)
@resource("EtcdRootSecrets.secrets.talos.dev", namespace="secrets", sensitive=True)
@resource("KubernetesRootSecrets.secrets.talos.dev", namespace="secrets", sensitive=True)
def _nothing(_node: Node) -> Specs:
    return {}


@resource("LoadedKernelModules.runtime.talos.dev", since="1.11")
def _modules(_node: Node) -> Specs:
    return {"virtio_net": {"size": 90112, "referenceCount": 0, "state": "Live", "address": "0x0000000000000000"}}


@resource("SBOMItems.talos.dev", since="1.11")
def _sbom(node: Node) -> Specs:
    return {"talos": {"name": "talos", "version": node.version, "license": "MPL-2.0"}}
