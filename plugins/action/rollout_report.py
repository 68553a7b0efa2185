# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell who moved, who was refused and why."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from ansible.utils.display import Display

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.canonical import canonical_json
from ..plugin_utils.evidence.files import EvidenceProblem, write_private
from ..plugin_utils.report import html, table
from ..plugin_utils.report.model import build_model
from ..plugin_utils.rollout import budget
from ..plugin_utils.rollout.ledger import Ledger


class ActionModule(TalosAction):
    """One model of the rollout, as data, table and page."""

    MODULE = "rollout_report"

    def act(self) -> dict[str, Any]:
        plan, judged = self.params["plan"], self.params["judged"]
        state = Ledger(self.params["ledger"]).read()
        limit = self.params["max_failures"]
        spent = budget.assess(
            state.failed,
            [*state.canaries, *plan["canaries"]],
            max_failures=int(limit) if limit.isdecimal() else limit,
            fleet=len(plan["nodes"]),
        )
        model = build_model(
            plan,
            {host: entry["verdict"] for host, entry in judged["nodes"].items() if entry["verdict"]},
            state.as_dict() if state.entries else None,
            generated_at=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            halted=spent["reason"],
            check_mode=self.check,
            policy=judged["policy"],
        )
        files = (
            {}
            if self.check
            else {"report.json": canonical_json(model) + b"\n", "report.html": html.render(model).encode()}
        )
        for name, data in files.items():
            try:
                write_private(Path(self.params["directory"]) / name, data)
            except OSError as error:
                raise EvidenceProblem(
                    f"the report cannot be written to {self.params['directory']}: {error.strerror}",
                    "the report is what is shown to those who must trust the rollout",
                    "make the directory writable and give it room",
                ) from error
        text = table.render(model, width=self.params["width"])
        if self.params["show"]:
            # Not every result callback shows text with line breaks as people would want to read it.
            Display().display(f"\n{text}\n")
        return {
            "report": model,
            "table": text,
            "halted": spent["reason"],
            "files": [str(Path(self.params["directory"]) / name) for name in files],
            "changed": bool(files),
        }
