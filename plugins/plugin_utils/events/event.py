# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The form of an event."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ..texts import inert_all

Event = dict[str, Any]


def event(kind: str, about: Mapping[str, Any], what: Any, more: Mapping[str, Any], serial: int | None = None) -> Event:
    """An event whose id is the same whenever the same thing is told again.

    Its texts come from nodes and their logs, and ansible-rulebook makes variables of a playbook of them, which Ansible
    takes for templates; so they are made inert.

    Args:
        about: ``{node, uuid, boot}``, each None for what concerns the fleet.
        what: what tells it from others of its kind, node, boot and serial.
        more: the further fields.
    """
    named: Sequence[Any] = (kind, about["uuid"], about["boot"], serial, what)
    identifier = hashlib.sha256(repr(named).encode()).hexdigest()[:32]
    told: Event = inert_all({"type": kind, "serial": serial, **about, **more})
    return {"id": identifier, **told}
