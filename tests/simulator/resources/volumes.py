# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Volumes and mounts: the partitions, and (since 1.14) the directories and overlays on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import versions
from .disks import pretty
from .table import FINALIZERS, LABELS, Specs, resource, up

if TYPE_CHECKING:
    from ..node import Node

_MOUNT = "block.MountController"


@dataclass(frozen=True)
class _Volume:
    """One system volume: where it lies, how it is mounted, and who asks for it."""

    id: str
    target: str
    label: str
    parent: str = ""
    type: str = "directory"
    mode: int = 0
    owner: int = 0
    relabel: bool = False
    services: tuple[str, ...] = ("kubelet",)
    requests: tuple[tuple[str, str], ...] = ()

    @property
    def requesters(self) -> list[tuple[str, str]]:
        """Pairs of requester and id of its request."""
        return [*self.requests, *((f"service/{name}", f"service/{name}-{self.id}") for name in self.services)]


# As a real 1.14 control plane has them.
_SYSTEM = (
    _Volume("/opt", "/opt", "opt_t", "EPHEMERAL", "overlay", 0o755, services=("cri",), requests=(("cri", "/opt"),)),
    _Volume("/var/lib", "lib", "ephemeral_t", "EPHEMERAL", mode=0o700, services=("cri", "etcd", "kubelet")),
    _Volume("/var/lib/cni", "cni", "cni_state_t", "/var/lib", mode=0o700, relabel=True, services=("cri",)),
    _Volume("/var/lib/kubelet/seccomp", "seccomp", "seccomp_profile_t", "KUBELET", mode=0o700),
    _Volume(
        "/var/lib/kubelet/seccomp/profiles",
        "profiles",
        "seccomp_profile_t",
        "/var/lib/kubelet/seccomp",
        mode=0o700,
        relabel=True,
    ),
    _Volume("/var/log/audit", "audit", "audit_log_t", "LOG", mode=0o700),
    _Volume("/var/log/audit/kube", "kube", "kube_log_t", "/var/log/audit", mode=0o700, owner=65534, relabel=True),
    _Volume("/var/log/containers", "containers", "containers_log_t", "LOG", mode=0o755),
    _Volume("/var/log/pods", "pods", "pods_log_t", "LOG", mode=0o755),
    _Volume(
        "/var/mnt",
        "mnt",
        "ephemeral_t",
        "EPHEMERAL",
        mode=0o755,
        requests=(("block.VolumeConfigController", "/var/mnt"),),
    ),
    _Volume("/var/run", "/var/run", "", type="symlink", services=("cri",)),
    _Volume("/var/run/lock", "lock", "var_lock_t", "/var/run", mode=0o755, services=("cri",)),
    _Volume("CRI", "containerd", "containerd_state_t", "/var/lib", services=("cri",)),
    _Volume("ETCD", "etcd", "etcd_data_t", "/var/lib", mode=0o700, owner=60, relabel=True, services=("etcd",)),
    _Volume("KUBELET", "kubelet", "kubelet_state_t", "/var/lib", mode=0o700),
    _Volume(
        "LOG",
        "log",
        "var_log_t",
        "EPHEMERAL",
        mode=0o755,
        requests=(("runtime.LogPersistenceController", "runtime.LogPersistenceController-/var/log"),),
    ),
)
_BY_ID = {volume.id: volume for volume in _SYSTEM}
_PARTITIONS: dict[str, dict[str, Any]] = {
    "EPHEMERAL": {
        "targetPath": "/var",
        "selinuxLabel": "system_u:object_r:ephemeral_t:s0",
        "projectQuotaSupport": True,
        "fileMode": 0o755,
        "secure": True,
    },
    "STATE": {
        "targetPath": "/system/state",
        "selinuxLabel": "system_u:object_r:system_state_t:s0",
        "projectQuotaSupport": False,
        "fileMode": 0o700,
        "secure": True,
        "noExec": True,
    },
}


def _described(node: Node) -> bool:
    """Whether this release describes how volumes are mounted, and has volumes beside the partitions."""
    return versions.at_least(node.version, "1.14")


def _system(node: Node) -> list[_Volume]:
    if not _described(node) or not node.config_applied or "EPHEMERAL" not in node.partitions:
        return []
    return [volume for volume in _SYSTEM if volume.id != "ETCD" or node.role == "controlplane"]


def _partition(node: Node, label: str) -> dict[str, Any]:
    part = node.partitions.get(label)
    mount = {"mountSpec": dict(_PARTITIONS[label])} if label in _PARTITIONS and _described(node) else {}
    wanted = label in ("META", "STATE") or node.config_applied
    if part is None or (part.wiped and label != "META") or not wanted:
        if label == "STATE" and node.config_applied and _described(node):
            # Its place is described by the system disk, which there is not until the installation is done.
            error = "error evaluating disk locator: no such attribute(s): system_disk"
            return {"phase": "failed", "preFailPhase": "missing", "type": "partition", **mount, "errorMessage": error}
        # A volume that only the machine config defines waits for it.
        return {"phase": "missing" if label in ("META", "STATE") else "waiting", "type": "partition", **mount}
    device = f"{node.disk_path}{part.index}"
    spec: dict[str, Any] = {
        "phase": dict(node.spec.extra.get("volume_phases", {})).get(label, "ready"),
        "type": "partition",
        "location": device,
        "mountLocation": device,
        "partitionIndex": part.index,
        "parentLocation": node.disk_path,
        "uuid": part.uuid,
        "partitionUUID": part.partition_uuid,
        "size": part.size,
        "prettySize": pretty(part.size),
    }
    if label == "META":
        # No file system: nothing that has an id of its own.
        del spec["uuid"]
        return spec
    spec |= {"filesystem": part.filesystem or "none", "trimEnabled": True, "trimInterval": "168h0m0s", **mount}
    return spec


def _directory(volume: _Volume) -> dict[str, Any]:
    mount: dict[str, Any] = {
        "targetPath": volume.target,
        "selinuxLabel": f"system_u:object_r:{volume.label}:s0" if volume.label else "",
        "projectQuotaSupport": False,
    }
    spec: dict[str, Any] = {"phase": "ready", "type": volume.type}
    if volume.type == "overlay":
        spec["parentID"] = volume.parent
    elif volume.parent:
        mount["parentId"] = volume.parent
    if volume.mode:
        mount["fileMode"] = volume.mode
    if volume.owner:
        mount |= {"uid": volume.owner, "gid": volume.owner}
    if volume.relabel:
        mount["recursiveRelabel"] = True
    spec["mountSpec"] = mount
    if volume.type == "symlink":
        spec["symlink"] = {"symlinkTargetPath": "/run", "force": True}
    return spec


@resource("VolumeStatuses.block.talos.dev", aliases=("volumes",))
def _volumes(node: Node) -> Specs:
    labels = ["META", "STATE"] + (["EPHEMERAL"] if node.config_applied or not _described(node) else [])
    result = {label: _partition(node, label) for label in [*labels, *(f"u-{name}" for name in node.spec.user_volumes)]}
    return result | {volume.id: _directory(volume) for volume in _system(node)}


def _path(volume: _Volume) -> str:
    """Where a volume is mounted."""
    if volume.target.startswith("/"):
        return volume.target
    above = "/var" if volume.parent == "EPHEMERAL" else _path(_BY_ID[volume.parent])
    return f"{above}/{volume.target}"


@resource("MountStatuses.runtime.talos.dev", aliases=("mounts",))
def _mounts(node: Node) -> Specs:
    part = node.partitions.get("EPHEMERAL")
    if part is None or not up(node):
        return {}
    source = f"{node.disk_path}{part.index}"
    spec = {"source": source, "target": "/var", "filesystemType": part.filesystem, "options": [], "encrypted": False}
    return {"EPHEMERAL": spec}


@resource("MountStatuses.block.talos.dev", since="1.10")
def _block_mounts(node: Node) -> Specs:
    part = node.partitions.get("EPHEMERAL")
    if part is None or not up(node):
        return {}

    def status(request: dict[str, Any], source: str, target: str, filesystem: str, quota: bool) -> dict[str, Any]:
        where = {"source": source, "target": target, "filesystem": filesystem, "readOnly": False}
        return {"spec": request, **where, "projectQuotaSupport": quota, "detached": False}

    request = {"volumeID": "EPHEMERAL", "parentID": "", "readOnly": False, "detached": False, "secure": True}
    request |= {"requesters": ["sequencer"], "requesterIDs": ["EPHEMERAL"]}
    result = {"EPHEMERAL": status(request, f"{node.disk_path}{part.index}", "/var", part.filesystem, True)}
    for volume in _system(node):
        parent = "" if volume.type == "overlay" else volume.parent
        request = {"volumeID": volume.id, "parentID": parent, "readOnly": False, "detached": False}
        request |= {"requesters": [name for name, _id in volume.requesters]}
        request |= {"requesterIDs": [identifier for _name, identifier in volume.requesters]}
        result[volume.id] = status(request, "", _path(volume), "none", False)
    return result


def _volume_finalizers(node: Node, identifier: str) -> list[str]:
    if identifier == "META":
        return ["META"]
    if identifier == "EPHEMERAL":
        return ["block.VolumeManagerController-/opt", _MOUNT] if up(node) and _described(node) else []
    return [_MOUNT] if identifier in _BY_ID else []


def _mount_finalizers(node: Node, identifier: str) -> list[str]:
    children = [volume.id for volume in _system(node) if volume.parent == identifier and volume.type != "overlay"]
    return ["block.MountStatusController", *(f"{_MOUNT}-{name}" for name in children)]


def _volume_labels(_node: Node, identifier: str) -> dict[str, str]:
    return {"talos.dev/user-volume": ""} if identifier.startswith("u-") else {"talos.dev/system-volume": ""}


FINALIZERS["VolumeStatuses.block.talos.dev"] = _volume_finalizers
FINALIZERS["MountStatuses.block.talos.dev"] = _mount_finalizers
LABELS["VolumeStatuses.block.talos.dev"] = _volume_labels
