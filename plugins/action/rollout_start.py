# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Take the lock of a rollout, and settle what a stopped run left."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from ansible.release import __version__  # type: ignore[import-untyped]  # ansible-core ships no types

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.problem import Problem
from ..plugin_utils.reinstall.settle import settle, settle_control_plane
from ..plugin_utils.reinstall.work import StepProblem, Work
from ..plugin_utils.rollout.halts import halted
from ..plugin_utils.rollout.ledger import CLUSTER_LOCK

#: The first ansible-core that goes from wave to wave for certain (ansible/ansible issue 86027), as in meta/runtime.yml.
OLDEST_CORE = (2, 19, 4)


class ActionModule(TalosAction):
    """One writer for one cluster, from here to the report."""

    MODULE = "rollout_start"

    def act(self) -> dict[str, Any]:
        _require_core(__version__)
        work = Work(self)
        if self.check:
            waiting = [name for name, state in work.ledger.open_operations().items() if state["may_be_wiped"]]
            return self._result(work, None, waiting, [])
        self._require_kubeconfig()
        work.hold(take_over=self.params["take_over"])
        try:
            found = self._settled(work)
            self._require_consent(found)
            return found
        except Problem:
            # Nothing after this task would release what was taken. What goes wrong here is told, not what that does.
            with contextlib.suppress(Problem):
                work.let_go()
            raise

    def _require_kubeconfig(self) -> None:
        if not self.params["kubeconfig"]:
            raise StepProblem(
                "no kubeconfig was given",
                "a rollout takes its lock in the cluster, and cordons and drains its nodes",
                "set kubeconfig (rollout_kubeconfig in the playbooks)",
            )

    def _require_consent(self, found: dict[str, Any]) -> None:
        """Return if somebody agreed, or only what was wiped is brought back.

        Asked here as well, before a fleet is judged for a wipe that its first step refuses.
        """
        if self.params["consent"] == "wipe" or found["resume"] or not found["start"]:
            return
        first, *more = found["start"]
        raise StepProblem(
            f"nobody agreed to wipe {first}" + (f" and {len(more)} more" if more else ""),
            "a reinstall destroys everything on a node's system disk",
            "read the plan (run with --check), then set consent (rollout_consent in the playbooks) to the word wipe",
        )

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


def _require_core(version: str) -> None:
    """Return if this ansible-core can be trusted to get from wave to wave.

    Raises:
        StepProblem: it is too old.
    """
    if tuple(int(number) for number in re.findall(r"\d+", version)[:3]) < OLDEST_CORE:
        oldest = ".".join(map(str, OLDEST_CORE))
        raise StepProblem(
            f"this is ansible-core {version}, and a rollout needs {oldest} or newer",
            "an older one may stop for ever between two waves, with a node cordoned",
            f"install ansible-core {oldest} or newer, and what else requirements.txt names",
        )
