# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one call that turns a node's logs into evidence: counts, coverage, denials, errors, and what is known."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .coverage import CoverageInput, assess
from .coverage_logs import read_both
from .knowledge import catalogue as known
from .log.denials import MORE
from .log.sources import Source
from .log.summary import Summary

COUNTS = ("lines", "parsed", "ignored", "unparsed", "denied", "granted", "doubtful", "mac_errors", "events", "probe")


def analyze(
    service_log: Source | Summary | None,
    kernel_log: Source | Summary | None,
    context: CoverageInput | None = None,
    *,
    max_samples: int = 5,
    catalogue: known.Catalogue | None = None,
    probed: Sequence[bytes] = (),
) -> dict[str, Any]:
    """Analyze what was read from one node.

    Args:
        service_log: auditd's log as bytes, path, binary file or chunks; None when it could not be read.
        kernel_log: the kernel ring likewise.
        context: what else is known of the node; its own logs are replaced by the two arguments.
        max_samples: records kept per denial; 0 keeps all.
        catalogue: the known denials; the collection's own by default.
        probed: records of enforcement probes in auditd's log, counted under ``probe`` alone.

    Returns plain data: ``{counts, coverage, denials, mac_errors, known_benign, changes, doubtful}`` and more.
    ``denials`` holds every denial that was found, and is None where none was and one of the logs was not read or held
    nothing: that is no sign that there are none. Those the catalogue calls harmless for this version carry
    ``known_benign`` and are listed once more, without samples, under ``known_benign``, so that nobody has to search for
    what was waved through.
    """
    context = context or CoverageInput()
    service, kernel = read_both(service_log, kernel_log, max_samples, probed)
    coverage = assess(replace(context, service_log=service, kernel_log=kernel))
    summaries = [summary for summary in (kernel, service) if summary is not None]
    counts = {name: sum(summary.counts[name] for summary in summaries) for name in COUNTS}
    denials = merge([denial for summary in summaries for denial in summary.denials], max_samples)
    book = known.load() if catalogue is None else catalogue
    for denial in denials:
        entry = book.match(denial, context.talos_version)
        if entry is not None:
            denial["catalogue_id"] = entry.id
            denial["known_benign"] = book.is_benign(denial, context.talos_version)
    read = kernel is not None and kernel.bytes > 0 and service is not None and service.counts["events"] > 0
    return {
        "counts": counts,
        "coverage": coverage,
        "denials": denials if denials or read else None,
        "known_benign": [
            {key: value for key, value in denial.items() if key != "samples"}
            for denial in denials
            if denial["known_benign"]
        ],
        "mac_errors": [error for summary in summaries for error in summary.mac_errors],
        "changes": [change for summary in summaries for change in summary.changes],
        "ignored_types": _added([summary.ignored_types for summary in summaries]),
        "doubtful": [line for summary in summaries for line in summary.doubtful],
        "doubt_reasons": _added([summary.doubt_reasons for summary in summaries]),
        "unparsed_examples": [line for summary in summaries for line in summary.unparsed_examples],
        "user_domains": _added([summary.user_domains for summary in summaries]),
        "kernel": None
        if kernel is None
        else {
            "head": kernel.ring.head,
            "cmdline": kernel.ring.cmdline,
            "policy_loaded": kernel.ring.policy_loaded or any(c["type"] == "MAC_POLICY_LOAD" for c in kernel.changes),
            "undefined_permissions": kernel.ring.undefined,
            "losses": kernel.ring.losses,
        },
    }


def merge(denials: list[dict[str, Any]], max_samples: int = 5) -> list[dict[str, Any]]:
    """Add up denials of several streams by signature (and by who says so: kernel or program)."""
    alike: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    for denial in denials:
        alike.setdefault((denial["signature"], denial["userspace"]), []).append(denial)
    merged = [_one_of(parts, max_samples) for parts in alike.values()]
    return sorted(merged, key=lambda denial: (-denial["count"], denial["signature"]))


def _one_of(parts: list[dict[str, Any]], max_samples: int) -> dict[str, Any]:
    """One denial for all of one signature: each value is put together once, however many nodes there are."""
    kept = dict(parts[0])
    if len(parts) == 1:
        return kept
    for name in ("count", "doubtful", "enforced", "mcs_count"):
        kept[name] = sum(part[name] for part in parts)
    kept["permissive"] = functools.reduce(_least, (part["permissive"] for part in parts))
    kept["first"] = min((part["first"] for part in parts if part["first"]), default=None)
    kept["last"] = max((part["last"] for part in parts if part["last"]), default=None)
    for name in ("constraint", "catalogue_id"):
        kept[name] = next((part[name] for part in parts if part[name]), parts[-1][name])
    # Harmless on one node's release says nothing about another's.
    kept["known_benign"] = all(part["known_benign"] for part in parts)
    for name in ("comms", "paths", "owners", "raw_contexts"):
        values = {value for part in parts for value in part[name]}
        kept[name] = sorted(values - {MORE}) + ([MORE] if MORE in values else [])
    samples = itertools.chain.from_iterable(part["samples"] for part in parts)
    kept["samples"] = list(itertools.islice(samples, max_samples or None))
    return kept


def _least(one: bool | None, other: bool | None) -> bool | None:
    if one is False or other is False:
        return False
    return True if one or other else None


def _added(parts: list[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return dict(sorted(total.items()))
