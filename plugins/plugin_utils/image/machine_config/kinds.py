# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which documents each Talos release knows, and which keys its v1alpha1 document has.

Source: ``pkg/machinery/config/types`` of the release branches 1.10 to 1.14 and of the main branch that becomes 1.15.
"""

from __future__ import annotations

from collections.abc import Mapping

Release = tuple[int, int]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: The newest release this table was read from; what a later one adds is for the node itself to judge.
NEWEST: Release = (1, 15)

_BY_RELEASE: Mapping[Release, str] = {
    (1, 10): """
        EthernetConfig EventSinkConfig ExtensionServiceConfig KmsgLogConfig KubeSpanEndpointsConfig
        NetworkDefaultActionConfig NetworkRuleConfig PCIDriverRebindConfig SideroLinkConfig TrustedRootsConfig
        UserVolumeConfig VolumeConfig WatchdogTimerConfig""",
    (1, 11): "ExistingVolumeConfig RawVolumeConfig SwapVolumeConfig ZswapConfig",
    (1, 12): """
        BondConfig BridgeConfig DHCPv4Config DHCPv6Config DummyLinkConfig HCloudVIPConfig HostnameConfig Layer2VIPConfig
        LinkAliasConfig LinkConfig OOMConfig RegistryAuthConfig RegistryMirrorConfig RegistryTLSConfig ResolverConfig
        StaticHostConfig TimeSyncConfig VLANConfig WireguardConfig""",
    (1, 13): """
        BlackholeRouteConfig EnvironmentConfig ExternalVolumeConfig ImageVerificationConfig KubeSpanConfig
        RoutingRuleConfig TCPProbeConfig VRFConfig""",
    (1, 14): """
        BGPInstanceConfig CRIBaseRuntimeSpecConfig CRICustomizationConfig ContainerConfig DiscoveryIdentityConfig
        DiscoveryServiceConfig EtcFileConfig FilesystemScrubConfig FilesystemTrimConfig HTTPProbeConfig ImageCacheConfig
        KernelModuleConfig KubeAPIServerCAConfig KubeAPIServerConfig KubeAdmissionControlConfig KubeAggregatorCAConfig
        KubeAuditPolicyConfig KubeAuthenticationConfig KubeAuthorizerConfig KubeClusterConfig
        KubeControllerManagerConfig KubeCoreDNSConfig KubeCredentialProviderConfig KubeEtcdEncryptionConfig
        KubeExternalManifestConfig KubeFlannelCNIConfig KubeInlineManifestConfig KubeNetworkConfig KubeNodeConfig
        KubePrismConfig KubeProxyConfig KubeSchedulerConfig KubeServiceAccountConfig KubeStaticPodConfig
        KubeTalosAPIAccessConfig KubeletConfig LVMLogicalVolumeConfig LVMVolumeGroupConfig RAIDArrayConfig
        SecurityProfileConfig SysctlConfig SysfsConfig UdevRulesConfig UnattendedInstallConfig VethConfig""",
}

#: Every document kind beside v1alpha1, with the first release that knows it.
SINCE: Mapping[str, Release] = {kind: release for release, kinds in _BY_RELEASE.items() for kind in kinds.split()}

#: Kinds that Talos takes on control planes only.
CONTROL_PLANE_ONLY = _words(
    """
        KubeAPIServerConfig KubeAdmissionControlConfig KubeAggregatorCAConfig KubeAuditPolicyConfig
        KubeAuthenticationConfig KubeAuthorizerConfig KubeControllerManagerConfig KubeCoreDNSConfig
        KubeEtcdEncryptionConfig KubeFlannelCNIConfig KubeProxyConfig KubeSchedulerConfig
        KubeServiceAccountConfig KubeTalosAPIAccessConfig
        """
)

#: The keys of the v1alpha1 document's upper levels, the same in 1.10 to 1.15 but for the release given in `KEY_SINCE`.
KEYS: Mapping[tuple[str, ...], frozenset[str]] = {
    (): _words(
        """
        version debug persist machine cluster
        """
    ),
    ("machine",): _words(
        """
        acceptedCAs baseRuntimeSpecOverrides ca certSANs controlPlane disks env features files install kernel
        kubelet logging network nodeAnnotations nodeLabels nodeTaints pods registries seccompProfiles sysctls
        sysfs systemDiskEncryption time token type udev
        """
    ),
    ("machine", "install"): _words(
        """
        bootloader disk diskSelector extensions extraKernelArgs grubUseUKICmdline image legacyBIOSSupport wipe
        """
    ),
    ("cluster",): _words(
        """
        acceptedCAs adminKubeconfig aescbcEncryptionSecret aggregatorCA allowSchedulingOnControlPlanes
        allowSchedulingOnMasters apiServer ca clusterName controlPlane controllerManager coreDNS discovery
        etcd externalCloudProvider extraManifestHeaders extraManifests id inlineManifests network proxy
        scheduler secret secretboxEncryptionSecret serviceAccount token
        """
    ),
}
KEY_SINCE: Mapping[tuple[str, ...], Release] = {("machine", "install", "grubUseUKICmdline"): (1, 12)}
