# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge whether nodes may move to enforcing."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from ..plugin_utils.actions import TalosAction
from ..plugin_utils.canonical import canonical_json
from ..plugin_utils.evidence import files
from ..plugin_utils.evidence.files import EvidenceProblem, safe_name
from ..plugin_utils.evidence.schema import TARGET_KEYS
from ..plugin_utils.gate import signing, waivers
from ..plugin_utils.gate.cohort import judge_cohort
from ..plugin_utils.gate.fleet import judge_fleet
from ..plugin_utils.gate.policy import load_policy
from ..plugin_utils.gate.request import judge_past
from ..plugin_utils.gate.saved import entry_of
from ..plugin_utils.gate.verdict import INCONCLUSIVE, judge, policy_note, stopping
from ..plugin_utils.private_files import write_private


class ActionModule(TalosAction):
    """One verdict for each node; a node without evidence is inconclusive."""

    MODULE = "gate"

    def act(self) -> dict[str, Any]:
        policy = load_policy(self.params["policy"])
        now = dt.datetime.now(dt.UTC)
        granted = waivers.load(self.params["waivers"], policy=policy, now=now) if self.params["waivers"] else None
        collected = self.params["evidence"]
        documents, unread = _documents(collected)
        if granted is not None:
            # A waiver that nobody answers for any more, or that covers more than was meant, stops the run by its name.
            whole = self.run_once and not self.variables.get("ansible_limit") and not unread
            granted.require_sound(documents.values(), whole_fleet=whole)
        together = judge_fleet(documents, now)
        nodes: dict[str, dict[str, Any]] = {}
        verdicts: dict[str, dict[str, Any]] = {}
        for host, document in documents.items():
            past = judge_past(document, files.earlier(self.params["directory"], document), now)
            history = [*together[host], *past]
            verdicts[host] = judge(document, policy, waivers=granted, now=now, node=host, history=history)
            nodes[host] = self._judged(host, collected["nodes"][host]["path"], verdicts[host])
        for host, entry in collected.get("machines", {}).items():
            verdict = judge_cohort(
                entry["machine"],
                self._cohort(host, verdicts, documents),
                policy,
                target=entry["target"] or dict.fromkeys(TARGET_KEYS),
                now=now,
                config=entry["config"],
                operation=entry["operation"],
                cluster=entry["cluster"],
            )
            nodes[host] = self._judged(host, None, verdict)
        for host, failure in unread.items():
            why = {"id": failure["kind"], "result": "unknown", "found": failure["found"], "reason": failure["why"]}
            reason = {**why, "remedy": failure["do"], "doc": None}
            nodes[host] = {"decision": INCONCLUSIVE, "path": None, "sha256": None, "reasons": [reason]}
        for host, entry in nodes.items():
            entry["summary"] = _summary(host, entry)
        note = policy_note(policy)
        warnings = [_weakened(policy.name, change) for change in note["changes"] if change["weaker"]]
        return {
            "nodes": nodes,
            "decisions": {
                decision: sorted(host for host, entry in nodes.items() if entry["decision"] == decision)
                for decision in ("eligible", "refused", "inconclusive")
            },
            "policy": note,
            **({"warnings": warnings} if warnings else {}),
            "changed": bool(documents),
        }

    def _judged(self, host: str, evidence: str | None, verdict: dict[str, Any]) -> dict[str, Any]:
        if self.params["signing_key"]:
            verdict = signing.sign(verdict, self.read_file(self.params["signing_key"], "signing key"))
        path = None if self.check else self._save(host, evidence, verdict)
        return {"decision": verdict["decision"], **entry_of(verdict, path), "reasons": reasons(verdict)}

    def _cohort(
        self, host: str, verdicts: dict[str, dict[str, Any]], documents: dict[str, dict[str, Any]]
    ) -> list[dict[str, Any]] | None:
        """The nodes that stand for a machine, with the verdicts of this very run; None when nobody named any."""
        names = self.variable(host, "talos_cohort")
        if names is None:
            return None
        return [
            {
                "verdict": verdicts.get(name),
                "cluster": documents[name]["cluster"]["id"] if name in documents else None,
                "pool": self.variable(name, "talos_pool") if self.known(name) else None,
                "workload": self.variable(name, "talos_workload") if self.known(name) else None,
            }
            for name in names
        ]

    def _save(self, host: str, evidence: str | None, verdict: dict[str, Any]) -> Path:
        # Beside the evidence it was given for, or, for evidence that was not saved, in the node's own directory.
        place = Path(evidence).parent if evidence else Path(self.params["directory"]) / safe_name(host)
        path = place / "verdict.json"
        try:
            write_private(path, canonical_json(verdict) + b"\n")
        except OSError as error:
            raise EvidenceProblem(
                f"the verdict on {host} cannot be written to {path}: {error.strerror}",
                "nothing is wiped without a saved verdict",
                "make the directory writable and give it room",
            ) from error
        return path


def _documents(collected: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The documents that were collected, and the problems of those nodes of which none can be read, by host."""
    documents: dict[str, dict[str, Any]] = {}
    unread = dict(collected["unread"])
    for host, entry in collected["nodes"].items():
        try:
            documents[host] = files.document_of(entry)
        except EvidenceProblem as problem:
            unread[host] = problem.as_dict()
    return documents, unread


def reasons(verdict: dict[str, Any]) -> list[dict[str, Any]]:
    """The checks of a verdict that stand in the way."""
    return [
        {key: check[key] for key in ("id", "result", "found", "reason", "remedy", "doc")}
        for check in stopping(verdict["checks"])
    ]


def _weakened(name: str, change: dict[str, Any]) -> str:
    by = change["by"]
    return (
        f"The policy {name} weakens the built-in one: {change['id'] or 'its settings'}, {change['field']}, "
        f"on the word of {by['who']}: {by['why']}"
    )


def _summary(host: str, entry: dict[str, Any]) -> str:
    if not entry["reasons"]:
        return f"{host} is {entry['decision']}."
    found = " ".join(f"{reason['id']}: {reason['found']}. {reason['remedy']}" for reason in entry["reasons"])
    return f"{host} is {entry['decision']}: {found}"
