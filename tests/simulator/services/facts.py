# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node says about itself: version, processors, memory, mounts, processes, time, disks."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from .. import resources, versions
from ..proto import make, timestamp
from .table import ADMIN, EMPTY, READERS, Caller, machine, method

if TYPE_CHECKING:
    from ..node import Node


@machine("Version", EMPTY, "machine.VersionResponse")
async def _version(node: Node, _request: Any, _caller: Caller) -> Any:
    info = make(
        "machine.VersionInfo",
        tag=node.version,
        sha=hashlib.sha256(node.version.encode()).hexdigest()[:8],
        built="",
        go_version="go1.26.1",
        os="linux",
        arch="amd64",
    )
    answer = make("machine.Version", version=info)
    answer.platform.name = node.spec.platform
    answer.platform.mode = node.spec.mode
    if node.config_applied:
        answer.features.rbac = bool(node.spec.extra.get("rbac", True))
    return make("machine.VersionResponse", messages=[answer])


@machine("Hostname", EMPTY, "machine.HostnameResponse")
async def _hostname(node: Node, _request: Any, _caller: Caller) -> Any:
    return make(
        "machine.HostnameResponse",
        messages=[make("machine.Hostname", hostname=node.hostname)],
    )


@machine("SystemStat", EMPTY, "machine.SystemStatResponse")
async def _system_stat(node: Node, _request: Any, _caller: Caller) -> Any:
    assert node.boot is not None
    # Counted since boot, whatever the clock says: two processors, most of the time idle.
    up = max(0.0, node.clock.running() - node.boot.started)
    busy = {"user": up * 0.03, "system": up * 0.02, "iowait": up * 0.001, "soft_irq": up * 0.002}
    stat = make(
        "machine.SystemStat",
        boot_time=node.boot_time(),
        cpu_total=make("machine.CPUStat", idle=up * 1.95, **busy),
        cpu=[make("machine.CPUStat", idle=up * 1.95 / 2, **{name: part / 2 for name, part in busy.items()})] * 2,
        irq_total=1 + int(up * 500),
        irq=[3, int(up * 100), 0, int(up * 400)],
        soft_irq_total=1 + int(up * 160),
        context_switches=20_000 + int(up * 900),
        process_created=300 + int(up * 2),
        process_running=2,
    )
    return make("machine.SystemStatResponse", messages=[stat])


@machine("Memory", EMPTY, "machine.MemoryResponse")
async def _memory(_node: Node, _request: Any, _caller: Caller) -> Any:
    info = make(
        "machine.MemInfo", memtotal=8_000_000, memfree=4_000_000, memavailable=6_000_000, buffers=1000, cached=900_000
    )
    return make("machine.MemoryResponse", messages=[make("machine.Memory", meminfo=info)])


_PSEUDO = (
    "/dev",
    "/proc",
    "/sys",
    "/dev/shm",
    "/dev/pts",
    "/dev/hugepages",
    "/sys/fs/bpf",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
    "/sys/kernel/config",
    "/sys/kernel/debug",
    "/sys/fs/selinux",
    "/run",
    "/system",
    "/tmp",
    "/sys/fs/cgroup",
    "/etc",
    "/etc/cni",
    "/etc/kubernetes",
    "/usr/lib/udev/hwdb.bin",
    "/system/resolved/resolv.conf",
)
_SIZED = ("/dev", "/dev/shm", "/run", "/system", "/tmp", "/etc", "/etc/cni", "/etc/kubernetes")


@machine("Mounts", EMPTY, "machine.MountsResponse")
async def _mounts(node: Node, _request: Any, _caller: Caller) -> Any:
    def mounted(on: str, filesystem: str = "none", size: int = 0) -> Any:
        return make("machine.MountStat", filesystem=filesystem, size=size, available=size // 2, mounted_on=on)

    stats = [mounted(on, size=8 << 20 if on in _SIZED else 0) for on in _PSEUDO if _has(node, on)]
    stats += [mounted("/", size=128 << 10), mounted("/etc/extensions.yaml", "rootfs")]
    part = node.partitions.get("EPHEMERAL")
    if part is not None and node.config_applied and not node.maintenance:
        stats += [mounted("/var", f"{node.disk_path}{part.index}", part.size), mounted("/opt", size=part.size)]
        own = ["kubelet"] + (["etcd"] if node.role == "controlplane" else [])
        tasks = "/run/containerd/io.containerd.runtime.v2.task/system"
        stats += [mounted(f"{tasks}/{name}/rootfs", "overlay", part.size) for name in own]
    return make("machine.MountsResponse", messages=[make("machine.Mounts", stats=stats)])


def _has(node: Node, on: str) -> bool:
    return on != "/sys/fs/selinux" or node.selinux != "disabled"


_SHIM = "/usr/bin/containerd-shim-runc-v2"
# Command, executable, domain; in the order in which they start.
_BASE = (
    ("init", "/usr/bin/init", "init_t"),
    ("systemd-udevd", "/usr/bin/systemd-udevd", "udev_t"),
    ("containerd", "/usr/bin/containerd", "sys_containerd_t"),
    ("containerd-shim", _SHIM, "sys_containerd_t"),
    ("apid", "/apid", "apid_t"),
)
_CONFIGURED = (
    ("containerd", "/usr/bin/containerd", "pod_containerd_t"),
    ("containerd-shim", _SHIM, "pod_containerd_t"),
    ("kubelet", "/usr/local/bin/kubelet", "kubelet_t"),
    ("pause", "/pause", "pod_t"),
)
_CONTROL_PLANE = (("etcd", "/usr/local/bin/etcd", "etcd_t"), ("trustd", "/trustd", "trustd_t"))


def _running(node: Node) -> list[tuple[str, str, str]]:
    if not node.config_applied:
        return list(_BASE)
    own = [("sandboxd", "/usr/bin/init", "sandboxd_t")] if versions.at_least(node.version, "1.14") else []
    return [*_BASE, *own, *_CONFIGURED, *(_CONTROL_PLANE if node.role == "controlplane" else ())]


@machine("Processes", EMPTY, "machine.ProcessesResponse")
async def _processes(node: Node, _request: Any, _caller: Caller) -> Any:
    result = []
    for index, (command, executable, domain) in enumerate(_running(node)):
        label = "" if node.selinux == "disabled" else f"system_u:system_r:{domain}:s0"
        result.append(
            make(
                "machine.ProcessInfo",
                pid=1 if index == 0 else 400 + index * 37,
                ppid=0 if index == 0 else 1,
                state="S",
                threads=8,
                cpu_time=1.5 + index,
                virtual_memory=1_300_000_000,
                resident_memory=40_000_000,
                command=command,
                executable=executable,
                args=executable,
                label=label,
            )
        )
    return make("machine.ProcessesResponse", messages=[make("machine.Process", processes=result)])


@method("/time.TimeService/Time", EMPTY, "time.TimeResponse")
@method("/time.TimeService/TimeCheck", "time.TimeRequest", "time.TimeResponse")
async def _time(node: Node, request: Any, _caller: Caller) -> Any:
    now = node.fleet.clock.wall()
    if "no_ntp" in node.faults:
        server = getattr(request, "server", "") or "time.cloudflare.com"
        text = f"lookup {server} on 127.0.0.53:53: server misbehaving"
        raise GRPCError(Status.UNKNOWN, f'error querying NTP server "{server}": {text}')
    skew = 90.0 if "clock_skew" in node.faults else node.clock.wall() - now
    server = getattr(request, "server", "") or "time.cloudflare.com"
    answer = make("time.Time", server=server, localtime=timestamp(now + skew), remotetime=timestamp(now))
    return make("time.TimeResponse", messages=[answer])


@method("/storage.StorageService/Disks", EMPTY, "storage.DisksResponse")
async def _disks(node: Node, _request: Any, _caller: Caller) -> Any:
    known = resources.TYPES["Disks.block.talos.dev"].produce(node)
    disks = [
        make(
            "storage.Disk",
            size=spec["size"],
            modalias=spec["modalias"],
            bus_path=spec["bus_path"],
            subsystem=spec["sub_system"],
            readonly=spec["readonly"],
            model=spec["model"],
            device_name=spec["dev_path"],
            serial=spec["serial"],
            wwid=spec["wwid"],
            # An HDD: what spins is one.
            type=2,
            system_disk=node.meta_installed and spec["dev_path"] == node.disk_path,
        )
        for spec in known.values()
    ]
    return make("storage.DisksResponse", messages=[make("storage.Disks", disks=disks)])


@method(
    "/storage.StorageService/BlockDeviceWipe",
    "storage.BlockDeviceWipeRequest",
    "storage.BlockDeviceWipeResponse",
    roles=READERS,
    since="1.9",
)
async def _wipe(node: Node, request: Any, caller: Caller) -> Any:
    if not node.maintenance and ADMIN not in caller.roles:
        raise GRPCError(Status.PERMISSION_DENIED, "not authorized")
    for device in request.devices:
        path = f"/dev/{device.device}"
        if path == node.disk_path and node.meta_installed:
            raise GRPCError(Status.FAILED_PRECONDITION, f'blockdevice "{device.device}" is a system disk')
        if path != node.disk_path and path not in node.spec.user_disks:
            raise GRPCError(Status.NOT_FOUND, f'blockdevice "{device.device}" not found')
        if path == node.disk_path:
            node.disk, node.partitions = None, {}
    node.notify()
    return make("storage.BlockDeviceWipeResponse", messages=[make("storage.BlockDeviceWipe")])
