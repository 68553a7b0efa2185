# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Damaged lines: no exception, no line unaccounted for, none about a decision ignored, and never slow.

HYPOTHESIS_PROFILE=nightly makes a million of them, else twenty thousand.
"""

from __future__ import annotations

import gzip
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.records import IGNORED, read_line
from ansible_collections.talosops.selinux.plugins.plugin_utils.audit.log.scanner import Scanner, summarize

DATA = Path(__file__).resolve().parents[2] / "data" / "real-kernel"
LINES = 1_000_000 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 20_000
PIECES = [
    b"avc:",
    b"avc:  denied  { ",
    b" } for  pid=",
    b"type=AVC msg=audit(",
    b"type=",
    b"audit(1.000:1): ",
    b" scontext=",
    b" tclass=",
    b"'",
    b'"',
    b"\x1d",
    b"\r",
    b"\x00",
    b"\xff",
    b"{",
    b"}",
    b"(",
    b")",
    b":",
    b"=",
    b" ",
    b"  ",
    b"type=USER_AVC msg=audit(1.000:2): ",
    b"audit: type=1400 audit(",
    b"<5>[    1.000000] ",
    b"kern: notice: [2026-11-22T12:00:00Z]: ",
    b'{"msg": "',
    b"10.0.0.1: ",
    b"msg='",
    b"99999999999999999999",
    b"-1",
    b"s0-s0:c0.c1023",
    b"0x",
    b"(null)",
    b"----",
    b"\xe2\x80\xae",
    b"\x1f\x8b",
]


def mutated(count: int, seed: int) -> Iterator[bytes]:
    draw = random.Random(seed)
    seeds = gzip.decompress((DATA / "permissive.audit.log.gz").read_bytes()).split(b"\n")
    seeds += gzip.decompress((DATA / "permissive.dmesg.log.gz").read_bytes()).split(b"\n")
    for _unused in range(count):
        line = draw.choice(seeds)[:2000]
        for _unused in range(draw.randrange(1, 4)):
            at, to = sorted((draw.randrange(len(line) + 1), draw.randrange(len(line) + 1)))
            how = draw.randrange(6)
            if how == 0:
                line = line[:at] + draw.choice(PIECES) + line[at:]
            elif how == 1:
                line = line[:at] + line[to:]
            elif how == 2:
                line = line[:at] + draw.choice(PIECES) + line[to:]
            elif how == 3 and line:
                line = line[: at - 1] + bytes([draw.randrange(256)]) + line[at:]
            elif how == 4:
                line = line[:to] + line[at:]
            else:
                line = line + draw.choice(seeds)[:400]
        yield line.replace(b"\n", b"")


def test_mutated_lines() -> None:
    made = 0
    for seed in range(max(1, LINES // 20_000)):
        batch = list(mutated(min(LINES, 20_000), seed))
        scanner = Scanner(max_samples=1)
        for line in batch:
            assert not (b"avc:" in line and read_line(line).kind == IGNORED), line
        scanner.feed(b"\n".join(batch) + b"\n")
        counts = scanner.close().counts
        assert counts["lines"] == len(batch)
        assert counts["parsed"] + counts["ignored"] + counts["unparsed"] == counts["lines"]
        assert min(counts.values()) >= 0
        made += len(batch)
    assert made >= LINES


def test_the_fast_way_ignores_no_decision() -> None:
    """Line by line through the whole reader: what it calls ignored never speaks of a decision."""
    deciding = [line for line in mutated(4_000, 99) if b"avc:" in line]
    assert len(deciding) > 100
    for line in deciding:
        assert summarize(line + b"\n").counts["ignored"] == 0, line


LONG = 1 << 20
HOSTILE = {
    "letters": b"a" * LONG,
    "type=": b"type=" * (LONG // 5),
    "heads": b"type=AVC msg=audit(1.000:1): " * (LONG // 29),
    "ring heads": b"audit: type=1400 audit(1.000:1): " * (LONG // 33),
    "decisions": b"type=AVC msg=audit(1.000:1): " + b"avc:  denied  { " * (LONG // 16),
    "braces": b"type=AVC msg=audit(1.000:1): avc:  denied  " + b"{" * LONG,
    "closing braces": b"type=AVC msg=audit(1.000:1): avc:  denied  { a }" + b"}" * LONG,
    "permissions": b"type=AVC msg=audit(1.000:1): avc:  denied  { " + b"a " * (LONG // 2) + b"} for  pid=1",
    "contexts": b"type=AVC msg=audit(1.000:1): avc:  denied  { a } for  pid=1 comm=x"
    + b" scontext=a:b:c:d" * (LONG // 17),
    "blanks": b"type=AVC msg=audit(1.000:1): avc:  denied  { a } for  pid=1 comm=x" + b" " * LONG + b" scontext=a",
    "leading blanks": b" " * LONG + b"x",
    "quotes": b'type=AVC msg=audit(1.000:1): avc:  denied  { a } for  pid=1 comm="' + b'"' * LONG,
    "hex": b"type=AVC msg=audit(1.000:1): avc:  denied  { a } for  pid=1 comm="
    + b"41" * (LONG // 2)
    + b" scontext=a:b:c:d"
    b" tcontext=a:b:c:d tclass=file permissive=1",
    "categories": b"type=AVC msg=audit(1.000:1): avc:  denied  { a } for  pid=1 comm=x scontext=a:b:c:s0:"
    + b"c0.c1023," * (LONG // 9)
    + b" tcontext=a:b:c:d tclass=file permissive=1",
    "trawcon": b"type=AVC msg=audit(1.000:1): avc:  denied  { a } for  pid=1 comm=x scontext=a:b:c:s0 tcontext=a:b:c:d"
    b" tclass=file"
    b" permissive=1 trawcon=" + b"41" * (LONG // 2),
    "brackets": b"[" * LONG + b" avc:",
    "digits": b"1" * LONG + b": type=AVC",
    "json": b"{" * LONG + b"}",
    "json arrays": b'{"msg": ' + b"[" * LONG + b"}",
    "json heads": b'{"msg": "' + b"\\n".join([b"type=AVC msg=audit(1.000:1): x"] * (LONG // 32)) + b'"}',
    "pods": b'type=AVC msg=audit(1.000:1): avc:  denied  { a } for  pid=1 comm=x path="'
    + b"/pods/a_b_" * (LONG // 10)
    + b'" scontext=a:b:c:d tcontext=a:b:c:d tclass=file permissive=1',
    "kernel": b"<5>[    1.000000] SELinux:  Permission " + b"a" * LONG,
    "user": b"type=USER_AVC msg=audit(1.000:1): pid=1 subj=a:b:c:d msg='" + b"avc:  denied  { a } for  " * (LONG // 25),
    "0x1d": b"type=SYSCALL msg=audit(1.000:1): " + b"\x1d" * LONG,
    "nul": b"\x00" * LONG,
    # What a regular expression could try at every length.
    "fields": b"type=AVC msg=audit(1.000:1): avc:  denied  { a } for  pid=1 comm=x" + b" a=1" * (LONG // 4),
    "long fields": b"type=AVC msg=audit(1.000:1): avc:  denied  { a } for  pid=1 comm=x" + (b" a=" + b"1" * 16000) * 64,
    "command": b"type=AVC msg=audit(1.000:1): avc:  denied  { a } for  pid=1 comm=" + b"x" * LONG,
    "path": b"type=AVC msg=audit(1.000:1): avc:  denied  { a } for  pid=1 comm=x path=" + b"x" * LONG,
    "arguments": b"type=EXECVE msg=audit(1.000:1): argc=1" + b" a0" * (LONG // 3),
    "call": b"type=SYSCALL msg=audit(1.000:1): arch=1 syscall=" + b"1 " * (LONG // 2),
    "names of nodes": b"a" * 200 + b": type=A" * (LONG // 8),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_line_of_a_mebibyte_takes_no_time_to_speak_of(name: str) -> None:
    """Nothing counts the steps of a regular expression, so a bound on time is the only one there is.

    It is CPU time of this process, so other work cannot break it, and generous: what is linear takes well under a
    second for a mebibyte, what is not takes minutes.
    """
    for line in (HOSTILE[name], b"10.0.0.1: " + HOSTILE[name]):
        start = time.process_time()
        counts = summarize(line + b"\n").counts
        assert time.process_time() - start < 5
        assert counts["parsed"] + counts["ignored"] + counts["unparsed"] == counts["lines"] == 1
        if b"avc:" in line:
            assert counts["ignored"] == 0


def test_a_line_without_end_is_counted_once_and_not_kept() -> None:
    scanner = Scanner()
    for _unused in range(20):
        scanner.feed(b"x" * (1 << 20))
        assert sum(map(len, scanner._rest)) <= 5 << 20
    scanner.feed(b"\ntype=EOE msg=audit(1.000:1): \n")
    counts = scanner.close().counts
    assert (counts["lines"], counts["unparsed"], counts["parsed"]) == (2, 1, 1)
