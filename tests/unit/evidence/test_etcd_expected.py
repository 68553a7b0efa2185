# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many clusters as their members see them: all that is said of each, and why a member may not leave."""

from __future__ import annotations

import random
from typing import Any

from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import etcd
from expected import require_expected


def cluster(draw: random.Random) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Views, statuses and alarms of a cluster in which few things are wrong."""
    count = draw.choice([1, 2, 3, 3, 3, 4, 5])
    members = [
        {"id": 100 + n, "hostname": f"cp-{n}", "is_learner": False, "peers": [f"192.0.2.{n}"]} for n in range(count)
    ]
    statuses: dict[str, Any] = {
        f"cp-{n}": {
            "member_id": 100 + n,
            "leader": 100,
            "raft_index": 500,
            "raft_applied_index": draw.choice([500, 500, 400]),
            "raft_term": 3,
            "errors": [],
        }
        for n in range(count)
    }
    alarms: Any = []
    views: dict[str, Any] = {f"cp-{n}": [dict(member) for member in members] for n in range(count)}
    name = f"cp-{draw.randrange(count)}"
    for _again in range(draw.choice([0, 1, 1, 1, 2])):
        match draw.randrange(8):
            case 0:
                view = views.get(name) or []
                views[name] = draw.choice([None, [], view[1:], view * 2])
            case 1:
                key, value = draw.choice(
                    [("id", 999), ("id", 0), ("id", ""), ("id", None), ("peers", None), ("is_learner", True)]
                )
                for view in [views.get(name)] if draw.random() < 0.5 else views.values():
                    for member in (view or ())[:1]:
                        member[key] = value
            case 2:
                statuses[name] = None
            case 3:
                key, value = draw.choice(
                    [
                        *(("member_id", 0), ("member_id", ""), ("member_id", None), ("member_id", 100)),
                        *(("leader", 0), ("leader", 101), ("raft_index", 601), ("raft_index", None), ("raft_term", 4)),
                        *(("raft_term", None), ("errors", ["corrupt", "slow"]), ("errors", None), ("member_id", 777)),
                    ]
                )
                if statuses[name] is not None:
                    statuses[name][key] = value
            case 4:
                alarms = draw.choice(
                    [None, [{"member_id": 100, "alarm": "NOSPACE"}], [{"alarm": 0}, {"alarm": "None"}]]
                )
            case 5:
                for view in views.values():
                    for member in (view or ())[-1:]:
                        member["is_learner"] = draw.choice([True, None])
            case 6:
                for view in views.values():
                    for member in (view or ())[-1:]:
                        member["hostname"] = draw.choice(["cp-0", None, ""])
            case 7:
                views.pop(name, None)
    return views, statuses, alarms


def test_many_clusters() -> None:
    draw = random.Random(3)
    lines = []
    for number in range(100):
        views, statuses, alarms = cluster(draw)
        found = etcd.assess(views, statuses, alarms)
        members, problems = found.pop("members"), found.pop("problems")
        lines.append(f"{number}: {found}")
        lines += [f"  {member}" for member in members]
        lines += [f"  {problem}" for problem in problems]
        found |= {"members": members, "problems": problems}
        for member in (100, "101"):
            try:
                etcd.may_remove(member, found)
                lines.append(f"  {member} may leave")
            except etcd.EtcdUnsafe as problem:
                lines.append(f"  {member} stays: {problem.found[:70]} {problem.context}")
    require_expected("evidence/etcd.txt", "\n".join([*lines, ""]))


def test_a_member_may_not_leave_a_cluster_that_has_no_quorum_without_it() -> None:
    found = {"agreed": True, "healthy": True, "members": [{"id": "1"}], "voters": 3, "tolerance_after_removal": -1}
    try:
        etcd.may_remove(1, found)
    except etcd.EtcdUnsafe as problem:
        assert problem.found == "the remaining members would have no quorum"
        assert problem.context == {"member_id": "1"}
    else:
        raise AssertionError("it may leave")
    assert etcd.may_remove(1, {**found, "tolerance_after_removal": 0}) is None  # type: ignore[func-returns-value]  # that it returns is what is tested
