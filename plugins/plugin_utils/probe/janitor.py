# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process beside a probe that removes what the probe made, should the probe's own process end before it did.

Nothing in Kubernetes ends a namespace by itself: only a cluster-wide object can own one, and of those none but some
with other purposes has a time to live. So somebody has to stay behind who is not the one that is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

from ..problem import Problem

_DONE = b"done"
#: Where the janitor keeps its end of the pipe: behind input, output and errors.
_PIPE = 3


class NoJanitor(Problem):
    """There is nobody to remove what a probe makes."""

    kind = "no_janitor"


@contextlib.contextmanager
def watched(remove: Callable[[], object]) -> Iterator[None]:
    """Run the block; ``remove`` runs in another process if this one ends inside the block, however it ends.

    The other process is forked before the block begins, and knows that this one is gone when the kernel has closed the
    only writing end of their pipe. It is in a session of its own, so that what ends a whole group of processes, such as
    Ctrl-C, does not end it too. ``remove`` may use no connection and no thread of this process.

    Raises:
        NoJanitor: the process cannot be made; nothing was run.
    """
    try:
        reading, writing = os.pipe()
        try:
            janitor = os.fork()
        except OSError:
            os.close(reading)
            os.close(writing)
            raise
    except OSError as error:
        raise NoJanitor(
            f"no process can be started that would remove the probe: {error.strerror}",
            "were this one killed, its pod would be left to the cluster and its namespace to nobody",
            "give this user more processes and open files, and run it again",
        ) from error
    if not janitor:
        _clean_up(reading, remove)
    os.close(reading)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.write(writing, _DONE)
        os.close(writing)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(janitor, 0)


def _clean_up(reading: int, remove: Callable[[], object]) -> None:
    """All that the janitor does; never returns."""
    try:
        os.setsid()
        for one in (signal.SIGINT, signal.SIGHUP):
            signal.signal(one, signal.SIG_IGN)
        # Whoever waits for the end of this process's output, or of a connection, must not wait for the janitor.
        os.dup2(reading, _PIPE)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(_PIPE):
            os.dup2(nothing, number)
        os.closerange(_PIPE + 1, os.sysconf("SC_OPEN_MAX"))
        if os.read(_PIPE, len(_DONE)) != _DONE:
            remove()
    finally:
        # Nothing of what the other process would do at its end, and whatever went wrong.
        os._exit(0)
