# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recorded answers of real Talos nodes (tests/data/real-talos, see the README there)."""

from __future__ import annotations

import base64
import functools
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent / "data" / "real-talos"
RELEASE = "v1.14.0-rc.1"
#: Which file holds a state.
STATES = {path.name.removesuffix(".jsonl.gz"): path for path in sorted(DIRECTORY.glob("*/*.jsonl.gz"))}


@dataclass(frozen=True)
class Answer:
    """One question and what the node answered: messages as they were on the wire, or an error's code and text."""

    name: str
    method: str
    request: Mapping[str, Any]
    error: tuple[str, str] | None
    messages: tuple[bytes, ...]


@functools.cache
def answers(state: str) -> tuple[Answer, ...]:
    """Everything that was asked in one state."""
    found = []
    for line in gzip.decompress(STATES[state].read_bytes()).splitlines():
        given = json.loads(line)
        error = tuple(given["error"]) if given.get("error") else None
        messages = tuple(base64.b64decode(message) for message in given.get("messages_b64", ()))
        found.append(Answer(given["name"], given["method"], given.get("request", {}), error, messages))
    return tuple(found)


def text(name: str) -> bytes:
    """A recorded text: ``dmesg-read-N.txt``, or a console log."""
    return gzip.decompress((DIRECTORY / RELEASE / f"{name}.gz").read_bytes())
