# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Denials that a scenario can name, and what a scenario may write itself."""

from __future__ import annotations

from typing import Any


def _denial(scontext: str, tcontext: str, tclass: str, perms: str, **more: Any) -> dict[str, Any]:
    return {"scontext": scontext, "tcontext": tcontext, "tclass": tclass, "perms": perms.split(), **more}


# Known families of denials; the values are one inline denial each (the keys that a scenario may also write itself).
TEMPLATES: dict[str, dict[str, Any]] = {
    "csi_unlabeled": _denial(
        "pod_t",
        "unlabeled_t",
        "dir",
        "write",
        comm="csi-driver",
        name="mount",
        dev="sdb",
        exe="/bin/csi-driver",
        count=7,
    ),
    "cilium_run": _denial(
        "pod_t",
        "run_t",
        "sock_file",
        "create",
        comm="cilium-agent",
        name="cilium.sock",
        dev="tmpfs",
        exe="/usr/bin/cilium-agent",
        count=3,
    ),
    "nsenter": _denial(
        "pod_t",
        "init_exec_t",
        "file",
        "execute",
        comm="nsenter",
        path="/usr/sbin/lvm",
        dev="overlay",
        exe="/usr/bin/nsenter",
        count=2,
    ),
    "bpf_prog_run": _denial(
        "pod_t",
        "init_t",
        "bpf",
        "prog_run",
        target_role="system_r",
        comm="cilium-agent",
        exe="/usr/bin/cilium-agent",
        count=4,
    ),
    "relabelto": _denial(
        "pod_t",
        "ephemeral_t",
        "file",
        "relabelto",
        comm="rsync",
        name="data.db",
        dev="sda6",
        exe="/usr/bin/rsync",
        count=5,
    ),
    "nfs": _denial(
        "pod_t", "network_fs_t", "dir", "write", comm="nginx", name="srv", dev="0:71", exe="/usr/sbin/nginx", count=3
    ),
    "hostpath_run": _denial(
        "pod_t", "run_t", "dir", "write", comm="collector", name="state", dev="tmpfs", exe="/collector", count=6
    ),
    "modprobe_boot": _denial(
        "kernel_t",
        "init_exec_t",
        "file",
        "execute",
        comm="modprobe",
        path="/usr/bin/modprobe",
        dev="rootfs",
        exe="/usr/bin/modprobe",
        count=1,
        phase="boot",
    ),
}


def context(text: str, role: str) -> str:
    """Complete a bare type to a full SELinux context."""
    return text if ":" in text else f"system_u:{role}:{text}:s0"


def expand(denials: list[Any]) -> list[dict[str, Any]]:
    """Turn template names and inline mappings into complete denials."""
    result = []
    for entry in denials:
        if isinstance(entry, str):
            entry = {"template": entry}
        base = dict(TEMPLATES[entry["template"]]) if "template" in entry else {}
        base.update(entry)
        result.append(base)
    return result
