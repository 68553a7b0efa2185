# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One visit to a node: its answers, what it did not answer, and which boot answered."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

from ..talos import boots
from ..talos.boots import Look
from ..talos.client import NodeClient
from ..talos.errors import NotFound, TalosError, Unsupported

V = TypeVar("V")


class Visit:
    """One node's answers, and what could not be answered."""

    def __init__(self, client: NodeClient) -> None:
        self.client = client
        self.errors: list[dict[str, str]] = []

    async def get(self, source: str, question: Awaitable[V]) -> V | None:
        """The answer, or None with the failure kept under ``errors``."""
        try:
            return await question
        except TalosError as error:
            self.errors.append({"source": source, "kind": error.kind, "found": error.found})
            return None

    async def get_if_there(self, source: str, question: Awaitable[V]) -> tuple[bool, V | None]:
        """Like :meth:`get` for what may rightly be absent: ``(known, answer)``; a clean "not there" is knowledge."""
        try:
            return True, await question
        except (NotFound, Unsupported):
            return True, None
        except TalosError as error:
            self.errors.append({"source": source, "kind": error.kind, "found": error.found})
            return False, None


async def look_at_boot(visit: Visit) -> Look:
    """Which boot answers; nothing is known of it where a question about it was not answered."""
    known, boot_id = await visit.get_if_there("BootID", visit.client.get("boot_id"))
    stat = await visit.get("SystemStat", visit.client.system_stat())
    # Without its id a node that has one would be taken for one of a release that has none.
    return boots.seen(text_at(boot_id, "bootID"), stat, time.time()) if known else Look()


def text_at(resource: Any, key: str) -> str | None:
    """A field of a resource's spec as text; None without the resource or the field."""
    if resource is None or not isinstance(resource.spec, Mapping):
        return None
    value = resource.spec.get(key)
    return str(value) if value is not None else None


def flag_at(resource: Any, *keys: str) -> bool | None:
    """A boolean of a resource's spec; None unless it is there and is one."""
    value = resource.spec if resource is not None else None
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, bool) else None
