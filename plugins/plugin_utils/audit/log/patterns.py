# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How auditd writes its lines: what the fast way looks for, and the counter behind each kind of AVC line it finds."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .avc import Tail
from .denials import Group
from .record_types import NUMBERS, is_user

# What the kernel writes after the first record of an event, the most frequent ones.
_FOLLOWING = rb"type=(?:SYSCALL|PROCTITLE|EOE|PATH|CWD|EXECVE|SOCKADDR|KERN_MODULE|BPF|FD_PAIR|BPRM_FCAPS|MMAP|OBJ_PID)"
RUN = re.compile(
    rb"type=([A-Z0-9_]{1,48}|UNKNOWN\[[0-9]{1,5}\]) msg=audit(\(([0-9]{1,12}\.[0-9]{3}):([0-9]{1,12})\)): .*\n"
    rb"(?:(?:" + _FOLLOWING + rb"|type=AVC) msg=audit\2: .*\n)*"
)
# An AVC line: permissions, comm, path or name, and the tail. The kernel writes names with blanks in hex, so
# a blank and ``scontext=`` begin the record's own contexts; a line with a second ``scontext=`` goes the careful way.
# Every part ends where the next must begin, so nothing is tried at every length; and nothing is possessive, as Python
# 3.11.0 to 3.11.4 match that wrongly (cpython issue 106052). The kernel writes less than 64 fields.
_AVC_BODY = (
    rb"(avc:  (?:denied|granted)  \{[^}\n]*\}) for  pid=[0-9]+ comm=(\S+)"
    rb"(?: (?:path|name)=(\S+))?(?: (?!scontext=)[^ \n]*){0,64}( scontext=.*)\n"
)
AVC_LINE = re.compile(rb"type=AVC msg=audit\([0-9.:]+\): " + _AVC_BODY)
# A whole block at once: an AVC line with what follows of its event, or else any one line. Every byte of the block is in
# exactly one match, so the lengths of the matches give the positions.
PLAIN = re.compile(
    rb"(type=AVC msg=audit\((?P<stamp>[0-9]{10}\.[0-9]{3}):(?P<serial>[0-9]{1,12})\): "
    + _AVC_BODY
    + rb"(?:"
    + _FOLLOWING
    + rb" msg=audit\((?P=stamp):(?P=serial)\): .*\n)*|.*\n)"
)
# What talosctl puts before a line, and that line's first bytes.
NODE = re.compile(rb"([A-Za-z0-9\[][-A-Za-z0-9_.:%\[\]]{0,199}: )type=(?=[A-Z])")
HEAD = re.compile(rb"type=[^ \n]{1,64} msg=audit\([0-9.:]{1,32}\): ")


def next_avc(block: bytes, start: int, end: int) -> int:
    """Where, from a line's ``start``, the next line begins that is an AVC record or speaks of one; else -1."""
    if block.startswith(b"type=AVC ", start, end):
        return start
    named = block.find(b"\ntype=AVC ", start, end) + 1
    said = block.find(b"avc:", start, named or end)
    return max(start, block.rfind(b"\n", start, said) + 1) if said >= 0 else named or -1


def begun(text: bytes) -> int:
    """How many lines begin as a record of auditd does: several times as fast as to count line breaks."""
    return text.startswith(b"type") + text.count(b"\ntype")


def joined(text: bytes) -> int:
    """How many lines hold a second head, in a message of a process behind its closing quote: they lost a line break."""
    count = 0
    for line in text.split(b"\n"):
        if line.startswith(b"type=") and line.count(b" msg=audit(") > 1:
            type_ = line[5 : line.find(b" ", 5)]
            if type_ != b"AVC" and type_ in NUMBERS and (not is_user(type_) or b"'type=" in line):
                count += 1
    return count


class Entry:
    """The counter behind one distinct AVC tail."""

    __slots__ = ("comms", "count", "cut", "denied", "first", "group", "last", "paths", "sampled", "tail")

    def __init__(self, group: Group, denied: bool, tail: Tail, cut: bytes, first: bytes) -> None:
        self.group = group
        # None once the group has enough: what nobody looks at need not be fetched from memory.
        self.comms: dict[bytes, None] | None = group.comms
        self.paths: dict[bytes, None] | None = group.paths
        self.sampled = True
        self.denied = denied
        self.tail = tail
        self.cut = cut
        """The bytes that ``tail`` was read from."""
        self.count = 0
        self.first = first
        self.last = first

    def add_comm(self, comm: bytes) -> None:
        """Take a command not seen in the group, unless it has enough."""
        if not self.group.add_comm(comm):
            self.comms = None

    def add_path(self, path: bytes) -> None:
        """Take a path not seen in the group, unless it has enough."""
        if not self.group.add_path(path):
            self.paths = None


def lines_of(text: bytes, mark: bytes) -> Iterator[bytes]:
    """The lines that hold ``mark``."""
    position = text.find(mark)
    while position >= 0:
        start, end = text.rfind(b"\n", 0, position) + 1, text.find(b"\n", position)
        end = len(text) if end < 0 else end
        yield text[start:end]
        position = text.find(mark, end)
