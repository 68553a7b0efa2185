# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file system that Read and List show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from .. import versions
from ..proto import make
from .logs import chunks
from .table import ADMINS, DATA, Caller, machine

if TYPE_CHECKING:
    from ..node import Node


_DIRECTORY, _LINK = 0o20000000000, 0o1000000000


@dataclass(frozen=True)
class _File:
    """One entry: Go's mode bits (not Unix ones), SELinux type, target of a link."""

    mode: int
    label: str
    link: str = ""

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return bool(self.mode & _DIRECTORY)


def _directory(label: str, mode: int = 0o755) -> _File:
    return _File(_DIRECTORY | mode, label)


def _file(label: str, mode: int = 0o644) -> _File:
    return _File(mode, label)


def _link(label: str, target: str) -> _File:
    return _File(_LINK | 0o777, label, target)


# As a real 1.14 node on an overlay root shows them, which every image of the Image Factory has.
_FILES: dict[str, _File] = {
    "/": _directory("unlabeled_t"),
    "/.extra": _directory("unlabeled_t"),
    "/bin": _link("bin_exec_t", "usr/bin"),
    "/boot": _directory("unlabeled_t"),
    "/dev": _directory("device_t"),
    "/etc": _directory("etc_t"),
    "/etc/ca-certificates": _link("etc_t", "/etc/ssl"),
    "/etc/cni": _directory("cni_conf_t"),
    "/etc/containerd": _directory("etc_t"),
    "/etc/cri": _directory("etc_t"),
    "/etc/extensions.yaml": _file("etc_t"),
    "/etc/hosts": _file("etc_t"),
    "/etc/iscsi": _directory("etc_t"),
    "/etc/kubernetes": _directory("k8s_conf_t"),
    "/etc/localtime": _link("etc_t", "/usr/share/zoneinfo/Etc/UTC"),
    "/etc/lvm": _directory("etc_t"),
    "/etc/machine-id": _file("etc_t", 0o444),
    "/etc/nvme": _directory("etc_t"),
    "/etc/os-release": _file("etc_t"),
    "/etc/pki": _link("etc_t", "/etc/ssl"),
    "/etc/resolv.conf": _file("etc_t"),
    "/etc/selinux": _directory("etc_t"),
    "/etc/ssl": _directory("etc_t"),
    "/etc/udev": _directory("etc_t"),
    "/lib": _link("lib_t", "usr/lib"),
    "/lib64": _link("lib_t", "usr/lib"),
    "/mnt": _directory("unlabeled_t"),
    "/opt": _directory("opt_t"),
    "/proc": _directory("procfs_t", 0o555),
    "/proc/cmdline": _file("procfs_t", 0o444),
    "/proc/version": _file("procfs_t", 0o444),
    "/root": _directory("unlabeled_t"),
    "/run": _directory("run_t"),
    "/sbin": _link("bin_exec_t", "usr/bin"),
    "/sys": _directory("sysfs_t", 0o555),
    "/sys/fs/selinux": _directory("selinuxfs_t"),
    "/sys/fs/selinux/enforce": _file("selinuxfs_t"),
    "/system": _directory("system_t"),
    "/system/config": _directory("system_t"),
    "/system/etc": _directory("etc_t", 0o700),
    "/system/libexec": _directory("system_t", 0o711),
    "/system/resolved": _directory("system_t"),
    "/system/run": _directory("system_run_t", 0o751),
    "/system/secrets": _directory("system_t", 0o700),
    # The mount point: STATE itself is mounted only while Talos writes to it.
    "/system/state": _directory("system_t", 0o700),
    "/system/var": _directory("system_var_t", 0o700),
    "/tmp": _directory("tmpfs_t"),
    "/usr": _directory("unlabeled_t"),
    "/usr/bin": _directory("bin_exec_t"),
    "/usr/bin/init": _file("init_exec_t", 0o755),
    "/var": _directory("ephemeral_t"),
    "/var/lib": _directory("ephemeral_t", 0o700),
    "/var/lib/cni": _directory("cni_state_t", 0o700),
    "/var/lib/containerd": _directory("containerd_state_t", 0o700),
    "/var/lib/etcd": _directory("etcd_data_t", 0o700),
    "/var/lib/kubelet": _directory("kubelet_state_t", 0o700),
    "/var/log": _directory("var_log_t"),
    "/var/log/audit": _directory("audit_log_t", 0o700),
    "/var/log/auditd.log": _file("var_log_t"),
    "/var/log/containers": _directory("containers_log_t"),
    "/var/log/pods": _directory("pods_log_t"),
    "/var/mnt": _directory("ephemeral_t"),
    "/var/run": _link("run_t", "/run"),
    "/var/system": _directory("ephemeral_t"),
}
# Without a configuration the file systems are not mounted: what shows is the image, and less of Talos' own.
_MAINTENANCE_VAR = {
    "/var": _directory("unlabeled_t"),
    "/var/lock": _link("run_t", "../run/lock"),
    "/var/log": _directory("unlabeled_t"),
    "/var/mail": _directory("unlabeled_t"),
    "/var/run": _link("run_t", "../run"),
    "/var/spool": _directory("unlabeled_t"),
    "/var/tmp": _directory("unlabeled_t"),
}
_ONLY_CONFIGURED = ("/system/config", "/system/secrets", "/etc/iscsi", "/etc/machine-id", "/etc/nvme")


def _tree(node: Node) -> dict[str, _File]:
    """The files of a node in its present stage."""
    files = dict(_FILES)
    if not node.config_applied or node.maintenance:
        files = {path: file for path, file in files.items() if not path.startswith("/var")} | _MAINTENANCE_VAR
        for path in _ONLY_CONFIGURED:
            del files[path]
    elif node.role != "controlplane":
        del files["/var/lib/etcd"]
    if node.selinux == "enforcing" and "/system/secrets" in files:
        # Seen so on every node that enforces, and on no other.
        files["/system/secrets"] = _directory("system_t")
    for path, label in node.spec.extra.get("labels", {}).items():
        known = files.get(path)
        files[path] = _File(known.mode if known else 0o644, label, known.link if known else "")
    return files


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
    if path == "/proc/version":
        return b"Linux version 6.18.33-talos (root@buildkitsandbox) (gcc (GCC) 15.2.0, GNU ld 2.45) #1 SMP PREEMPT\n"
    return b"" if path == "/usr/bin/init" else None


@machine("Read", "machine.ReadRequest", DATA, roles=ADMINS, stream=True)
async def _read(node: Node, request: Any, _caller: Caller) -> AsyncIterator[Any]:
    data = content(node, request.path)
    if data is None:
        known = _tree(node).get(request.path)
        if known is not None and known.is_dir:
            raise GRPCError(Status.UNKNOWN, "path must be a regular file")
        raise GRPCError(Status.NOT_FOUND, f"stat {request.path}: no such file or directory")
    async for chunk in chunks(node, data):
        yield chunk


@machine("List", "machine.ListRequest", "machine.FileInfo", stream=True)
async def _list(node: Node, request: Any, _caller: Caller) -> AsyncIterator[Any]:
    root = request.root or "/"
    if root != "/" and root.endswith("/"):
        root = root.rstrip("/")
    files = _tree(node)
    if root not in files:
        yield make("machine.FileInfo", name=root, relative_name=root, error=f"lstat {root}: no such file or directory")
        return
    depth = request.recursion_depth if request.recursion_depth > 0 else (99 if request.recurse else 1)
    for path, file in sorted(files.items()):
        relative = path[len(root) :].strip("/") if root != "/" else path.strip("/")
        inside = path == root or path.startswith(root.rstrip("/") + "/")
        if not inside or (relative.count("/") + 1 if relative else 0) > depth:
            continue
        data = content(node, path)
        if path == "/var/log/auditd.log" and data is None:
            continue
        info = make(
            "machine.FileInfo",
            name=path,
            relative_name=relative or ".",
            size=_size(path, file, data),
            mode=file.mode,
            modified=int(node.clock.wall()),
            is_dir=file.is_dir,
            link=file.link,
        )
        if request.report_xattrs and node.selinux != "disabled":
            info.xattrs.add(name="security.selinux", data=f"system_u:object_r:{file.label}:s0\0".encode())
        yield info


def _size(path: str, file: _File, data: bytes | None) -> int:
    if file.is_dir:
        return 0 if path in ("/proc", "/sys") else 60
    return len(file.link) or len(data or b"x" * 128)
