# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge a soak by all that was collected of a boot, not by the last read."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from ..analysis import analyze
from ..coverage import CoverageInput
from ..knowledge.catalogue import Catalogue
from . import probes
from .rates import Rate, often, rates
from .store import STREAMS, AuditStore, BootLog
from .stream import Hole, Stream


def analyze_stored(
    log: BootLog,
    context: CoverageInput | None = None,
    *,
    max_samples: int = 5,
    catalogue: Catalogue | None = None,
) -> dict[str, Any]:
    """``analysis.analyze`` over one boot of an AuditStore.

    The result is the same plain data. In its ``coverage`` every hole of the store is a reason (so a union with a hole
    is at most ``partial``), ``seconds`` counts only what hole-free runs cover, up to the last read, and ``holes`` and
    ``windows`` list both. Raises StoreError for a damaged store.
    """
    service, kernel = log.streams["service"], log.streams["kernel"]
    result = analyze(
        service.chunks() if service.reads else None,
        kernel.chunks() if kernel.reads else None,
        # The store knows from each read whether the ring had wrapped; its own size says nothing.
        replace(context or CoverageInput(), persisted=True),
        max_samples=max_samples,
        catalogue=catalogue,
        probed=log.probed,
    )
    coverage = result["coverage"]
    measured = rates(log, context.uptime_seconds if context else None)
    coverage["reasons"] += [_reason(hole, measured[hole.stream]) for hole in log.holes]
    if log.holes and coverage["verdict"] == "complete":
        coverage["verdict"], coverage["since"] = "partial", None
    coverage["seconds"] = _seconds(service, kernel, context or CoverageInput(), coverage["verdict"] == "complete")
    coverage["holes"] = [hole.as_dict() for hole in log.holes]
    coverage["windows"] = log.windows
    return result


@contextlib.contextmanager
def rehearsal(store: AuditStore, boot_id: str) -> Iterator[AuditStore]:
    """A throw-away copy of what a store holds of one boot, for check mode: merge into it and see what would happen."""
    with tempfile.TemporaryDirectory(prefix="audit-check-") as scratch:
        copy = AuditStore(scratch)
        source, place = store.directory / boot_id, copy.directory / boot_id
        place.mkdir(mode=0o700)
        # The list first: the bytes it names are on the disk for good, whatever another collector adds meanwhile.
        for name in ["boot.json", *(f"{stream}.{kind}" for kind in ("json", "log") for stream in STREAMS)]:
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(source / name, place / name)
        for document in probes.load(source):
            probes.keep(place, document)
        yield copy


def _reason(hole: Hole, rate: Rate) -> dict[str, str]:
    facts = hole.as_dict()
    lost = None if not (hole.after and hole.before) else hole.before.serial - hole.after.serial - 1
    events = f" ({lost} events)" if lost is not None and lost > 0 else ""
    between = f", between the reads of {hole.reads[0]} and {hole.reads[1]}" if hole.reads else ""
    before = "" if hole.before is None else f" before serial {facts['before_serial']} ({facts['before']})"
    after = "" if hole.after is None else f" after serial {facts['after_serial']} ({facts['after']})"
    if hole.kind == "head":
        text = (
            f"no read of the {hole.stream} log reached its beginning: what stood{before or ' there'} was never stored"
        )
    elif hole.kind == "conflict":
        text = (
            f"two reads of the {hole.stream} log differ{after}{before}: one of them is not of this boot, or was forged"
        )
    else:
        text = (
            f"two reads of the {hole.stream} log do not meet: what stood{after}{before}{events}{between} was never"
            f" stored; collect {often(rate)}"
        )
    number = "F31" if hole.kind == "conflict" else "F11" if hole.stream == "kernel" else "F10"
    return {"id": number, "text": text, "severity": "gap"}


def _seconds(service: Stream, kernel: Stream, context: CoverageInput, complete: bool) -> float | None:
    """How long the runs without a hole cover, up to the last read.

    The clock may have been stepped between two records, so where they reach back to the boot its uptime counts, and
    nowhere more than it.
    """
    spans = [
        (segment.first.time, datetime.fromisoformat(segment.collected[1]).timestamp())
        for segment in service.segments
        if segment.first is not None
    ]
    if not spans:
        return None
    uptime = context.uptime_seconds
    if complete and uptime is not None and context.now is not None:
        return round(max(0.0, uptime - max(0.0, context.now - spans[-1][1])), 3)
    first = service.segments[0]
    boot = kernel.segments[0] if kernel.segments else None
    if first.begins and boot is not None and boot.begins and boot.first is not None:
        # The kernel ring holds what came before auditd, so the first run reaches back to it.
        spans[0] = (min(spans[0][0], boot.first.time), spans[0][1])
    covered = round(sum(max(0.0, end - start) for start, end in spans), 3)
    return covered if uptime is None else min(covered, max(0.0, uptime))
