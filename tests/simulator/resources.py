# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""COSI resources of a simulated node: which types exist in which version, and their YAML specs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from . import versions
from .proto import make, timestamp

if TYPE_CHECKING:
    from .node import Node

Specs = dict[str, Any]
Producer = Callable[["Node"], Specs]


@dataclass(frozen=True)
class ResourceType:
    """One resource type: where it lives, since when, and how to make its resources from a node."""

    type: str
    namespace: str
    since: str
    sensitive: bool
    aliases: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    produce: Producer
    namespaces: tuple[str, ...] = ()

    @property
    def display(self) -> str:
        """Singular CamelCase name."""
        name = self.type.partition(".")[0]
        if name.endswith("ies"):
            return name[:-3] + "y"
        if name.endswith(("sses", "Statuses", "Indexes")):
            return name[:-2]
        return name[:-1] if name.endswith("s") else name


TYPES: dict[str, ResourceType] = {}
NAMESPACES = (
    "cluster",
    "cluster-raw",
    "config",
    "controlplane",
    "cri",
    "etcd",
    "files",
    "hardware",
    "k8s",
    "kubespan",
    "meta",
    "network",
    "network-config",
    "perf",
    "runtime",
    "secrets",
    "security",
    "storage",
)


def resource(
    kind: str,
    *,
    namespace: str = "runtime",
    since: str = "1.8",
    sensitive: bool = False,
    aliases: tuple[str, ...] = (),
    columns: tuple[tuple[str, str], ...] = (),
    namespaces: tuple[str, ...] = (),
) -> Callable[[Producer], Producer]:
    """Register the producer of one resource type."""

    def register(produce: Producer) -> Producer:
        TYPES[kind] = ResourceType(kind, namespace, since, sensitive, aliases, columns, produce, namespaces)
        return produce

    return register


def find(node: Node, kind: str) -> ResourceType | None:
    """Look a type up the way the access policy does: by the lower-cased exact name, in the node's version."""
    for known in TYPES.values():
        if known.type.lower() == kind.lower() and versions.at_least(node.version, known.since):
            return known
    return None


def _up(node: Node) -> bool:
    return node.state in ("running", "resetting", "shutting down") and node.config_applied


def _elsewhere(node: Node) -> str | None:
    """The node this one pretends to be (fault wrong_machine), by name."""
    if "wrong_machine" not in node.faults:
        return None
    value = node.faults["wrong_machine"]
    return value if isinstance(value, str) else f"stranger-{node.index}"


# -- runtime --


@resource(
    "SecurityStates.talos.dev",
    columns=(("SecureBoot", "{.secureBoot}"), ("SELinuxState", "{.selinuxState}")),
)
def _security_state(node: Node) -> Specs:
    boot = node.boot
    spec: dict[str, Any] = {"secureBoot": node.spec.secure_boot}
    if node.spec.secure_boot:
        spec["ukiSigningKeyFingerprint"] = "9c:4f:1d"
        spec["pcrSigningKeyFingerprint"] = "a1:07:5e"
    version = node.version
    if versions.at_least(version, "1.10"):
        if node.selinux != "disabled":
            spec["selinuxState"] = f"enabled, {node.selinux}"
        if boot is not None and boot.booted_with_uki:
            spec["bootedWithUKI"] = True
    if versions.at_least(version, "1.12") and "module.sig_enforce=1" in node.arguments:
        spec["moduleSignatureEnforced"] = True
    return {"securitystate": spec}


@resource("KernelCmdlines.runtime.talos.dev", since="1.11", aliases=("cmdline",), columns=(("Cmdline", "{.cmdline}"),))
def _cmdline(node: Node) -> Specs:
    return {"cmdline": {"cmdline": " ".join(node.arguments)}}


@resource("ImageFactorySchematics.runtime.talos.dev", since="1.14")
def _factory_schematic(node: Node) -> Specs:
    spec = {"schematicId": versions.schematic_id(node.schematic), "flavor": "", "apiUrl": "https://factory.talos.dev"}
    return {"image-factory-schematic": spec}


@resource("ExtensionStatuses.runtime.talos.dev", aliases=("extensions",))
def _extensions(node: Node) -> Specs:
    result: Specs = {}
    for name in node.extensions:
        short = name.rpartition("/")[2]
        result[str(len(result))] = {
            "image": f"{len(result)}.{short}.sqsh",
            "metadata": {
                "name": short,
                "version": "v0.2.0",
                "author": "Sidero Labs",
                "description": f"System extension {short}.",
                "compatibility": {"talos": {"version": ">= v1.5.0"}},
            },
        }
    text = node.schematic
    result[str(len(result))] = {
        "image": f"{len(result)}.schematic.sqsh",
        "metadata": {
            "name": "schematic",
            "version": versions.schematic_id(text),
            "author": "Image Factory",
            "description": "Virtual extension which specifies the schematic of the image built with Image Factory.",
            "compatibility": {"talos": {"version": ">= 1.0.0"}},
            "extraInfo": text,
        },
    }
    if node.spec.extra.get("no_extra_info"):
        del result[str(len(result) - 1)]["metadata"]["extraInfo"]
    if node.extensions:
        result["modules.dep"] = {
            "image": f"{len(result)}.modules.dep.sqsh",
            "metadata": {
                "name": "modules.dep",
                "version": "6.18.9-talos",
                "author": "Talos Machinery",
                "description": "",
            },
        }
    return result


@resource("BootIDs.runtime.talos.dev", since="1.14")
def _boot_id(node: Node) -> Specs:
    return {"boot-id": {"bootID": node.boot_id}}


@resource("BootedEntries.talos.dev", since="1.11")
def _booted_entry(node: Node) -> Specs:
    if node.boot is None or not node.boot.booted_with_uki or node.boot.origin != "disk":
        return {}
    return {"bootedentry": {"bootedEntry": f"Talos-{node.version}.efi"}}


@resource("MachineStatuses.runtime.talos.dev")
def _machine_status(node: Node) -> Specs:
    unmet = list(node.unmet)
    if "clock_skew" in node.faults:
        unmet.append(("time", "time is not synced"))
    ready = node.ready and not unmet and node.state == "running"
    if node.state == "running" and not node.ready and not unmet:
        unmet = [("nodeReady", f'node "{node.name}" is not ready')]
    status = {"ready": ready, "unmetConditions": [{"name": name, "reason": reason} for name, reason in unmet]}
    return {"machine": {"stage": node.state, "status": status}}


@resource("Versions.runtime.talos.dev", since="1.10")
def _version(node: Node) -> Specs:
    return {"version": {"name": "Talos", "version": node.version}}


@resource("UnattendedInstallStatuses.runtime.talos.dev", since="1.14")
def _unattended(node: Node) -> Specs:
    if node.install_phase is None:
        return {}
    image, phase, error = node.install_phase
    return {"unattended-install": {"image": image, "phase": phase, "error": error}}


@resource("MaintenanceServiceConfigs.runtime.talos.dev")
def _maintenance(node: Node) -> Specs:
    if not node.maintenance:
        return {}
    return {"maintenance": {"listenAddress": f"{node.address}:50000", "reachableAddresses": [node.address]}}


@resource("MaintenanceServiceRequests.runtime.talos.dev")
def _maintenance_request(node: Node) -> Specs:
    return {"maintenance": {}} if node.maintenance else {}


@resource("UniqueMachineTokens.runtime.talos.dev")
def _token(node: Node) -> Specs:
    return {"unique-machine-token": {"token": node.token}}


@resource("MetaKeys.runtime.talos.dev", aliases=("meta",))
def _meta(node: Node) -> Specs:
    return {f"0x{key:02x}": {"value": value} for key, value in sorted(node.meta.items())}


@resource("RebootRequests.runtime.talos.dev", since="1.14")
def _reboot_request(_node: Node) -> Specs:
    return {}


@resource("PlatformMetadatas.talos.dev")
def _platform(node: Node) -> Specs:
    spec: dict[str, Any] = {"platform": node.spec.platform}
    if node.spec.platform != "metal":
        spec |= {"hostname": node.hostname, "region": "sim-1", "zone": node.spec.zone, "instanceId": node.uuid}
    return {"platformmetadata": spec}


_MOUNTS = (("STATE", "/system/state"), ("EPHEMERAL", "/var"))


@resource("MountStatuses.runtime.talos.dev", aliases=("mounts",))
def _mounts(node: Node) -> Specs:
    result: Specs = {}
    for label, target in _MOUNTS:
        part = node.partitions.get(label)
        if part is not None and _up(node):
            result[label] = {
                "source": f"{node.disk_path}{part.index}",
                "target": target,
                "filesystemType": part.filesystem,
                "options": [],
                "encrypted": False,
            }
    return result


@resource("MountStatuses.block.talos.dev", since="1.10")
def _block_mounts(node: Node) -> Specs:
    result: Specs = {}
    for label, target in _MOUNTS:
        part = node.partitions.get(label)
        if part is not None and _up(node):
            result[label] = {
                "spec": {"volumeID": label, "requesters": ["sequencer"], "requesterIDs": [label]},
                "source": f"{node.disk_path}{part.index}",
                "target": target,
                "filesystem": part.filesystem,
                "readOnly": False,
                "projectQuotaSupport": label == "EPHEMERAL",
                "detached": False,
            }
    return result


@resource("Services.v1alpha1.talos.dev", aliases=("svc",))
def _services(node: Node) -> Specs:
    from .services import service_states

    result: Specs = {}
    for service in service_states(node):
        result[service.id] = {
            "running": service.state == "Running",
            "healthy": service.healthy is True,
            "unknown": service.healthy is None,
        }
    return result


@resource("TimeStatuses.v1alpha1.talos.dev")
def _time(node: Node) -> Specs:
    return {"node": {"synced": "clock_skew" not in node.faults, "epoch": 0, "syncDisabled": False}}


# -- disks --


@resource("SystemDisks.block.talos.dev", since="1.9")
def _system_disk(node: Node) -> Specs:
    if not node.meta_installed:
        return {}
    return {"system-disk": {"diskID": node.disk_path.rpartition("/")[2], "devPath": node.disk_path}}


def _pretty(size: int) -> str:
    for unit, step in (("GiB", 1 << 30), ("MiB", 1 << 20), ("kiB", 1 << 10)):
        if size >= step:
            return f"{size // step} {unit}"
    return f"{size} B"


@resource("DiscoveredVolumes.block.talos.dev")
def _discovered(node: Node) -> Specs:
    from .node import GIB

    name = node.disk_path.rpartition("/")[2]
    size = 110 * GIB
    result: Specs = {
        name: {
            "dev_path": node.disk_path,
            "type": "disk",
            "device_path": "/pci0000:00/0000:00:05.0/host2",
            "offset": 0,
            "size": size,
            "pretty_size": _pretty(size),
            "name": "gpt" if node.partitions else "",
        }
    }
    for part in node.partitions.values():
        device = f"{name}{part.index}"
        spec: dict[str, Any] = {
            "dev_path": f"/dev/{device}",
            "type": "partition",
            "device_path": f"/pci0000:00/0000:00:05.0/host2/{device}",
            "parent": name,
            "parent_dev_path": node.disk_path,
            "offset": part.index << 20,
            "size": part.size,
            "pretty_size": _pretty(part.size),
            "name": "" if part.wiped else part.filesystem,
        }
        if not part.wiped:
            spec["uuid"] = part.uuid
            spec["label"] = part.label
        spec |= {"partition_uuid": part.partition_uuid, "partition_label": part.label, "partition_index": part.index}
        result[device] = spec
    return result


@resource("VolumeStatuses.block.talos.dev", aliases=("volumes",))
def _volumes(node: Node) -> Specs:
    result: Specs = {}
    for label in ("META", "STATE", "EPHEMERAL", *(f"u-{name}" for name in node.spec.user_volumes)):
        part = node.partitions.get(label)
        # A volume that only the machine config defines waits for it.
        if part is None or (part.wiped and label != "META"):
            phase = "missing" if label in ("META", "STATE") else "waiting"
            result[label] = {"phase": phase, "type": "partition"}
            continue
        if label not in ("META", "STATE") and not node.config_applied:
            result[label] = {"phase": "waiting", "type": "partition"}
            continue
        result[label] = {
            "phase": "ready",
            "type": "partition",
            "location": f"{node.disk_path}{part.index}",
            "partitionIndex": part.index,
            "parentLocation": node.disk_path,
            "uuid": part.uuid,
            "partitionUUID": part.partition_uuid,
            "size": part.size,
            "prettySize": _pretty(part.size),
            "filesystem": part.filesystem or "none",
        }
        result[label]["phase"] = dict(node.spec.extra.get("volume_phases", {})).get(label, "ready")
    if versions.at_least(node.version, "1.14") and "EPHEMERAL" in node.partitions and node.config_applied:
        # Directory-backed volumes: no location of their own.
        for label in ("CRI", "ETCD", "KUBELET", "LOG"):
            if label != "ETCD" or node.role == "controlplane":
                result[label] = {"phase": "ready", "type": "directory", "parentID": "EPHEMERAL"}
    return result


@resource(
    "Disks.block.talos.dev",
    columns=(
        ("Size", "{.pretty_size}"),
        ("Read Only", "{.readonly}"),
        ("Transport", "{.transport}"),
        ("Rotational", "{.rotational}"),
        ("WWID", "{.wwid}"),
        ("Model", "{.model}"),
        ("Serial", "{.serial}"),
    ),
)
def _disks(node: Node) -> Specs:
    from .node import GIB

    result: Specs = {}
    paths = [node.disk_path, *node.spec.user_disks]
    for number, path in enumerate(paths):
        name = path.rpartition("/")[2]
        result[name] = {
            "dev_path": path,
            "size": 110 * GIB,
            "pretty_size": "118 GB",
            "io_size": 512,
            "sector_size": 512,
            "readonly": False,
            "cdrom": False,
            "model": "SIMDISK",
            "serial": f"{node.serial}-{number}",
            "wwid": f"naa.5000c500{node.uuid[:8]}{number}",
            "bus_path": "/pci0000:00/0000:00:05.0",
            "sub_system": "/sys/class/block",
            "transport": "sata",
            "symlinks": [f"/dev/disk/by-id/ata-SIMDISK_{node.serial}-{number}"],
        }
    return result


# -- config, cluster, Kubernetes --


@resource("MachineTypes.config.talos.dev", namespace="config")
def _machine_type(node: Node) -> Specs:
    return {"machine-type": node.role if node.config_applied else "unknown"}


@resource("MachineConfigs.config.talos.dev", namespace="config", sensitive=True, aliases=("mc",))
def _machine_config(node: Node) -> Specs:
    return {"v1alpha1": node.config} if node.config else {}


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
    if not _up(node):
        return {}
    return {other.hostname: _member(other) for other in _cluster_nodes(node)}


@resource("Affiliates.cluster.talos.dev", namespace="cluster", namespaces=("cluster-raw",))
def _affiliates(node: Node) -> Specs:
    if not _up(node):
        return {}
    return {str(other.node_id): {**_member(other), "nodename": other.name} for other in _cluster_nodes(node)}


@resource("Identities.cluster.talos.dev", namespace="cluster")
def _identity(node: Node) -> Specs:
    if node.node_id is None:
        return {}
    other = _elsewhere(node)
    if other is not None:
        real = node.fleet.nodes.get(other)
        return {"local": {"nodeId": real.node_id if real else f"Str4nger{node.node_id[:20]}"}}
    return {"local": {"nodeId": node.node_id}}


@resource("Nodenames.kubernetes.talos.dev", namespace="k8s")
def _nodename(node: Node) -> Specs:
    if not _up(node):
        return {}
    name = _elsewhere(node) or node.name
    return {"nodename": {"nodename": name, "hostnameVersion": "1", "skipNodeRegistration": False}}


@resource("NodeStatuses.kubernetes.talos.dev", namespace="k8s")
def _node_status(node: Node) -> Specs:
    if not _up(node):
        return {}
    labels = {"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux"}
    if node.spec.zone:
        labels["topology.kubernetes.io/zone"] = node.spec.zone
    if node.role == "controlplane":
        labels["node-role.kubernetes.io/control-plane"] = ""
    name = _elsewhere(node) or node.name
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
    if node.role != "controlplane" or not _up(node):
        return {}
    network = (node.fleet.scenario.raw.get("kubernetes") or {}).get("cni", "flannel")
    names = ["01-csr-node-bootstrap", "11-core-dns", "11-kube-config-in-cluster"]
    if network == "flannel":
        names += ["05-flannel", "10-kube-proxy"]
    return {"manifests": {"manifestsApplied": sorted(names)}}


@resource("StaticPods.kubernetes.talos.dev", namespace="k8s")
def _static_pods(node: Node) -> Specs:
    if node.role != "controlplane" or not _up(node):
        return {}
    return {
        name: {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "kube-system"}}
        for name in _STATIC
    }


@resource("StaticPodStatuses.kubernetes.talos.dev", namespace="k8s", aliases=("podstatus",))
def _static_pod_statuses(node: Node) -> Specs:
    if node.role != "controlplane" or not _up(node):
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
    if member is None or not _up(node):
        return {}
    return {"local": {"memberID": f"{member.id:016x}"}}


@resource("SystemInformations.hardware.talos.dev", namespace="hardware", aliases=("systeminformation",))
def _system_information(node: Node) -> Specs:
    uuid, serial = node.uuid, node.serial
    other = _elsewhere(node)
    if other is not None:
        real = node.fleet.nodes.get(other)
        uuid, serial = (real.uuid, real.serial) if real else (uuid[::-1].replace("-", "")[:32], serial[::-1])
    return {
        "systeminformation": {
            "manufacturer": "Simulated",
            "productName": "Fleet Node",
            "version": "1",
            "serialnumber": serial,
            "uuid": uuid,
            "wakeUpType": "Power Switch",
            "skuNumber": "SIM-1",
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


# -- meta --


@resource("Namespaces.meta.cosi.dev", namespace="meta", aliases=("ns",))
def _namespaces(_node: Node) -> Specs:
    return {name: {"description": f"{name} resources."} for name in NAMESPACES}


@resource("ResourceDefinitions.meta.cosi.dev", namespace="meta", aliases=("rd", "rds"))
def _definitions(node: Node) -> Specs:
    result: Specs = {}
    for known in TYPES.values():
        if versions.at_least(node.version, known.since):
            result[known.type.lower()] = {
                "type": known.type,
                "displayType": known.display,
                "aliases": list(known.aliases),
                "allAliases": _all_aliases(known),
                "defaultNamespace": known.namespace,
                "printColumns": [{"name": name, "jsonPath": path} for name, path in known.columns],
                "sensitivity": "sensitive" if known.sensitive else "",
            }
    return result


def _all_aliases(known: ResourceType) -> list[str]:
    plural, _unused, suffix = known.type.lower().partition(".")
    singular = known.display.lower()
    prefixes = [singular]
    parts = suffix.split(".")
    prefixes += [f"{plural}.{'.'.join(parts[:count])}" for count in range(1, len(parts))]
    short = "".join(letter for letter in known.display if letter.isupper()).lower()
    names = [*known.aliases, plural, *prefixes]
    if len(short) > 1:
        names += [short, f"{short}s"]
    return list(dict.fromkeys(names))


def _proto_spec(known: ResourceType, spec: Any) -> bytes:
    """Only the two meta types need it: the Go client decodes exactly those to resolve aliases."""
    if known.type == "ResourceDefinitions.meta.cosi.dev":
        columns = [
            make("cosi.resource.meta.PrintColumn", name=c["name"], json_path=c["jsonPath"])
            for c in spec["printColumns"]
        ]
        message = make(
            "cosi.resource.meta.ResourceDefinitionSpec",
            resource_type=spec["type"],
            display_type=spec["displayType"],
            default_namespace=spec["defaultNamespace"],
            aliases=spec["aliases"],
            all_aliases=spec["allAliases"],
            print_columns=columns,
            sensitivity=1 if spec["sensitivity"] else 0,
        )
        return bytes(message.SerializeToString())
    if known.type == "Namespaces.meta.cosi.dev":
        return bytes(make("cosi.resource.meta.NamespaceSpec", description=spec["description"]).SerializeToString())
    return b""


def to_yaml(node: Node, known: ResourceType, spec: Any) -> str:
    """The yaml_spec of a resource: always filled, and broken on purpose under the fault garbage_yaml."""
    wanted = node.faults.get("garbage_yaml")
    if wanted is not None and known.namespace != "meta":
        hit = wanted is True or str(wanted).lower() in (known.type.lower(), *_all_aliases(known))
        if hit:
            return "{selinuxState: [unclosed\n\t- \x01"
    if isinstance(spec, str):
        return spec if spec.endswith("\n") else f"{spec}\n"
    return str(yaml.safe_dump(spec, sort_keys=False, width=100000))


def message(node: Node, known: ResourceType, namespace: str, identifier: str, spec: Any, version: int = 1) -> Any:
    """The wire form of one resource."""
    started = node.clock.wall(node.boot.started) if node.boot else node.clock.wall()
    created = timestamp(started + 2)
    metadata = make(
        "cosi.resource.Metadata",
        namespace=namespace,
        type=known.type,
        id=identifier,
        version=str(version),
        owner="" if known.namespace == "meta" else f"runtime.{known.display}Controller",
        phase="running",
        created=created,
        updated=created,
    )
    body = make("cosi.resource.Spec", proto_spec=_proto_spec(known, spec), yaml_spec=to_yaml(node, known, spec))
    return make("cosi.resource.Resource", metadata=metadata, spec=body)


def collect(node: Node, known: ResourceType, namespace: str) -> Specs:
    """All resources of a type in a namespace: id to spec."""
    if namespace != known.namespace and namespace not in known.namespaces:
        return {}
    return known.produce(node)
