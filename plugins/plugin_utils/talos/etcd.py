# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about etcd, and the two calls a reinstall needs of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from ..texts import printable
from . import wire
from .answers import EtcdAlarm, EtcdMember, EtcdStatus
from .calls import Calls


class EtcdCalls(Calls):
    """Calls of a control plane's etcd."""

    async def etcd_members(self, query_local: bool = False) -> list[EtcdMember]:
        """The members; ``query_local`` takes this node's own view instead of the cluster's agreed one."""
        answer = await self._machine("EtcdMemberList", query_local=query_local)
        if not answer.members:
            raise self._invalid("EtcdMemberList", "no members")
        return [
            EtcdMember(
                id=member.id,
                hostname=printable(member.hostname),
                peer_urls=[printable(url) for url in member.peer_urls],
                client_urls=[printable(url) for url in member.client_urls],
                is_learner=member.is_learner,
            )
            for member in answer.members
        ]

    async def etcd_status(self) -> EtcdStatus:
        """The state of the member on this node."""
        answer = await self._machine("EtcdStatus")
        status = answer.member_status
        if not status.member_id:
            raise self._invalid("EtcdStatus", "no member id")
        return EtcdStatus(
            member_id=status.member_id,
            leader=status.leader,
            is_learner=status.is_learner,
            raft_index=status.raft_index,
            raft_term=status.raft_term,
            raft_applied_index=status.raft_applied_index,
            db_size=status.db_size,
            db_size_in_use=status.db_size_in_use,
            protocol_version=printable(status.protocol_version),
            storage_version=printable(status.storage_version) or None,
            errors=[printable(error) for error in status.errors],
        )

    async def etcd_alarms(self) -> list[EtcdAlarm]:
        """The active alarms; an empty list is the healthy answer."""
        answer = await self._machine("EtcdAlarmList")
        alarms = [
            EtcdAlarm(alarm.member_id, wire.enum_name("machine.EtcdMemberAlarm.AlarmType", alarm.alarm))
            for alarm in answer.member_alarms
        ]
        return [alarm for alarm in alarms if alarm.alarm != "none"]

    async def etcd_forfeit_leadership(self) -> str | None:
        """Give up leadership; returns the new leader's name, None when this node was not the leader."""
        return printable((await self._machine("EtcdForfeitLeadership")).member) or None

    async def etcd_snapshot(self, write: Callable[[bytes], None]) -> int:
        """Stream a snapshot into ``write`` and return its size in bytes.

        On any error what was written is not a snapshot and must be thrown away. It is not repeated, since ``write``
        cannot be taken back.

        Raises:
            InvalidAnswer: an empty snapshot.
        """
        method = wire.METHODS["EtcdSnapshot"]
        way = await self._connected(time.monotonic() + self.deadlines.call)
        size = 0
        request = wire.message(method.request)()
        async with contextlib.aclosing(way.stream(method, request, self.deadlines.snapshot)) as messages:
            async for message in messages:
                self._check_metadata(message, "EtcdSnapshot")
                write(bytes(message.bytes))
                size += len(message.bytes)
        if not size:
            raise self._invalid("EtcdSnapshot", "an empty snapshot")
        return size
