# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machine and the system that runs on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import versions
from .table import FINALIZERS, Specs, resource

if TYPE_CHECKING:
    from ..node import Node


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
    extensions = [_extension(name) for name in node.extensions]
    text = node.schematic
    schematic = {
        "name": "schematic",
        "version": versions.schematic_id(text),
        "author": "Image Factory",
        "description": "Virtual extension which specifies the schematic of the image built with Image Factory.",
        "compatibility": {"talos": {"version": ""}},
        "extraInfo": text,
    }
    if node.spec.extra.get("no_extra_info"):
        del schematic["extraInfo"]
    result: Specs = {}
    for number, metadata in enumerate([*extensions, schematic]):
        # Named after the image of the layer.
        name = f"{number:03d}" if versions.at_least(node.version, "1.14") else str(number)
        result[name] = {"image": f"{number:03d}.sqsh", "metadata": metadata}
    if extensions:
        modules = {"name": "modules.dep", "version": "6.18.9-talos", "author": "Talos Machinery", "description": ""}
        result["modules.dep"] = {"image": "modules.dep.sqsh", "metadata": modules}
    return result


def _extension(name: str) -> dict[str, Any]:
    short = name.rpartition("/")[2]
    return {
        "name": short,
        "version": "v0.2.0",
        "author": "Sidero Labs",
        "description": f"System extension {short}.",
        "compatibility": {"talos": {"version": ">= v1.5.0"}},
    }


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
    return {"unattended-install": {"image": image, "phase": phase, **({"error": error} if error else {})}}


@resource("MaintenanceServiceConfigs.runtime.talos.dev")
def _maintenance(node: Node) -> Specs:
    # Stays when the machine has its configuration.
    if not node.maintenance and not versions.at_least(node.version, "1.14"):
        return {}
    return {"maintenance": {"listenAddress": ":50000", "reachableAddresses": [node.address]}}


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
    spec: dict[str, Any] = {"platform": node.spec.platform, "instanceId": node.uuid}
    if node.spec.platform != "metal":
        spec |= {"hostname": node.hostname, "region": "sim-1", "zone": node.spec.zone, "instanceId": node.uuid}
    return {"platformmetadata": spec}


@resource("Services.v1alpha1.talos.dev", aliases=("svc",))
def _services(node: Node) -> Specs:
    from ..service_list import service_states

    result: Specs = {}
    for service in service_states(node):
        if service.state == "Waiting" and service.id == "cri":
            # A service that has never run has no resource yet.
            continue
        result[service.id] = {
            "running": service.state == "Running",
            "healthy": service.healthy is True,
            "unknown": service.healthy is None,
        }
    return result


@resource("TimeStatuses.v1alpha1.talos.dev")
def _time(node: Node) -> Specs:
    synced = "clock_skew" not in node.faults and "no_ntp" not in node.faults
    spec: dict[str, Any] = {"synced": synced, "epoch": 0, "syncDisabled": False}
    if versions.at_least(node.version, "1.14"):
        spec |= {"spikeDetected": False, "consecutiveSpikes": 0}
    return {"node": spec}


FINALIZERS["MaintenanceServiceRequests.runtime.talos.dev"] = lambda _node, _identifier: [
    "runtime.APIServiceConfigController"
]
