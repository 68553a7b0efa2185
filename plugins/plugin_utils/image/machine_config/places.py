# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one table of where Talos 1.10 to 1.15 keep each fact of a machine configuration.

Talos 1.12 began to move facts from the v1alpha1 document into documents of their own, and 1.14 writes most of them
there. Both places are read by every release since; giving one fact in both is refused by Talos, and by `CONFLICTS`.
Validating, masking, comparing and rewriting all go by this table. Source: ``pkg/machinery/config/types`` (the documents
and their ``V1Alpha1ConflictValidate``) and ``pkg/machinery/config/generate`` of the release branches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from .document import Configuration, Document
from .kinds import Release

Form = Literal["base64_certificate", "base64_key", "certificate", "key", "bytes32", "encryption_key", "token"]

UNATTENDED = "UnattendedInstallConfig"
HOSTNAME = "HostnameConfig"


@dataclass(frozen=True)
class Place:
    """Where one fact may stand.

    Attributes:
        fact: its name, the same for all its places.
        kind: the document kind; None is the v1alpha1 document.
        path: the keys below it. ``*`` is every item of a list.
        since: the first release that reads the fact here.
        form: what the value must look like; None when it is no secret.
    """

    fact: str
    kind: str | None
    path: tuple[str, ...]
    since: Release = (1, 10)
    form: Form | None = None

    @property
    def where(self) -> str:
        """How messages name the place: ``machine.token``, ``DiscoveryIdentityConfig clusterID``."""
        path = ".".join(self.path)
        return path if self.kind is None else f"{self.kind} {path}"


def _main(fact: str, path: str, form: Form | None = None) -> Place:
    return Place(fact, None, tuple(path.split(".")), form=form)


def _document(fact: str, kind: str, path: str, form: Form | None = None, since: Release = (1, 14)) -> Place:
    return Place(fact, kind, tuple(path.split(".")), since, form)


PLACES: tuple[Place, ...] = (
    _main("machine_type", "machine.type"),
    _main("hostname", "machine.network.hostname"),
    _document("hostname", HOSTNAME, "hostname", since=(1, 12)),
    _main("endpoint", "cluster.controlPlane.endpoint"),
    _document("endpoint", "KubeClusterConfig", "endpoint"),
    _main("cluster_name", "cluster.clusterName"),
    _document("cluster_name", "KubeClusterConfig", "clusterName"),
    _main("dns_domain", "cluster.network.dnsDomain"),
    _document("dns_domain", "KubeNetworkConfig", "dnsDomain"),
    _main("pod_subnets", "cluster.network.podSubnets"),
    _document("pod_subnets", "KubeNetworkConfig", "podSubnets"),
    _main("service_subnets", "cluster.network.serviceSubnets"),
    _document("service_subnets", "KubeNetworkConfig", "serviceSubnets"),
    _main("kubelet_image", "machine.kubelet.image"),
    _document("kubelet_image", "KubeletConfig", "image"),
    # Installation.
    _main("install_image", "machine.install.image"),
    _document("install_image", UNATTENDED, "installer.image"),
    _main("install_disk", "machine.install.disk"),
    _main("install_disk_selector", "machine.install.diskSelector"),
    _document("install_disk_selector", UNATTENDED, "provisioning.diskSelector.match"),
    _main("install_wipe", "machine.install.wipe"),
    _document("install_wipe", UNATTENDED, "provisioning.wipe"),
    # Secrets. The v1alpha1 document holds the base64 of PEM, the documents of 1.14 hold PEM.
    _main("cluster_id", "cluster.id", "bytes32"),
    _document("cluster_id", "DiscoveryIdentityConfig", "clusterID", "bytes32"),
    _main("cluster_secret", "cluster.secret", "bytes32"),
    _document("cluster_secret", "DiscoveryIdentityConfig", "clusterSecret", "bytes32"),
    _main("machine_token", "machine.token", "token"),
    _main("bootstrap_token", "cluster.token", "token"),
    _main("machine_ca", "machine.ca.crt", "base64_certificate"),
    _main("machine_ca_key", "machine.ca.key", "base64_key"),
    _main("machine_accepted_cas", "machine.acceptedCAs.*.crt", "base64_certificate"),
    _main("kubernetes_ca", "cluster.ca.crt", "base64_certificate"),
    _document("kubernetes_ca", "KubeAPIServerCAConfig", "issuingCA.cert", "certificate"),
    _main("kubernetes_ca_key", "cluster.ca.key", "base64_key"),
    _document("kubernetes_ca_key", "KubeAPIServerCAConfig", "issuingCA.key", "key"),
    _main("kubernetes_accepted_cas", "cluster.acceptedCAs.*.crt", "base64_certificate"),
    _document("kubernetes_accepted_cas", "KubeAPIServerCAConfig", "acceptedCAs.*", "certificate"),
    _main("aggregator_ca", "cluster.aggregatorCA.crt", "base64_certificate"),
    _document("aggregator_ca", "KubeAggregatorCAConfig", "issuingCA.cert", "certificate"),
    _main("aggregator_ca_key", "cluster.aggregatorCA.key", "base64_key"),
    _document("aggregator_ca_key", "KubeAggregatorCAConfig", "issuingCA.key", "key"),
    _document("aggregator_accepted_cas", "KubeAggregatorCAConfig", "acceptedCAs.*", "certificate"),
    _main("service_account_key", "cluster.serviceAccount.key", "base64_key"),
    _document("service_account_key", "KubeServiceAccountConfig", "issuer.privateKey", "key"),
    _main("etcd_ca", "cluster.etcd.ca.crt", "base64_certificate"),
    _main("etcd_ca_key", "cluster.etcd.ca.key", "base64_key"),
    _main("secretbox_encryption", "cluster.secretboxEncryptionSecret", "encryption_key"),
    _main("aescbc_encryption", "cluster.aescbcEncryptionSecret", "encryption_key"),
    _document("encryption", "KubeEtcdEncryptionConfig", "config"),
    _document(
        "secretbox_encryption",
        "KubeEtcdEncryptionConfig",
        "config.resources.*.providers.*.secretbox.keys.*.secret",
        "encryption_key",
    ),
    _document(
        "aescbc_encryption",
        "KubeEtcdEncryptionConfig",
        "config.resources.*.providers.*.aescbc.keys.*.secret",
        "encryption_key",
    ),
    _document(
        "aesgcm_encryption",
        "KubeEtcdEncryptionConfig",
        "config.resources.*.providers.*.aesgcm.keys.*.secret",
        "encryption_key",
    ),
)

#: Without one of each group the node does not come back to its cluster, or not as what it was.
NEEDED: tuple[tuple[str, ...], ...] = (
    ("endpoint",),
    ("machine_token",),
    ("cluster_id",),
    ("cluster_secret",),
    ("bootstrap_token",),
    ("machine_ca", "machine_accepted_cas"),
    ("kubernetes_ca", "kubernetes_accepted_cas"),
)
NEEDED_ON_CONTROL_PLANES: tuple[tuple[str, ...], ...] = (
    ("machine_ca_key",),
    ("kubernetes_ca",),
    ("kubernetes_ca_key",),
    ("aggregator_ca",),
    ("aggregator_ca_key",),
    ("service_account_key",),
    ("etcd_ca",),
    ("etcd_ca_key",),
    # A document that only names a key management service holds no key.
    ("secretbox_encryption", "aescbc_encryption", "aesgcm_encryption", "encryption"),
)

#: What a worker must not hold: with any of these it could make itself a control plane.
FORBIDDEN_ON_WORKERS = (
    "machine_ca_key",
    "kubernetes_ca_key",
    "aggregator_ca_key",
    "service_account_key",
    "etcd_ca_key",
    "secretbox_encryption",
    "aescbc_encryption",
    "aesgcm_encryption",
)


_NAMES = (
    "hostname",
    "endpoint",
    "cluster_name",
    "dns_domain",
    "pod_subnets",
    "service_subnets",
    "kubelet_image",
    "install_disk",
)


@dataclass(frozen=True)
class Conflict:
    """A document that Talos does not take beside a key of the v1alpha1 document.

    Attributes:
        kind: the document.
        path: the key of the v1alpha1 document.
        empty_counts: whether the key conflicts as soon as it is there, even with an empty mapping.
    """

    kind: str
    path: tuple[str, ...]
    empty_counts: bool = True


def _conflict(kind: str, path: str, *, empty_counts: bool = True) -> Conflict:
    return Conflict(kind, tuple(path.split(".")), empty_counts)


CONFLICTS: tuple[Conflict, ...] = (
    _conflict(UNATTENDED, "machine.install"),
    _conflict(HOSTNAME, "machine.network.hostname", empty_counts=False),
    _conflict(HOSTNAME, "machine.features.stableHostname", empty_counts=False),
    _conflict("ResolverConfig", "machine.network.nameservers", empty_counts=False),
    _conflict("ResolverConfig", "machine.network.searchDomains"),
    _conflict("ResolverConfig", "machine.network.disableSearchDomain", empty_counts=False),
    _conflict("TimeSyncConfig", "machine.time.servers", empty_counts=False),
    _conflict("TimeSyncConfig", "machine.time.disabled", empty_counts=False),
    _conflict("TimeSyncConfig", "machine.time.bootTimeout", empty_counts=False),
    _conflict("KubeSpanConfig", "machine.network.kubespan"),
    _conflict("DiscoveryIdentityConfig", "cluster.id", empty_counts=False),
    _conflict("DiscoveryIdentityConfig", "cluster.secret", empty_counts=False),
    _conflict("DiscoveryServiceConfig", "cluster.discovery"),
    _conflict("KubeClusterConfig", "cluster.clusterName", empty_counts=False),
    _conflict("KubeClusterConfig", "cluster.controlPlane.endpoint", empty_counts=False),
    _conflict("KubeAPIServerCAConfig", "cluster.ca"),
    _conflict("KubeAggregatorCAConfig", "cluster.aggregatorCA"),
    _conflict("KubeServiceAccountConfig", "cluster.serviceAccount"),
    _conflict("KubeEtcdEncryptionConfig", "cluster.secretboxEncryptionSecret", empty_counts=False),
    _conflict("KubeEtcdEncryptionConfig", "cluster.aescbcEncryptionSecret", empty_counts=False),
    _conflict("KubeAPIServerConfig", "cluster.apiServer"),
    _conflict("KubeAPIServerConfig", "cluster.controlPlane.localAPIServerPort", empty_counts=False),
    _conflict("KubeAuditPolicyConfig", "cluster.apiServer.auditPolicy", empty_counts=False),
    _conflict("KubeAdmissionControlConfig", "cluster.apiServer.admissionControl", empty_counts=False),
    _conflict("KubeAuthorizerConfig", "cluster.apiServer.admissionControl", empty_counts=False),
    _conflict("KubeControllerManagerConfig", "cluster.controllerManager"),
    _conflict("KubeControllerManagerConfig", "machine.controlPlane.controllerManager"),
    _conflict("KubeSchedulerConfig", "cluster.scheduler"),
    _conflict("KubeSchedulerConfig", "machine.controlPlane.scheduler"),
    _conflict("KubeProxyConfig", "cluster.proxy"),
    _conflict("KubeCoreDNSConfig", "cluster.coreDNS"),
    _conflict("KubeNetworkConfig", "cluster.network"),
    _conflict("KubeFlannelCNIConfig", "cluster.network"),
    _conflict("KubeletConfig", "machine.kubelet"),
    _conflict("KubeCredentialProviderConfig", "machine.kubelet"),
    _conflict("KubePrismConfig", "machine.features.kubePrism"),
    _conflict("KubeTalosAPIAccessConfig", "machine.features.kubernetesTalosAPIAccess"),
    _conflict("KubeNodeConfig", "machine.nodeLabels"),
    _conflict("KubeNodeConfig", "machine.nodeAnnotations"),
    _conflict("KubeNodeConfig", "machine.nodeTaints"),
    _conflict("KubeNodeConfig", "machine.kubelet.nodeIP"),
    _conflict("KubeNodeConfig", "machine.kubelet.registerWithFQDN"),
    _conflict("KubeNodeConfig", "machine.kubelet.skipNodeRegistration"),
    _conflict("KubeNodeConfig", "cluster.allowSchedulingOnControlPlanes"),
    _conflict("KubeNodeConfig", "cluster.allowSchedulingOnMasters"),
    _conflict("CRIBaseRuntimeSpecConfig", "machine.baseRuntimeSpecOverrides", empty_counts=False),
    _conflict("ImageCacheConfig", "machine.features.imageCache"),
)


@dataclass(frozen=True)
class Value:
    """A fact as one configuration gives it: where, and what (a secret, often)."""

    place: Place
    value: Any

    def __repr__(self) -> str:
        return f"Value({self.place.where})"


def values(config: Configuration, *facts: str) -> list[Value]:
    """Every value that the configuration gives for these facts, empty ones left out, in the table's order."""
    found = []
    for place in PLACES:
        if place.fact in facts and (document := config.document(place.kind)) is not None:
            found += [Value(place, value) for value in at(document.data, place.path) if value not in (None, "", [], {})]
    return found


def value(config: Configuration, fact: str) -> Any:
    """What the configuration says about one fact, or None. The v1alpha1 document wins, as in Talos."""
    found = values(config, fact)
    return found[0].value if found else None


def at(data: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """Everything that stands at a path, which may have ``*`` for the items of a list."""
    if not path:
        yield data
    elif path[0] == "*":
        for item in data if isinstance(data, list) else []:
            yield from at(item, path[1:])
    elif isinstance(data, dict) and path[0] in data:
        yield from at(data[path[0]], path[1:])


def secret_paths(document: Document) -> dict[tuple[str, ...], Form]:
    """The paths of secrets in a document, ``*`` for the items of a list, each with the form its value must have."""
    return {place.path: place.form for place in PLACES if place.kind == document.kind and place.form is not None}


def name_paths(document: Document) -> frozenset[tuple[str, ...]]:
    """The paths of names, addresses and images in a document, of which no part may be left to be filled in."""
    found = [place.path for place in PLACES if place.kind == document.kind and place.fact in _NAMES]
    return frozenset([*found, *((*path, "*") for path in found)])
