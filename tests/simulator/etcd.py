# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The etcd cluster of a simulated fleet: membership, leadership and the refusals that follow from quorum."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .node import Node


class EtcdError(Exception):
    """etcd refused; the text is what its client reports."""


@dataclass
class Member:
    """One member as the cluster knows it."""

    name: str
    address: str
    id: int = field(default_factory=lambda: secrets.randbits(63) | (1 << 60))
    learner: bool = False
    up: bool = True


class Etcd:
    """Members by name; ``index`` grows with every change so that status answers look alive."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.leader: str = ""
        self.term = 4
        self.index = 210_000
        self.alarms: dict[str, int] = {}

    def voters(self) -> list[Member]:
        """Voting members."""
        return [member for member in self.members.values() if not member.learner]

    def quorum(self) -> bool:
        """Tell whether a majority of the voters is up."""
        voters = self.voters()
        return sum(member.up for member in voters) * 2 > len(voters)

    def elect(self) -> None:
        """Choose a leader when there is none that is up."""
        current = self.members.get(self.leader)
        if current is not None and current.up and not current.learner:
            return
        candidates = [member.name for member in self.voters() if member.up]
        self.leader = candidates[0] if candidates and self.quorum() else ""
        self.term += 1

    def add(self, node: Node, *, learner: bool) -> Member:
        """Add a member for a node; a stale one of the same name is removed first, as Talos does when it rejoins."""
        if node.name in self.members:
            self.remove(self.members[node.name].id)
        if self.members and not self.quorum():
            raise EtcdError("etcdserver: no leader")
        member = Member(node.name, node.address, learner=learner and bool(self.members))
        self.members[node.name] = member
        self.index += 1
        self.elect()
        return member

    def promote(self, name: str) -> None:
        """Make a learner a voter."""
        if name in self.members and self.quorum():
            self.members[name].learner = False
            self.index += 1

    def remove(self, member_id: int) -> None:
        """Remove a member by id. Raises EtcdError with etcd's texts."""
        for name, member in self.members.items():
            if member.id != member_id:
                continue
            if not self.quorum():
                raise EtcdError("etcdserver: no leader")
            rest = [other for other in self.voters() if other is not member]
            started = sum(other.up for other in rest)
            # The strict reconfiguration check: what remains must have a majority of started voters.
            if not member.learner and (not rest or started * 2 <= len(rest)):
                raise EtcdError("etcdserver: re-configuration failed due to not enough started members")
            del self.members[name]
            self.index += 1
            self.elect()
            return
        raise KeyError(member_id)

    def set_up(self, name: str, up: bool) -> None:
        """A member's process started or stopped."""
        if name in self.members:
            self.members[name].up = up
            self.elect()

    def forfeit(self, name: str) -> str:
        """Move leadership away from ``name``; returns the new leader, '' when ``name`` did not lead."""
        others = [member.name for member in self.voters() if member.up and member.name != name]
        if len(self.members) == 1:
            raise EtcdError("no member to move leadership to")
        if self.leader != name:
            return ""
        if not others:
            raise EtcdError("no member to move leadership to")
        self.leader = others[0]
        self.term += 1
        return self.leader
