# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Audit logs that lie in files: whose they are, which of them is the kernel's ring, and what they say together."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..operator_files import GZIP, VAULT, form_of, read_text
from ..problem import Problem
from .analysis import analyze, merge
from .coverage import CoverageInput
from .log.ring import joined
from .log.scanner import Scanner
from .log.serials import common
from .log.sources import chunks
from .log.summary import Summary

# What talosctl puts before each line. A line of the kernel's has its facility, or a part of the kernel, in that place.
_NODE = re.compile(rb"([A-Za-z0-9\[][-A-Za-z0-9_.:%\[\]]{0,199}):(?: |\s*\Z)")
_NO_NODES = frozenset(
    b"kern user mail daemon auth syslog lpr news uucp cron authpriv ftp audit kauditd SELinux selinux".split()
    + [b"local%d" % number for number in range(8)]
)
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_HEAD = 512
_WIDE = re.compile(rb"(?:[\t -~]\0){16}|(?:\0[\t -~]){16}|(?:[\t -~]\0{3}){16}|(?:\0{3}[\t -~]){16}")
_WHY = "denials that nobody read are not absent"
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
        LogFileProblem: a file cannot be opened, or is no text at all. What is in a text never raises.
        FileProblem: it is encrypted by Ansible Vault, and its password is not known.
    """
    sources = [source for path in dict.fromkeys(map(str, paths)) for source in _sources(path)]
    nodes = {source: _nodes(source) for source in sources}
    if len({name for names in nodes.values() for name in names or ()}) < 2:
        nodes = {}
    # A log and a ring need no second look; more files may have to be read again, in order.
    few = len(sources) <= 2
    parts: dict[tuple[_Source, bytes], _Part] = {}
    for source in sources:
        for node, scanner in _read([source], nodes, max_samples if few else 1).items():
            parts[source, node] = _Part(scanner.close())
    logs: dict[tuple[bool, bytes], Summary] = {}
    for ring in (True, False):
        # Oldest first, as a rotated log is often named in another order.
        wanted = {at: part.first_ms for at, part in parts.items() if part.ring is ring}
        rings = {} if ring else {node: kernel for (_unused, node), kernel in logs.items()}
        once = few and len(wanted) == len({node for _unused, node in wanted})
        if once and not any(_meet(parts[at].summary, rings.get(at[1])) for at in wanted):
            logs.update({(ring, at[1]): parts[at].summary for at in wanted})
            continue
        order = list(dict.fromkeys(source for source, _unused in sorted(wanted, key=wanted.__getitem__)))
        found = _read(order, nodes, max_samples, wanted, rings)
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


class _Source(NamedTuple):
    """A file, or the lines of one origin in a file of forwarded logs, in which all logs of a node come together."""

    path: str
    origin: bytes | None = None


def _sources(path: str) -> list[_Source]:
    found: set[bytes] = set()
    rest = b""
    for chunk in _pieces(_Source(path), Scanner()):
        *lines, rest = (rest + chunk).split(b"\n")
        if not all(line.startswith(b"{") for line in lines) or len(rest) > 1 << 20:
            return [_Source(path)]
        found.update(map(_origin, lines))
    if rest and not rest.startswith(b"{"):
        return [_Source(path)]
    found.update([_origin(rest)] if rest else [])
    return [_Source(path, origin) for origin in sorted(found)] or [_Source(path)]


def _origin(line: bytes) -> bytes:
    """Whose line it is: Talos names the service itself, and no text can hold these quotes without a backslash."""
    kernel = b'"facility":' in line and b'"talos-service":' not in line
    return b"kernel" if kernel else b"service"


class _Part:
    """What one file says of one node."""

    def __init__(self, summary: Summary) -> None:
        self.summary = summary
        # A line of the kernel's in auditd's log may be a process' text; it must not make that log the ring.
        kernel_lines = summary.ignored_types.get("kernel", 0) > 0
        self.ring = summary.ring_records > summary.service_records or (kernel_lines and not summary.service_records)
        self.first_ms = summary.first_ms or 0


def _nodes(source: _Source) -> frozenset[bytes] | None:
    """The nodes a file names; None unless every line does, as a line of one node's log can be a process' text."""
    found: set[bytes] = set()
    rest, count = b"", 0
    for chunk in _pieces(source, Scanner()):
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
    sources: Sequence[_Source],
    nodes: dict[_Source, frozenset[bytes] | None],
    max_samples: int,
    wanted: Container[tuple[_Source, bytes]] | None = None,
    rings: Mapping[bytes, Summary] | None = None,
) -> dict[bytes, Scanner]:
    """Scan sources one after the other, each node's lines (of ``wanted`` ones) by a scanner of its own.

    ``rings``: of each node the kernel ring beside which its log is read.
    """
    scanners: dict[bytes, Scanner] = {}
    for source in sources:
        # A broken gzip is noted in the scanner that reads it, or in all of them.
        broken = Scanner()
        ends: dict[bytes, bytes] = {}
        for node, piece in _by_node(_pieces(source, broken), bool(nodes.get(source))):
            if wanted is not None and (source, node) not in wanted:
                continue
            if node not in scanners:
                scanners[node] = Scanner(max_samples=max_samples, kernel=(rings or {}).get(node))
            scanners[node].feed(piece)
            ends[node] = piece or ends.get(node, b"\n")
        for node, end in ends.items():
            if not end.endswith(b"\n") and source != sources[-1]:
                # A line that the end of one file cut is not the beginning of the next file's first line.
                scanners[node].feed(b"\n")
        for scanner in scanners.values():
            scanner.broken = scanner.broken or broken.broken
    return scanners


def _meet(log: Summary, ring: Summary | None) -> bool:
    """Whether a log and a ring hold records of the same numbers."""
    return ring is not None and bool(common(log.seen, ring.seen))


def _by_node(pieces: Iterator[bytes], named: bool) -> Iterator[tuple[bytes, bytes]]:
    if not named:
        yield from ((b"", piece) for piece in pieces)
        return
    for lines in _whole_lines(pieces):
        found: dict[bytes, list[bytes]] = {}
        for line in lines:
            found.setdefault(_node(line) or b"", []).append(line)
        for node, own in found.items():
            yield node, b"".join(own)


def _whole_lines(pieces: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Lines with their ends, many at a time; the last one as it is."""
    rest = b""
    for piece in pieces:
        whole, line_end, tail = piece.rpartition(b"\n")
        lines, rest = (rest + whole + line_end, tail) if line_end else (b"", rest + piece)
        yield _LINE.findall(lines)
    yield _LINE.findall(rest)


def _pieces(source: _Source, scanner: Scanner) -> Iterator[bytes]:
    try:
        pieces = joined(chunks(_opened(source.path), scanner))
        if source.origin is None:
            yield from pieces
        else:
            for lines in _whole_lines(pieces):
                yield b"".join(line for line in lines if _origin(line) == source.origin)
    except OSError as error:
        raise LogFileProblem(
            f"the log {source.path} cannot be read: {error.strerror}",
            _WHY,
            "correct the path or the permissions",
        ) from error


def _opened(path: str) -> Path | bytes:
    """A log file, or its content where Ansible Vault encrypted it.

    Raises:
        LogFileProblem: it is no text, nor a packed one that can be read.
        FileProblem: it cannot be decrypted.
        OSError: it cannot be opened.
    """
    with Path(path).open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(VAULT):
        return read_text(path, "log", why=_WHY).encode()
    form = None if head.startswith(GZIP) else form_of(head)
    if form is None and _WIDE.match(head):
        form = "UTF-16 or UTF-32 without a byte order mark"
    if form is not None:
        raise LogFileProblem(f"the log {path} is {form}", _WHY, "unpack or decrypt it, or save it as UTF-8", file=path)
    return Path(path)


def _together(results: dict[str, dict[str, Any]], max_samples: int) -> dict[str, Any]:
    """Results of several nodes as one: sums, lists behind one another, and the worst coverage."""
    lists = [result["denials"] for result in results.values()]
    denials = merge([denial for found in lists for denial in found or ()], max_samples)
    for denial in denials:
        own = (denial["signature"], denial["userspace"])
        denial["nodes"] = [
            node
            for node, result in results.items()
            if any((other["signature"], other["userspace"]) == own for other in result["denials"] or ())
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
        "denials": denials if denials or None not in lists else None,
        "kernel": None,
        "coverage": {
            "verdict": min((coverage["verdict"] for coverage in judged.values()), key=_VERDICTS.index),
            "seconds": None if None in seconds else min(seconds),
            "since": None,
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
