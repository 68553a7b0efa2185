# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sections of an evidence document, one builder each: answers of a node in, plain data out."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from ..fingerprints import fingerprint
from ..talos.boots import Look
from ..talos.specs import parse_spec
from .identity import doubts_of
from .machine import is_managed
from .visit import flag_at, text_at
from .workloads import with_manifests

Answers = Mapping[str, Any]
"""A node's answers by the names of ``questions.QUESTIONS``; None for what it did not answer."""

#: Entries of ExtensionStatuses that are no system extensions: the factory's record of the schematic, module indexes.
_VIRTUAL_EXTENSIONS = ("schematic", "modules.dep")
#: What the ids of volumes begin with that the operator's configuration made or took: user volumes, raw ones (which
#: storage engines write to), and partitions that were there before (Talos: pkg/machinery/constants).
_OPERATORS_VOLUMES = ("u-", "r-", "e-")
_VOLUMES = ("META", "STATE", "EPHEMERAL", "ETCD", "CRI", "KUBELET", "LOG")
#: META tags of an upgrade under way: fallback entry, staged image and options (pkg/machinery/meta/constants.go).
_STAGED_UPGRADE_KEYS = ("0x06", "0x07", "0x08")


def node_section(answers: Answers, *, name: str, address: str, endpoint: str | None) -> dict[str, Any]:
    """Which machine answered: ``name``, ``address`` and ``endpoint`` are the inventory's, the rest is its own."""
    return {
        "name": name,
        "address": address,
        "endpoint": endpoint,
        "identity": text_at(answers["identity"], "nodeId"),
        "hostname": text_at(answers["nodename"], "nodename"),
        "machine_type": role_of(answers["machine_type"]),
        "uuid": text_at(answers["system_information"], "uuid"),
        "serial_number": text_at(answers["system_information"], "serialnumber"),
        "doubts": _machine_doubts(answers["system_information"]),
    }


def boot_section(look: Look, uptime: int | None) -> dict[str, Any]:
    """Which boot the evidence is of, for how many seconds it has run, and what tells it from another one later."""
    return {
        "id": look.boot_id,
        "time": moment_of(look.boot_time),
        "uptime_seconds": uptime,
        "look": {key: value for key, value in look.as_dict().items() if key != "boot_id"},
    }


def talos_section(answers: Answers) -> dict[str, Any]:
    """The Talos that runs, what it was made from, and what it is at."""
    version, security, meta = answers["version"], answers["security_state"], answers["meta_keys"]
    return {
        "version": version.tag,
        "platform": version.platform,
        "mode": version.mode,
        "arch": version.arch,
        "stage": text_at(answers["machine_status"], "stage"),
        "ready": flag_at(answers["machine_status"], "status", "ready"),
        "schematic": schematic_of(answers["image_factory_schematic"], answers["extension_statuses"]),
        "extensions": extensions_of(answers["extension_statuses"]),
        "booted_with_uki": security.booted_with_uki if security else None,
        "secure_boot": security.secure_boot if security else None,
        "booted_entry": text_at(answers["booted_entry"], "bootedEntry"),
        "staged_upgrade": any(key.id.lower() in _STAGED_UPGRADE_KEYS for key in meta) if meta is not None else None,
    }


def selinux_section(answers: Answers, kernel_log: bytes | None) -> dict[str, Any]:
    """What each witness says of the mode. ``kernel_log`` holds at least the kernel's lines about SELinux."""
    state, args, pid1 = selinux_state(answers), kernel_args(answers), _pid1_label(answers["processes"])
    return {
        "state": state,
        "kernel_args": args,
        "pid1_label": pid1,
        "policy_loaded": b"selinux: policy loaded" in kernel_log if kernel_log is not None else None,
        "unknown_classes": _unknown_classes(kernel_log),
        "disagreements": mode_disagreements(state, args, pid1, kernel_log),
    }


def audit_section(answers: Answers, found: Mapping[str, Any], sources: list[dict[str, Any]]) -> dict[str, Any]:
    """What the logs hold: ``found`` is the analysis of the package ``audit``, ``sources`` the files beside it."""
    judged = ("coverage", "counts", "denials", "mac_errors")
    return {"sources": sources, **{key: found[key] for key in judged}, "services": _auditd(answers["services"])}


def kubernetes_section(
    answers: Answers, boot_id: str | None, seen: Mapping[str, Any], *, asked: bool
) -> dict[str, Any]:
    """The node in Kubernetes.

    Args:
        asked: whether a Kubernetes API was asked at all.
        boot_id: the kernel's boot id by which the node was looked for there.
        seen: what ``Cluster.of_node`` gave.
    """
    facts = dict(seen)
    if role_of(answers["machine_type"]) == "controlplane":
        facts["cni"] = with_manifests(facts["cni"], applied_manifests(answers["manifest_status"]))
    return {
        "nodename": text_at(answers["nodename"], "nodename"),
        "node_ready": flag_at(answers["node_status"], "nodeReady"),
        "unschedulable": flag_at(answers["node_status"], "unschedulable"),
        "asked": asked,
        "boot_id": boot_id,
        **facts,
    }


def volumes_section(answers: Answers) -> dict[str, dict[str, Any]] | None:
    """Talos' own volumes, by id."""
    return _volumes(answers["volume_statuses"])


def user_volumes_section(answers: Answers) -> list[str] | None:
    """The ids of the volumes with data that the operator's configuration made or took."""
    volumes = answers["volume_statuses"]
    if volumes is None:
        return None
    return sorted(volume.id for volume in volumes if volume.id.startswith(_OPERATORS_VOLUMES))


def time_section(answers: Answers, offset: float | None) -> dict[str, Any]:
    """The node's clock, and by how many seconds it is ahead of the control host's."""
    return {"synced": flag_at(answers["time_status"], "synced"), "offset_seconds": offset}


def cluster_section(answers: Answers, given: Mapping[str, Any]) -> dict[str, Any]:
    """The cluster as the operator named it, the one the node says it is of, and whether somebody else manages it.

    ``id`` is a SHA-256, as the facts of a machine configuration have it, since whoever knows the id may ask the
    discovery service for the cluster's addresses.
    """
    identifier = text_at(answers["cluster_info"], "clusterId")
    return {**given, "id": fingerprint(identifier) if identifier else None, "omni": is_managed(kernel_args(answers))}


def selinux_state(answers: Answers) -> str:
    """What SecurityState says of SELinux; ``unknown`` without an answer."""
    security = answers["security_state"]
    return security.selinux if security else "unknown"


def kernel_args(answers: Answers) -> list[str] | None:
    """The words of the kernel command line."""
    words = text_at(answers["kernel_cmdline"], "cmdline")
    return words.split() if words is not None else None


def applied_manifests(manifests: Any) -> list[str] | None:
    """The manifests that Talos applied, by name; None when it did not say."""
    spec = manifests.spec if manifests is not None else None
    names = spec.get("manifestsApplied") if isinstance(spec, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else None


def schematic_of(resource: Any, extensions: Any) -> dict[str, Any] | None:
    """The booted schematic: its id from the 1.14 resource, its text from the factory's virtual extension.

    Args:
        resource: the ImageFactorySchematic resource, or None.
        extensions: the ExtensionStatuses resources, or None.

    Returns:
        ``{id, source, kernel_args, extensions, text}``, the last three None when the text is not known; or None.
    """
    identifier = text_at(resource, "schematicId")
    source = "resource" if identifier else None
    text = None
    for extension in extensions or ():
        metadata = extension.spec.get("metadata") or {}
        if metadata.get("name") == "schematic":
            if identifier is None:
                identifier, source = metadata.get("version"), "extension"
            if identifier == metadata.get("version"):
                text = metadata.get("extraInfo")
    if identifier is None:
        return None
    customization = _customization(text)
    return {
        "id": identifier,
        "source": source,
        "kernel_args": customization["args"] if customization is not None else None,
        "extensions": customization["extensions"] if customization is not None else None,
        "text": text if customization is not None else None,
    }


def _customization(text: Any) -> dict[str, list[str]] | None:
    """What a schematic adds, as ``{args, extensions}``; None for a text that is no schematic."""
    try:
        document = parse_spec(text) if isinstance(text, str) and text else None
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    added = document.get("customization") or {}
    extensions = added.get("systemExtensions") or {} if isinstance(added, dict) else None
    if not isinstance(extensions, dict):
        return None
    found = {
        "args": added.get("extraKernelArgs") or [],
        "extensions": extensions.get("officialExtensions") or [],
    }
    texts = all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in found.values())
    return found if texts else None


def extensions_of(statuses: Any) -> list[dict[str, str]] | None:
    """System extensions by name, ``[{name, version}]``, of ExtensionStatus resources; None when there was no answer."""
    if statuses is None:
        return None
    found = [status.spec.get("metadata") or {} for status in statuses]
    return sorted(
        (
            {"name": str(m.get("name")), "version": str(m.get("version"))}
            for m in found
            if m.get("name") not in _VIRTUAL_EXTENSIONS
        ),
        key=lambda extension: extension["name"],
    )


def _volumes(volumes: Any) -> dict[str, dict[str, Any]] | None:
    if volumes is None:
        return None
    return {
        volume.id: {
            "phase": volume.spec.get("phase"),
            "uuid": volume.spec.get("uuid"),
            "partition_uuid": volume.spec.get("partitionUUID"),
            "filesystem": volume.spec.get("filesystem"),
        }
        for volume in volumes
        if volume.id in _VOLUMES
    }


def _auditd(services: Any) -> dict[str, Any] | None:
    if services is None:
        return None
    for service in services:
        if service.id == "auditd":
            # A health report repeats the state with another message; only the first of a row is a start.
            states = [event["state"] for event in service.events]
            starts = sum(
                1 for before, state in zip([None, *states], states, strict=False) if state == "Running" != before
            )
            return {"state": service.state, "starts": starts}
    return {"state": "absent", "starts": 0}


def role_of(resource: Any) -> str | None:
    """``controlplane`` or ``worker``. The resource's spec is one string (Talos: config.MachineType)."""
    known = {"controlplane": "controlplane", "init": "controlplane", "worker": "worker"}
    return known.get(str(resource.spec)) if resource is not None else None


#: What machined and the kernel say of SELinux before the first load.
_UNDEFINED = re.compile(rb"SELinux:\s+((?:Permission|Class) [^\n]*?not defined in policy)")
_BEFORE_LOAD = re.compile(rb"selinux: loading policy|SELinux:\s+Initializing")


def _unknown_classes(kernel_log: bytes | None) -> list[str] | None:
    """Classes and permissions the kernel has and the policy lacks: denied to everyone once enforcing (kernel 6.18).

    The kernel lists them while it loads the policy, so a ring that lost what stood before that load does not tell.
    """
    if kernel_log is None:
        return None
    lines = _UNDEFINED.findall(kernel_log)
    if not lines and not _BEFORE_LOAD.search(kernel_log.partition(b": audit: type=1403 ")[0]):
        return None
    return sorted({line.decode("ascii", "replace") for line in lines})


def mode_disagreements(state: str, args: list[str] | None, pid1: str | None, kernel_log: bytes | None) -> list[str]:
    """Where the witnesses of the SELinux mode contradict each other, each with both sides named."""
    found = []
    active = state in ("enforcing", "permissive")
    if args is not None and active:
        # Talos decides by the first `selinux` value (internal/pkg/selinux/selinux.go).
        first = next((arg for arg in args if arg.startswith("selinux=")), None)
        if first != "selinux=1":
            found.append(f"SecurityState says {state}, but the first selinux argument is {first or 'missing'}")
        enforcing = [arg for arg in args if arg.startswith("enforcing=")]
        # The kernel's parameter handler runs for every occurrence, so the last one decides.
        wanted = "enforcing" if enforcing and enforcing[-1] == "enforcing=1" else "permissive"
        if wanted != state:
            found.append(f"SecurityState says {state}, but the kernel command line asks for {wanted}")
    if pid1 is not None and active and ":init_t:" not in pid1:
        found.append(f"SecurityState says {state}, but process 1 runs as {pid1 or 'no label'}")
    if kernel_log is not None:
        if active and b"selinux: disabled, not loading policy" in kernel_log:
            found.append(f"SecurityState says {state}, but the kernel log says that no policy was loaded")
        if state == "disabled" and b"selinux: policy loaded" in kernel_log:
            found.append("SecurityState says disabled, but the kernel log says that the policy was loaded")
    return found


def moment_of(seconds: int | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC; None stays None."""
    if seconds is None:
        return None
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _machine_doubts(system: Any) -> list[str] | None:
    """Why UUID and serial number do not tell the machine from others; None when they could not be read."""
    return doubts_of(text_at(system, "uuid"), text_at(system, "serialnumber")) if system is not None else None


def _pid1_label(processes: Any) -> str | None:
    return next((process.label for process in processes if process.pid == 1), None) if processes else None
