# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node answers, as plain data: what it did not say is None, never a default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Version:
    """What the node runs. ``rbac`` is None while the node has no configuration; platform and mode likewise."""

    tag: str
    sha: str
    platform: str | None
    mode: str | None
    rbac: bool | None
    arch: str


@dataclass(frozen=True)
class SecurityState:
    """The node's own view of its security (pkg/machinery/resources/runtime/security_status.go).

    Attributes:
        selinux: ``unsupported`` when this Talos release has no SELinux by default (before 1.10).
        fips_state: the node's text; None when absent (disabled, or before 1.11).
        raw: the whole spec.
    """

    selinux: Literal["enforcing", "permissive", "disabled", "unsupported"]
    secure_boot: bool
    uki_signing_key_fingerprint: str | None
    pcr_signing_key_fingerprint: str | None
    booted_with_uki: bool | None
    fips_state: str | None
    module_signature_enforced: bool | None
    raw: dict[str, Any]


@dataclass(frozen=True)
class ServiceInfo:
    """A Talos service. ``events`` are ``{msg, state, ts}`` oldest first, ts ISO-8601 UTC or None.

    ``healthy`` is None when the node does not know (``unknown`` is then True) or runs no check.
    """

    id: str
    state: str
    events: list[dict[str, str | None]]
    healthy: bool | None
    unknown: bool
    last_message: str


@dataclass(frozen=True)
class SystemStat:
    """``boot_time`` in seconds since 1970; it moves with every step of the node's clock.

    What does not move, None where the node does not say: ``cpu_seconds`` is the CPU time of one processor since boot
    (idle time included), ``processes`` and ``context_switches`` were counted since boot.
    """

    boot_time: int
    cpu_seconds: float | None = None
    processes: int | None = None
    context_switches: int | None = None


@dataclass(frozen=True)
class Process:
    """A process. ``label`` is its SELinux context, None when the node gave none."""

    pid: int
    ppid: int
    state: str
    command: str
    executable: str
    args: str
    label: str | None


@dataclass(frozen=True)
class FileInfo:
    """A file. ``error`` tells why the node could not read it; ``modified`` in seconds since 1970."""

    name: str
    relative_name: str
    size: int
    mode: int
    modified: int
    is_dir: bool
    link: str
    uid: int
    gid: int
    xattrs: dict[str, bytes]
    error: str


@dataclass(frozen=True)
class ApplyResult:
    """What the node did, or in a dry run would do, with a configuration. ``details`` may quote that configuration."""

    warnings: list[str]
    mode: str
    details: str


@dataclass(frozen=True)
class EtcdMember:
    """An etcd member as the cluster knows it."""

    id: int
    hostname: str
    peer_urls: list[str]
    client_urls: list[str]
    is_learner: bool


@dataclass(frozen=True)
class EtcdStatus:
    """The etcd member on the asked node; ``leader`` is a member id, 0 when there is none."""

    member_id: int
    leader: int
    is_learner: bool
    raft_index: int
    raft_term: int
    raft_applied_index: int
    db_size: int
    db_size_in_use: int
    protocol_version: str
    storage_version: str | None
    errors: list[str]


@dataclass(frozen=True)
class EtcdAlarm:
    """An active alarm: ``alarm`` is ``nospace`` or ``corrupt``."""

    member_id: int
    alarm: str
