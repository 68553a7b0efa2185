# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Denials: what was refused to whom, counted by a signature that no volatile part can split."""

from __future__ import annotations

import re
from binascii import b2a_base64
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple

from .avc import Avc, Tail
from .contexts import context_type, refused_by_categories
from .values import decode, fields, moment, show

MORE = "(more)"
"""Stands at the end of ``comms`` or ``paths`` when there were more than are kept."""

NEVERALLOW = frozenset({"load_policy", "setenforce"})
"""What no domain may ever be allowed on class security (Talos policy: services/selinux.cil)."""

MOST_NAMES = 16
"""So many commands, and so many paths, are kept for a denial."""


class Group:
    """All records of one signature."""

    __slots__ = (
        "comms",
        "count",
        "doubtful",
        "enforced",
        "first",
        "last",
        "mcs",
        "owners",
        "paths",
        "permissions",
        "permissive",
        "rawcon",
        "samples",
        "source",
        "target",
        "tclass",
        "userspace",
        "verdict",
    )

    def __init__(
        self,
        source: bytes,
        target: bytes,
        tclass: bytes,
        permissions: tuple[bytes, ...],
        verdict: bytes,
        userspace: bool,
    ) -> None:
        self.source = source
        self.target = target
        self.tclass = tclass
        self.permissions = permissions
        self.verdict = verdict
        self.userspace = userspace
        self.count = 0
        self.doubtful = 0
        self.permissive = 0
        self.enforced = 0
        self.mcs = 0
        self.first: bytes | None = None
        self.last: bytes | None = None
        self.comms: dict[bytes, None] = {}
        self.paths: dict[bytes, None] = {}
        self.rawcon: dict[bytes, None] = {}
        self.owners: dict[str, None] = {}
        self.samples: list[Sample] = []

    def add(self, count: int, first: bytes | None, last: bytes | None, tail: Tail) -> None:
        """Count ``count`` records with this tail, seen between two times."""
        self.count += count
        if first is not None and (self.first is None or _time(first) < _time(self.first)):
            self.first = first
        if last is not None and (self.last is None or _time(last) > _time(self.last)):
            self.last = last
        if tail.permissive is True:
            self.permissive += count
        elif tail.permissive is False:
            self.enforced += count
        if refused_by_categories(tail.source, tail.target, tail.tclass):
            self.mcs += count
        for raw in (tail.srawcon, tail.trawcon):
            if raw is not None and len(self.rawcon) < 16:
                self.rawcon[raw] = None

    def take(self, line: bytes, tail: Tail) -> None:
        """Take one counted record out again: its line as auditd writes it, and its tail."""
        self.count -= 1
        self.permissive -= tail.permissive is True
        self.enforced -= tail.permissive is False
        self.mcs -= refused_by_categories(tail.source, tail.target, tail.tclass)
        kept = next((sample for sample in self.samples if sample.line == line), None)
        if kept is not None:
            self.samples.remove(kept)

    def add_comm(self, comm: bytes) -> bool:
        """Remember a command; False when there were more than are kept."""
        return _remember(self.comms, comm)

    def add_path(self, path: bytes) -> bool:
        """Remember a path or name; False when there were more than are kept."""
        return _remember(self.paths, path)

    @property
    def key(self) -> tuple[bytes, ...]:
        """See :func:`key_of`."""
        by = b"u" if self.userspace else b""
        return (self.verdict, by, self.source, self.target, self.tclass, *self.permissions)

    @property
    def signature(self) -> str:
        """See :func:`signature_of`."""
        source, target, tclass = (show(part) or "" for part in (self.source, self.target, self.tclass))
        return signature_of(source, target, tclass, [show(one) or "" for one in self.permissions])

    def as_dict(self, doubtful_lines: set[bytes]) -> dict[str, Any]:
        """The denial as plain data (contract version 1)."""
        source, target, tclass = (show(part) or "" for part in (self.source, self.target, self.tclass))
        permissions = sorted(show(one) or "" for one in self.permissions)
        samples = [_sample(sample, sample.line in doubtful_lines, self.owners) for sample in self.samples]
        paths = []
        for path in map(decode, self.paths):
            if path:
                paths.append(show(path) or "")
                self.owners.update(dict.fromkeys(owners_in(path)))
        constraint = None
        if tclass == "security" and NEVERALLOW.intersection(permissions):
            constraint = "neverallow"
        elif self.mcs:
            constraint = "mcs"
        return {
            "signature": self.signature,
            "source_type": source,
            "target_type": target,
            "class": tclass,
            "permissions": permissions,
            "permissive": False if self.enforced else True if self.permissive else None,
            "enforced": self.enforced,
            "count": self.count,
            "first": moment(self.first) if self.first else None,
            "last": moment(self.last) if self.last else None,
            "comms": _limited([_name_again(comm) for comm in self.comms], MOST_NAMES),
            "paths": _limited(paths, MOST_NAMES),
            "owners": sorted(self.owners),
            "catalogue_id": None,
            "known_benign": False,
            "waiver_id": None,
            "constraint": constraint,
            "mcs_count": self.mcs,
            "raw_contexts": [show(raw) or "" for raw in self.rawcon],
            "userspace": self.userspace,
            "doubtful": min(self.doubtful, self.count),
            "samples": samples,
        }


class Sample(NamedTuple):
    """One record of a denial, not yet decoded."""

    raw: bytes
    """The line it stands in, as it was."""
    line: bytes
    """The record as its judge saw it: without what the form put before it."""
    stamp: bytes
    serial: int
    others: bytes | dict[str, bytes]
    """The records of its event, or what they add as far as they have come; see :func:`joined`."""
    suspect: bool
    tail: Tail
    middle: bytes
    """Its fields before the contexts."""


def joined(text: bytes) -> dict[str, bytes]:
    """What SYSCALL, CWD, PATH, PROCTITLE, EXECVE and SOCKADDR lines of one event add to its AVC records."""
    found: dict[str, bytes] = {}
    for line in text[:131072].split(b"\n"):
        join(found, line)
    return found


def join(found: dict[str, bytes], line: bytes) -> None:
    """Add what one more line of an event tells to what :func:`joined` found so far; the first of a name wins."""
    type_ = line[5 : line.find(b" ")]
    told = _TOLD_BY.get(type_)
    if told is None:
        return
    names, plain = told
    if type_ == b"EXECVE":
        _add(found, names[0], plain.findall(line), _MOST_ARGUMENTS)
        return
    match = plain.match(line)
    if match is not None:
        values = dict(zip(names, match.groups(), strict=True))
    else:
        there = fields(line)
        values = {name: there[key] for name in names if (key := _WRITTEN.get(name, name).encode()) in there}
    if type_ == b"PATH":
        _add(found, names[0], list(values.values()), _MOST_PATHS)
    else:
        found.update({**values, **found} if found else values)


def _add(found: dict[str, bytes], name: str, values: list[bytes], most: int) -> None:
    there = found[name].split(b" ") if name in found else []
    if values:
        found[name] = b" ".join([*there, *values][:most])


_MOST_PATHS = 8
_MOST_ARGUMENTS = 16
_WRITTEN = {"names": "name"}
# As the kernel writes them (kernel/auditsc.c, audit_log_exit); what does not look like that is read field by field.
_AT = rb" msg=audit\([0-9.:]+\): "
_TOLD_BY: dict[bytes, tuple[tuple[str, ...], re.Pattern[bytes]]] = {
    b"SYSCALL": (
        ("syscall", "success", "exit", "ppid", "uid", "exe"),
        re.compile(
            rb"type=SYSCALL" + _AT + rb"arch=\S+ syscall=(\S+) success=(\S+) exit=(\S+) a0=\S+ a1=\S+ a2=\S+ a3=\S+"
            rb" items=\S+ ppid=(\S+) pid=\S+ auid=\S+ uid=(\S+) gid=\S+ euid=\S+ suid=\S+ fsuid=\S+ egid=\S+ sgid=\S+"
            rb" fsgid=\S+ tty=\S+ ses=\S+ comm=\S+ exe=([^\s\x1d]+)"
        ),
    ),
    b"PROCTITLE": (("proctitle",), re.compile(rb"type=PROCTITLE" + _AT + rb"proctitle=([^\s\x1d]+)")),
    b"CWD": (("cwd",), re.compile(rb"type=CWD" + _AT + rb"cwd=([^\s\x1d]+)")),
    b"SOCKADDR": (("saddr",), re.compile(rb"type=SOCKADDR" + _AT + rb"saddr=([^\s\x1d]+)")),
    b"PATH": (("names",), re.compile(rb"type=PATH" + _AT + rb"item=[0-9]+ name=([^\s\x1d]+)")),
    # audit_log_execve_info; a long argument comes in pieces, ``a2[0]=``, of which the first will do.
    b"EXECVE": (("argv",), re.compile(rb" a[0-9]{1,6}(?:\[0\])?=([^\s\x1d]+)")),
}


def group_of(groups: dict[tuple[bytes, ...], Group], avc: Avc, userspace: bool) -> Group:
    """The group of a decision, made when it is the first of its kind."""
    key = key_of(avc, userspace)
    group = groups.get(key)
    if group is None:
        source, target = context_type(avc.tail.source), context_type(avc.tail.target)
        group = groups[key] = Group(source, target, avc.tail.tclass, avc.permissions, avc.verdict, userspace)
    return group


def key_of(avc: Avc, userspace: bool) -> tuple[bytes, ...]:
    """What decisions of one group have in common; as ``Group.key``."""
    source, target = context_type(avc.tail.source), context_type(avc.tail.target)
    return (avc.verdict, b"u" if userspace else b"", source, target, avc.tail.tclass, *avc.permissions)


def signature_of(source: str, target: str, tclass: str, permissions: list[str]) -> str:
    """``source:target:class:perm+perm``: readable, stable, and made of nothing volatile."""
    return f"{source}:{target}:{tclass}:{'+'.join(sorted(permissions))}"


_POD_VOLUME = re.compile(
    rb"/(?:var/lib/kubelet/)?pods/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?:/|\Z)"
)
_POD_LOG = re.compile(rb"/pods/([a-z0-9-]{1,63})_([a-z0-9.-]{1,253})_([0-9a-f-]{32,36})(?:/([a-z0-9-]{1,63}))?")
_CONTAINER_LOG = re.compile(rb"/containers/([a-z0-9.-]{1,253})_([a-z0-9-]{1,63})_([a-z0-9-]{1,63})-([0-9a-f]{64})\.log")
_CONTAINERD = re.compile(rb"/io\.containerd\.[a-z0-9.-]{1,64}/k8s\.io/([0-9a-f]{64})(?:/|\Z)")
_CGROUP = re.compile(
    rb"/kubepods[^/ ]{0,64}(?:/[^/ ]{1,128}){0,3}?/(?:pod|kubepods-[a-z]{0,16}-?pod)([0-9a-f]{8}[-_][0-9a-f_-]{27})"
)


def owners_in(path: bytes) -> list[str]:
    """Whose a path is, where the path itself says so: ``pod:<uid>``, ``pod:<namespace>/<name>``, ``container:<id>``.

    Sources: kubelet's directory layout, containerd's state directory, and kubelet's cgroup names.
    """
    found: list[str] = []
    if b"pod" not in path and b"/containers/" not in path and b"io.containerd" not in path:
        return found
    path = path[:8192]
    if match := _POD_LOG.search(path):
        found.append(f"pod:{match[1].decode()}/{match[2].decode()}")
        if match[4]:
            found.append(f"container:{match[1].decode()}/{match[2].decode()}/{match[4].decode()}")
    elif match := _CONTAINER_LOG.search(path):
        found.append(f"pod:{match[2].decode()}/{match[1].decode()}")
    elif match := _POD_VOLUME.search(path):
        found.append(f"pod:{match[1].decode()}")
    if match := _CONTAINERD.search(path):
        found.append(f"container:{match[1].decode()}")
    if match := _CGROUP.search(path):
        found.append(f"pod:{match[1].decode().replace('_', '-')}")
    return found


# What comes again and again: contexts, programs and their command lines. Names of files do not.
_again = lru_cache(maxsize=4096)(show)
_name_again = lru_cache(maxsize=4096)(lambda value: show(decode(value)) or "")


@lru_cache(maxsize=256)
def _field(key: bytes) -> str:
    """The name of a field worth showing, or nothing."""
    return key.decode("ascii") if len(key) < 32 and re.fullmatch(rb"\w+", key) else ""


_LONGEST_VALUE = 8192


def socket_address(value: bytes) -> str | None:
    """An address as SOCKADDR records hold it (the kernel's ``struct sockaddr`` in hex), as text; the hex for others.

    Talos runs on little-endian machines only. An abstract name, which begins with a zero byte, is shown with ``@``.
    """
    if not _HEX_BYTES.fullmatch(value):
        return show(value)
    raw = bytes.fromhex(value.decode("ascii"))
    family = int.from_bytes(raw[:2], "little")
    if family == 1 and len(raw) > 2:
        path = raw[2:].rstrip(b"\x00")
        return show(b"@" + path[1:] if path.startswith(b"\x00") else path.split(b"\x00", 1)[0])
    if family == 2 and len(raw) >= 8:
        return f"{IPv4Address(raw[4:8])}:{int.from_bytes(raw[2:4], 'big')}"
    if family == 10 and len(raw) >= 24:
        return f"[{IPv6Address(raw[8:24])}]:{int.from_bytes(raw[2:4], 'big')}"
    return show(value)


_HEX_BYTES = re.compile(rb"(?:[0-9A-Fa-f]{2}){2,256}")


def _sample(kept: Sample, doubtful: bool, owners: dict[str, None]) -> dict[str, Any]:
    """One record as plain data; whose its paths are is added to ``owners``."""
    values = fields(kept.middle)
    pid = values.pop(b"pid", b"")
    name, path, comm = (decode(values.pop(key, None)) for key in (b"name", b"path", b"comm"))
    sample: dict[str, Any] = {
        "pid": int(pid) if pid.isdigit() and len(pid) < 12 else None,
        "comm": show(comm),
        "name": show(name),
        "path": show(path),
        "timestamp": moment(kept.stamp),
        "serial": kept.serial,
        "source_context": _again(kept.tail.source),
        "target_context": _again(kept.tail.target),
        "doubtful": doubtful or kept.suspect,
        "raw": b2a_base64(kept.raw, newline=False).decode(),
    }
    other = {shown: show(value.strip(b'"')) for key, value in values.items() if (shown := _field(key))}
    if other:
        sample["fields"] = other
    places = [path] if path else []
    found = joined(kept.others) if isinstance(kept.others, bytes) else kept.others
    for key in found:
        if key in ("exe", "cwd", "proctitle"):
            value = decode(found[key])
            if value is not None:
                sample[key] = _again(value[:_LONGEST_VALUE])
                places.append(value)
        elif key in ("names", "argv"):
            values_of = [decode(one) or b"" for one in found[key].split()]
            sample[key] = [show(one[:_LONGEST_VALUE]) for one in values_of]
            places += values_of
        elif key == "saddr":
            sample[key] = socket_address(found[key])
        else:
            sample[key] = show(found[key])
    for place in places:
        for owner in owners_in(place):
            owners[owner] = None
    return sample


def _remember(names: dict[bytes, None], name: bytes) -> bool:
    if len(names) <= MOST_NAMES:
        names[name] = None
        return True
    return False


def _limited(values: list[str], most: int) -> list[str]:
    kept = sorted(set(values[:most]))
    return [*kept, MORE] if len(values) > most else kept


def _time(stamp: bytes) -> tuple[int, bytes]:
    return (len(stamp), stamp)
