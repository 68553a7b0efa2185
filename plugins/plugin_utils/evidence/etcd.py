# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Etcd quorum arithmetic: whether one control plane may leave the cluster. It permits or refuses; it asks nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..problem import Problem

# A member's own committed-minus-applied distance. A caught-up member shows 0 or 1; etcd itself starts to refuse
# requests at 5000. Anything above this means that the member is still replaying.
MAX_APPLY_LAG = 100

Member = Mapping[str, Any]


class EtcdUnsafe(Problem):
    """Removing this member now could cost the cluster its quorum, or nobody can tell."""

    kind = "etcd_unsafe"


def quorum(voters: int) -> int:
    """How many of ``voters`` must agree (raft: more than half)."""
    return voters // 2 + 1


def tolerance(voters: int, healthy: int | None = None) -> int:
    """How many further members may be lost before quorum is lost; below zero when it already is."""
    return (voters if healthy is None else healthy) - quorum(voters)


#: What nobody can say while the control planes do not agree on the members.
_NOT_KNOWN = ("healthy", "voters", "learners", "leader", "quorum", "tolerance", "tolerance_after_removal")


def assess(
    views: Mapping[str, Sequence[Member] | None],
    statuses: Mapping[str, Mapping[str, Any] | None],
    alarms: Sequence[Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """Judge what the control planes say about etcd.

    Args:
        views: per answering node its member list, ``[{id, hostname, is_learner, peers}]``, asked with
            ``query_local=false``; ``peers`` are the addresses under which the others know it. None for a node whose
            answer is not known.
        statuses: per node ``{member_id, leader, raft_index, raft_applied_index, raft_term, errors}``; None likewise.
        alarms: ``[{member_id, alarm}]`` of the whole cluster; None when they could not be read.

    Returns:
        ``{agreed: bool|None, healthy: bool|None, members: [{id, hostname, is_learner, peers, healthy: bool|None}],
        voters: int|None, learners: int|None, leader: str|None, quorum: int|None, tolerance: int|None,
        tolerance_after_removal: int|None, problems: [str]}``. Ids are compared and returned as text. None means not
        known. ``tolerance_after_removal`` is what remains while one healthy voter is away: a graceful Talos reset
        removes the member first, so the quorum is that of the smaller cluster.
    """
    problems: list[str] = []
    agreed = _agreed(views, problems)
    if agreed is not True:
        return {"agreed": agreed, **dict.fromkeys(_NOT_KNOWN), "members": [], "problems": problems}
    listed = next(view for view in views.values() if view is not None)
    by_id = _statuses_by_member(statuses, problems)
    members = [
        {
            "id": str(member["id"]),
            "hostname": member.get("hostname"),
            "is_learner": member.get("is_learner"),
            "peers": list(member.get("peers") or ()),
            "healthy": _member_healthy(member, by_id.get(str(member["id"])), problems),
        }
        for member in listed
    ]
    members.sort(key=lambda member: (str(member["hostname"]), str(member["id"])))
    _check_names(members, problems)
    # A member of unknown kind counts as a learner: it must not be counted on for a vote.
    voting = [member for member in members if member["is_learner"] is False]
    learners = [member for member in members if member["is_learner"] is not False]
    problems.extend(f"member {_named(member)} is a learner and has no vote" for member in learners)
    known = {member["id"] for member in members}
    problems.extend(
        f"member {stranger} answers but is in nobody's member list" for stranger in sorted(set(by_id) - known)
    )
    leader = _leader(by_id, voting, problems)
    _check_alarms(alarms, problems)
    well = sum(1 for member in voting if member["healthy"] is True)
    unknown = alarms is None or any(member["healthy"] is None for member in members)
    return {
        "agreed": True,
        "healthy": True if not problems else (None if unknown else False),
        "members": members,
        "voters": len(voting),
        "learners": len(learners),
        "leader": leader,
        "quorum": quorum(len(voting)),
        "tolerance": tolerance(len(voting), well),
        "tolerance_after_removal": tolerance(len(voting) - 1, well - 1) if len(voting) > 1 else -1,
        "problems": problems,
    }


def _check_alarms(alarms: Sequence[Mapping[str, Any]] | None, problems: list[str]) -> None:
    if alarms is None:
        problems.append("the alarm list could not be read")
    else:
        for alarm in alarms:
            if str(alarm.get("alarm")).lower() not in ("none", "0"):
                problems.append(f"member {alarm.get('member_id')} raised the alarm {alarm.get('alarm')}")


def may_remove(member_id: int | str, assessment: Mapping[str, Any]) -> None:
    """Permit that this healthy voting member leaves for a reinstall, by returning.

    Raises:
        EtcdUnsafe: unless the views agree, the cluster has at least three voters, every member votes and is healthy,
            and the rest keeps quorum on its own.
    """
    member = _require_member(member_id, assessment)
    if assessment["healthy"] is not True:
        raise _unsafe("etcd is not proved healthy: " + "; ".join(assessment["problems"]), member)
    voters = assessment["voters"]
    if voters < 3:
        raise EtcdUnsafe(
            f"etcd has {voters} voting member{'s' if voters != 1 else ''}",
            "with fewer than three, taking one away leaves no copy to fall back on, and Talos cannot do it gracefully",
            "grow the control plane to three members first, or rebuild this cluster by hand from a snapshot",
            member_id=str(member_id),
        )
    if assessment["tolerance_after_removal"] < 0:
        raise _unsafe("the remaining members would have no quorum", member)


def _require_member(member_id: int | str, assessment: Mapping[str, Any]) -> dict[str, Any]:
    if assessment["agreed"] is not True:
        raise _unsafe(
            "the members do not agree about who is in the cluster: " + "; ".join(assessment["problems"]), None
        )
    for member in assessment["members"]:
        if member["id"] == str(member_id):
            return dict(member)
    raise _unsafe(f"{member_id} is not in the member list", None)


def _unsafe(found: str, member: Mapping[str, Any] | None) -> EtcdUnsafe:
    return EtcdUnsafe(
        found,
        "a control plane may only leave while all the others are healthy and keep quorum without it",
        "bring etcd back to health (etcd status, etcd alarm list) and run again; nothing was changed",
        **({"member_id": member["id"]} if member else {}),
    )


def _agreed(views: Mapping[str, Sequence[Member] | None], problems: list[str]) -> bool | None:
    lists: dict[str, frozenset[tuple[str, bool | None, tuple[str, ...]]]] = {}
    for node, view in sorted(views.items()):
        if view is None or any(member.get("id") in (None, "", 0) for member in view):
            problems.append(f"{node} gave no usable member list")
        elif not view:
            problems.append(f"{node} gave an empty member list")
        else:
            # A cluster restored from another's snapshot may have its members, but not at their addresses.
            lists[node] = frozenset(
                (str(member["id"]), member.get("is_learner"), tuple(member.get("peers") or ())) for member in view
            )
            if len({str(member["id"]) for member in view}) != len(view):
                problems.append(f"{node} lists a member twice")
                return False
    if len(set(lists.values())) > 1:
        problems.append(f"the member lists of {', '.join(lists)} differ")
        return False
    if len(views) == len(lists) == 1 and len(next(iter(lists.values()))) == 1:
        # The only member there is has spoken: nobody else could agree or disagree.
        return True
    if len(lists) < 2 or len(lists) < len(views):
        problems.append("the same member list from two different nodes, and from every node asked, is needed")
        return None
    return True


def _statuses_by_member(
    statuses: Mapping[str, Mapping[str, Any] | None], problems: list[str]
) -> dict[str, Mapping[str, Any]]:
    by_id: dict[str, Mapping[str, Any]] = {}
    for node, status in sorted(statuses.items()):
        if status is None or status.get("member_id") in (None, "", 0):
            problems.append(f"{node} gave no etcd status")
        elif str(status["member_id"]) in by_id:
            problems.append(f"two nodes answer as member {status['member_id']}")
        else:
            by_id[str(status["member_id"])] = status
    return by_id


def _member_healthy(member: Member, status: Mapping[str, Any] | None, problems: list[str]) -> bool | None:
    name = _named(member)
    if status is None:
        problems.append(f"the status of member {name} is not known")
        return None
    index, applied, errors = status.get("raft_index"), status.get("raft_applied_index"), status.get("errors")
    if not isinstance(index, int) or not isinstance(applied, int) or errors is None:
        problems.append(f"the status of member {name} is incomplete")
        return None
    ailments = [f"reports {error}" for error in errors]
    if index - applied > MAX_APPLY_LAG:
        ailments.append(f"is {index - applied} entries behind its own log")
    problems.extend(f"member {name} {ailment}" for ailment in ailments)
    return not ailments


def _leader(
    by_id: Mapping[str, Mapping[str, Any]], voting: Sequence[Mapping[str, Any]], problems: list[str]
) -> str | None:
    leaders = {str(status.get("leader")) for status in by_id.values()}
    terms = {status.get("raft_term") for status in by_id.values()}
    if len(leaders) != 1:
        problems.append("the members do not name one and the same leader")
        return None
    if len(terms) != 1 or not isinstance(next(iter(terms)), int):
        problems.append("the members are not in the same raft term")
    leader = next(iter(leaders))
    if leader not in {member["id"] for member in voting}:
        problems.append("there is no leader among the voting members")
        return None
    return leader


def _check_names(members: Sequence[Mapping[str, Any]], problems: list[str]) -> None:
    names = [member["hostname"] for member in members if member["hostname"]]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(f"two members are called {name}: one is stale")


def _named(member: Member) -> str:
    return f"{member['hostname']} ({member['id']})" if member.get("hostname") else str(member["id"])
