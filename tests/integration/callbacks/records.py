# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A callback for tests: every task result as one line of JSON, in the file that TEST_RECORDS names."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: records
type: aggregate
short_description: Task results as JSON lines
description: Writes every task result, as the task returned it, into the file that the environment names.
"""


class CallbackModule(CallbackBase):
    """Writes, and shows nothing."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "records"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, status: str, result: Any) -> None:
        if result.task.action.rpartition(".")[2] in ("include_role", "include_tasks"):
            # An include bears the name of what it includes, and has no result of its own.
            return
        line = {
            "host": result.host.name,
            "task": result.task.name,
            "action": result.task.action,
            "status": status,
            "result": result.result,
        }
        with open(os.environ["TEST_RECORDS"], "a", encoding="utf-8") as file:  # noqa: PTH123 (an append, in one call)
            file.write(json.dumps(line, default=str) + "\n")

    def v2_runner_on_ok(self, result: Any) -> None:
        self._write("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._write("ignored" if ignore_errors else "failed", result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._write("skipped", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._write("unreachable", result)
