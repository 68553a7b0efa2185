# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Etcd arithmetic, tried on every cluster of one to seven members."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence import etcd
from ansible_collections.talosops.selinux.plugins.plugin_utils.evidence.etcd import (
    EtcdUnsafe,
    assess,
    may_remove,
)


def cluster(kinds):
    """A cluster from one letter per member: h healthy, e error, s silent, l learner."""
    members = [{"id": 100 + n, "hostname": f"cp-{n}", "is_learner": kind == "l"} for n, kind in enumerate(kinds)]
    leader = next((100 + n for n, kind in enumerate(kinds) if kind == "h"), 100)
    statuses = {
        f"cp-{n}": None
        if kind == "s"
        else {
            "member_id": 100 + n,
            "leader": leader,
            "raft_index": 50,
            "raft_applied_index": 50,
            "raft_term": 3,
            "errors": ["corrupt"] if kind == "e" else [],
        }
        for n, kind in enumerate(kinds)
    }
    return members, statuses


def judged(kinds, views=2):
    members, statuses = cluster(kinds)
    return assess({f"cp-{n}": members for n in range(views)}, statuses, [])


def _at(members, *peers):
    return [{**member, "peers": [peer]} for member, peer in zip(members, peers, strict=True)]


def test_members_at_other_addresses_are_another_cluster() -> None:
    # Restored from a snapshot, or made with the same token: the ids alone do not tell.
    members, statuses = cluster("hhh")
    ours = _at(members, "10.0.0.1", "10.0.0.2", "10.0.0.3")
    assert assess({"cp-0": ours, "cp-1": ours, "cp-2": ours}, statuses, [])["agreed"] is True
    theirs = _at(members, "10.9.0.1", "10.9.0.2", "10.9.0.3")
    for other in (theirs, _at(members, "10.0.0.1", "10.0.0.2", "10.0.0.9"), members):
        found = assess({"cp-0": ours, "cp-1": ours, "cp-2": other}, statuses, [])
        assert found["agreed"] is False and found["healthy"] is None


def test_one_member_at_two_addresses_is_listed_twice() -> None:
    members, statuses = cluster("hh")
    twice = _at([*members, members[0]], "10.0.0.1", "10.0.0.2", "10.9.0.1")
    assert assess({"cp-0": twice, "cp-1": twice}, statuses, [])["agreed"] is False


@pytest.mark.parametrize("size", range(1, 8))
def test_every_cluster(size):
    permitted = 0
    # Of large ones in one order only, since that is looked at one by one in the small ones.
    every = (
        itertools.product if size <= 5 else lambda kinds, repeat: itertools.combinations_with_replacement(kinds, repeat)
    )
    for kinds in every("hesl", repeat=size):
        assessment = judged(kinds)
        voters = [n for n, kind in enumerate(kinds) if kind != "l"]
        assert assessment["voters"] == len(voters)
        assert assessment["learners"] == kinds.count("l")
        for target in range(size):
            # The model, told independently: who can still vote once the target is gone, against who must.
            rest = [n for n in range(size) if n != target]
            votes = sum(kinds[n] == "h" for n in rest)
            needed = sum(kinds[n] != "l" for n in rest) // 2 + 1
            safe = size >= 3 and set(kinds) == {"h"} and votes >= needed
            try:
                may_remove(100 + target, assessment)
            except EtcdUnsafe:
                assert not safe
            else:
                assert safe
                permitted += 1
    assert permitted == (size if size >= 3 else 0)


@pytest.mark.parametrize(("voters", "after"), [(1, -1), (2, 0), (3, 0), (4, 1), (5, 1), (6, 2), (7, 2)])
def test_tolerance(voters, after):
    assessment = judged("h" * voters)
    assert assessment["healthy"] is True
    assert assessment["quorum"] == voters // 2 + 1
    assert assessment["tolerance"] == (voters - 1) // 2
    assert assessment["tolerance_after_removal"] == after
    assert assessment["leader"] == "100"
    assert assessment["problems"] == []


def change_status(change):
    members, statuses = cluster("hhh")
    statuses["cp-1"] = {**statuses["cp-1"], **change}
    return assess({"cp-0": members, "cp-1": members}, statuses, [])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"leader": 102}, "one and the same leader"),
        ({"raft_term": 2}, "raft term"),
        ({"raft_index": 500}, "behind its own log"),
        ({"raft_index": None}, "incomplete"),
        ({"errors": None}, "incomplete"),
        ({"member_id": 0}, "gave no etcd status"),
        ({"member_id": 999}, "nobody's member list"),
        ({"member_id": 100}, "two nodes answer as member 100"),
    ],
)
def test_status_problems_refuse(change, words):
    assessment = change_status(change)
    assert any(words in problem for problem in assessment["problems"]), assessment["problems"]
    assert assessment["healthy"] is not True
    with pytest.raises(EtcdUnsafe, match=words):
        may_remove(100, assessment)


def test_no_leader():
    members, statuses = cluster("hhh")
    for status in statuses.values():
        status["leader"] = 0
    assessment = assess({"cp-0": members, "cp-1": members}, statuses, [])
    assert assessment["leader"] is None
    with pytest.raises(EtcdUnsafe, match="no leader"):
        may_remove(100, assessment)


@pytest.mark.parametrize("alarms", [None, [{"member_id": 101, "alarm": "NOSPACE"}], [{"member_id": 101, "alarm": 2}]])
def test_alarms_refuse(alarms):
    members, statuses = cluster("hhh")
    assessment = assess({"cp-0": members, "cp-1": members}, statuses, alarms)
    with pytest.raises(EtcdUnsafe, match="alarm"):
        may_remove(100, assessment)


def test_an_alarm_called_none_is_no_alarm():
    members, statuses = cluster("hhh")
    assessment = assess({"cp-0": members, "cp-1": members}, statuses, [{"member_id": 101, "alarm": "NONE"}])
    assert assessment["healthy"] is True and assessment["problems"] == []
    may_remove("101", assessment)


def views():
    members, _statuses = cluster("hhh")
    other = [members[0], members[1], {**members[2], "id": 999}]
    learner = [members[0], members[1], {**members[2], "is_learner": True}]
    return [
        ({}, None),
        ({"cp-0": members}, None),
        ({"cp-0": members, "cp-1": None}, None),
        ({"cp-0": members, "cp-1": []}, None),
        ({"cp-0": members, "cp-1": members, "cp-2": None}, None),
        ({"cp-0": members, "cp-1": other}, False),
        ({"cp-0": members, "cp-1": learner}, False),
        ({"cp-0": [*members, members[0]], "cp-1": [*members, members[0]]}, False),
        ({"cp-0": members, "cp-1": list(reversed(members))}, True),
    ]


@pytest.mark.parametrize(("view", "agreed"), views())
def test_agreement_needs_two_equal_views(view, agreed):
    _members, statuses = cluster("hhh")
    assessment = assess(view, statuses, [])
    assert assessment["agreed"] is agreed
    if agreed is not True:
        assert assessment["problems"]
        with pytest.raises(EtcdUnsafe, match="the members do not agree about who is in the cluster"):
            may_remove(100, assessment)


def test_a_stale_twin_and_a_stranger_refuse():
    members, statuses = cluster("hhhh")
    members[3]["hostname"] = "cp-0"
    with pytest.raises(EtcdUnsafe, match="stale"):
        may_remove(101, assess({"cp-0": members, "cp-1": members}, statuses, []))
    with pytest.raises(EtcdUnsafe, match="not in the member list"):
        may_remove(7, judged("hhh"))


def test_an_unknown_learner_flag_is_no_vote():
    members, statuses = cluster("hhh")
    members[2]["is_learner"] = None
    assessment = assess({"cp-0": members, "cp-1": members}, statuses, [])
    assert (assessment["voters"], assessment["learners"]) == (2, 1)
    with pytest.raises(EtcdUnsafe, match="is a learner and has no vote"):
        may_remove(100, assessment)


def test_quorum_is_more_than_half():
    assert [etcd.quorum(n) for n in range(1, 8)] == [1, 2, 2, 3, 3, 4, 4]


def test_the_only_member_agrees_with_itself_and_may_not_leave():
    assessment = judged("h", views=1)
    assert (assessment["agreed"], assessment["healthy"], assessment["voters"]) == (True, True, 1)
    assert [member["hostname"] for member in assessment["members"]] == ["cp-0"]
    assert assessment["problems"] == [] and assessment["tolerance_after_removal"] == -1
    with pytest.raises(EtcdUnsafe, match="etcd has 1 voting member"):
        may_remove(100, assessment)


@pytest.mark.parametrize(("kinds", "views"), [("hh", 1), ("hhh", 1), ("h", 0)])
def test_one_view_of_a_larger_cluster_is_no_agreement(kinds, views):
    assert judged(kinds, views=views)["agreed"] is None


def test_a_member_that_gave_no_list_is_no_agreement():
    members, statuses = cluster("h")
    assert assess({"cp-0": members, "cp-1": None}, statuses, [])["agreed"] is None


def test_members_without_a_name_are_not_called_alike():
    members, statuses = cluster("hhh")
    nameless = [{**member, "hostname": None} for member in members]
    assert not [one for one in assess({"a": nameless, "b": nameless}, statuses, [])["problems"] if "are called" in one]
    twins = [{**member, "hostname": "cp-0"} for member in members]
    found = assess({"a": twins, "b": twins}, statuses, [])
    assert "two members are called cp-0: one is stale" in found["problems"] and found["healthy"] is False


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("raft_index", None),
        ("raft_index", "50"),
        ("raft_applied_index", None),
        ("raft_applied_index", "50"),
        ("errors", None),
    ],
)
def test_a_status_that_is_incomplete_is_no_health(field, value):
    members, statuses = cluster("hhh")
    statuses["cp-1"] = {**statuses["cp-1"], field: value}
    found = assess({"a": members, "b": members}, statuses, [])
    assert any("the status of member cp-1 (101) is incomplete" in one for one in found["problems"])
    assert found["healthy"] is None and {m["hostname"]: m["healthy"] for m in found["members"]}["cp-1"] is None
