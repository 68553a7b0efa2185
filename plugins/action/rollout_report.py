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
from ..plugin_utils.reinstall.work import Work
from ..plugin_utils.report import html, table
from ..plugin_utils.report.model import build_model
from ..plugin_utils.rollout import budget
from ..plugin_utils.rollout.halts import halt_line
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
        judged = self.params["judged"] or {"nodes": {}, "policy": None}
        after = self.params["after"]
        work = Work(self)
        state = work.ledger.read()
        plan = self.params["plan"] or make_plan([], after_entry=state.entries).as_dict()
        for kind in (ROLLOUT_LOCK, CLUSTER_LOCK):
            if (state.locks.get(kind) or {}).get("owner") == work.ledger.owner:
                # This run's own, which is released as soon as it ends.
                del state.locks[kind]
        limit = self.params["max_failures"]
        reached = [] if self.check else _reached(plan, self.host, after)
        if state.halts:
            # What a halt kept back, or gave back, did not fail.
            reached = [name for name in reached if state.node(name).complete or state.node(name).unfinished]
        # The failure of an earlier run does not stop the node's own next try.
        ahead = {name for wave in plan["waves"] for name in wave["nodes"]} - set(reached) if after == "wave" else set()
        halted = bool(state.halts) and not any(state.node(name).may_be_wiped for name in ahead)
        spent = budget.assess(
            [
                *(name for name in state.failed if name not in ahead),
                *(name for name in reached if not state.node(name).complete),
            ],
            [*state.canaries, *plan["canaries"]],
            max_failures=int(limit) if limit.isdecimal() else limit,
            fleet=len(plan["nodes"]),
        )
        stopped = "; ".join([*(halt_line(halt) for halt in state.halts if halted), *filter(None, [spent["reason"]])])
        model = build_model(
            plan,
            {host: verdict_of(entry) for host, entry in judged["nodes"].items() if entry["sha256"]},
            state.as_dict() if state.entries else None,
            generated_at=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            halted=stopped or None,
            check_mode=self.check,
            policy=judged["policy"],
            reached=reached,
        )
        files = [] if self.check else self._write(model)
        text = table.render(model, width=self.params["width"])
        failure = None if self.check else _failure(after, stopped, model, reached)
        if after == "stop":
            failure = _unplanned(self.params["reason"], state.unfinished)
        if after != "wave" or failure:
            # Not every result callback shows text with line breaks as people would want to read it.
            Display().display(f"\n{text}\n")
        if not self.check and (after in ("rollout", "stop") or (after == "wave" and failure)):
            work.let_go()
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


def _reached(plan: dict[str, Any], host: str, after: str) -> list[str]:
    """The nodes whose turn is over: those of the host's wave and before it, or of all waves."""
    if after in ("gate", "stop"):
        return []
    found: list[str] = []
    for wave in plan["waves"]:
        found += wave["nodes"]
        if after == "wave" and host in wave["nodes"]:
            break
    return found


def _unplanned(reason: str, unfinished: list[str]) -> str:
    """What ended a rollout before its first wave, and the nodes that an earlier run left on their way."""
    hosts = ",".join(unfinished)
    waiting = f" An earlier run left {hosts} unfinished: --limit {hosts} goes on without the rest of the fleet."
    return f"The rollout stopped before its first wave: {reason}{waiting if unfinished else ''}"


def _failure(after: str, stopped: str, model: dict[str, Any], reached: list[str]) -> str | None:
    """Why the playbook must end with a failure; None when it need not."""
    if after == "gate":
        return None
    if stopped:
        return f"The rollout stops: {stopped}. Do what the report says and run it again; it goes on from its ledger."
    left = [row["node"] for row in model["nodes"] if row["node"] in reached and row["outcome"] != "moved"]
    if after == "rollout" and left:
        return f"{', '.join(left)} did not end moved. Fix what the report says and run the rollout again."
    return None
