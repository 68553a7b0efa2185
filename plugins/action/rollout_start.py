# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Take the lock of a rollout, and settle what a stopped run left."""

from __future__ import annotations

import contextlib
from typing import Any

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.problem import Problem
from ..plugin_utils.reinstall.settle import settle, settle_control_plane
from ..plugin_utils.reinstall.work import Work
from ..plugin_utils.rollout.halts import halted
from ..plugin_utils.rollout.ledger import CLUSTER_LOCK


class ActionModule(TalosAction):
    """One writer for one cluster, from here to the report."""

    MODULE = "rollout_start"

    def act(self) -> dict[str, Any]:
        work = Work(self)
        if self.check:
            waiting = [name for name, state in work.ledger.open_operations().items() if state["may_be_wiped"]]
            return self._result(work, None, waiting, [])
        work.hold(take_over=self.params["take_over"])
        try:
            return self._settled(work)
        except Problem:
            # Nothing after this task would release what was taken. What goes wrong here is told, not what that does.
            with contextlib.suppress(Problem):
                work.let_go()
            raise

    def _settled(self, work: Work) -> dict[str, Any]:
        resume: list[str] = []
        released: list[str] = []
        begun = work.ledger.open_operations()
        if begun or work.ledger.lock(CLUSTER_LOCK):
            # Also one that a controller left which ended: it is released with this run's.
            work.hold_cluster(take_over=self.params["take_over"])
        settle_control_plane(work)
        for host in begun:
            if self.known(host):
                (resume if settle(Work(self, host)) else released).append(host)
        return self._result(work, work.ledger.run, resume, released)

    def _result(self, work: Work, run: str | None, resume: list[str], released: list[str]) -> dict[str, Any]:
        halts = work.ledger.halts()
        if halts and not resume:
            raise halted("starting the rollout", halts)
        return {
            "run": run,
            "resume": resume,
            # While it is halted, only what was wiped is brought back.
            "start": [] if halts else [host for host in self.hosts() if host not in resume],
            "released": released,
            "halts": halts,
            "changed": bool(released),
        }
