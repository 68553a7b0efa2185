# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Audit logs that lie in files: whose they are, which of them is the kernel's ring, and what they say together."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..problem import Problem
from .analysis import analyze, merge
from .coverage import CoverageInput
from .parser import Scanner, Summary
from .parser import _chunks as chunks

# What talosctl puts before each line. A line of the kernel's has its facility, or a part of the kernel, in that place.
_NODE = re.compile(rb"([A-Za-z0-9\[][-A-Za-z0-9_.:%\[\]]{0,199}):(?: |\s*\Z)")
_NO_NODES = frozenset(
    b"kern user mail daemon auth syslog lpr news uucp cron authpriv ftp audit kauditd SELinux selinux".split()
    + [b"local%d" % number for number in range(8)]
)
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_VERDICTS = ("none", "partial", "complete")


class LogFileProblem(Problem):
    """A log file cannot be read."""

    kind = "log_file"


def analyze_files(
    paths: Sequence[str | Path], context: CoverageInput | None = None, *, max_samples: int = 5
) -> dict[str, Any]:
    """Read files of one boot, plain or gzip and in any accepted form, as :func:`analysis.analyze` does.

    A file with kernel lines that are no audit records is the kernel's ring, every other one is auditd's log. Files
    are taken for one node's, but where every line of a file names its node, and they name several (``talosctl -n a,b
    logs auditd``), each node is judged by itself: numbers of two nodes say nothing about one another. Then each
    denial has its ``nodes``, ``coverage`` is the worst of them with the node before each reason, and its ``nodes``
    holds the verdicts.

    Raises:
        LogFileProblem: a file cannot be opened. What is in it never raises.
    """
    nodes = {str(path): _nodes(path) for path in paths}
    if len({name for names in nodes.values() for name in names or ()}) < 2:
        nodes = {}
    # A log and a ring need no second look; more files may have to be read again, in order.
    few = len(paths) <= 2
    parts: dict[tuple[str, bytes], _Part] = {}
    for path in map(str, paths):
        for node, scanner in _read([path], nodes, max_samples if few else 1).items():
            parts[path, node] = _Part(scanner.close())
    logs: dict[tuple[bool, bytes], Summary] = {}
    for ring in (False, True):
        # Oldest first, as a rotated log is often named in another order.
        wanted = {at: part.first_ms for at, part in parts.items() if part.ring is ring}
        if few and len(wanted) == len({node for _unused, node in wanted}):
            logs.update({(ring, at[1]): parts[at].summary for at in wanted})
            continue
        files = list(dict.fromkeys(path for path, _unused in sorted(wanted, key=wanted.__getitem__)))
        found = _read(files, nodes, max_samples, wanted)
        logs.update({(ring, node): scanner.close() for node, scanner in found.items()})
    results = {
        node: analyze(logs.get((False, node)), logs.get((True, node)), context, max_samples=max_samples)
        for node in dict.fromkeys(node for _unused, node in logs)
    }
    if len(results) == 1:
        return next(iter(results.values()))
    if not results:
        return analyze(None, None, context, max_samples=max_samples)
    named = {node.decode("ascii") or "no node named": result for node, result in sorted(results.items())}
    return _together(named, max_samples)


class _Part:
    """What one file says of one node."""

    def __init__(self, summary: Summary) -> None:
        self.summary = summary
        # A line of the kernel's in auditd's log may be a process' text; it must not make that log the ring.
        kernel_lines = summary.ring.has_head or summary.ignored_types.get("kernel", 0) > 0
        self.ring = summary.ring_records > summary.service_records or (kernel_lines and not summary.service_records)
        self.first_ms = summary.first_ms or 0


def _nodes(path: str | Path) -> frozenset[bytes] | None:
    """The nodes a file names; None unless every line does, as a line of one node's log can be a process' text."""
    found: set[bytes] = set()
    rest, count = b"", 0
    for chunk in _pieces(path, Scanner()):
        *lines, rest = (rest + chunk).split(b"\n")
        count += len(lines)
        names = set(map(_node, lines))
        if None in names or len(rest) > 1 << 20:
            return None
        found |= {name for name in names if name}
    last = _node(rest)
    if rest and last is None:
        return None
    # A name of its own for each line is a line number of grep -n.
    return frozenset(found | {last} if last else found) if len(found) < count else None


def _node(line: bytes) -> bytes | None:
    match = _NODE.match(line)
    return None if match is None or match[1] in _NO_NODES else match[1]


def _read(
    paths: Sequence[str],
    nodes: dict[str, frozenset[bytes] | None],
    max_samples: int,
    wanted: Container[tuple[str, bytes]] | None = None,
) -> dict[bytes, Scanner]:
    """Scan files one after the other, each node's lines (of ``wanted`` files) by a scanner of its own."""
    scanners: dict[bytes, Scanner] = {}
    for path in paths:
        # A broken gzip is noted in the scanner that reads it, or in all of them.
        broken = Scanner()
        ends: dict[bytes, bytes] = {}
        for node, piece in _by_node(_pieces(path, broken), bool(nodes.get(path))):
            if wanted is not None and (path, node) not in wanted:
                continue
            scanners.setdefault(node, Scanner(max_samples=max_samples)).feed(piece)
            ends[node] = piece or ends.get(node, b"\n")
        if not ends and not nodes.get(path):
            scanners.setdefault(b"", Scanner(max_samples=max_samples))
        for node, end in ends.items():
            if not end.endswith(b"\n") and path != paths[-1]:
                # A line that the end of one file cut is not the beginning of the next file's first line.
                scanners[node].feed(b"\n")
        for scanner in scanners.values():
            scanner.broken = scanner.broken or broken.broken
    return scanners


def _by_node(pieces: Iterator[bytes], named: bool) -> Iterator[tuple[bytes, bytes]]:
    if not named:
        yield from ((b"", piece) for piece in pieces)
        return
    rest = b""
    for piece in pieces:
        whole, line_end, tail = piece.rpartition(b"\n")
        lines, rest = (rest + whole + line_end, tail) if line_end else (b"", rest + piece)
        yield from _sorted(lines)
    yield from _sorted(rest)


def _sorted(lines: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Whole lines, those of each node together."""
    found: dict[bytes, list[bytes]] = {}
    for line in _LINE.findall(lines):
        found.setdefault(_node(line) or b"", []).append(line)
    for node, own in found.items():
        yield node, b"".join(own)


def _pieces(path: str | Path, scanner: Scanner) -> Iterator[bytes]:
    try:
        yield from chunks(Path(path), scanner)
    except OSError as error:
        raise LogFileProblem(
            f"the log {path} cannot be read: {error.strerror}",
            "denials that nobody read are not absent",
            "correct the path or the permissions",
        ) from error


def _together(results: dict[str, dict[str, Any]], max_samples: int) -> dict[str, Any]:
    """Results of several nodes as one: sums, lists behind one another, and the worst coverage."""
    denials = merge([denial for result in results.values() for denial in result["denials"]], max_samples)
    for denial in denials:
        own = (denial["signature"], denial["userspace"])
        denial["nodes"] = [
            node
            for node, result in results.items()
            if any((other["signature"], other["userspace"]) == own for other in result["denials"])
        ]
    first = next(iter(results.values()))
    whole: dict[str, Any] = {
        key: _added([result[key] for result in results.values()])
        if isinstance(value, dict)
        else [entry for result in results.values() for entry in result[key]]
        for key, value in first.items()
        if key not in ("denials", "coverage", "kernel")
    }
    judged = {node: result["coverage"] for node, result in results.items()}
    seconds = [coverage["seconds"] for coverage in judged.values()]
    return whole | {
        "denials": denials,
        "kernel": None,
        "coverage": {
            "verdict": min((coverage["verdict"] for coverage in judged.values()), key=_VERDICTS.index),
            "seconds": None if None in seconds else min(seconds),
            "first_serial": None,
            "last_serial": None,
            "lost_at_least": sum(coverage["lost_at_least"] for coverage in judged.values()),
            **{
                kind: [{**entry, "text": f"{node}: {entry['text']}"} for node in judged for entry in judged[node][kind]]
                for kind in ("reasons", "notes")
            },
            "nodes": {node: coverage["verdict"] for node, coverage in judged.items()},
        },
    }


def _added(parts: Sequence[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total
