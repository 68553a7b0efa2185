# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a report cites: where each document lies in the report's bundle, and whether it is the one that was cited."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..canonical import sha256_of
from ..evidence.files import DOCUMENT, safe_name
from ..gate.signing import OUTSIDE
from ..nested import value_at

#: The rollout's ledger in a bundle, as far as it went when the report was made.
LEDGER = "ledger.jsonl"


@dataclass(frozen=True)
class Citation:
    """One document: its place in the bundle, where it was read, and the hash that the report gives of its content."""

    place: str
    path: str
    sha256: str


def citations(report: Mapping[str, Any]) -> Iterator[Citation]:
    """The evidence, verdicts and probes of a report, in its order. The ledger is cited by the hash of its bytes."""
    for row in report["nodes"]:
        folder = f"evidence/{safe_name(row['node'])}"
        evidence, gate, probe = (value_at(row, key) for key in ("evidence", "gate", "probe"))
        if evidence is not None:
            yield _citation(f"{folder}/{DOCUMENT}", evidence)
        if gate is not None:
            # One beside the evidence comes along with it.
            beside = _parent(gate) == _parent(evidence)
            yield _citation(f"{folder}/verdict.json" if beside else f"{folder}/gate/verdict.json", gate)
        if probe is not None:
            yield _citation(f"{folder}/probe-{value_at(probe, 'id')}.json", probe)


def defects(directory: Path, report: Mapping[str, Any]) -> list[str]:
    """Which documents of a bundle are not the ones that its report cites, as sentences.

    A manifest tells only that nothing was changed since it was written.
    """
    found = [
        f"{one.place} is not the document that the report cites"
        for one in citations(report)
        if _content(directory / one.place) != one.sha256
    ]
    ledger = value_at(report, "ledger", "sha256")
    if ledger is not None and _bytes(directory / LEDGER) != ledger:
        found.append(f"{LEDGER} is not the ledger that the report cites")
    return found


def _citation(place: str, cited: Any) -> Citation:
    return Citation(place, str(value_at(cited, "path")), str(value_at(cited, "sha256")))


def _parent(cited: Any) -> Path:
    return Path(str(value_at(cited, "path"))).parent


def _content(path: Path) -> str | None:
    """The hash by which a sealed document is cited, by what it holds and not by what it says of itself."""
    try:
        document = json.loads(path.read_bytes())
        return sha256_of(document, without=OUTSIDE)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None


def _bytes(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
