# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gRPC methods of a simulated node, with their roles, and what each answers."""

from . import cosi, etcd, facts, files, logs, orders  # noqa: F401  (importing them fills the table)
from .table import ADMIN, FAN_OUT, METHODS, OPERATOR, READER, WRITES, Abort, Caller, Method, authorize

__all__ = ["ADMIN", "FAN_OUT", "METHODS", "OPERATOR", "READER", "WRITES", "Abort", "Caller", "Method", "authorize"]
