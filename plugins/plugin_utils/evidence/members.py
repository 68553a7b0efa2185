# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask every member of a control plane's etcd, since one member's word is not agreement."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ..talos.client import NodeClient
from ..talos.config import host_of
from ..talos.errors import TalosError
from . import etcd as quorum
from .visit import Visit, text_at


async def read_etcd(visit: Visit, peer: Callable[[str], NodeClient]) -> dict[str, Any]:
    """etcd as every member sees it: agreement between members is evidence, one member's word is not.

    Args:
        visit: an open visit to one control plane.
        peer: gives an unopened client for another member's address.

    Returns:
        What ``etcd.assess`` says, with ``member_id`` of the visited node and the ``alarms``. Ids are hexadecimal text.
    """
    client = visit.client
    own = await visit.get("EtcdMember", client.get("etcd_member"))
    members = await visit.get("EtcdMemberList", client.etcd_members())
    own_id = text_at(own, "memberID")
    views: dict[str, Any] = {}
    statuses: dict[str, Any] = {}
    alarms: list[dict[str, Any]] = []
    alarms_known = True

    async def look(member: str, at: NodeClient, seen: Any) -> None:
        nonlocal alarms_known
        views[member] = [_member(m) for m in seen] if seen is not None else None
        status = await visit.get(f"EtcdStatus of {member}", at.etcd_status())
        statuses[member] = _status(status) if status else None
        raised = await visit.get(f"EtcdAlarmList of {member}", at.etcd_alarms())
        alarms_known = alarms_known and raised is not None
        for alarm in raised or ():
            entry = {"member_id": _hex(alarm.member_id), "alarm": alarm.alarm}
            if entry not in alarms:
                alarms.append(entry)

    for member in members or ():
        key = _hex(member.id)
        if own_id is not None and own_id.lower().rjust(len(key), "0") == key:
            await look(key, client, members)
            continue
        host = host_of(member.client_urls[0]) if member.client_urls else None
        try:
            if host is None:
                views[key] = statuses[key] = None
                continue
            async with peer(host) as other:
                await look(key, other, await visit.get(f"EtcdMemberList of {key}", other.etcd_members()))
        except TalosError as error:
            visit.errors.append({"source": f"etcd member {key}", "kind": error.kind, "found": error.found})
            views[key] = statuses[key] = None
            alarms_known = False
    assessment = quorum.assess(views, statuses, alarms if alarms_known else None)
    return {
        "member_id": own_id,
        **assessment,
        "errors": assessment["problems"],
        "alarms": alarms if alarms_known else None,
    }


def _member(member: Any) -> dict[str, Any]:
    peers = map(host_of, member.peer_urls)
    return {
        "id": _hex(member.id),
        "hostname": member.hostname,
        "is_learner": member.is_learner,
        "peers": sorted({peer for peer in peers if peer}),
    }


def _status(status: Any) -> dict[str, Any]:
    return {**dataclasses.asdict(status), "member_id": _hex(status.member_id), "leader": _hex(status.leader)}


def _hex(member_id: int) -> str:
    """A member id as Talos and etcdctl print it."""
    return f"{member_id:016x}"
