# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which boot a log is of, where a file holds several."""

from __future__ import annotations

import statistics

from .stream import LATE, MARK, Mark


def split_boots(data: bytes) -> list[bytes]:
    """Cut a log that Talos appended to over several boots into one part per boot, oldest first.

    A boot begins where serials fall back and stay low; a forged low serial among high ones does not cut.
    """
    marks = list(MARK.finditer(data))
    serials = [int(mark[2]) for mark in marks]
    cuts = [0]
    for index in range(1, len(serials)):
        before, after = serials[max(0, index - 5) : index], serials[index : index + 5]
        if serials[index] < serials[index - 1] - LATE and max(after) < min(before) - LATE:
            cut = data.rfind(b"\n", 0, marks[index].start()) + 1
            if cut > cuts[-1]:
                cuts.append(cut)
    return [data[start:end] for start, end in zip(cuts, [*cuts[1:], len(data)], strict=True)]


def typical(data: bytes) -> Mark | None:
    """Serial and time at the head of some data: the middle of the first marks, so that a forged one decides nothing."""
    marks = []
    for found in MARK.finditer(data):
        marks.append(found)
        if len(marks) == 21:
            break
    if not marks:
        return None
    return Mark(
        statistics.median_low(int(found[2]) for found in marks), statistics.median_low(int(found[1]) for found in marks)
    )
