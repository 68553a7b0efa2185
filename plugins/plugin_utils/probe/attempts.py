# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the probe tries, and what the report of its container says of each attempt.

The attempts are those of Talos' own negative tests (``internal/integration/api/selinux.go``). Only "permission denied"
(EACCES) counts as refused. Capabilities and Yama answer "operation not permitted" (EPERM) to ptrace(2), and who has
all capabilities in the node's own user namespace is refused nothing by file modes: there EACCES can only be SELinux's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ..texts import printable

REFUSED, ALLOWED, INCONCLUSIVE = "refused", "allowed", "inconclusive"
#: Seconds that the container needs at most: no attempt takes more than 3, and there are four commands.
SECONDS = 30
#: The kubelet keeps no more of a termination message (kubernetes: pkg/kubelet/container/runtime.go).
LONGEST = 4096

_SCRIPT = Path(__file__).parent / "data" / "attempts.sh"
# CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE and CAP_SYS_ADMIN (linux/capability.h).
_NEEDED = 1 << 1 | 1 << 2 | 1 << 19 | 1 << 21
_WHOLE_RANGE = "0/0/4294967295"
#: What a shell, and the C library's strerror(3), say of an error. Nothing else of a text is shown.
_ERRORS = (
    "Permission denied",
    "Operation not permitted",
    "No such file or directory",
    "No such process",
    "Device or resource busy",
    "Resource busy",
    "Connection refused",
    "Input/output error",
    "Read-only file system",
    "Invalid argument",
    "not found",
    "attached",
    "is not known",
)
_SELF = re.compile(r"self (\d{1,10}|-) ([0-9a-f]{1,16}|-) (\S{1,40}) ([0-9a-f-]{36}|-) (\S{1,200})")
_TRY = re.compile(r"try ([a-z0-9]{1,16}) ([a-z]{1,16}) (\d{1,3}|-) (\d{1,10}|-) (.{0,500})")


@dataclass(frozen=True)
class Attempt:
    """One attempt.

    Attributes:
        step: the step that SELinux decides about. One before it says nothing.
        refused: what the tool writes when that step ended in EACCES.
        succeeded: what it writes when it got through, beside ending with 0.
    """

    id: str
    title: str
    step: str
    refused: re.Pattern[str]
    succeeded: re.Pattern[str] | None = None


# Wordings: strace's strace.c, socat's xioconnect.c, dd of busybox and of GNU coreutils. The C locale is set.
ATTEMPTS = (
    Attempt(
        "pid1",
        "attach to process 1 as a tracer",
        "attach",
        re.compile(r"attach: ptrace\(PTRACE_(SEIZE|ATTACH), 1\): Permission denied(\||$)"),
        re.compile(r"[Pp]rocess 1 attached"),
    ),
    Attempt(
        "machined",
        "connect to machined's socket",
        "connect",
        re.compile(r"connect\([^|]*\): Permission denied(\||$)"),
    ),
    Attempt(
        "state",
        "read the machine configuration on STATE",
        "open",
        re.compile(r"dd: (can't open|failed to open) '[^'|]*/config\.yaml': Permission denied(\||$)"),
    ),
)


@dataclass(frozen=True)
class Outcome:
    """How one attempt ended: ``refused``, ``allowed`` or ``inconclusive``, and in words that are safe to show."""

    id: str
    outcome: str
    observed: str
    pid: int | None = None


@dataclass(frozen=True)
class Report:
    """What a container reported.

    Attributes:
        boot_id: the kernel's id of the boot that it ran in; None when it did not say.
        outcomes: one for each attempt, in their order.
    """

    boot_id: str | None
    outcomes: tuple[Outcome, ...]
    pids: Mapping[str, int] = field(default_factory=dict)


@cache
def script() -> str:
    """What the container runs."""
    return _SCRIPT.read_text(encoding="utf-8")


def unknown(why: str) -> tuple[Outcome, ...]:
    """The outcomes of attempts of which nothing is known."""
    return tuple(Outcome(attempt.id, INCONCLUSIVE, printable(why, 500)) for attempt in ATTEMPTS)


def read_report(message: str, probe_id: str) -> Report:
    """Read a termination message. Whoever may write pod statuses may have written it: what is odd in it says nothing.

    Args:
        message: as the API has it.
        probe_id: what the container was given to begin and to end its report with.
    """
    lines = message.split("\n")
    if not lines[-1]:
        lines.pop()
    if len(lines) < 3 or lines[0] != f"probe 1 {probe_id}" or lines[-1] != f"end {probe_id}" or len(message) > LONGEST:
        return Report(None, unknown("the report of the container cannot be read"))
    who, tries = _SELF.fullmatch(lines[1]), [_TRY.fullmatch(line) for line in lines[2:-1]]
    if who is None or None in tries or not message.replace("\n", "").isprintable():
        return Report(
            None, unknown(f"the report of the container has lines of another form: {printable(message, 200)}")
        )
    steps: dict[str, list[re.Match[str]]] = {}
    for found in filter(None, tries):
        steps.setdefault(found[1], []).append(found)
    powerless = _powerless(who)
    outcomes = tuple(_outcome(attempt, steps.get(attempt.id, []), powerless) for attempt in ATTEMPTS)
    pids = {one.id: one.pid for one in outcomes if one.pid is not None}
    return Report(who[4] if who[4] != "-" else None, outcomes, pids)


def overall(outcomes: tuple[Outcome, ...]) -> str:
    """The outcome of a probe: allowed if one attempt was, refused only if every one was."""
    found = {one.outcome for one in outcomes}
    return ALLOWED if ALLOWED in found else REFUSED if found == {REFUSED} else INCONCLUSIVE


def _powerless(who: re.Match[str]) -> str | None:
    """Why a refusal of this process may be another's than SELinux's."""
    uid, caps, users = who[1], who[2], who[3]
    if uid != "0":
        return "the container did not run as root"
    if users != _WHOLE_RANGE:
        return "the container ran in a user namespace of its own"
    if caps == "-" or int(caps, 16) & _NEEDED != _NEEDED:
        return "the container had not the capabilities of a privileged one"
    return None


def _outcome(attempt: Attempt, steps: list[re.Match[str]], powerless: str | None) -> Outcome:
    mine = [found for found in steps if found[2] == attempt.step]
    if len(steps) != len({found[2] for found in steps}):
        return Outcome(attempt.id, INCONCLUSIVE, "it is reported twice")
    if not mine:
        last = f": {_shown(steps[-1])}" if steps else ""
        return Outcome(attempt.id, INCONCLUSIVE, f"it did not come to the step {attempt.step}{last}")
    code, text = mine[0][3], mine[0][5]
    pid = int(mine[0][4]) if mine[0][4] != "-" else None
    if code == "0" or (attempt.succeeded is not None and attempt.succeeded.search(text)):
        return Outcome(attempt.id, ALLOWED, _shown(mine[0]), pid)
    if code != "1" or not attempt.refused.search(text):
        return Outcome(attempt.id, INCONCLUSIVE, _shown(mine[0]), pid)
    if powerless is not None:
        return Outcome(attempt.id, INCONCLUSIVE, f"{powerless}: {_shown(mine[0])}", pid)
    return Outcome(attempt.id, REFUSED, _shown(mine[0]), pid)


def _shown(found: re.Match[str]) -> str:
    """A step in words of our own: whoever wrote the text may have put anything into it, a secret too."""
    words = [word for word in _ERRORS if word in found[5]]
    said = ", ".join(words) or ("nothing" if not found[5].strip("| ") else "words that are not known here")
    return f"{found[2]} ended with {found[3]}: {said}"
