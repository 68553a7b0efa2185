# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One small rollout in which everything happened: its report whole, as a table and as a page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.report import denials, html, table
from ansible_collections.talosops.selinux.plugins.plugin_utils.report.model import build_model
from ansible_collections.talosops.selinux.plugins.plugin_utils.report.table import witness_summary
from expected import require_expected, require_expected_json

WITNESSES = [
    {"id": "selinux_state", "ok": True, "found": "SecurityState says enforcing"},
    {"id": "pid1_label", "ok": None, "found": "the label of process 1 is not known"},
    {"id": "policy_loaded", "ok": False, "found": "the policy was not loaded"},
]
REINSTALL = [{"id": "identity", "ok": True, "found": "the node identity was a and is b"}]
PROOF = {"proven": True, "witnesses": WITNESSES[:1], "reinstall": REINSTALL}
CHECK = {"id": "soak-reached", "severity": "block", "result": "fail", "found": "1 h", "remedy": "Wait.", "doc": "d.md"}
WAIVED = {
    "signature": "a:b:c:d",
    "count": 3,
    "waiver_id": "w-1",
    "owner": "team-a",
    "ticket": "OPS-1",
    "reason": "it is replaced",
    "expires": "2026-12-01",
}
VERDICTS: dict[str, Any] = {
    "refused": {
        "decision": "refused",
        "checks": [
            CHECK,
            {**CHECK, "id": "blind", "result": "unknown", "found": None, "reason": "the log was not read", "doc": None},
            {**CHECK, "id": "passed", "result": "pass"},
            {**CHECK, "id": "warned", "severity": "warn"},
        ],
        "waived": [WAIVED, {**WAIVED, "signature": "e:f:g:h", "count": 4}],
    },
    "waiting": {"decision": "eligible", "waived": [{**WAIVED, "count": 2}]},
    "enforcing": {
        "decision": "refused",
        "checks": [
            {**CHECK, "id": "upgraded-not-reinstalled", "found": "it was upgraded", "remedy": "Reinstall it."},
            {**CHECK, "id": "installation-history", "result": "pass"},
        ],
    },
}
STATE: dict[str, Any] = {
    "seq": 20,
    "complete": False,
    "results": {},
    "failed": None,
    "open": None,
    "done": ["verify", "drain"],
    "unfinished": False,
    "started": "2026-11-22T12:00:00+00:00",
    "updated": "2026-11-22T13:02:03+00:00",
    "failure": None,
    "doubt": None,
    "may_be_wiped": False,
    "writes": [],
}
OPEN = {**STATE, "unfinished": True, "open": "reset", "writes": ["drain", "reset"], "may_be_wiped": True}
LEDGER: dict[str, Any] = {
    "path": "/srv/ledger.jsonl",
    "ok": False,
    "broken": "line 3 is not canonical",
    "entries": 42,
    "head": "e" * 64,
    "torn": 4,
    "recovered": [{"bytes": 7, "file": "ledger.torn-1"}],
    "halts": [{"number": 9, "reason": "a drill", "who": "me", "at": "2026-11-22T11:00:00Z"}],
    "unfinished": ["broken", "open", "between"],
    "locks": {"rollout": {"owner": "host:12:boot:ns:7", "node": "open", "expires": "2026-11-22T15:00:00Z"}},
    "nodes": {
        "moved": {**STATE, "complete": True, "results": {"prove": PROOF}},
        "unproven": {**STATE, "complete": True, "results": {"prove": {**PROOF, "proven": False}}},
        "doubtful": {**STATE, "complete": True, "results": {"prove": {"witnesses": WITNESSES, "reinstall": REINSTALL}}},
        "done-again": {**STATE, "complete": True},
        "fallen": {**STATE, "complete": True, "seq": 10},
        "broken": {**STATE, "unfinished": True, "failed": "install", "failure": {"found": "no disk", "do": "add one"}},
        "silent": {**STATE, "failed": "soak"},
        "open": OPEN,
        "asked": {**OPEN, "doubt": "no answer came", "failure": {"do": "look at it"}},
        "between": {**STATE, "unfinished": True, "updated": None},
    },
}
BY = {"who": "me", "why": "tests"}
CHANGE = {"id": "soak-reached", "field": "severity", "from": "block", "to": "warn", "in": "p.yml", "weaker": True}
POLICY = {
    "name": "ours",
    "changes": [
        {**CHANGE, "by": BY},
        {**CHANGE, "field": "assert", "by": None},
        {**CHANGE, "id": None, "field": "soak_hours", "from": 24, "to": 72, "weaker": False, "by": None},
        {"id": "own", "field": "check", "in": "p.yml", "weaker": False, "by": None},
    ],
    "weakened": True,
}
#: Nodes by name: what the plan knew of each, where it is not an eligible worker of zone b.
NODES: dict[str, dict[str, Any]] = {
    **{name: {} for name in LEDGER["nodes"]},
    "refused": {"decision": "refused", "machine_type": "controlplane", "zone": None},
    "inconclusive": {"decision": "inconclusive", "machine_type": None},
    "left-out": {"machine_type": "init"},
    "enforcing": {"decision": "refused"},
    "reached": {},
    "waiting": {},
    "waiting-too": {},
    "waiting-also": {},
}
PLAN: dict[str, Any] = {
    "nodes": [
        {"name": n, "machine_type": "worker", "zone": "b", "decision": "eligible", **o} for n, o in NODES.items()
    ],
    "not_eligible": [
        {"name": "refused", "reasons": ["not shown"]},
        {
            "name": "inconclusive",
            "reasons": ["no log", {"id": "x", "reason": "it is so", "remedy": "do it", "doc": "e"}],
        },
        {"name": "left-out", "reasons": [{"id": "plan.control_planes", "found": None, "remedy": None}]},
    ],
    "waves": [{"number": 1, "kind": "canary", "nodes": ["moved", "waiting"]}],
    "done": ["enforcing", "done-again"],
    "after_entry": 15,
    "etcd": {"voters": 3},
    "notes": ["a note that is rather long, so that it is folded where the table has no more room for it than this"],
}
GIVEN: dict[str, Any] = {
    "generated_at": "2026-11-22T14:00:00Z",
    "halted": "2 of 9 nodes failed",
    "policy": POLICY,
    "reached": ["reached", "moved"],
}


def model() -> dict[str, Any]:
    """The report."""
    return build_model(PLAN, VERDICTS, LEDGER, **GIVEN)


def test_the_model() -> None:
    require_expected_json("report/model.json", model())


@pytest.mark.parametrize("width", [60, 110])
def test_the_table(width: int) -> None:
    require_expected(f"report/table-{width}.txt", table.render(model(), width=width))


def test_the_page_without_its_style() -> None:
    require_expected(
        "report/page.html", re.sub(r"(<style>).*?(</style>)", r"\1\2", html.render(model()), flags=re.DOTALL)
    )


def test_a_report_in_check_mode_before_anything_was_begun() -> None:
    plan = {**PLAN, "done": []}
    checked = build_model(plan, {}, None, generated_at="2026-11-22T14:00:00Z", check_mode=True, title="A drill")
    require_expected("report/check-mode.txt", table.render(checked, width=100))
    assert (checked["check_mode"], checked["policy"], checked["halts"], checked["ledger"]) == (True, None, [], None)
    assert "<p>Check mode: nothing was changed.</p>" in html.render(checked)


def test_the_colour_of_each_heading() -> None:
    found = re.findall(r"\x1b\[([\d;]+)m([A-Z ]+)", table.render(model(), color=True))
    assert found == [
        ("32", "MOVED "),
        ("31;1", "FAILED "),
        ("33", "REFUSED"),
        ("33", "INCONCLUSIVE"),
        ("1", "UNFINISHED "),
        ("1", "NOT STARTED "),
        ("32", "ALREADY ENFORCING "),
    ]


NAMES = {
    "selinux_state": "SELinux state",
    "kernel_args": "kernel command line",
    "pid1_label": "PID 1 label",
    "policy_loaded": "policy load",
    "denials": "no permissive denial",
    "same_machine": "same machine",
    "later": "newer evidence",
    "identity": "new identity",
    "meta": "new META",
    "state": "new STATE",
    "ephemeral": "new EPHEMERAL",
    "boot": "new boot",
    "version": "version",
    "schematic": "schematic",
    "etcd_member": "new etcd member",
    "labels": "labels",
    "of_tomorrow": "of_tomorrow",
}


def test_what_a_witness_is_called() -> None:
    assert {name: witness_summary([{"id": name, "ok": False}]) for name in NAMES} == {
        name: f"0 of 1; NO: {called}" for name, called in NAMES.items()
    }


DENIAL: dict[str, Any] = {
    "signature": "pod_t:run_t:dir:write",
    "source_type": "pod_t",
    "target_type": "run_t",
    "class": "dir",
    "permissions": ["write", "add_name"],
    "permissive": True,
    "count": 3,
    "comms": ["a", "b", "c", "d"],
    "catalogue_id": None,
    "known_benign": False,
    "constraint": None,
    "doubtful": 0,
    "suggestion": None,
}
REMEDY = {"do": "label the volume", "value": "system_u:object_r:x_t:s0", "kind": "label"}
RULE = {"remedies": [], "cil": {"rule": "(allow a b)"}}
DENIALS: list[dict[str, Any]] = [
    DENIAL,
    {**DENIAL, "signature": "b", "count": 9, "permissive": False, "catalogue_id": "known", "known_benign": True},
    {**DENIAL, "signature": "a", "permissive": None, "constraint": "mls", "userspace": True, "doubtful": 2},
    {**DENIAL, "signature": "c", "count": 1, "policy_verdict": "denied", "suggestion": {"remedies": [REMEDY]}},
    {**DENIAL, "signature": "d", "count": 1, "suggestion": {"remedies": [{**REMEDY, "kind": "waiver"}]}},
    {**DENIAL, "signature": "e", "count": 1, "suggestion": {"remedies": [{**REMEDY, "value": None}]}},
    {**DENIAL, "signature": "f", "count": 1, "suggestion": RULE},
    {**DENIAL, "signature": "g", "count": 1, "suggestion": {**RULE, "cil": None, "cil_refused": {"reason": "no"}}},
]


def test_the_table_of_denials() -> None:
    spread = [{**one, "nodes": ["n", "m"]} for one in DENIALS[:2]] + [DENIALS[2]]
    coverage = {"verdict": "partial", "lost_at_least": 2, "reasons": [{"id": "F15", "text": "two are missing"}]}
    parts = [
        denials.render(DENIALS),
        denials.render(spread, unread="it is not there"),
        denials.render([]),
        denials.render(None),
        *denials.knowledge(coverage),
    ]
    require_expected("report/denials.txt", "\n\n".join(parts) + "\n")
