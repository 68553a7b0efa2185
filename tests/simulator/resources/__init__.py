# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""COSI resources of a simulated node: which types exist in which version, and their YAML specs."""

from . import cluster, disks, machine, meta, volumes  # noqa: F401  (importing them fills the table)
from .table import NAMESPACES, TYPES, ResourceType, collect, find, labels, message, to_yaml

__all__ = ["NAMESPACES", "TYPES", "ResourceType", "collect", "find", "labels", "message", "to_yaml"]
