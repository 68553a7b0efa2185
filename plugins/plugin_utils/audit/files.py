# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Audit logs that lie in files: which of them is the kernel's ring, and what they say together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..problem import Problem
from .analysis import analyze
from .coverage import CoverageInput
from .parser import Scanner, Summary
from .parser import _chunks as chunks


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
    kernel: list[tuple[int, str | Path]] = []
    service: list[tuple[int, str | Path]] = []
    for path in paths:
        summary = _summary([path], max_samples)
        # A line of the kernel's in auditd's log may be a process' text; it must not make that log the ring.
        kernel_lines = summary.ring.has_head or summary.ignored_types.get("kernel", 0) > 0
        ring = summary.ring_records > summary.service_records or (kernel_lines and not summary.service_records)
        (kernel if ring else service).append((summary.first_ms or 0, path))
    return analyze(
        _in_order(service, max_samples),
        _in_order(kernel, max_samples),
        context,
        max_samples=max_samples,
    )


def _in_order(found: list[tuple[int, str | Path]], max_samples: int) -> Summary | None:
    """The files of one origin, the oldest first, as a rotated log is often named in another order."""
    return (
        _summary([path for _unused, path in sorted(found, key=lambda entry: entry[0])], max_samples) if found else None
    )


def _summary(paths: Sequence[str | Path], max_samples: int) -> Summary:
    scanner = Scanner(max_samples=max_samples)
    last = b"\n"
    for path in paths:
        if not last.endswith(b"\n"):
            # A line that the end of one file cut is not the beginning of the next file's first line.
            scanner.feed(b"\n")
        try:
            for chunk in chunks(Path(path), scanner):
                scanner.feed(chunk)
                last = chunk or last
        except OSError as error:
            raise LogFileProblem(
                f"the log {path} cannot be read: {error.strerror}",
                "denials that nobody read are not absent",
                "correct the path or the permissions",
            ) from error
    return scanner.close()
