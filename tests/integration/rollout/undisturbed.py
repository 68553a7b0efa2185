# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the ledger of a rollout holds that nothing disturbed, entry by entry, derived from the table of the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.boot_paths import BY_NAME
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.ledger import (
    CLUSTER_LOCK,
    CONTROL_PLANE_LOCK,
    ROLLOUT_LOCK,
)
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout.steps import FIRST_CHANGE, STEP_NAMES

_WRITES = ("drain", "reset", "apply")


def of_node(role: str, boot_path: str) -> list[str]:
    """The entries of one node, as :func:`words`, in order."""
    writes = (*_WRITES, "boot") if BY_NAME[boot_path].needs_hook else _WRITES
    found = []
    for step in STEP_NAMES:
        if role == "controlplane" and step == FIRST_CHANGE:
            found.append(f"acquire {CONTROL_PLANE_LOCK}")
        found.append(f"begin {step}")
        if step in writes:
            found += [f"intent {step}", f"sent {step}"]
        found.append(f"finish {step}")
    return found + [f"release {CONTROL_PLANE_LOCK}"] * (role == "controlplane")


def of_run(role: str, boot_path: str) -> list[str]:
    """The entries of a rollout of one node."""
    return [
        f"acquire {ROLLOUT_LOCK}",
        f"acquire {CLUSTER_LOCK}",
        *of_node(role, boot_path),
        f"release {CLUSTER_LOCK}",
        f"release {ROLLOUT_LOCK}",
    ]


def words(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each entry in two words: its kind, and its step or its lock."""
    return [f"{entry['kind']} {entry.get('step') or entry.get('lock')}" for entry in entries]
