# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ApplyConfiguration: judged, shown as a difference, or put into force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from . import configuration, versions
from .booting import configured
from .proto import make
from .work import start

if TYPE_CHECKING:
    from .node import Node

REBOOT, AUTO, NO_REBOOT, STAGED, TRY = 0, 1, 2, 3, 4


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
        start(node, configured(node))
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
