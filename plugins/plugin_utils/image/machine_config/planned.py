# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the operator's machine configuration will say once it points at the target image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...problem import Problem
from .arguments import Boot
from .disks import selection
from .hostname import name_of_identity
from .prepare import prepare


def planned_config(
    text: str | None, image: Mapping[str, Any] | None, boot: Boot, node: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """The facts for ``config`` of the evidence document; null without image or configuration.

    Args:
        text: the operator's machine configuration, full of secrets.
        image: ``{version, installer, kernel_args}`` of the target.
        boot: ``uki`` or ``grub``: how the installed system boots.
        node: ``{machine_type, hostname, identity, disks}`` of the node as it runs now, which the configuration must be
            for; a value that the node did not give is a problem. None for a machine that has never been a node.

    Returns:
        The facts (`facts.facts`), and ``install_disks``: the names of the node's disks that the install section
        selects; None where that cannot be told.
    """
    if text is None or image is None:
        return None
    present = {key: None if node is None else node[key] for key in ("machine_type", "hostname")}
    try:
        found = prepare(
            text,
            installer=image["installer"],
            version=image["version"],
            boot=boot,
            kernel_args=image.get("kernel_args") or (),
            **present,
        ).facts
    except Problem as problem:
        return {"sha256": None, "install": None, "install_disks": None, "valid": False, "problems": [problem.found]}
    problems = list(found["problems"])
    if node is not None:
        problems += [
            f"the node does not say its {what}, so nobody knows whether this is its configuration"
            for key, what in (("machine_type", "role"), ("hostname", "host name"))
            if present[key] is None and found.get(key) is not None
        ]
        problems += _name_that_ends(found.get("hostname"), present["hostname"], node.get("identity"))
    disks = selection(found["install"], node.get("disks")) if node is not None else None
    return {**found, "install_disks": disks, "valid": not problems, "problems": problems}


def _name_that_ends(configured: str | None, present: str | None, identity: str | None) -> list[str]:
    """A node that is called after its identity comes back under another name, beside a Kubernetes node that stays."""
    if configured is not None or not present or not identity or present.partition(".")[0] != name_of_identity(identity):
        return []
    return [
        f"the node is called {present} after its identity, which the wipe replaces, and the configuration gives it no"
        f" other name; set hostname in a HostnameConfig to {present}, or to the name it is to have"
    ]
