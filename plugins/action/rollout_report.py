# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Report who moved, who was refused and why."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, ClassVar

from ansible.utils.display import Display  # type: ignore[import-untyped]  # ansible-core ships no types

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.canonical import canonical_json
from ..plugin_utils.evidence.files import EvidenceProblem
from ..plugin_utils.gate.saved import verdict_of
from ..plugin_utils.private_files import write_private
from ..plugin_utils.problem import Problem
from ..plugin_utils.reinstall.work import Work
from ..plugin_utils.report import ending, html, table
from ..plugin_utils.report.model import build_model
from ..plugin_utils.rollout import budget
from ..plugin_utils.rollout.ledger import CLUSTER_LOCK, ROLLOUT_LOCK
from ..plugin_utils.rollout.plan import make_plan


class ActionModule(TalosAction):
    """One model of the rollout, as data, table and page; and the end of a rollout, or of its wave."""

    MODULE = "rollout_report"
    RULES: ClassVar[dict[str, Any]] = {
        "required_if": [
            ["after", "stop", ["reason"]],
            *(["after", after, ["plan"]] for after in ("gate", "wave", "rollout")),
        ]
    }

    def act(self) -> dict[str, Any]:
        work, after = Work(self), self.params["after"]
        ends = not self.check and after in ("rollout", "stop")
        try:
            result = self._reported(work, after)
            ends = ends or (after == "wave" and bool(result.get("failed")))
        except Problem:
            # A report that cannot be made or written ends the rollout, too.
            ends = not self.check and after != "gate"
            raise
        finally:
            if ends:
                work.let_go()
        return result

    def _reported(self, work: Work, after: str) -> dict[str, Any]:
        judged = self.params["judged"] or {"nodes": {}, "policy": None}
        state = work.ledger.read()
        plan = self.params["plan"] or make_plan([], after_entry=state.entries).as_dict()
        for kind in (ROLLOUT_LOCK, CLUSTER_LOCK):
            if (state.locks.get(kind) or {}).get("owner") == work.ledger.owner:
                # This run's own, which is released as soon as it ends.
                del state.locks[kind]
        over = [] if self.check else ending.reached(plan, state, self.host, after)
        stopped = ending.stopped(
            plan, state, over, after=after, max_failures=budget.number(self.params["max_failures"])
        )
        model = build_model(
            plan,
            {host: verdict_of(entry) for host, entry in judged["nodes"].items() if entry["sha256"]},
            state.as_dict() if state.entries else None,
            generated_at=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            halted=stopped or None,
            check_mode=self.check,
            policy=judged["policy"],
            reached=over,
        )
        files = [] if self.check else self._write(model)
        text = table.render(model, width=self.params["width"])
        failure = None if self.check else ending.failure(after, stopped, model, over)
        if after == "stop":
            failure = ending.unplanned(self.params["reason"], state.unfinished)
        if after != "wave" or failure:
            # Not every result callback shows text with line breaks as people would want to read it.
            Display().display(f"\n{text}\n")
        ended = {"halted": stopped or None, "files": files, "changed": bool(files)}
        if failure:
            # Whatever a failed task returns is shown, and the table was a moment ago.
            return {**ended, "failed": True, "msg": failure}
        return {**ended, "report": model, "table": text}

    def _write(self, model: dict[str, Any]) -> list[str]:
        directory, written = Path(self.params["directory"]), []
        page = html.render(model).encode()
        for name, data in (
            ("report.json", canonical_json(model) + b"\n"),
            ("report.html", page),
        ):
            try:
                write_private(directory / name, data)
            except OSError as error:
                raise EvidenceProblem(
                    f"the report cannot be written to {directory}: {error.strerror}",
                    "the report is what is shown to those who must trust the rollout",
                    "make the directory writable and give it room",
                ) from error
            written.append(str(directory / name))
        return written
