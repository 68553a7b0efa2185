# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resources of a Talos node: which ones the collection reads, and what each says of itself.

Types, namespaces and ids are those of pkg/machinery/resources in siderolabs/talos. The server resolves neither
aliases nor default namespaces, so they are spelled out here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any


@dataclass(frozen=True)
class ResourceKind:
    """Where a resource lives.

    Attributes:
        id: the id of the only instance; None when there are many, or when it depends on the node.
        most_bytes: of its text; more is not an honest answer.
    """

    namespace: str
    type: str
    id: str | None = None
    most_bytes: int = 256 * 1024


def _runtime(name: str, id: str | None = None) -> ResourceKind:
    return ResourceKind("runtime", f"{name}.runtime.talos.dev", id)


RESOURCES: dict[str, ResourceKind] = {
    "security_state": ResourceKind("runtime", "SecurityStates.talos.dev", "securitystate"),
    "kernel_cmdline": _runtime("KernelCmdlines", "cmdline"),
    "machine_status": _runtime("MachineStatuses", "machine"),
    "version": _runtime("Versions", "version"),
    "extension_statuses": _runtime("ExtensionStatuses"),
    "image_factory_schematic": _runtime("ImageFactorySchematics", "image-factory-schematic"),
    "boot_id": _runtime("BootIDs", "boot-id"),
    "meta_keys": _runtime("MetaKeys"),
    "unattended_install_status": _runtime("UnattendedInstallStatuses", "unattended-install"),
    "booted_entry": ResourceKind("runtime", "BootedEntries.talos.dev", "bootedentry"),
    "time_status": ResourceKind("runtime", "TimeStatuses.v1alpha1.talos.dev", "node"),
    "volume_statuses": ResourceKind("runtime", "VolumeStatuses.block.talos.dev"),
    "disks": ResourceKind("runtime", "Disks.block.talos.dev"),
    "system_disk": ResourceKind("runtime", "SystemDisks.block.talos.dev", "system-disk"),
    "system_information": ResourceKind("hardware", "SystemInformations.hardware.talos.dev", "systeminformation"),
    "machine_type": ResourceKind("config", "MachineTypes.config.talos.dev", "machine-type"),
    "members": ResourceKind("cluster", "Members.cluster.talos.dev"),
    "identity": ResourceKind("cluster", "Identities.cluster.talos.dev", "local"),
    "cluster_info": ResourceKind("cluster", "Infos.cluster.talos.dev", "current"),
    "nodename": ResourceKind("k8s", "Nodenames.kubernetes.talos.dev", "nodename"),
    # Kubernetes allows 256 KiB of annotations on a node, which may double when they are quoted.
    "node_status": ResourceKind("k8s", "NodeStatuses.kubernetes.talos.dev", most_bytes=1024 * 1024),
    "manifest_status": ResourceKind("controlplane", "ManifestStatuses.kubernetes.talos.dev", "manifests"),
    "etcd_member": ResourceKind("etcd", "EtcdMembers.etcd.talos.dev", "local"),
}


def resource_kind(name: str) -> ResourceKind:
    """The kind called ``name`` in RESOURCES, or the one spelled ``namespace/Type.group``.

    Raises:
        ValueError: neither.
    """
    if name in RESOURCES:
        return RESOURCES[name]
    namespace, slash, type_name = name.partition("/")
    if slash and namespace and "." in type_name:
        return ResourceKind(namespace, type_name)
    raise ValueError(f"{name!r} is neither one of {', '.join(RESOURCES)} nor namespace/Type.group")


@dataclass(frozen=True)
class Resource:
    """One resource as the node gave it.

    Attributes:
        created, updated: UTC; None when the node did not say.
        spec: the content: a mapping, or a text for the few kinds that are one. Hidden in repr, since some kinds hold
            secrets.
    """

    type: str
    namespace: str
    id: str
    version: str
    phase: str
    created: datetime | None
    updated: datetime | None
    owner: str
    labels: dict[str, str]
    spec: dict[str, Any] | str = field(repr=False)


def moment(stamp: Any) -> datetime | None:
    """A protobuf Timestamp as UTC; None for one outside what a date can say (such as Go's zero time).

    Raises:
        nothing: an absurd date is not known, and None says so.
    """
    if stamp.seconds <= -62135596800:
        return None
    try:
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        return epoch + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError:
        return None
