# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel arguments: what turns SELinux off or blinds the audit, and the smallest change that makes a list enforcing.

Who reads what (Talos ``internal/pkg/selinux/selinux.go``, ``internal/app/auditd``; kernel
``security/selinux/hooks.c``, ``security/security.c``, ``kernel/audit.c``):

- ``selinux=``: Talos only, and only the *first* value counts. The Talos kernel has no boot parameter for it.
- ``enforcing=``: the kernel; every occurrence is parsed in order, so the last one wins.
- ``security=``, ``lsm=``: the kernel; another exclusive module before SELinux turns SELinux off.
- ``audit=0``: the kernel; no denial is written anywhere. ``talos.auditd.disabled=1``: Talos.
- ``--``: the kernel reads nothing after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import ndiff
from typing import Literal

from ..quoted import MASK

Goal = Literal["enforcing", "permissive"]

ENFORCING = "enforcing=1"
END_OF_KERNEL_ARGS = "--"

# SELinux, Smack and AppArmor carry LSM_FLAG_EXCLUSIVE: the first of them in the order is the only one to start.
_EXCLUSIVE_MODULES = frozenset({"apparmor", "smack"})
_NUMBERS = (
    (re.compile(r"\+?0[xX][0-9a-fA-F]+"), 16),
    (re.compile(r"\+?0[0-7]*"), 8),
    (re.compile(r"\+?[1-9][0-9]*"), 10),
)
_TOKEN = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_URL_USER = re.compile(r"(?<=://)[^/?#\s@]+(?=@)")
_QUERY_VALUE = re.compile(r"([?&][^=&#\s]+=)(?!\$\{)[^&#\s]+")
_SECRET_WORD = re.compile(r"((?:token|password|passwd|secret|credential)s?[a-z_.-]*=)[^&#\s\"]+", re.IGNORECASE)

#: What the solver decides, and what GRUB writes for itself.
_IN_QUESTION = frozenset({"selinux", "enforcing"})
_BOOT_LOADERS = frozenset({"BOOT_IMAGE", "initrd"})


@dataclass(frozen=True)
class Solution:
    """What the solver did to a list of arguments.

    Attributes:
        args: the new list, every kept argument in its old order.
        added: arguments that were not there before.
        removed: arguments (or words inside one) that were taken out, in order, one entry per occurrence.
        diff: one line per argument, prefixed by two blanks, ``+`` or ``-``; values that may be secrets are masked.
    """

    args: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    diff: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether the list differs from the one given."""
        return bool(self.added or self.removed)


@dataclass(frozen=True)
class Effective:
    """What a kernel command line means for SELinux and for its evidence.

    Attributes:
        selinux: the first value of ``selinux=``, the only one Talos looks at; None when absent.
        enforcing: what the kernel makes of all ``enforcing=`` values; False when absent.
        enforcing_count: how often ``enforcing`` is written on the whole line.
        disabling: arguments that keep SELinux from starting (``lsm=``, ``security=``, a first ``selinux`` not ``1``).
        blinding: arguments that hide denials (``audit=0``, ``talos.auditd.disabled=1``).
    """

    selinux: str | None
    enforcing: bool
    enforcing_count: int
    disabling: tuple[str, ...]
    blinding: tuple[str, ...]

    def problems(self, goal: Goal) -> list[str]:
        """Why this command line does not reach ``goal``, one sentence each; empty when it does."""
        found: list[str] = []
        if self.selinux is None:
            found.append("selinux=1 is missing: Talos loads no policy")
        if self.disabling:
            found.append(f"SELinux is kept from starting by {', '.join(self.disabling)}")
        if self.blinding:
            found.append(f"denials are hidden by {', '.join(self.blinding)}")
        if goal == "enforcing":
            if not self.enforcing:
                found.append("enforcing=1 is not in force")
            if self.enforcing_count > 1:
                found.append(f"enforcing is written {self.enforcing_count} times")
        elif self.enforcing:
            found.append("enforcing=1 is in force")
        return found


def split(text: str) -> list[str]:
    """The words of a kernel command line; double quotes protect blanks as in the kernel's ``next_arg``."""
    return _TOKEN.findall(text)


def masked(arg: str) -> str:
    """The argument with URL credentials, query values and token-like values replaced."""
    if "://" in arg:
        arg = _QUERY_VALUE.sub(rf"\g<1>{MASK}", _URL_USER.sub(MASK, arg))
    return _SECRET_WORD.sub(rf"\g<1>{MASK}", arg)


def conflicts(word: str) -> bool:
    """Whether one word stands against an enforcing system whose denials can be seen.

    ``enforcing=1`` and ``selinux=1`` are no conflicts; every other spelling of the two is, as is ``-enforcing`` or
    ``-selinux``, which make the Image Factory drop the Talos default.
    """
    if word.strip('"').startswith("-") and _name(word) in ("-selinux", "-enforcing"):
        return True
    name, value = _name(word), _value(word)
    if name == "enforcing":
        return value != "1"
    if name == "selinux":
        return value != "1"
    return _disables(name, value) or _blinds(name, value)


def solve(args: Sequence[str], goal: Goal = "enforcing", *, add: Sequence[str] = (ENFORCING,)) -> Solution:
    """The smallest change to a schematic's ``extraKernelArgs`` that reaches ``goal``.

    Everything that is not part of the question stays, in its order, and a second run changes nothing. A duplicate of
    ``enforcing`` or ``selinux`` is collapsed into the first one. One list entry may hold several words; only the words
    in question leave it. Without a conflict-free ``enforcing=1`` before a ``--`` the kernel would not read it, so a
    missing one goes in front of that.

    Args:
        args: the present list; an entry such as ``-selinux`` removes a Talos default.
        goal: ``enforcing``, or ``permissive`` for the way back, which removes ``enforcing`` in every spelling.
        add: arguments to be there once when ``goal`` is ``enforcing``.
    """
    wanted = list(add) if goal == "enforcing" else []
    kept: list[str] = []
    removed: list[str] = []
    diff: list[str] = []
    seen: set[str] = set()
    ended = False
    for entry in args:
        words = split(entry)
        staying: list[str] = []
        for word in words:
            plain = word.strip('"')
            once = plain in add or _name(word) in ("enforcing", "selinux")
            drop = (
                conflicts(word)
                or (goal == "permissive" and _name(word) == "enforcing")
                or (once and plain in seen)
                or (ended and plain in wanted)
            )
            if drop:
                removed.append(word)
                continue
            if plain == END_OF_KERNEL_ARGS:
                ended = True
            if once:
                seen.add(plain)
            staying.append(word)
        if len(staying) == len(words):
            kept.append(entry)
            diff.append(f"  {masked(entry)}")
        else:
            diff.append(f"- {masked(entry)}")
            if staying:
                kept.append(" ".join(staying))
                diff.append(f"+ {masked(kept[-1])}")
    missing = [arg for arg in wanted if arg not in seen]
    where = next((i for i, entry in enumerate(kept) if END_OF_KERNEL_ARGS in split(entry)), len(kept))
    if where < len(kept) and missing and split(kept[where])[0] != END_OF_KERNEL_ARGS:
        # An entry such as "quiet -- x": the words before "--" stay in front, in an entry of their own.
        words = split(kept[where])
        cut = words.index(END_OF_KERNEL_ARGS)
        kept[where : where + 1] = [" ".join(words[:cut]), " ".join(words[cut:])]
        where += 1
    kept[where:where] = missing
    if missing:
        diff = _diff(args, kept)
    return Solution(tuple(kept), tuple(missing), tuple(removed), tuple(diff))


def effective(cmdline: str | Iterable[str]) -> Effective:
    """Read a whole kernel command line, as text or as the list of its arguments in order."""
    words = split(cmdline) if isinstance(cmdline, str) else [word for entry in cmdline for word in split(entry)]
    ended = next((i for i, word in enumerate(words) if word == END_OF_KERNEL_ARGS), len(words))
    enforcing = False
    enforcing_count = 0
    selinux: list[str] = []
    disabling: list[str] = []
    blinding: list[str] = []
    lsm: str | None = None
    for position, word in enumerate(words):
        name, value = _name(word), _value(word)
        read_by_kernel = position < ended
        if name == "selinux":
            # Talos reads the whole line, "--" means nothing to it.
            selinux.append(value or "")
            if len(selinux) == 1 and value != "1":
                disabling.append(masked(word))
        elif name == "enforcing":
            enforcing_count += 1
            if read_by_kernel and (number := _number(value)) is not None:
                enforcing = number != 0
        elif name == "lsm" and read_by_kernel:
            lsm = word
        elif _disables(name, value) and read_by_kernel:
            disabling.append(masked(word))
        elif _blinds(name, value) and (read_by_kernel or name != "audit"):
            blinding.append(masked(word))
    # The kernel keeps the last "lsm=" only.
    if lsm is not None and _disables("lsm", _value(lsm)):
        disabling.append(masked(lsm))
    return Effective(selinux[0] if selinux else None, enforcing, enforcing_count, tuple(disabling), tuple(blinding))


def compare(present: str, built: str) -> tuple[list[str], list[str]]:
    """Where a built command line differs from the present one by more than a solver may change.

    What is in question (``selinux``, ``enforcing``, and what turns SELinux off or blinds the audit in the present line)
    is left out: whether the built line reaches the goal is told by :func:`effective`. So is what GRUB adds.

    Returns:
        The words that only the built line has, and those that only the present one has, masked. The order of different
        parameters means nothing; where one parameter has other values, or the same in another order, all of them are
        in both lists.
    """
    before = _by_name(word for word in split(present) if not (conflicts(word) or _name(word) in _BOOT_LOADERS))
    after = _by_name(split(built))
    names = [name for name in {**after, **before} if before.get(name) != after.get(name) and name not in _IN_QUESTION]
    return (
        [masked(word) for name in names for word in after.get(name, ())],
        [masked(word) for name in names for word in before.get(name, ())],
    )


def _by_name(words: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word in words:
        # The kernel reads "-" and "_" in names alike (kernel/params.c).
        found.setdefault(_name(word).replace("-", "_"), []).append(word)
    return found


def _name(word: str) -> str:
    return word.strip('"').partition("=")[0]


def _value(word: str) -> str | None:
    _unused, equals, value = word.strip('"').partition("=")
    return value.strip('"') if equals else None


def _number(value: str | None) -> int | None:
    """What the kernel's ``kstrtoul(value, 0)`` reads; None where it would fail and change nothing."""
    if value is None:
        return None
    for pattern, base in _NUMBERS:
        if pattern.fullmatch(value):
            return int(value, base)
    return None


def _disables(name: str, value: str | None) -> bool:
    if name == "security":
        return True
    if name == "lsm":
        modules = (value or "").split(",")
        before = modules[: modules.index("selinux")] if "selinux" in modules else None
        return before is None or not _EXCLUSIVE_MODULES.isdisjoint(before)
    return False


def _blinds(name: str, value: str | None) -> bool:
    if name == "audit":
        return value is not None and (value.lower() == "off" or value == "0")
    return name == "talos.auditd.disabled" and value != "0"


def _diff(before: Sequence[str], after: Sequence[str]) -> list[str]:
    return [line for line in ndiff([masked(a) for a in before], [masked(a) for a in after]) if not line.startswith("?")]
