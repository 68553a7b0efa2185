# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Audit logs that lie in files: which of them is the kernel's ring, and what they say together."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..problem import Problem
from .analysis import analyze
from .coverage import CoverageInput
from .parser import Summary, summarize


class LogFileProblem(Problem):
    """A log file cannot be read."""

    kind = "log_file"


def analyze_files(
    paths: Sequence[str | Path], context: CoverageInput | None = None, *, max_samples: int = 5
) -> dict[str, Any]:
    """Read files of one node's boot, plain or gzip and in any accepted form, as :func:`analysis.analyze` does.

    A file with kernel lines that are no audit records is the kernel's ring, every other one is auditd's log.

    Raises:
        LogFileProblem: a file cannot be opened. What is in it never raises.
    """
    kernel: list[str | Path] = []
    service: list[str | Path] = []
    for path in paths:
        summary = _summary([path], max_samples)
        (kernel if summary.ring.has_head or summary.ring_records > summary.service_records else service).append(path)
    given = replace(context or CoverageInput())
    return analyze(
        _summary(service, max_samples) if service else None,
        _summary(kernel, max_samples) if kernel else None,
        given,
        max_samples=max_samples,
    )


def _summary(paths: Iterable[str | Path], max_samples: int) -> Summary:
    listed = list(paths)
    try:
        if len(listed) == 1:
            return summarize(Path(listed[0]), max_samples=max_samples)
        return summarize(_joined(listed), max_samples=max_samples)
    except OSError as error:
        raise LogFileProblem(
            f"the log {error.filename or listed[0]} cannot be read: {error.strerror}",
            "denials that nobody read are not absent",
            "correct the path or the permissions",
        ) from error


def _joined(paths: Sequence[str | Path]) -> Iterable[bytes]:
    for path in paths:
        with Path(path).open("rb") as probe:
            packed = probe.read(2) == b"\x1f\x8b"
        opener = gzip.open if packed else open
        with opener(path, "rb") as file:
            while chunk := file.read(1 << 20):
                yield chunk
