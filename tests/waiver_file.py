# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waivers as operators write them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import quick_yaml


def waiver(signature: str, **changes: Any) -> dict[str, Any]:
    """A waiver of one kind of denial on every node, for as long as the years of a test's clock; with some changes."""
    return {
        "id": "w-1",
        "signature": signature,
        "scope": {"nodes": ["*"]},
        "reason": "an agent that is replaced",
        "owner": "ada@example.org",
        "ticket": "OPS-1",
        "granted": "2026-01-01",
        "expires": "2099-01-01",
        **changes,
    }


def text_of(*waivers: Mapping[str, Any]) -> str:
    """The text of a file of waivers."""
    return quick_yaml.dump({"schema": 1, "waivers": [dict(one) for one in waivers]}, allow_unicode=True)


def write(directory: Path, *waivers: Mapping[str, Any]) -> Path:
    """The path of the file ``waivers.yml``, which holds these."""
    path = directory / "waivers.yml"
    path.write_text(text_of(*waivers), encoding="utf-8")
    return path
