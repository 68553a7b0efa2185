# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Talos versions: parse, compare, and what each one can do."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_PATTERN = re.compile(r"v?([0-9]{1,6})\.([0-9]{1,6})\.([0-9]{1,6})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")


@dataclass(frozen=True, order=True)
class TalosVersion:
    """A Talos version that compares as semantic versions do (a pre-release comes before its release)."""

    order: tuple[object, ...] = field(repr=False)
    major: int = field(compare=False)
    minor: int = field(compare=False)
    patch: int = field(compare=False)
    prerelease: str = field(compare=False, default="")

    def __str__(self) -> str:
        suffix = f"-{self.prerelease}" if self.prerelease else ""
        return f"v{self.major}.{self.minor}.{self.patch}{suffix}"

    @property
    def release(self) -> tuple[int, int]:
        """``(major, minor)``: the release line, which fixes policy, resources and API."""
        return (self.major, self.minor)


def parse_version(text: str) -> TalosVersion:
    """The version named by ``text`` ("v1.14.1", "1.13.7", "v1.14.0-rc.1").

    Raises:
        ValueError: ``text`` is not a complete version.
    """
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a Talos version such as v1.14.1")
    major, minor, patch = (int(match[index]) for index in (1, 2, 3))
    prerelease = match[4] or ""
    # Semantic Versioning 2.0.0, item 11: numbers sort before words, and no pre-release sorts last.
    identifiers = tuple(
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in prerelease.split(".")
    )
    order = (major, minor, patch, 0 if prerelease else 1, identifiers)
    return TalosVersion(order, major, minor, patch, prerelease)


# Feature -> the first version of each release line that has it; the last entry holds for all later lines.
_FEATURES: dict[str, tuple[str, ...]] = {
    # pkg/machinery/kernel/kernel.go: selinux=1 became a default argument.
    "selinux": ("1.10.0-alpha.0",),
    "kernel_cmdline_resource": ("1.11.0-alpha.0",),
    "persistent_logs": ("1.12.0-alpha.0",),
    # internal/pkg/partition/wipe.go, commit 399240be3: a label wipe also removes the partition entry.
    "reset_drops_partitions": ("1.12.0-alpha.0",),
    "maintenance_logs": ("1.13.0-alpha.0",),
    # Issue 13744, PR 13764: the receive loop no longer ends on EINTR, EAGAIN and ENOBUFS.
    "auditd_survives_errors": ("1.13.7", "1.14.0-beta.0"),
    "boot_id_resource": ("1.14.0-alpha.0",),
    "schematic_resource": ("1.14.0-alpha.0",),
    "unattended_install": ("1.14.0-alpha.0",),
    # PR 14055: a root file system built as an overlay (every Image Factory image) can run enforcing.
    "factory_image_enforcing": ("1.14.0-rc.2",),
}
FEATURES = frozenset(_FEATURES)


def supports(version: TalosVersion | str, feature: str) -> bool:
    """Whether a Talos ``version`` has ``feature`` (one of FEATURES).

    Raises:
        KeyError: the feature is not in the table.
        ValueError: ``version`` is a text that is not a version.
    """
    actual = parse_version(version) if isinstance(version, str) else version
    firsts = [parse_version(first) for first in _FEATURES[feature]]
    if actual >= firsts[-1]:
        return True
    return any(actual.release == first.release and actual >= first for first in firsts)
