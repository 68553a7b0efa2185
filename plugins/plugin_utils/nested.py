# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values in plain data that somebody else wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def value_at(document: Any, *keys: str) -> Any:
    """The value under the keys, or None where there is none, whatever the document holds in between."""
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document
