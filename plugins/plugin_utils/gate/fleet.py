# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge what only the evidence of all hosts of a run together shows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..evidence.identity import twins
from .checks import load_checks
from .verdict import run_checks

_CHECKS = Path(__file__).parent / "data" / "fleet.yml"


def judge_fleet(documents: Mapping[str, Mapping[str, Any]], now: dt.datetime) -> dict[str, list[dict[str, Any]]]:
    """The results of the fleet's checks (data/fleet.yml) for each host, to be added to its verdict.

    Args:
        documents: the evidence of all hosts of the run, by inventory name.
        now: the current time (aware).
    """
    shared = twins(documents)
    checks = load_checks(_CHECKS, {"twins": ["string"]})
    return {host: run_checks(checks, {"twins": shared.get(host, [])}, now) for host in documents}
