# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one table of the steps of a reinstall; the ledger, the modules, the role and the documentation follow it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step of a reinstall.

    ``changes_world``: it may already have had its effect when it is taken again, so it looks before it acts.
    ``repeats``: what taking it again may do, in words. ``needs`` are the facts of earlier steps without which it cannot
    start, ``leaves`` those it closes its entry with; only these pass from one step to another, by the ledger.
    """

    name: str
    what: str
    repeats: str
    changes_world: bool = False
    needs: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()


STEPS = (
    Step(
        "verify",
        "the image exists, still has its digest and carries `enforcing=1`; the running node accepts its machine "
        "configuration, which differs from what it runs by the image alone, or by what was approved; "
        "there is a way to the node and a way to boot it; somebody agreed",
        "everything; nothing is changed",
        leaves=("target", "config_sha256", "boot_path", "judged_by", "differences"),
    ),
    Step(
        "gate",
        "fresh evidence, a fresh verdict, bound to this node, boot, image and configuration",
        "everything; nothing is changed",
        needs=("target", "boot_path"),
        leaves=(
            "evidence",
            "evidence_sha256",
            "verdict",
            "uuid",
            "serial_number",
            "identity",
            "boot_id",
            "boot_time",
            "hostname",
            "address",
            "machine_type",
            "member",
            "peers",
        ),
    ),
    Step(
        "save",
        "evidence and verdict are on disk; for a control plane, a snapshot of etcd from another member",
        "everything; a further snapshot replaces the one before",
        needs=("evidence", "evidence_sha256", "machine_type", "peers"),
        leaves=("snapshot", "snapshot_sha256", "snapshot_from"),
    ),
    Step(
        "drain",
        "cordon, then drain within the disruption budgets; one that does not let go in time is named",
        "cordon and evictions; those that are gone stay gone",
        changes_world=True,
        needs=("evidence", "evidence_sha256", "hostname", "uuid"),
        leaves=("cordoned", "evicted"),
    ),
    Step(
        "reset",
        "the saved evidence and the live node are judged again, then the node is wiped; "
        "a control plane through another one, after every etcd member agreed",
        "the wipe, only while the old installation certainly still answers",
        changes_world=True,
        needs=(
            "evidence",
            "evidence_sha256",
            "verdict",
            "target",
            "config_sha256",
            "boot_path",
            "uuid",
            "identity",
            "machine_type",
        ),
        leaves=("actor_id", "gone"),
    ),
    Step(
        "boot",
        "in place, or by your hook",
        "the hook, unless the machine already waits in maintenance mode",
        changes_world=True,
        needs=("boot_path", "target", "address", "uuid"),
    ),
    Step(
        "identify",
        "maintenance mode, on the machine whose UUID and serial number the evidence has; its certificate is pinned",
        "everything; nothing is changed",
        needs=("uuid", "serial_number", "address"),
        leaves=("fingerprint",),
    ),
    Step(
        "apply",
        "the machine configuration, pointed at the enforcing image",
        "the configuration, only while the machine waits in maintenance mode",
        changes_world=True,
        needs=("fingerprint", "target", "config_sha256", "evidence", "evidence_sha256"),
        leaves=("applied_sha256", "repaired"),
    ),
    Step(
        "install",
        "the installation and the first boot",
        "the configuration, when the installation failed and the machine waits in maintenance mode again",
        needs=("target", "config_sha256", "evidence", "evidence_sha256", "uuid", "address"),
        leaves=("applied_again", "applied_sha256", "repaired"),
    ),
    Step(
        "prove",
        "the witnesses of enforcing, and a new identity, new volumes and the labels of a new system: "
        "a reinstall, not an upgrade",
        "everything; nothing is changed",
        needs=("evidence", "evidence_sha256", "target"),
        leaves=("proven", "witnesses", "reinstall", "evidence_after", "boot_after", "installation"),
    ),
    Step(
        "rejoin",
        "etcd voter again, node ready",
        "everything; nothing is changed",
        changes_world=True,
        needs=("hostname", "machine_type", "peers", "member"),
    ),
    Step(
        "soak",
        "a whole log of the new boot, and no enforced denial in it; then uncordon",
        "the watch from its start, and uncordoning",
        changes_world=True,
        needs=("boot_after", "hostname", "uuid", "cordoned"),
        leaves=("watched_seconds", "coverage", "enforced"),
    ),
)
STEP_NAMES = tuple(step.name for step in STEPS)
BY_NAME = {step.name: step for step in STEPS}
#: Once its write may have been sent, the old installation may be gone and the operation can only be finished.
POINT_OF_NO_RETURN = "reset"
#: The first step that others can notice; what it did is undone for a node that is not wiped.
FIRST_CHANGE = "drain"
#: A worker must not begin to disappear while a control plane is away.
DISRUPTIVE = ("drain", "reset")


def up_to(name: str) -> tuple[str, ...]:
    """The names of the steps before ``name``, in order."""
    return STEP_NAMES[: STEP_NAMES.index(name)]
