# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What consoles of real nodes showed that booted enforcing and never reached their API."""

from __future__ import annotations

import real_talos

_RECORDED = {"udevd": "console-enforcing-overlay-udevd.log"}


def text(kind: str) -> str:
    """The console of such a boot: ``udevd`` (its library is denied), or without it the helpers of the kernel are."""
    name = _RECORDED.get(kind, "console-enforcing-overlay.log")
    return real_talos.text(name).decode(errors="replace")
