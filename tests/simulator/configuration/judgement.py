# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The judgement of a whole configuration: what may not be missing, and what may not stand in two places."""

from __future__ import annotations

import base64
import binascii
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import versions
from .decoding import Decoded, Rejected, is_pem

_CONTROL_PLANE_ONLY = frozenset(
    {
        "KubeAPIServerConfig",
        "KubeAdmissionControlConfig",
        "KubeAggregatorCAConfig",
        "KubeAuditPolicyConfig",
        "KubeAuthenticationConfig",
        "KubeAuthorizerConfig",
        "KubeControllerManagerConfig",
        "KubeCoreDNSConfig",
        "KubeEtcdEncryptionConfig",
        "KubeFlannelCNIConfig",
        "KubeProxyConfig",
        "KubeSchedulerConfig",
        "KubeServiceAccountConfig",
    }
)


@functools.cache
def _moved() -> list[dict[str, str]]:
    """Places of the first document that a document of 1.14 took over: path, kind, what Talos says of both at once."""
    loaded: list[dict[str, str]] = json.loads((Path(__file__).parent / "moved-places.json").read_text(encoding="utf-8"))
    return loaded


def judge(config: Decoded, version: str, *, installs: bool) -> None:
    """Judge a decoded configuration as a node of ``version`` does.

    Args:
        installs: whether the node has to be installed (maintenance mode): only then the install section is judged.

    Raises:
        Rejected: the configuration is not taken.
    """
    main = config.main
    problems: list[str] = []
    if main is not None:
        own = list(_main(config, version, installs))
        problems += [f"v1alpha1.Config: {_errors(own)}"] if own else []
    for document in config.others:
        label = f"{document.kind}/{document.name}" if document.name else document.kind
        problems += [f"{label}: {text}" for text in _DOCUMENTS.get(document.kind, _fine)(document.content)]
    if main is not None:
        problems += _across(config, main)
    if problems:
        raise Rejected(_errors(problems))


def _errors(problems: list[str]) -> str:
    """A list of errors as hashicorp's multierror writes it."""
    head = "1 error occurred:" if len(problems) == 1 else f"{len(problems)} errors occurred:"
    return head + "".join(f"\n\t* {problem}" for problem in problems) + "\n\n"


def _at(main: dict[str, Any], path: str) -> Any:
    value: Any = main
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _role(main: dict[str, Any]) -> str:
    return str(_at(main, "machine.type") or "")


def _main(config: Decoded, version: str, installs: bool) -> Iterator[str]:
    main = config.main or {}
    role, authority = _role(main), _at(main, "machine.ca") or {}
    controls = role in ("controlplane", "init")
    if not controls and _at(main, "cluster.etcd") is not None:
        yield "etcd config is only allowed on control plane machines"
    if role not in ("", "init", "controlplane", "worker"):
        yield f'unknown machine type "{role}"'
    elif not authority and controls:
        yield "issuing CA or some accepted CAs are required (.machine.ca, machine.acceptedCAs)"
        yield "issuing CA is required (.machine.ca)"
    elif controls and not authority.get("key"):
        yield "issuing CA key is required for controlplane nodes (.machine.ca.key)"
    elif not controls and authority.get("key"):
        yield "issuing Talos API CA key is not allowed on non-controlplane nodes (.machine.ca)"
    yield from _install(config, version, installs)
    endpoint = _at(main, "cluster.controlPlane.endpoint")
    if isinstance(endpoint, str) and "://" not in endpoint:
        yield "invalid controlplane endpoint: hostname must not be blank"
    if _at(main, "cluster.discovery.enabled"):
        for name in ("id", "secret"):
            if not _at(main, f"cluster.{name}"):
                yield f"cluster discovery service requires .cluster.{name}"


def _install(config: Decoded, version: str, installs: bool) -> Iterator[str]:
    install = _at(config.main or {}, "machine.install")
    if not installs:
        return
    if install is None:
        if not versions.at_least(version, "1.14"):
            yield 'install instructions are required in "metal" mode'
        return
    if not install.get("disk") and not install.get("diskSelector"):
        yield "either install disk or diskSelector should be defined"
    if install.get("extraKernelArgs") and install.get("grubUseUKICmdline"):
        yield "install.extraKernelArgs and install.grubUseUKICmdline can't be used together"


def _across(config: Decoded, main: dict[str, Any]) -> Iterator[str]:
    kinds = [document.kind for document in config.others]
    controls = _role(main) in ("controlplane", "init")
    misplaced = sorted({kind for kind in kinds if kind in _CONTROL_PLANE_ONLY})
    if misplaced and not controls:
        yield f"the following document kinds are only allowed on control plane machines: [{' '.join(misplaced)}]"
    if controls and "KubeAPIServerConfig" in kinds and "KubeEtcdEncryptionConfig" not in kinds:
        yield "etcd encryption config is required for control plane machines running kube-apiserver"
    said = set()
    for place in _moved():
        if place["kind"] in kinds and _at(main, place["path"]) is not None and place["says"] not in said:
            said.add(place["says"])
            yield place["says"]
    identity = config.document("DiscoveryIdentityConfig") or {}
    if "DiscoveryServiceConfig" in kinds:
        old = {name: _at(main, f"cluster.{name}") for name in ("id", "secret")}
        # What the first document says of the identity hides what the other one says.
        new = {} if any(old.values()) else {"id": identity.get("clusterID"), "secret": identity.get("clusterSecret")}
        for name, shown in (("id", "ID"), ("secret", "secret")):
            if not (old[name] or new.get(name)):
                place = f".cluster.{name} or DiscoveryIdentityConfig"
                when = "when cluster discovery (DiscoveryServiceConfig) is enabled"
                yield f"cluster {shown} ({place}) should be set {when}"


def _fine(_content: dict[str, Any]) -> Iterator[str]:
    return iter(())


def _identity(content: dict[str, Any]) -> Iterator[str]:
    if not content.get("clusterID"):
        yield "clusterID is required"
    secret = content.get("clusterSecret")
    if not secret:
        yield "clusterSecret is required"
        return
    try:
        size = len(base64.b64decode(str(secret), validate=True))
    except binascii.Error:
        yield f"invalid clusterSecret: failed to decode from base64: {secret}; illegal base64 data at input byte 0"
        return
    if size != 32:
        yield f"invalid clusterSecret: expected 32 bytes, got {size}: {secret}"


def _hostname(content: dict[str, Any]) -> Iterator[str]:
    auto, name = content.get("auto"), content.get("hostname")
    if auto and name:
        yield "'auto' and 'hostname' cannot be set at the same time"
    elif not auto and not name:
        yield "either 'auto' or 'hostname' must be set"
    elif name and len(str(name)) > 63:
        yield f'invalid hostname "{name}"'


def _unattended(content: dict[str, Any]) -> Iterator[str]:
    match = ((content.get("provisioning") or {}).get("diskSelector") or {}).get("match")
    if not match:
        yield "provisioning.volumeSelector.match is required"
    elif str(match).startswith("/") or str(match).rstrip().endswith("=="):
        yield "provisioning.volumeSelector.match: ERROR: <input>:1:1: Syntax error"


def _authority(content: dict[str, Any]) -> Iterator[str]:
    issuing = content.get("issuingCA")
    if issuing is not None:
        if not is_pem(issuing.get("cert")):
            yield "issuing CA: certificate: no PEM blocks found"
        elif not issuing.get("key"):
            yield "issuing CA: key is required"
    for index, accepted in enumerate(content.get("acceptedCAs") or []):
        if not is_pem(accepted if isinstance(accepted, str) else accepted.get("cert")):
            yield f"accepted CA #{index}: no PEM blocks found"


def _service_account(content: dict[str, Any]) -> Iterator[str]:
    key = (content.get("issuer") or {}).get("privateKey")
    if not key:
        yield "service issuer private key is required"
    elif not is_pem(key):
        yield "service issuer private key is invalid: failed to parse PEM block"


def _encryption(content: dict[str, Any]) -> Iterator[str]:
    if not content.get("config"):
        yield "etcd encryption config is required"


def _cluster(content: dict[str, Any]) -> Iterator[str]:
    if not content.get("endpoint"):
        yield "endpoint must be specified"


_DOCUMENTS = {
    "DiscoveryIdentityConfig": _identity,
    "HostnameConfig": _hostname,
    "KubeAPIServerCAConfig": _authority,
    "KubeAggregatorCAConfig": _authority,
    "KubeClusterConfig": _cluster,
    "KubeEtcdEncryptionConfig": _encryption,
    "KubeServiceAccountConfig": _service_account,
    "UnattendedInstallConfig": _unattended,
}
