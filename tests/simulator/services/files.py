# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file system that Read and List show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from .. import versions
from ..proto import make
from .logs import chunks
from .table import ADMINS, DATA, Caller, machine

if TYPE_CHECKING:
    from ..node import Node


_FILES: dict[str, tuple[bool, str]] = {
    "/": (True, "rootfs_t"),
    "/proc": (True, "proc_t"),
    "/proc/cmdline": (False, "proc_t"),
    "/sys": (True, "sysfs_t"),
    "/sys/fs/selinux": (True, "selinuxfs_t"),
    "/sys/fs/selinux/enforce": (False, "selinuxfs_t"),
    "/var": (True, "ephemeral_t"),
    "/var/lib": (True, "ephemeral_t"),
    "/var/lib/kubelet": (True, "ephemeral_t"),
    "/var/log": (True, "var_log_t"),
    "/var/log/auditd.log": (False, "var_log_t"),
    "/run": (True, "run_t"),
    "/system": (True, "system_t"),
    "/system/state": (True, "system_state_t"),
    "/usr": (True, "rootfs_t"),
    "/usr/bin/init": (False, "init_exec_t"),
}


def content(node: Node, path: str) -> bytes | None:
    if path == "/proc/cmdline":
        return (" ".join(node.arguments) + "\n").encode()
    if path == "/proc/sys/kernel/random/boot_id":
        return f"{node.boot_id}\n".encode()
    if path == "/sys/fs/selinux/enforce" and node.selinux != "disabled":
        return b"1" if node.selinux == "enforcing" else b"0"
    persisted = versions.at_least(node.version, "1.12") and node.config_applied and not node.maintenance
    if path == "/var/log/auditd.log" and persisted:
        ring = node.kernel_logs().auditd
        return ring.read() if ring is not None else None
    return b"" if path == "/usr/bin/init" else None


@machine("Read", "machine.ReadRequest", DATA, roles=ADMINS, stream=True)
async def _read(node: Node, request: Any, _caller: Caller) -> AsyncIterator[Any]:
    data = content(node, request.path)
    if data is None:
        if _FILES.get(request.path, (False, ""))[0]:
            raise GRPCError(Status.UNKNOWN, "path must be a regular file")
        raise GRPCError(Status.NOT_FOUND, f"stat {request.path}: no such file or directory")
    async for chunk in chunks(node, data):
        yield chunk


@machine("List", "machine.ListRequest", "machine.FileInfo", stream=True)
async def _list(node: Node, request: Any, _caller: Caller) -> AsyncIterator[Any]:
    root = request.root or "/"
    if root != "/" and root.endswith("/"):
        root = root.rstrip("/")
    if root not in _FILES:
        yield make("machine.FileInfo", name=root, relative_name=root, error=f"lstat {root}: no such file or directory")
        return
    depth = request.recursion_depth if request.recursion_depth > 0 else (99 if request.recurse else 1)
    labels = node.spec.extra.get("labels", {})
    for path, (is_dir, label) in sorted({**_FILES, **{p: (False, t) for p, t in labels.items()}}.items()):
        relative = path[len(root) :].strip("/") if root != "/" else path.strip("/")
        inside = path == root or path.startswith(root.rstrip("/") + "/")
        if not inside or (relative.count("/") + 1 if relative else 0) > depth:
            continue
        data = None if is_dir else content(node, path)
        if not is_dir and data is None:
            continue
        info = make(
            "machine.FileInfo",
            name=path,
            relative_name=relative or ".",
            size=len(data or b""),
            mode=0o40755 if is_dir else 0o100644,
            modified=int(node.clock.wall()),
            is_dir=is_dir,
        )
        if request.report_xattrs and node.selinux != "disabled":
            info.xattrs.add(name="security.selinux", data=f"system_u:object_r:{labels.get(path, label)}:s0\0".encode())
        yield info
