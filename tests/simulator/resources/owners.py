# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which controller owns a resource, as a real 1.14 node shows it; '' where none does."""

OWNERS = {
    "Affiliates.cluster.talos.dev": "cluster.LocalAffiliateController",
    "BootIDs.runtime.talos.dev": "runtime.BootIDController",
    "BootedEntries.talos.dev": "runtime.BootedEntryController",
    "DiscoveredVolumes.block.talos.dev": "block.DiscoveryController",
    "Disks.block.talos.dev": "block.DisksController",
    "EtcdMembers.etcd.talos.dev": "etcd.MemberController",
    "ExtensionStatuses.runtime.talos.dev": "runtime.ExtensionStatusController",
    "Identities.cluster.talos.dev": "cluster.NodeIdentityController",
    "ImageFactorySchematics.runtime.talos.dev": "runtime.ImageFactorySchematicController",
    "Infos.cluster.talos.dev": "cluster.InfoController",
    "KernelCmdlines.runtime.talos.dev": "runtime.KernelCmdlineController",
    "LoadedKernelModules.runtime.talos.dev": "runtime.KernelModuleStatusController",
    "MachineStatuses.runtime.talos.dev": "runtime.MachineStatusController",
    "MachineTypes.config.talos.dev": "config.MachineTypeController",
    "MaintenanceServiceConfigs.runtime.talos.dev": "runtime.MaintenanceConfigController",
    "MaintenanceServiceRequests.runtime.talos.dev": "config.AcquireController",
    "Members.cluster.talos.dev": "cluster.MemberController",
    "MetaKeys.runtime.talos.dev": "",
    "MountStatuses.block.talos.dev": "block.MountController",
    "MountStatuses.runtime.talos.dev": "runtime.MountStatusController",
    "Namespaces.meta.cosi.dev": "",
    "Nodenames.kubernetes.talos.dev": "k8s.NodenameController",
    "PlatformMetadatas.talos.dev": "network.PlatformConfigApplyController",
    "ResourceDefinitions.meta.cosi.dev": "",
    "SecurityStates.talos.dev": "runtime.SecurityStateController",
    "Services.v1alpha1.talos.dev": "v1alpha1.ServiceController",
    "StaticPods.kubernetes.talos.dev": "k8s.ControlPlaneStaticPodController",
    "SystemDisks.block.talos.dev": "block.SystemDiskController",
    "SystemInformations.hardware.talos.dev": "hardware.SystemInfoController",
    "TimeStatuses.v1alpha1.talos.dev": "time.SyncController",
    "UnattendedInstallStatuses.runtime.talos.dev": "runtime.UnattendedInstallController",
    "Versions.runtime.talos.dev": "runtime.VersionController",
    "VolumeStatuses.block.talos.dev": "block.VolumeManagerController",
}
