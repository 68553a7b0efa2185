# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Security contexts: their type, their categories, and what the categories alone refuse."""

from __future__ import annotations

from functools import lru_cache


def context_type(context: bytes) -> bytes:
    """The type of ``user:role:type:level``; the whole text when it is not of that form."""
    parts = context.split(b":", 3)
    return parts[2] if len(parts) >= 3 and parts[2] else context


def categories(context: bytes) -> frozenset[int] | None:
    """The category set of the HIGH level of a context; None when it cannot be read."""
    parts = context.split(b":", 3)
    if len(parts) < 4:
        return frozenset() if len(parts) == 3 else None
    high = parts[3].rpartition(b"-")[2]
    _unused, colon, names = high.partition(b":")
    if not colon:
        return frozenset()
    found: set[int] = set()
    for name in names.split(b","):
        low, dot, top = name.partition(b".")
        try:
            first = int(low[1:])
            last = int(top[1:]) if dot else first
        except ValueError:
            return None
        if not 0 <= first <= last <= 4096:
            return None
        found.update(range(first, last + 1))
    return frozenset(found)


MCS_CLASSES = frozenset(b"file dir lnk_file chr_file blk_file sock_file fifo_file process sem msgq msg shm key".split())
"""The classes on which categories are compared (Talos policy: common/mcs.cil, mcs_classes)."""


@lru_cache(maxsize=4096)
def refused_by_categories(source: bytes, target: bytes, tclass: bytes | None = None) -> bool:
    """Whether the policy's MLS constraints refuse this pair: a subject must hold all categories of the object.

    init_t is the one domain the policy exempts (mcs_exempt_p). Without a class, any of the constrained ones is meant;
    on others, such as sockets, a rule does allow what categories do not match.
    """
    if context_type(source) == b"init_t" or (tclass is not None and tclass not in MCS_CLASSES):
        return False
    have, need = categories(source), categories(target)
    return have is not None and need is not None and not need <= have
