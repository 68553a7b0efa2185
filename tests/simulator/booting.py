# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From power-on to a running node: what is booted, installed, mounted and joined on the way."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any

import quick_yaml

from . import configuration, console, selection, versions
from .disk import GRUB_LAYOUT, LAYOUT, Partition, System, build_system
from .etcd import EtcdError
from .node import Boot
from .work import BOOT, FIRMWARE, INITIALIZE, INSTALL, KEXEC, KUBELET, LEARNER, RETRY, START, STOPPED, sequence, sleep

if TYPE_CHECKING:
    from .node import Node

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
    await sleep(node, KEXEC if kexec and not node.spec.secure_boot else FIRMWARE)
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
    await sleep(node, INITIALIZE)
    if node.config is None:
        node.set_state("maintenance")
        await node.fleet.listen(node)
        return
    await configured(node)


async def configured(node: Node) -> None:
    """Go on with a complete machine config: install when that is due, then boot."""
    assert node.boot is not None and node.config is not None
    config = configuration.decode(node.config.encode(), node.version)
    machine, unattended = dict((config.main or {}).get("machine") or {}), config.document("UnattendedInstallConfig")
    newer = versions.at_least(node.version, "1.14")
    wants_install = unattended is not None or bool(machine.get("install")) or not newer
    if not node.meta_installed and wants_install:
        if unattended is not None:
            await _install_unattended(node, unattended)
        else:
            await _install(node, machine.get("install") or {})
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
    sequence(node, "", "boot", START)
    await sleep(node, BOOT)
    if node.role == "controlplane":
        await _join_etcd(node)
    sequence(node, "", "boot", STOPPED)
    node.boot.logs = None
    node.set_state("running")
    await sleep(node, KUBELET)
    if node.talos_cordon:
        node.unschedulable = node.talos_cordon = False
    node.ready = True
    node.boot.logs = None
    node.notify()
    if node.role == "controlplane":
        await sleep(node, LEARNER)
        node.fleet.etcd.promote(node.name)
        node.notify()


def _recreate_partitions(node: Node) -> None:
    """Bring back what a label wipe took: the config describes STATE and EPHEMERAL, the old entries keep their place."""

    for label, index, size, filesystem in LAYOUT if node.bootloader == "uki" else GRUB_LAYOUT:
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
            await sleep(node, LEARNER)
            continue
        node.etcd_data = True
        return


def lose_meta(node: Node) -> None:
    """META is made anew: its values and the machine's token go."""
    node.meta.clear()
    node.token = base64.b64encode(os.urandom(32)).decode()


async def _install(node: Node, install: dict[str, Any]) -> None:
    """The install sequence of ``machine.install``: a failure is fatal, and the next start waits for a config again."""
    node.set_state("installing", ready=False)
    # The real API with the cluster's certificates is up by now.
    await node.fleet.listen(node)
    sequence(node, "", "install", START)
    await sleep(node, INSTALL)
    try:
        system = resolve(node, str(install.get("image") or ""), install, None)
    except InstallError as error:
        node.log_kernel(f"install sequence: failed: {error}")
        sequence(node, "", "install", STOPPED, str(error))
        await sleep(node, INSTALL)
        # The config was only in memory; the disk was not touched, so the old system boots again.
        node.config = None
        await boot(node, kexec=False)
        return
    _write(node, system)
    sequence(node, "", "install", STOPPED)
    await boot(node, kexec=True)


async def _install_unattended(node: Node, unattended: dict[str, Any]) -> None:
    """``UnattendedInstallConfig``: a controller installs during the boot sequence, and tries until it succeeds."""
    image = str((unattended.get("installer") or {}).get("image") or "")
    node.install_phase = (image, "pending", "")
    node.set_state("booting", ready=False)
    await node.fleet.listen(node)
    # It has no phases for this form of installation.
    sequence(node, "", "install", START)
    sequence(node, "", "install", STOPPED)
    sequence(node, "", "boot", START)
    while True:
        node.install_phase = (image, "installing", "")
        node.notify()
        await sleep(node, INSTALL)
        try:
            system = resolve(node, image, {}, unattended)
            break
        except InstallError as error:
            node.log_kernel(f"controller failed: runtime.UnattendedInstallController: {error}")
            node.install_phase = (image, "failed", f"failed to run installer: {error}")
            node.notify()
            await sleep(node, RETRY)
    _write(node, system)
    # Without an image of its own it reboots only when told to.
    reboots = unattended.get("reboot", bool(image))
    node.install_phase = (image, "waiting-for-reboot" if reboots else "installed", "")
    node.notify()
    if reboots:
        await boot(node, kexec=True)


def _write(node: Node, system: System) -> None:
    node.disk = system
    node.make_partitions()
    node.new_identity()
    node.etcd_data = False
    lose_meta(node)
    node.log_kernel("installation of " + system.version + " complete")


def resolve(node: Node, image: str, install: dict[str, Any], unattended: dict[str, Any] | None) -> System:
    """The system that installing ``image`` puts on the disk, with its kernel command line. Raises InstallError."""

    assert node.boot is not None
    if "install_fails" in node.faults:
        value = node.faults["install_fails"]
        raise InstallError(
            value if isinstance(value, str) else f'failed to pull image "{image}": unexpected status 500'
        )
    baked: list[str] | None = None
    try:
        selection.require_a_disk(node, install, unattended)
    except selection.NoDisk as problem:
        raise InstallError(str(problem)) from None
    if not image:
        if versions.at_least(node.version, "1.14"):
            schematic, version = quick_yaml.load(node.boot.system.schematic) or {}, node.version
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
        system.arguments = versions.command_line(version, node.spec.platform, extra)
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
