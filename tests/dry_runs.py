# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Talos answers to `ApplyConfiguration` with `dry_run`, for pairs of configurations.

The loader, the validation and the diff of Talos 1.10.9, 1.12.11, 1.13.9 and 1.14.0-rc.1 gave the answers; secrets stand
in them as `@NAME@`, as in the generated configurations, and those of another cluster as `@OTHER_NAME@`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generated_configs import DIRECTORY as CONFIGS
from generated_configs import edited, fill, made_up_secrets

DIRECTORY = Path(__file__).parent / "data" / "dry-run-diffs"


@dataclass(frozen=True)
class DryRun:
    """One question and its answer.

    Attributes:
        version: the release that answered, such as ``v1.14``.
        running: what the node runs.
        sent: the file that the operator has, byte for byte.
        answer: ``mode_details`` of the answer.
    """

    name: str
    version: str
    running: str
    sent: bytes
    answer: str


def dry_runs() -> list[DryRun]:
    """Every recorded dry run, all with the same two clusters' secrets."""
    others = {f"OTHER_{name}": value for name, value in made_up_secrets().items()}
    secrets = made_up_secrets() | others
    return [
        _dry_run(path.stem, case, secrets)
        for path in sorted(DIRECTORY.glob("*.json"))
        for case in json.loads(path.read_text(encoding="utf-8"))
    ]


def _dry_run(version: str, case: Mapping[str, Any], secrets: Mapping[str, str]) -> DryRun:
    running = _generated(case["base"], case["role"])
    sent = edited(
        _generated(case.get("sent_base", case["base"]), case.get("sent_role", case["role"])), case.get("edits", [])
    )
    if case.get("other_cluster"):
        sent = re.sub(r"@([A-Z0-9_]+)@", r"@OTHER_\1@", sent)
    sent = fill(sent, secrets)
    if case.get("strip"):
        sent = sent.rstrip("\n")
    sent = sent.replace("\n", case.get("newline", "\n"))
    answer = fill("\n".join(case["answer"]), secrets)
    return DryRun(case["name"], version, fill(running, secrets), sent.encode(), answer)


def _generated(version: str, role: str) -> str:
    return (CONFIGS / version / f"{role}.yaml.in").read_text(encoding="utf-8")
