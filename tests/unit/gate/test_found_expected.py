# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each check says that it found: on a healthy node, on one where much is wrong, and where nothing is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.canonical import sealed
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.again import judge_again
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.fleet import judge_fleet
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.policy import Policy, load_policy
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.request import judge_history, request_checks
from ansible_collections.talosops.selinux.plugins.plugin_utils.gate.verdict import judge
from expected import require_expected

from .samples import NOW, denial, evidence
from .test_cohort import MACHINE, ask, member

SICK: dict[str, Any] = {
    "errors": [{"kind": "deadline", "source": "Dmesg", "found": "no answer"}],
    "node__doubts": ["the UUID identifies no machine"],
    "kubernetes__joined": False,
    "kubernetes__doubts": ["another boot"],
    "kubernetes__unschedulable": True,
    "kubernetes__workloads_restarted": {"checked": 3, "stale": ["web/a"]},
    "kubernetes__cni": [{"name": "cilium", "version": "1.18.0"}, {"name": "calico", "version": None}],
    "kubernetes__csi": [{"name": "topolvm.io", "version": None}, {"name": "new.example", "version": None}],
    "kubernetes__addons": [{"name": "kubevirt", "version": None}, {"name": "falco", "version": None}],
    "kubernetes__local_data": ["PersistentVolume pv-1"],
    "user_volumes": ["u-data"],
    "talos__version": "v1.13.9",
    "talos__extensions": [{"name": "iscsi-tools", "version": "v1"}],
    "talos__ready": False,
    "operation__locked_by": "ada",
    "operation__target__version": "v1.13.8",
    "time__offset_seconds": 11.5,
    "selinux__kernel_args": ["selinux=0", "audit=0", "selinux"],
    "selinux__disagreements": ["one says permissive"],
    "selinux__unknown_classes": ["bpf map_read"],
    "audit__services": {"state": "Failed", "starts": 2},
    "audit__coverage__verdict": "partial",
    "audit__coverage__reasons": [{"kind": "lost", "text": "records were lost"}],
    "audit__denials": [denial(), denial("kernel_t:run_t:file:execute", known_benign=True)],
    "audit__counts__denied": 4,
    "audit__counts__doubtful": 1,
    "config__problems": ["no disk"],
    "etcd__alarms": ["NOSPACE"],
    "etcd__errors": ["no leader"],
    "etcd__members": [{"id": "a", "hostname": "cp-1", "is_learner": True}],
    "etcd__tolerance_after_removal": 0,
}


def lines(title: str, checks: Iterable[Mapping[str, Any]]) -> list[str]:
    return [f"== {title}", *(f"{check['id']} ({check['result']}): {check['found']}" for check in checks), ""]


def test_what_was_found(strict: Policy) -> None:
    healthy, sick, nothing = evidence(), evidence(**SICK), sealed({"schema": 1})
    told: list[str] = []
    for title, document in (("healthy", healthy), ("sick", sick), ("nothing known", nothing)):
        told += lines(f"{title}, strict", judge(document, strict, now=NOW)["checks"])
    strictly = judge(sick, strict, now=NOW)["checks"]
    canary = [check for check in judge(sick, load_policy("canary"), now=NOW)["checks"] if check not in strictly]
    told += lines("sick, what the canary finds otherwise", canary)
    saved, live = evidence("worker"), evidence("worker", kubernetes__unschedulable=True, node__hostname="node-2")
    again = judge_again(saved, live, strict, None, NOW, own_cordon=True)["checks"]
    told += lines("once more", [check for check in again if "identity" in check["found"] or "cordon" in check["id"]])
    told += lines("once more, of a sick node", judge_again(sick, live, strict, None, NOW)["checks"])
    request = {"api": "Reset", "path": "hook", "mode": "ALL", "labels": ["STATE"], "then": "upgrade"}
    told += lines("a request", request_checks(request, sick, NOW))
    told += lines("a request of which nothing is known", request_checks({}, None, NOW))
    old, new = evidence(), evidence(selinux__state="enforcing", talos__version="v1.14.2")
    told += lines("upgraded", judge_history(old, new, NOW))
    told += lines("enforcing before", judge_history(new, new, NOW))
    told += lines("fleet", judge_fleet({"a": healthy, "b": healthy}, NOW)["a"])
    told += lines("fleet of one", judge_fleet({"a": healthy}, NOW)["a"])
    told += lines("cohort", ask([member(strict), member(strict, "node-2", talos__ready=False)], strict)["checks"])
    bare = {**dict.fromkeys(MACHINE), "name": "new-1"}
    told += lines("cohort of strangers", ask([{"verdict": None}], strict, bare)["checks"])
    require_expected("gate/found.txt", "\n".join(told))
