# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A callback for tests: at one moment of a rollout the world is changed, once.

TEST_MEDDLE is JSON: ``{"at": [kind, step, host], "swap": [control URL, name, other], "copy": [[from, to], ...]}``. The
moment is right before the ledger's entry of that kind (``begin``, ``intent``) for that step and host; then two machines
change their addresses, and files are replaced. Without TEST_MEDDLE nothing happens.
"""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible_collections.talosops.selinux.plugins.plugin_utils.rollout import ledger

DOCUMENTATION = r"""
name: meddle
type: aggregate
short_description: Changes the world at a chosen moment
description: For tests of what a rollout does to a fleet that is not the one it judged.
"""


def _meddle(what: dict[str, Any], done: Path) -> None:
    for source, target in what.get("copy", ()):
        shutil.copyfile(source, target)
    if "swap" in what:
        url, name, other = what["swap"]
        body = json.dumps({"with": other}).encode()
        with urllib.request.urlopen(f"{url}/nodes/{name}/swap", data=body, timeout=60) as answer:
            answer.read()
    done.touch()


class CallbackModule(CallbackBase):
    """Reaches into the ledger before any task is forked off, and shows nothing."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "meddle"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        given = os.environ.get("TEST_MEDDLE")
        if not given:
            return
        what = json.loads(given)
        # Each task is a process of its own: that it was done is kept where all of them see it.
        done = Path(os.environ["TEST_RECORDS"]).with_name("meddled")
        real = ledger.Ledger._write

        def write(self: Any, descriptor: int, entry: dict[str, Any], state: Any) -> dict[str, Any]:
            if [entry["kind"], entry.get("step"), entry.get("node")] == what["at"] and not done.exists():
                _meddle(what, done)
            return real(self, descriptor, entry, state)

        ledger.Ledger._write = write  # type: ignore[method-assign]  # the point of this callback
