# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wait for something by looking again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from .problem import Problem

V = TypeVar("V")


class NotYet(Problem):
    """Something that was waited for did not happen in time."""

    kind = "timeout"


def turns(timeout: float, pause: float) -> Iterator[None]:
    """The turns of a loop that waits: a ``pause`` before each but the first, and none after ``timeout``, in seconds."""
    end = time.monotonic() + timeout
    yield
    while time.monotonic() + pause < end:
        time.sleep(pause)
        yield


def poll(
    look: Callable[[], V],
    done: Callable[[V], bool],
    *,
    timeout: float,
    sleep: float,
    waiting_for: str,
    do: str,
    patient_with: tuple[type[Problem], ...] = (),
) -> V:
    """Look again and again until ``done``.

    Args:
        look: one look.
        timeout: seconds after which waiting ends.
        sleep: seconds between two looks.
        waiting_for: what is waited for, for the message.
        do: what the operator should do when it does not come.
        patient_with: problems that a look may meet on the way, such as a node that is just booting.

    Raises:
        NotYet: when the time is over, with the last thing that was seen.
    """
    last = ""
    for _turn in turns(timeout, sleep):
        try:
            seen = look()
            if done(seen):
                return seen
            last = str(seen)
        except patient_with as problem:
            last = problem.found
    raise NotYet(
        f"waited {timeout:g} seconds for {waiting_for}; last seen: {last[:500]}",
        "the next step must not start before that",
        do,
    )
