# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge the audit logs of one visit: by themselves, or together with all that was stored of the same boot."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from ..audit import analysis
from ..audit.coverage import CoverageInput
from ..audit.store.judgement import analyze_stored, rehearsal
from ..audit.store.store import AuditStore
from ..audit.store.stream import StoreError
from ..talos.boots import SAME, Look, compare
from .files import Log
from .visit import Visit


@dataclasses.dataclass(frozen=True)
class Audit:
    """What was judged: the analysis, the logs with their hashes, and the kernel's lines about SELinux."""

    found: dict[str, Any]
    sources: list[dict[str, Any]]
    logs: dict[str, Log]
    kernel: bytes | None


def judge_logs(
    visit: Visit,
    fresh: Mapping[str, bytes | None],
    context: CoverageInput,
    *,
    looks: tuple[Look, Look],
    now: dt.datetime,
    max_samples: int,
    store: AuditStore | None,
    keep: bool,
) -> Audit:
    """Judge what was read now, together with all that was ever read of this boot where a store is given.

    Args:
        visit: where a store that cannot be used is noted under ``errors``.
        fresh: the logs by stream (``service``, ``kernel``), None for one that was not read.
        looks: the boot before and after they were read, the second one with the stamps of the kernel ring.
        keep: False in check mode: a copy of the store takes what is new.
    """
    audit = None
    if store is not None:
        try:
            audit = _judge_stored(store, keep, looks, fresh, context, now, max_samples)
        except (StoreError, OSError) as error:
            found = error.found if isinstance(error, StoreError) else f"the audit store: {error.strerror}"
            visit.errors.append({"source": "audit store", "kind": StoreError.kind, "found": found})
    if audit is None:
        audit = _judge_read(fresh["service"], fresh["kernel"], context, max_samples)
        if store is not None:
            text = "only what was read now was judged: it was not, or could not be, joined with what is stored"
            audit.found["coverage"]["notes"].append({"id": "store", "text": text})
    return audit


#: Name of each stream's file beside the document.
_FILES = {"service": "auditd.log", "kernel": "dmesg.log"}


def _judge_read(service: bytes | None, kernel: bytes | None, context: CoverageInput, max_samples: int) -> Audit:
    """Judge what was read now, by itself."""
    found = analysis.analyze(service, kernel, context, max_samples=max_samples)
    read = ((_FILES["service"], service), (_FILES["kernel"], kernel))
    logs: dict[str, Log] = {file: _pieces(data) for file, data in read if data is not None}
    return Audit(found, _sources(logs), logs, kernel)


def _judge_stored(
    store: AuditStore,
    keep: bool,
    looks: tuple[Look, Look],
    fresh: Mapping[str, bytes | None],
    context: CoverageInput,
    now: dt.datetime,
    max_samples: int,
) -> Audit | None:
    """Judge all that was ever read of this boot; None when this visit cannot vouch for its end.

    Stored records say nothing about now, so both logs must have been read in this visit, and of one boot.
    """
    if not (fresh["service"] and fresh["kernel"] and compare(*looks) == SAME):
        return None
    key = store.boot_key(looks[1])
    with contextlib.ExitStack() as stack:
        if not keep:
            store = stack.enter_context(rehearsal(store, key))
        store.merge_all(key, {source: data or b"" for source, data in fresh.items()}, collected_at=now, looks=looks)
        stored = store.read(key)
        logs: dict[str, Log] = {file: stored.streams[name].chunks for name, file in _FILES.items()}
        lines = stored.streams["kernel"].lines()
        return Audit(
            analyze_stored(stored, context, max_samples=max_samples),
            _sources(logs),
            logs if keep else {},
            b"".join(line for line in lines if b"selinux" in line.lower()),
        )


def _pieces(data: bytes) -> Log:
    return lambda: [data]


def _sources(logs: Mapping[str, Log]) -> list[dict[str, Any]]:
    return [{"name": file, **_measured(log())} for file, log in logs.items()]


def _measured(pieces: Iterable[bytes]) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return {"bytes": size, "sha256": digest.hexdigest()}
