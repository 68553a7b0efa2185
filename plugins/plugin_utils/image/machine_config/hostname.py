# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that Talos makes: a host name of an identity, which a wipe replaces, and a node name of a host name."""

from __future__ import annotations

import hashlib
import re

_LEFT_OUT = re.compile(r"[^A-Za-z0-9_-]")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def name_of_identity(identity: str) -> str:
    """The name that ``auto: stable`` gives a node of this identity (Talos 1.10 to 1.14, hostname controller).

    It is stable across reboots and upgrades. A wiped machine gets another identity, and so another name.
    """
    number = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big")
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return f"talos-{digits[1:4]}-{digits[4:7]}"


def node_name(hostname: str) -> str:
    """The first part of the name that a node of this host name has in Kubernetes (Talos 1.10 to 1.14, nodename).

    Capital letters become small ones, underscores dashes, and whatever else Kubernetes takes in no name is left out.
    What follows the first dot is the domain, which only some nodes carry in their name.
    """
    first = _LEFT_OUT.sub("", hostname.partition(".")[0])
    return first.lower().replace("_", "-").strip("-")
