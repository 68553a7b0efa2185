# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A callback for tests: the controller is killed where TEST_CRASH says, as kill -9 or a power failure would.

``entry:N:before`` and ``entry:N:after`` kill it before and after the ledger's Nth entry is on the disk;
``step:NAME:SECONDS`` that long after the step has begun, at the latest before the entry that closes it. Without
TEST_CRASH nothing happens.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout import ledger

DOCUMENTATION = r"""
name: crash
type: aggregate
short_description: Kills the controller at a chosen moment
description: For tests of what a controller that was killed leaves behind.
"""


def _die() -> None:
    # A task runs in a process of its own, whose parent is the controller.
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


class CallbackModule(CallbackBase):
    """Reaches into the ledger before any task is forked off, and shows nothing."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "crash"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        what, _colon, rest = os.environ.get("TEST_CRASH", "").partition(":")
        if not what:
            return
        which, _colon, when = rest.partition(":")
        real = ledger.Ledger._write

        def write(self: Any, descriptor: int, entry: dict[str, Any], state: Any) -> dict[str, Any]:
            here = what == "entry" and state.entries + 1 == int(which)
            closing = what == "step" and (entry["kind"], entry.get("step")) == ("finish", which)
            if (here and when == "before") or closing:
                _die()
            written = real(self, descriptor, entry, state)
            if here:
                _die()
            if what == "step" and (entry["kind"], entry.get("step")) == ("begin", which):
                threading.Timer(float(when), _die).start()
            return written

        ledger.Ledger._write = write  # type: ignore[method-assign]  # the point of this callback
