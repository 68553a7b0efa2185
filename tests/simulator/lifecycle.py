# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a machine goes through: reset, wipe, reboot, maintenance, install, first boot."""

from __future__ import annotations

import asyncio
import base64
import os
import uuid
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import yaml
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from . import configuration, console, resources, versions
from .etcd import EtcdError
from .node import Boot, System
from .proto import make

if TYPE_CHECKING:
    from .node import Node

# Simulated seconds; divided by the scenario's time_scale.
DRAIN, DRAIN_TIMEOUT, LEAVE, LEAVE_TIMEOUT, STOP, WIPE = 10, 300, 3, 300, 8, 3
KEXEC, FIRMWARE, INITIALIZE, BOOT, INSTALL, KUBELET, LEARNER = 8, 40, 6, 10, 40, 10, 12

MODE_ALL, MODE_SYSTEM_DISK, MODE_USER_DISKS = 0, 1, 2
REBOOT, AUTO, NO_REBOOT, STAGED, TRY = 0, 1, 2, 3, 4
NOOP, START, STOPPED = 0, 1, 2
FATAL, LOCKED = 0, 1
_CARRIED_OVER = (
    "talos.auditd.disabled",
    "net.ifnames",
    "siderolink.api",
    "talos.events.sink",
    "talos.logging.kernel",
    "talos.dashboard.disabled",
    "module.sig_enforce",
)


class InstallError(Exception):
    """The installer could not be resolved or run."""


def new_actor() -> str:
    """Id by which the events of one request are found."""
    return str(uuid.uuid4())


def _refuse(text: str) -> GRPCError:
    # A plain Go error reaches the caller with code Unknown.
    return GRPCError(Status.UNKNOWN, text)


async def _sleep(node: Node, seconds: float) -> None:
    await asyncio.sleep(seconds / node.fleet.scenario.time_scale)


def _sequence(node: Node, actor: str, name: str, action: int, error: str = "", *, code: int = FATAL) -> None:
    message = make("machine.SequenceEvent", sequence=name, action=action)
    if error:
        message.error.message, message.error.code = error, code
    node.add_event("machine.SequenceEvent", message.SerializeToString(), actor)


def _phase(node: Node, actor: str, name: str) -> None:
    for action in (0, 1):
        payload = make("machine.PhaseEvent", phase=name, action=action).SerializeToString()
        node.add_event("machine.PhaseEvent", payload, actor)


def _stop_everything(node: Node, actor: str) -> None:
    """The last events before the API goes down: talosctl waits for this very task."""
    name, task = "machine.TaskEvent", "stopAllServices"
    for action in (0, 1):
        node.add_event(name, make(name, task=task, action=action).SerializeToString(), actor)


def start(node: Node, work: Coroutine[Any, Any, None]) -> None:
    """Run a node's own background work; what it was doing before ends."""
    if node.task is not None and not node.task.done() and node.task is not asyncio.current_task():
        node.task.cancel()

    async def run() -> None:
        # The caller gets its answer before its connection is cut, whatever the time scale.
        await asyncio.sleep(0.05)
        try:
            await work
        except Exception as error:
            node.fleet.errors.append(error)
            raise

    node.task = asyncio.get_running_loop().create_task(run())
    # Cancelled before its first step, the work itself was never started.
    node.task.add_done_callback(lambda _task: work.close())


# -- requests --


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
        _sequence(node, actor, "reset", NOOP, "locked", code=LOCKED)
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


def apply(node: Node, request: Any) -> Any:
    """Handle ApplyConfiguration. Returns the answer message; raises GRPCError."""
    mode = request.mode
    try:
        config = configuration.decode(request.data, node.version)
        _check_whole(node, config)
        configuration.judge(config, node.version, installs=not node.meta_installed)
    except configuration.Rejected as error:
        raise GRPCError(Status.INVALID_ARGUMENT, str(error)) from error
    if node.maintenance:
        if not versions.at_least(node.version, "1.13") and mode not in (TRY, REBOOT, AUTO):
            text = f"apply configuration mode {mode} is not supported in maintenance mode"
            raise GRPCError(Status.UNIMPLEMENTED, text)
        mode = NO_REBOOT
    else:
        if mode == REBOOT and versions.at_least(node.version, "1.14"):
            text = "the REBOOT mode is not supported, please use AUTO or NO_REBOOT modes instead"
            raise GRPCError(Status.UNIMPLEMENTED, text)
        if mode == AUTO:
            mode = NO_REBOOT
    details = (
        "Staged configuration to be applied after the next reboot"
        if mode == STAGED
        else "Applied configuration without a reboot"
    )
    text = request.data.decode("utf-8-sig")
    if request.dry_run:
        diff = configuration.difference(node.config, text)
        details = f"Dry run summary:\n{details} (skipped in dry-run).\nConfig diff:\n\n{diff}"
        return make("machine.ApplyConfiguration", mode=mode, mode_details=details)
    if node.maintenance and config.main is not None:
        node.config = text
        node.role = _machine(config)["type"]
        node.hostname = _hostname(config) or node.name
        start(node, _configured(node))
    elif not node.maintenance:
        node.config = text
        node.notify()
    return make("machine.ApplyConfiguration", mode=mode, mode_details=details)


def _check_whole(node: Node, config: configuration.Decoded) -> None:
    """A part of a configuration is taken in maintenance mode only, and there since 1.12."""
    if config.main is not None or (node.maintenance and versions.at_least(node.version, "1.12")):
        return
    text = "the applied machine configuration doesn't contain v1alpha1 config"
    hint = "" if node.maintenance else ", did you mean to patch the machine config instead?"
    raise configuration.Rejected(text + hint)


def _machine(config: configuration.Decoded) -> dict[str, Any]:
    return dict((config.main or {}).get("machine") or {})


def _hostname(config: configuration.Decoded) -> str:
    own = (_machine(config).get("network") or {}).get("hostname")
    return str(own or (config.document("HostnameConfig") or {}).get("hostname") or "")


# -- sequences --


async def _reset(node: Node, actor: str, labels: dict[str, bool], disks: list[str], request: Any) -> None:
    assert node.boot is not None
    node.boot.reset_actor = actor
    _sequence(node, actor, "reset", START)
    node.log_kernel(f"reset request received. actorID: {actor}")
    if request.graceful and node.config_applied:
        _phase(node, actor, "drain")
        if not node.unschedulable:
            node.unschedulable = node.talos_cordon = True
            node.notify()
        if "drain_blocked" in node.faults:
            # A failed drain is only logged: the reset goes on.
            await _sleep(node, DRAIN_TIMEOUT)
            node.log_kernel("failed to cordon and drain node: 1 error(s) occurred: timeout")
        await _sleep(node, DRAIN)
        if node.role == "controlplane":
            _phase(node, actor, "leave")
            try:
                await _sleep(node, LEAVE)
                leave_etcd(node)
            except EtcdError as error:
                await _sleep(node, LEAVE_TIMEOUT)
                text = f"failed to leave cluster: {error}"
                node.log_kernel(f"phase leave (1/1) failed: {text}")
                _sequence(node, actor, "reset", STOPPED, text)
                await boot(node, kexec=True)
                return
    node.fleet.etcd.set_up(node.name, False)
    _phase(node, actor, "stopServices")
    _stop_everything(node, actor)
    node.ready = False
    node.notify()
    await _sleep(node, STOP)
    _phase(node, actor, "wipe")
    await _sleep(node, WIPE)
    kexec = bool(labels)
    if node.spec.mode == "container":
        await power_off(node)
        return
    if labels:
        wipe_labels(node, [label for label, wipe in labels.items() if wipe])
    elif request.mode != MODE_USER_DISKS:
        wipe_disk(node)
    node.log_kernel("reset successful")
    _sequence(node, actor, "reset", STOPPED)
    if not request.reboot:
        await power_off(node)
        return
    await boot(node, kexec=kexec or request.mode == MODE_USER_DISKS)


def _lose_meta(node: Node) -> None:
    node.meta.clear()
    node.token = base64.b64encode(os.urandom(32)).decode()


def wipe_disk(node: Node) -> None:
    """Wipe the whole system disk: nothing installed, nothing bootable on it."""
    node.disk, node.partitions = None, {}
    node.config = node.node_id = node.machine_id = None
    node.etcd_data = False
    _lose_meta(node)


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
            _lose_meta(node)
        elif label == "STATE":
            node.config = node.node_id = node.machine_id = None
        elif label == "EPHEMERAL":
            node.etcd_data = False


async def _reboot(node: Node, actor: str, *, kexec: bool) -> None:
    _sequence(node, actor, "reboot", START)
    _stop_everything(node, actor)
    await _sleep(node, STOP)
    _sequence(node, actor, "reboot", STOPPED)
    await boot(node, kexec=kexec)


async def _shutdown(node: Node, actor: str) -> None:
    _sequence(node, actor, "shutdown", START)
    _stop_everything(node, actor)
    await _sleep(node, STOP)
    _sequence(node, actor, "shutdown", STOPPED)
    await power_off(node)


async def power_off(node: Node) -> None:
    """Switch the machine off."""
    node.fleet.etcd.set_up(node.name, False)
    await node.fleet.silence(node)
    node.boot = None
    node.set_state("off", ready=False)


def _next_system(node: Node, kexec: bool) -> tuple[System | None, str]:
    if kexec and node.disk is not None and not node.spec.secure_boot:
        return node.disk, "disk"
    if node.medium is not None and (node.medium_next or node.spec.firmware == "medium" or node.disk is None):
        node.medium_next = False
        return node.medium, "medium"
    return node.disk, "disk"


async def boot(node: Node, *, kexec: bool) -> None:
    """Go down, choose what to boot, and run through to wherever that leads."""
    node.fleet.etcd.set_up(node.name, False)
    node.set_state("rebooting", ready=False)
    await node.fleet.silence(node)
    node.boot = None
    node.install_phase = None
    await _sleep(node, KEXEC if kexec and not node.spec.secure_boot else FIRMWARE)
    system, origin = _next_system(node, kexec)
    if system is None:
        node.set_state("dead")
        return
    if origin == "medium" and node.meta_installed and "talos.halt_if_installed=1" in system.arguments:
        node.set_state("dead")
        return
    uki = versions.at_least(system.version, "1.10") and (origin == "medium" or node.bootloader == "uki")
    node.boot = Boot(
        system, list(system.arguments), origin, node.clock.running(), installed=node.meta_installed, booted_with_uki=uki
    )
    node.state = "booting"
    node.dead_console = None
    if "enforcing_boot_fails" in node.faults and node.selinux == "enforcing":
        # The root is an overlay that the policy does not let udevd work on: no API, ever; the console tells why.
        node.dead_console = console.text(str(node.faults["enforcing_boot_fails"]))
        node.set_state("lost")
        return
    await _sleep(node, INITIALIZE)
    if node.config is None:
        node.set_state("maintenance")
        await node.fleet.listen(node)
        return
    await _configured(node)


async def _configured(node: Node) -> None:
    """Go on with a complete machine config: install when that is due, then boot."""
    assert node.boot is not None and node.config is not None
    config = configuration.decode(node.config.encode(), node.version)
    machine, unattended = _machine(config), config.document("UnattendedInstallConfig")
    newer = versions.at_least(node.version, "1.14")
    wants_install = unattended is not None or bool(machine.get("install")) or not newer
    if not node.meta_installed and wants_install:
        await _install(node, machine.get("install") or {}, unattended)
        return
    if not node.boot.installed and not node.meta_installed:
        # Since 1.14 a config without an install section runs from the medium.
        node.boot.origin = "medium"
    await _running(node)


async def _running(node: Node) -> None:
    assert node.boot is not None
    node.set_state("booting", ready=False)
    if node.meta_installed:
        _recreate_partitions(node)
    if node.node_id is None:
        node.new_identity()
    await node.fleet.listen(node)
    _sequence(node, "", "boot", START)
    await _sleep(node, BOOT)
    if node.role == "controlplane":
        await _join_etcd(node)
    _sequence(node, "", "boot", STOPPED)
    node.boot.logs = None
    node.set_state("running")
    await _sleep(node, KUBELET)
    if node.talos_cordon:
        node.unschedulable = node.talos_cordon = False
    node.ready = True
    node.boot.logs = None
    node.notify()
    if node.role == "controlplane":
        await _sleep(node, LEARNER)
        node.fleet.etcd.promote(node.name)
        node.notify()


def _recreate_partitions(node: Node) -> None:
    """Bring back what a label wipe took: the config describes STATE and EPHEMERAL, the old entries keep their place."""
    from .node import _GRUB_LAYOUT, _LAYOUT, Partition

    for label, index, size, filesystem in _LAYOUT if node.bootloader == "uki" else _GRUB_LAYOUT:
        part = node.partitions.get(label)
        if part is None:
            node.partitions[label] = Partition(label, index, size, filesystem)
        elif part.wiped:
            node.partitions[label] = Partition(label, index, size, filesystem, partition_uuid=part.partition_uuid)


async def _join_etcd(node: Node) -> None:
    etcd = node.fleet.etcd
    if node.etcd_data and node.name in etcd.members:
        etcd.set_up(node.name, True)
        return
    while True:
        try:
            etcd.add(node, learner=True)
        except EtcdError:
            await _sleep(node, LEARNER)
            continue
        node.etcd_data = True
        return


async def _install(node: Node, install: dict[str, Any], unattended: dict[str, Any] | None) -> None:
    assert node.boot is not None
    image = str(install.get("image") or "")
    if unattended is not None:
        image = str((unattended.get("installer") or {}).get("image") or "")
        node.install_phase = (image, "pending", "")
    node.set_state("installing", ready=False)
    # The real API with the cluster's certificates is up by now.
    await node.fleet.listen(node)
    _sequence(node, "", "install", START)
    if unattended is not None:
        node.install_phase = (image, "installing", "")
        node.notify()
    await _sleep(node, INSTALL)
    try:
        system = resolve(node, image, install, unattended)
    except InstallError as error:
        node.log_kernel(f"install sequence: failed: {error}")
        _sequence(node, "", "install", STOPPED, str(error))
        if unattended is not None:
            node.install_phase = (image, "failed", str(error))
            node.notify()
        await _sleep(node, INSTALL)
        # The config was only in memory; the disk was not touched, so the old system boots again.
        node.config = None
        await boot(node, kexec=False)
        return
    if unattended is not None:
        node.install_phase = (image, "installed", "")
        node.notify()
    node.disk = system
    node.make_partitions()
    node.new_identity()
    node.etcd_data = False
    _lose_meta(node)
    node.log_kernel("installation of " + system.version + " complete")
    _sequence(node, "", "install", STOPPED)
    if unattended is not None and unattended.get("reboot") is False:
        node.install_phase = (image, "waiting-for-reboot", "")
        node.notify()
        return
    await boot(node, kexec=True)


def resolve(node: Node, image: str, install: dict[str, Any], unattended: dict[str, Any] | None) -> System:
    """The system that installing ``image`` puts on the disk, with its kernel command line. Raises InstallError."""
    from .node import build_system

    assert node.boot is not None
    if "install_fails" in node.faults:
        value = node.faults["install_fails"]
        raise InstallError(
            value if isinstance(value, str) else f'failed to pull image "{image}": unexpected status 500'
        )
    baked: list[str] | None = None
    disk = install.get("disk")
    if disk and disk not in (node.disk_path, *node.spec.user_disks):
        raise InstallError(f"failed to install: disk {disk} not found")
    if not image:
        if versions.at_least(node.version, "1.14"):
            schematic, version = yaml.safe_load(node.boot.system.schematic) or {}, node.version
        else:
            # The built-in default is the plain installer: none of the schematic's arguments.
            schematic, version = {}, node.version
    else:
        answer = node.fleet.resolve_installer(image)
        if "error" in answer:
            raise InstallError(f'failed to pull image "{image}": {answer["error"]}')
        version, schematic, baked = answer["version"], answer["schematic"], answer.get("kernel_args")
    system = build_system(version, schematic, node.spec.platform)
    if baked:
        system.arguments = list(baked)
    # On UEFI a new install gets systemd-boot, also where an old one had kept GRUB.
    node.bootloader = "grub" if node.spec.bootloader == "grub" else "uki"
    if node.bootloader == "uki":
        return system
    from_uki = versions.at_least(version, "1.12") and (
        unattended is not None or not install or bool(install.get("grubUseUKICmdline"))
    )
    if not from_uki:
        carried = [argument for argument in node.arguments if argument.partition("=")[0] in _CARRIED_OVER]
        extra = [argument for argument in carried if argument not in system.arguments] + list(
            install.get("extraKernelArgs") or []
        )
        system.arguments = versions.merge_arguments(versions.default_arguments(version, node.spec.platform), extra)
    return system


def swap_boot(node: Node) -> None:
    """Put another boot under the feet of whoever reads: the machine rebooted between two reads."""
    if node.boot is not None:
        old = node.boot
        node.boot = Boot(
            old.system,
            list(old.arguments),
            old.origin,
            node.clock.running() - 1,
            installed=old.installed,
            booted_with_uki=old.booted_with_uki,
        )
        node.notify()
