# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What evidence and ledger keep of a machine configuration: plain data without secrets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from ...fingerprints import fingerprint
from .. import kernel_args
from .checks import host_name, problems_of, role
from .document import ConfigError, Configuration
from .places import UNATTENDED, Value, values

#: What says which cluster a configuration is for, with the facts it is made of. A worker may know an authority only as
#: one that it accepts.
CLUSTER = {
    "cluster_id": ("cluster_id",),
    "cluster_secret": ("cluster_secret",),
    "machine_ca": ("machine_ca", "machine_accepted_cas"),
    "kubernetes_ca": ("kubernetes_ca", "kubernetes_accepted_cas"),
}


def facts(
    text: str, *, version: str | None = None, machine_type: str | None = None, hostname: str | None = None
) -> dict[str, Any]:
    """The ``config`` part of an evidence document.

    Args:
        text: the configuration as it will be applied, full of secrets.
        version: the Talos version to install.
        machine_type: what the node is now, ``controlplane`` or ``worker``; None is not compared.
        hostname: the node's present host name; None is not compared.

    Returns:
        ``{sha256, machine_type, hostname, cluster, install, valid, problems}``. ``machine_type`` and ``hostname`` are
        what the configuration says, or None. ``cluster`` is ``{cluster_id, cluster_secret, machine_ca,
        kubernetes_ca}``, each a SHA-256 or None. ``install`` is None without any; else ``{kind, disk,
        disk_selector, image, wipe, extra_kernel_args, grub_use_uki_cmdline}``, where None means that the key is absent.
    """
    result: dict[str, Any] = {
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "machine_type": None,
        "hostname": None,
        "cluster": None,
        "install": None,
        "valid": False,
        "problems": [],
    }
    try:
        config = Configuration(text)
    except ConfigError as error:
        return {**result, "problems": [error.found]}
    problems = problems_of(config, version=version, machine_type=machine_type, hostname=hostname)
    result |= {"valid": not problems, "problems": problems}
    result["machine_type"] = role(config)
    result["hostname"] = host_name(config)
    result["cluster"] = {name: _digest(values(config, *parts)) for name, parts in CLUSTER.items()}
    result["install"] = _install(config)
    return result


def _install(config: Configuration) -> dict[str, Any] | None:
    install = config.get(None, "machine", "install")
    args = install.get("extraKernelArgs") if isinstance(install, dict) else None
    common = {
        "extra_kernel_args": [kernel_args.masked(str(arg)) for arg in args] if isinstance(args, list) else None,
        "grub_use_uki_cmdline": _bool(config.get(None, "machine", "install", "grubUseUKICmdline")),
    }
    if config.document(UNATTENDED) is not None:
        return {
            "kind": "unattended",
            "disk": None,
            "disk_selector": _word(config.get(UNATTENDED, "provisioning", "diskSelector", "match")),
            "image": _word(config.get(UNATTENDED, "installer", "image")),
            "wipe": _bool(config.get(UNATTENDED, "provisioning", "wipe")),
            **common,
        }
    if not isinstance(install, dict):
        return None
    selector = install.get("diskSelector")
    return {
        "kind": "v1alpha1",
        "disk": _word(install.get("disk")),
        "disk_selector": {str(k): _word(v) for k, v in selector.items()} if isinstance(selector, dict) else None,
        "image": _word(install.get("image")),
        "wipe": _bool(install.get("wipe")),
        **common,
    }


def _digest(found: Sequence[Value]) -> str | None:
    """The fingerprint of a value, or of several as a set."""
    digests = {fingerprint(one.value) for one in found if isinstance(one.value, str)}
    if len(digests) < 2:
        return next(iter(digests), None)
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


def _word(found: Any) -> str | None:
    return None if found is None else str(found)


def _bool(found: Any) -> bool | None:
    return found if isinstance(found, bool) else None
