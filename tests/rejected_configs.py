# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changed configurations and what Talos answered: which it rejects, and which it accepts though they lose the node.

The loader and the validation of Talos 1.14.0-rc.1 (or of the release named) gave the answers. They were asked twice, as
an installed node judges in a dry run and as the same node judges after its wipe, when it requires an installation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generated_configs import DIRECTORY as CONFIGS
from generated_configs import edited, fill, made_up_secrets

FILE = Path(__file__).parent / "data" / "rejected-configs.json"


@dataclass(frozen=True)
class Judged:
    """A configuration with one change.

    Attributes:
        judge: the release that answered, such as ``v1.14``.
        document: kind of the document that was changed, ``v1alpha1`` for the first; path and value say how.
        running: what the change was made to.
        sent: the changed file.
        dry_run: the rejection by an installed node, None where it accepts.
        after_wipe: the rejection by a node in maintenance mode that requires an installation, None where it accepts.
    """

    judge: str
    role: str
    document: str
    path: str
    value: str
    running: str
    sent: str
    dry_run: str | None
    after_wipe: str | None

    def __str__(self) -> str:
        return f"{self.judge} {self.role} {self.document} {self.path}: {self.value}"


def two_clusters() -> dict[str, str]:
    """Secrets as `fill` takes them: those of the judged cluster, and those of another as ``OTHER_NAME``."""
    others = {f"OTHER_{name}": value for name, value in made_up_secrets().items()}
    return made_up_secrets() | others


def judged_configs(secrets: Mapping[str, str] | None = None) -> list[Judged]:
    """Every recorded change, all with the ``secrets`` of `two_clusters`; made anew when none are given."""
    secrets = secrets or two_clusters()
    return [_judged(case, secrets) for case in json.loads(FILE.read_text(encoding="utf-8"))]


def _judged(case: Mapping[str, Any], secrets: Mapping[str, str]) -> Judged:
    running = (CONFIGS / case["base"] / f"{case['role']}.yaml.in").read_text(encoding="utf-8")
    told = {key: case[key] for key in ("judge", "role", "document", "path", "value")}
    answers = {key: case[key] and fill(case[key], secrets) for key in ("dry_run", "after_wipe")}
    sent = fill(edited(running, case["edits"]), secrets)
    return Judged(running=fill(running, secrets), sent=sent, **told, **answers)
