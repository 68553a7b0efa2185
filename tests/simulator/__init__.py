# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet of simulated Talos nodes behind real TLS. See README.md beside this file."""

from __future__ import annotations

from .simulator import Simulator
from .wire import Call

__all__ = ["Call", "Simulator"]
