# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A healthy node's evidence, and small tools to change one value of it."""

from __future__ import annotations

import copy
import datetime as dt
from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import sealed

NOW = dt.datetime(2026, 11, 22, 12, 0, 0, tzinfo=dt.UTC)
SCHEMATIC = "224daeedea2a793a0cd003ab8b8cadb4c8a16645d7b485fcfa965c5948be2e18"
TARGET = {
    "version": "v1.14.1",
    "schematic": SCHEMATIC,
    "installer": f"factory.talos.dev/metal-installer/{SCHEMATIC}:v1.14.1",
    "installer_digest": "sha256:" + "d" * 64,
}
DELETED = object()


def denial(signature: str = "pod_t:run_t:dir:write", count: int = 3, **changes: Any) -> dict[str, Any]:
    """One denial, as the audit package gives it."""
    source, target, kind, permissions = signature.split(":")
    return {
        "signature": signature,
        "source_type": source,
        "target_type": target,
        "class": kind,
        "permissions": permissions.split("+"),
        "permissive": True,
        "count": count,
        "first": "2026-11-20T08:00:00Z",
        "last": "2026-11-22T08:00:00Z",
        "comms": ["agent"],
        "paths": ["/run/agent"],
        "owners": [],
        "catalogue_id": None,
        "known_benign": False,
        "waiver_id": None,
        "constraint": None,
        "doubtful": 0,
        "samples": [],
        "enforced": 0,
        "userspace": False,
        "mcs_count": 0,
        "raw_contexts": [],
        **changes,
    }


def healthy_evidence(machine_type: str = "controlplane") -> dict[str, Any]:
    """Unsealed evidence of a node that passes every check of ``strict``."""
    return {
        "schema": 1,
        "node": {
            "name": "node-1",
            "address": "192.0.2.11",
            "endpoint": "192.0.2.12",
            "identity": "7x1SuC8Ege5BGXdAfTEff5iQnlWZLfv9h1LGMxA2pYkC",
            "hostname": "node-1",
            "machine_type": machine_type,
            "uuid": "6f1d0a9e-0000-4000-8000-000000000011",
            "serial_number": "SN-11",
            "doubts": [],
        },
        "collected_at": "2026-11-22T11:55:00Z",
        "boot": {
            "id": "0b5e7c1a-0000-4000-8000-000000000001",
            "time": "2026-11-18T12:00:00Z",
            "uptime_seconds": 345300,
            "look": {
                "boot_time": 1795003200,
                "cpu_seconds": 344900.5,
                "processes": 812345,
                "context_switches": 312345678,
                "marks": {"1": "1795003200.148", "2": "1795003218.123"},
                "at": 1795348500.0,
            },
        },
        "talos": {
            "version": "v1.14.1",
            "platform": "metal",
            "mode": "metal",
            "arch": "amd64",
            "stage": "running",
            "ready": True,
            "schematic": {
                "id": "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba",
                "source": "resource",
                "kernel_args": [],
                "extensions": [],
                "text": "customization: {}\n",
            },
            "extensions": [],
            "booted_with_uki": True,
            "secure_boot": False,
            "booted_entry": "Talos-v1.14.1.efi",
            "staged_upgrade": False,
        },
        "selinux": {
            "state": "permissive",
            "kernel_args": ["talos.platform=metal", "init_on_alloc=1", "selinux=1", "printk.devkmsg=on"],
            "pid1_label": "system_u:system_r:init_t:s0",
            "policy_loaded": True,
            "unknown_classes": [],
            "disagreements": [],
        },
        "audit": {
            "sources": [{"name": "auditd.log", "bytes": 4096, "sha256": "a" * 64}],
            "coverage": {
                "verdict": "complete",
                "seconds": 345300.0,
                "first_serial": 1,
                "last_serial": 900,
                "lost_at_least": 0,
                "reasons": [],
                "notes": [],
            },
            "counts": {
                "lines": 900,
                "parsed": 900,
                "ignored": 0,
                "unparsed": 0,
                "denied": 0,
                "granted": 0,
                "doubtful": 0,
                "mac_errors": 0,
                "events": 900,
                "probe": 0,
            },
            "denials": [],
            "mac_errors": [],
            "services": {"state": "Running", "starts": 1},
        },
        "volumes": {
            name: {"phase": "ready", "uuid": f"u-{name}", "partition_uuid": f"p-{name}", "filesystem": "xfs"}
            for name in ("META", "STATE", "EPHEMERAL")
        },
        "user_volumes": [],
        "disks": [{"name": "sda", "dev_path": "/dev/sda", "serial": "S1"}, {"name": "sr0", "dev_path": "/dev/sr0"}],
        "system_disk": "sda",
        "time": {"synced": True, "offset_seconds": 0.0},
        "etcd": {
            "member_id": "00000000000000a1",
            "members": [
                {"id": f"00000000000000a{index}", "hostname": f"node-{index}", "is_learner": False}
                for index in (1, 2, 3)
            ],
            "agreed": True,
            "leader": "00000000000000a2",
            "healthy": True,
            "errors": [],
            "alarms": [],
            "voters": 3,
        }
        if machine_type == "controlplane"
        else None,
        "kubernetes": {
            "nodename": "node-1",
            "asked": True,
            "joined": True,
            "doubts": [],
            "boot_id": "0b5e7c1a-0000-4000-8000-000000000001",
            "cni": [{"name": "flannel", "version": "0.27.0", "source": "DaemonSet kube-system/kube-flannel"}],
            "csi": [],
            "addons": [],
            "node_ready": True,
            "unschedulable": False,
            "workloads_restarted": {"checked": 3, "stale": []},
            "local_data": [],
        },
        "config": {
            "sha256": "c" * 64,
            "cluster": {"cluster_id": "e" * 64},
            "install": {
                "kind": "v1alpha1",
                "disk": "/dev/sda",
                "image": TARGET["installer"],
                "extra_kernel_args": [],
                "grub_use_uki_cmdline": None,
            },
            "install_disks": ["sda"],
            "valid": True,
            "problems": [],
        },
        "operation": {
            "locked_by": None,
            "boot_path": "hook",
            "approved_local_data": "",
            "identify_by": "uuid",
            "target": dict(TARGET),
        },
        "cluster": {"name": "lab", "id": "e" * 64, "omni": False},
        "errors": [],
    }


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the value at a dotted path replaced, or removed when ``value`` is DELETED."""
    copied = copy.deepcopy(document)
    *parents, last = path.split(".")
    place = copied
    for key in parents:
        place = place[key]
    if value is DELETED:
        del place[last]
    else:
        place[last] = value
    return copied


def evidence(machine_type: str = "controlplane", **changes: Any) -> dict[str, Any]:
    """Sealed healthy evidence; keyword ``talos__version="v1"`` changes ``talos.version``."""
    document = healthy_evidence(machine_type)
    for path, value in changes.items():
        document = changed(document, path.replace("__", "."), value)
    return sealed(document)


def stops(verdict: dict[str, Any]) -> dict[str, str]:
    """The results of the checks that did not pass."""
    return {check["id"]: check["result"] for check in verdict["checks"] if check["result"] != "pass"}
