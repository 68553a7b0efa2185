# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The evidence document: every field it may have, with its JSON type. The collector writes it, the gate reads it.

A type is the name of a JSON type, a list of one type, or an object of types by key. Any value may be null: not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The number in the document's ``schema``.
SCHEMA = 1

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "number": (int, float),
    "any": (object,),
}

_DENIAL = {
    "signature": "string",
    "source_type": "string",
    "target_type": "string",
    "class": "string",
    "permissions": ["string"],
    "permissive": "boolean",
    "count": "number",
    "first": "string",
    "last": "string",
    "comms": ["any"],
    "paths": ["any"],
    "owners": ["any"],
    "catalogue_id": "string",
    "known_benign": "boolean",
    "waiver_id": "string",
    "constraint": "string",
    "doubtful": "number",
    "enforced": "number",
    "userspace": "boolean",
    "mcs_count": "number",
    "raw_contexts": ["any"],
    "samples": ["any"],
}
_VOLUME = {"phase": "string", "uuid": "string", "partition_uuid": "string", "filesystem": "string"}
_DISK = {
    "name": "string",
    **dict.fromkeys(("dev_path", "model", "serial", "wwid", "uuid", "modalias", "bus_path", "transport"), "string"),
    "size": "number",
    **dict.fromkeys(("rotational", "readonly", "cdrom"), "boolean"),
    "symlinks": ["string"],
}
#: The image that a node shall be installed from.
TARGET = {"version": "string", "schematic": "string", "installer": "string", "installer_digest": "string"}
TARGET_KEYS = tuple(TARGET)
#: The document of one node at one moment.
EVIDENCE: dict[str, Any] = {
    "schema": "number",
    "node": {
        "name": "string",
        "address": "string",
        "endpoint": "string",
        "identity": "string",
        "hostname": "string",
        "machine_type": "string",
        "uuid": "string",
        "serial_number": "string",
        "doubts": ["string"],
    },
    "collected_at": "string",
    "boot": {"id": "string", "time": "string", "uptime_seconds": "number", "look": "any"},
    "talos": {
        "version": "string",
        "platform": "string",
        "mode": "string",
        "arch": "string",
        "stage": "string",
        "ready": "boolean",
        "schematic": {
            "id": "string",
            "source": "string",
            "kernel_args": ["string"],
            "extensions": ["string"],
            "text": "string",
        },
        "extensions": [{"name": "string", "version": "string"}],
        "booted_with_uki": "boolean",
        "secure_boot": "boolean",
        "booted_entry": "string",
        "staged_upgrade": "boolean",
    },
    "selinux": {
        "state": "string",
        "kernel_args": ["string"],
        "pid1_label": "string",
        "policy_loaded": "boolean",
        "unknown_classes": ["string"],
        "disagreements": ["string"],
    },
    "audit": {
        "sources": [{"name": "string", "bytes": "number", "sha256": "string"}],
        "coverage": {
            "verdict": "string",
            "since": "string",
            "seconds": "number",
            "first_serial": "number",
            "last_serial": "number",
            "lost_at_least": "number",
            "reasons": [{"id": "string", "text": "string", "severity": "string"}],
            "notes": ["any"],
        },
        "counts": dict.fromkeys(
            (
                "lines",
                "parsed",
                "ignored",
                "unparsed",
                "denied",
                "granted",
                "doubtful",
                "mac_errors",
                "events",
                "probe",
            ),
            "number",
        ),
        "denials": [_DENIAL],
        "mac_errors": ["any"],
        "services": {"state": "string", "starts": "number"},
    },
    "volumes": {
        "META": _VOLUME,
        "STATE": _VOLUME,
        "EPHEMERAL": _VOLUME,
        "ETCD": _VOLUME,
        "CRI": _VOLUME,
        "KUBELET": _VOLUME,
        "LOG": _VOLUME,
    },
    "user_volumes": ["string"],
    "disks": [_DISK],
    "system_disk": "string",
    "time": {"synced": "boolean", "offset_seconds": "number"},
    "etcd": {
        "member_id": "string",
        "members": [
            {"id": "string", "hostname": "string", "is_learner": "boolean", "healthy": "boolean", "peers": ["string"]}
        ],
        "agreed": "boolean",
        "leader": "string",
        "healthy": "boolean",
        "errors": ["any"],
        "alarms": ["any"],
        "problems": ["string"],
        "voters": "number",
        "learners": "number",
        "quorum": "number",
        "tolerance": "number",
        "tolerance_after_removal": "number",
    },
    "kubernetes": {
        "nodename": "string",
        "asked": "boolean",
        "joined": "boolean",
        "doubts": ["string"],
        "boot_id": "string",
        "cni": [{"name": "string", "version": "string", "source": "string"}],
        "csi": [{"name": "string", "version": "string", "source": "string"}],
        "addons": [{"name": "string", "version": "string", "source": "string"}],
        "node_ready": "boolean",
        "unschedulable": "boolean",
        "workloads_restarted": {"checked": "number", "stale": ["string"]},
        "local_data": ["string"],
    },
    "config": {
        "sha256": "string",
        "machine_type": "string",
        "hostname": "string",
        "cluster": {
            "cluster_id": "string",
            "cluster_secret": "string",
            "machine_ca": "string",
            "kubernetes_ca": "string",
        },
        "install": {
            "kind": "string",
            "disk": "any",
            "disk_selector": "any",
            "wipe": "boolean",
            "image": "string",
            "extra_kernel_args": ["string"],
            "grub_use_uki_cmdline": "boolean",
        },
        "install_disks": ["string"],
        "valid": "boolean",
        "problems": ["any"],
    },
    "operation": {
        "locked_by": "string",
        "boot_path": "string",
        "approved_local_data": "string",
        "identify_by": "string",
        "target": TARGET,
    },
    "cluster": {"name": "string", "id": "string", "omni": "boolean"},
    "errors": [{"kind": "string", "source": "string", "found": "string"}],
    "sha256": "string",
}


def conforms(value: Any, shape: Any) -> bool:
    """Whether a value that is not null has the type of the shape; a list also in its elements, none of them null."""
    if isinstance(shape, list):
        return isinstance(value, list) and all(conforms(item, shape[0]) for item in value)
    if isinstance(shape, dict):
        return isinstance(value, Mapping)
    if isinstance(value, bool):
        return shape in ("boolean", "any")
    return value is not None and isinstance(value, _TYPES[shape])
