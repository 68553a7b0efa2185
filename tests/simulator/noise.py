# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a healthy node logs: containers that start, pods that come and go, the clock that is kept in time.

Shapes and order as recorded from a real node; none of it is a denial or a setting.
"""

from __future__ import annotations

from collections.abc import Iterator

from .audit_writer import UNSET, Writer

_SYSTEM = "system_u:system_r:sys_containerd_t:s0"
_PODS = "system_u:system_r:pod_containerd_t:s0"
# What the runtime does to the device filter of a cgroup: operation, system call, its result.
_DEVICE_FILTER = (("LOAD", 321, 18), ("LOAD", 321, 21), ("UNLOAD", 3, 0), ("UNLOAD", 3, 0), ("LOAD", 321, 18))
# Seconds between two corrections of the clock that are logged.
_SYNC = 2048.0


def service(out: Writer, offset: float, name: str, *, system: bool) -> None:
    """A container of Talos' own starts."""
    root = "/run/containerd/runc/system"
    _container(out, offset, f"runc\0--root\0{root}\0--log\0/system/run/containerd/{name}/log.json", system)


def container(out: Writer, offset: float) -> None:
    """A container of a pod starts."""
    name = f"{out.random.getrandbits(256):064x}"
    _container(out, offset, f"runc\0--root\0/run/containerd/runc/k8s.io\0--log\0/run/containerd/{name}/log.json", False)


def _container(out: Writer, offset: float, command: str, system: bool) -> None:
    if not out.listening:
        # Without a daemon auditing is off, and program loads are not recorded.
        return
    out.pid += out.random.randrange(1, 40)
    subject = _SYSTEM if system else _PODS
    for index, (operation, number, result) in enumerate(_DEVICE_FILTER):
        program = out.serial % 900 + 1
        records = [("BPF", 1334, f"prog-id={program} op={operation}")]
        records += out.syscall("runc", "/usr/bin/runc", subject, number=number, exit_code=result, command=command)
        out.emit(offset + index * 0.012, records)


def promiscuous(out: Writer, offset: float, device: str | None = None) -> None:
    """What a bridge causes for each port."""
    if not out.listening:
        return
    out.pid += 1
    device = device or f"veth{out.random.randrange(1 << 32):08x}"
    payload = f"dev={device} prom=256 old_prom=0 auid={UNSET} uid=0 gid=0 ses={UNSET}"
    syscall = out.syscall("bridge", "/opt/cni/bin/bridge", _PODS, number=44, exit_code=40)
    out.emit(offset, [("ANOM_PROMISCUOUS", 1700, payload), *syscall])


def pod(out: Writer, offset: float, number: int) -> None:
    """A pod starts under a bridge: two containers, a port, two changes of the packet filter."""
    container(out, offset)
    device = f"veth{out.random.randrange(1 << 32):08x}"
    port = f"cni0: port {number % 110 + 1}({device})"
    for index, text in enumerate(
        (
            f"{port} entered blocking state",
            f"{port} entered disabled state",
            f"{device}: entered allmulticast mode",
            f"{device}: entered promiscuous mode",
            f"{port} entered blocking state",
            f"{port} entered forwarding state",
        )
    ):
        out.printk(offset + 0.1 + index * 0.001, text)
    if out.listening:
        promiscuous(out, offset + 0.11, device)
        for table in ("nat", "filter"):
            payload = (
                f"table={table}:{out.serial % 4000 + 1} family=2 entries=1 op=nft_register_rule "
                f'pid={out.pid} subj={_PODS} comm="iptables"'
            )
            syscall = out.syscall("iptables", "/usr/sbin/xtables-nft-multi", _PODS, number=46, exit_code=184)
            out.emit(offset + 0.2, [("NETFILTER_CFG", 1325, payload), *syscall])
    container(out, offset + 0.5)


def pod_ends(out: Writer, offset: float, number: int) -> None:
    """A pod ends: its port goes."""
    device = f"veth{out.random.randrange(1 << 32):08x}"
    for index, text in enumerate(
        (
            f"cni0: port {number % 110 + 1}({device}) entered disabled state",
            f"{device} (unregistering): left allmulticast mode",
            f"{device} (unregistering): left promiscuous mode",
        )
    ):
        out.printk(offset + index * 0.001, text)


def time_sync(out: Writer, offset: float) -> None:
    """The clock is kept in time."""
    text = f"adjusting time (slew) by {out.random.uniform(-9, 9):.6f}ms via 162.159.200.1, state TIME_OK"
    out.talos(offset, f'{text}, status STA_PLL | STA_NANO {{"component": "controller-runtime"}}')


def between(begin: float, end: float, pods_per_hour: float) -> Iterator[tuple[float, str, int]]:
    """What happens from ``begin`` to ``end`` (seconds of the boot): ``(offset, pod | pod_ends | time_sync, number)``.

    It depends on the seconds alone, so that time that passes in pieces brings what it brings in one go.
    """
    if pods_per_hour > 0:
        step = 3600.0 / pods_per_hour
        number = int(begin / step) + 1
        while number * step <= end:
            yield number * step, "pod", number
            yield number * step + min(step / 2, 30.0), "pod_ends", number
            number += 1
    number = int(begin / _SYNC) + 1
    while number * _SYNC <= end:
        yield number * _SYNC, "time_sync", number
        number += 1


def write(out: Writer, offset: float, what: str, number: int) -> None:
    """Write one of what `between` names."""
    if what == "pod":
        pod(out, offset, number)
    elif what == "pod_ends":
        pod_ends(out, offset, number)
    else:
        time_sync(out, offset)
