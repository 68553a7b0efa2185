# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ends a boot: reset, reboot, shutdown, and what they wipe on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from . import resources, versions
from .booting import boot, lose_meta, power_off
from .etcd import EtcdError
from .work import (
    DRAIN,
    DRAIN_TIMEOUT,
    LEAVE,
    LEAVE_TIMEOUT,
    LOCKED,
    NOOP,
    START,
    STOP,
    STOPPED,
    WIPE,
    followed,
    new_actor,
    phase,
    sequence,
    sleep,
    start,
    stop_everything,
)

if TYPE_CHECKING:
    from .node import Node

MODE_ALL, MODE_SYSTEM_DISK, MODE_USER_DISKS = 0, 1, 2


def _refuse(text: str) -> GRPCError:
    # A plain Go error reaches the caller with code Unknown.
    return GRPCError(Status.UNKNOWN, text)


def reset(node: Node, request: Any) -> str:
    """Validate a Reset request and start it. Returns the actor id; raises GRPCError."""
    labels = {entry.label: entry.wipe for entry in request.system_partitions_to_wipe}
    disks = list(request.user_disks_to_wipe)
    if disks:
        if request.mode == MODE_SYSTEM_DISK:
            raise _refuse(
                "reset failed: invalid input, wipe mode SYSTEM_DISK doesn't support UserDisksToWipe parameter"
            )
        for device in disks:
            if device == node.disk_path and node.meta_installed:
                raise _refuse(f"reset user disk failed: device {device} is the system disk")
            if device not in node.spec.user_disks and device != node.disk_path:
                raise _refuse(f"reset user disk failed: device {device} wasn't found")
    if labels:
        if request.mode == MODE_USER_DISKS:
            text = "reset failed: invalid input, wipe mode USER_DISKS doesn't support SystemPartitionsToWipe parameter"
            raise _refuse(text)
        volumes = resources.TYPES["VolumeStatuses.block.talos.dev"].produce(node)
        for label in labels:
            if label not in volumes:
                text = f"resource VolumeStatuses.block.talos.dev(runtime/{label}@undefined) doesn't exist"
                raise _refuse(f'failed to get volume status with label "{label}": {text}')
            if "location" not in volumes[label]:
                backing = volumes[label].get("parentID", "EPHEMERAL")
                if not labels.get(backing):
                    raise _refuse(
                        f'failed to reset: volume "{label}" resides on volume "{backing}", '
                        f'and therefore "{label}" cannot be '
                        f'wiped without wiping "{backing}"'
                    )
    actor = new_actor()
    if "reset_ignored" in node.faults:
        return actor
    if node.state in ("resetting", "rebooting"):
        # Accepted like any other; only the events tell that another sequence holds the lock.
        sequence(node, actor, "reset", NOOP, "locked", code=LOCKED)
        return actor
    node.set_state("resetting")
    start(node, _reset(node, actor, labels, disks, request))
    return actor


def reboot(node: Node, mode: int) -> str:
    """Start a reboot; mode 1 (POWERCYCLE) goes through the firmware."""
    actor = new_actor()
    node.set_state("rebooting")
    start(node, _reboot(node, actor, kexec=mode != 1))
    return actor


def shutdown(node: Node) -> str:
    """Start a shutdown; the machine stays off."""
    actor = new_actor()
    node.set_state("shutting down")
    start(node, _shutdown(node, actor))
    return actor


def leave_etcd(node: Node) -> None:
    """Remove a node's own member. Raises EtcdError."""
    member = node.fleet.etcd.members.get(node.name)
    if "member_remove_fails" in node.faults:
        raise EtcdError("etcdserver: unhealthy cluster")
    if member is not None:
        try:
            node.fleet.etcd.remove(member.id)
        except KeyError:
            raise EtcdError("etcdserver: member not found") from None
    node.etcd_data = False


async def _reset(node: Node, actor: str, labels: dict[str, bool], disks: list[str], request: Any) -> None:
    assert node.boot is not None
    node.boot.reset_actor = actor
    sequence(node, actor, "reset", START)
    node.log_kernel(f"reset request received. actorID: {actor}")
    if request.graceful and node.config_applied:
        phase(node, actor, "drain")
        if not node.unschedulable:
            node.unschedulable = node.talos_cordon = True
            node.notify()
        if "drain_blocked" in node.faults:
            # A failed drain is only logged: the reset goes on.
            await sleep(node, DRAIN_TIMEOUT)
            node.log_kernel("failed to cordon and drain node: 1 error(s) occurred: timeout")
        await sleep(node, DRAIN)
        if node.role == "controlplane":
            phase(node, actor, "leave")
            try:
                await sleep(node, LEAVE)
                leave_etcd(node)
            except EtcdError as error:
                await sleep(node, LEAVE_TIMEOUT)
                text = f"failed to leave cluster: {error}"
                node.log_kernel(f"phase leave (1/1) failed: {text}")
                sequence(node, actor, "reset", STOPPED, text)
                await boot(node, kexec=True)
                return
    node.fleet.etcd.set_up(node.name, False)
    phase(node, actor, "stopServices")
    stop_everything(node, actor)
    node.ready = False
    node.notify()
    await sleep(node, STOP)
    if not labels:
        await followed(node, actor)
    # With its services the API ended: of the wipe itself nobody hears.
    await node.fleet.silence(node)
    phase(node, actor, "wipe")
    await sleep(node, WIPE)
    kexec = bool(labels)
    if node.spec.mode == "container":
        await power_off(node)
        return
    if labels:
        wipe_labels(node, [label for label, wipe in labels.items() if wipe])
    elif request.mode != MODE_USER_DISKS:
        wipe_disk(node)
    node.log_kernel("reset successful")
    sequence(node, actor, "reset", STOPPED)
    if not request.reboot:
        await power_off(node)
        return
    await boot(node, kexec=kexec or request.mode == MODE_USER_DISKS)


def wipe_disk(node: Node) -> None:
    """Wipe the whole system disk: nothing installed, nothing bootable on it."""
    node.disk, node.partitions = None, {}
    node.config = node.node_id = node.machine_id = None
    node.etcd_data = False
    lose_meta(node)


def wipe_labels(node: Node, labels: list[str]) -> None:
    """Wipe partitions by label; from 1.12 on their entries in the partition table go too."""
    for label in labels:
        part = node.partitions.get(label)
        if part is None:
            continue
        if versions.at_least(node.version, "1.12"):
            del node.partitions[label]
        else:
            part.wiped = True
        if label == "META":
            lose_meta(node)
        elif label == "STATE":
            node.config = node.node_id = node.machine_id = None
        elif label == "EPHEMERAL":
            node.etcd_data = False


async def _reboot(node: Node, actor: str, *, kexec: bool) -> None:
    sequence(node, actor, "reboot", START)
    stop_everything(node, actor)
    await sleep(node, STOP)
    sequence(node, actor, "reboot", STOPPED)
    await boot(node, kexec=kexec)


async def _shutdown(node: Node, actor: str) -> None:
    sequence(node, actor, "shutdown", START)
    stop_everything(node, actor)
    await sleep(node, STOP)
    sequence(node, actor, "shutdown", STOPPED)
    await power_off(node)
