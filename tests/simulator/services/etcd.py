# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The etcd calls of a control plane."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from .. import lifecycle, versions
from ..etcd import EtcdError
from ..proto import make
from .logs import chunks
from .table import ADMIN, ADMINS, DATA, EMPTY, ETCD_BACKUP, OPERATOR, READERS, Caller, machine, method

if TYPE_CHECKING:
    from ..node import Node


def _control_plane(node: Node, api: str) -> None:
    if not node.config_applied and not versions.at_least(node.version, "1.14"):
        raise GRPCError(Status.UNIMPLEMENTED, f"machine type is not set, cannot use {api} API")
    if not node.config_applied or node.role != "controlplane":
        raise GRPCError(Status.UNIMPLEMENTED, f"{api} is only available on control plane nodes")


def _etcd_members(node: Node) -> list[Any]:
    return [
        make(
            "machine.EtcdMember",
            id=member.id,
            hostname=member.name,
            peer_urls=[f"https://{member.address}:2380"],
            client_urls=[f"https://{member.address}:2379"],
            is_learner=member.learner,
        )
        for member in node.fleet.etcd.members.values()
    ]


ETCD_READERS = READERS | {ETCD_BACKUP}


@machine("EtcdMemberList", "machine.EtcdMemberListRequest", "machine.EtcdMemberListResponse", roles=ETCD_READERS)
async def _etcd_member_list(node: Node, _request: Any, _caller: Caller) -> Any:
    _control_plane(node, "member list")
    if not node.fleet.etcd.quorum():
        raise GRPCError(Status.UNKNOWN, "etcdserver: no leader")
    members = _etcd_members(node)
    answer = make("machine.EtcdMembers", legacy_members=[member.hostname for member in members], members=members)
    return make("machine.EtcdMemberListResponse", messages=[answer])


@machine("EtcdStatus", EMPTY, "machine.EtcdStatusResponse", roles=ETCD_READERS)
async def _etcd_status(node: Node, _request: Any, _caller: Caller) -> Any:
    _control_plane(node, "etcd status")
    etcd = node.fleet.etcd
    member = etcd.members.get(node.name)
    if member is None or not member.up:
        raise GRPCError(Status.UNKNOWN, "failed to query etcd status: context deadline exceeded")
    leader = etcd.members.get(etcd.leader)
    etcd.index += 1
    behind = 2000 if member.learner else 0
    status = make(
        "machine.EtcdMemberStatus",
        protocol_version="3.6.4",
        db_size=31_744_000,
        db_size_in_use=21_000_000,
        leader=leader.id if leader else 0,
        raft_index=etcd.index,
        raft_term=etcd.term,
        raft_applied_index=etcd.index - behind,
        is_learner=member.learner,
        member_id=member.id,
    )
    if leader is None:
        status.errors.append("etcdserver: no leader")
    if versions.at_least(node.version, "1.11"):
        status.storage_version = "3.6.0"
    return make("machine.EtcdStatusResponse", messages=[make("machine.EtcdStatus", member_status=status)])


@machine("EtcdAlarmList", EMPTY, "machine.EtcdAlarmListResponse", roles=ETCD_READERS)
async def _etcd_alarms(node: Node, _request: Any, _caller: Caller) -> Any:
    _control_plane(node, "etcd alarm list")
    etcd = node.fleet.etcd
    alarms = [
        make("machine.EtcdMemberAlarm", member_id=etcd.members[name].id, alarm=alarm)
        for name, alarm in etcd.alarms.items()
        if name in etcd.members
    ]
    return make("machine.EtcdAlarmListResponse", messages=[make("machine.EtcdAlarm", member_alarms=alarms)])


@machine(
    "EtcdForfeitLeadership",
    "machine.EtcdForfeitLeadershipRequest",
    "machine.EtcdForfeitLeadershipResponse",
    roles=ADMINS,
)
async def _etcd_forfeit(node: Node, _request: Any, _caller: Caller) -> Any:
    _control_plane(node, "etcd forfeit leadership")
    try:
        leader = node.fleet.etcd.forfeit(node.name)
    except EtcdError as error:
        raise GRPCError(Status.UNKNOWN, f"failed to forfeit leadership: {error}") from error
    return make(
        "machine.EtcdForfeitLeadershipResponse", messages=[make("machine.EtcdForfeitLeadership", member=leader)]
    )


@machine(
    "EtcdRemoveMemberByID", "machine.EtcdRemoveMemberByIDRequest", "machine.EtcdRemoveMemberByIDResponse", roles=ADMINS
)
async def _etcd_remove(node: Node, request: Any, _caller: Caller) -> Any:
    _control_plane(node, "etcd remove member")
    if "member_remove_fails" in node.faults:
        raise GRPCError(Status.UNKNOWN, "failed to remove member: etcdserver: unhealthy cluster")
    try:
        node.fleet.etcd.remove(request.member_id)
    except KeyError:
        raise GRPCError(Status.NOT_FOUND, "etcdserver: member not found") from None
    except EtcdError as error:
        raise GRPCError(Status.UNKNOWN, f"failed to remove member: {error}") from error
    return make("machine.EtcdRemoveMemberByIDResponse", messages=[make("machine.EtcdRemoveMemberByID")])


@machine("EtcdLeaveCluster", "machine.EtcdLeaveClusterRequest", "machine.EtcdLeaveClusterResponse", roles=ADMINS)
async def _etcd_leave(node: Node, _request: Any, _caller: Caller) -> Any:
    _control_plane(node, "etcd leave")
    try:
        lifecycle.leave_etcd(node)
    except EtcdError as error:
        raise GRPCError(Status.UNKNOWN, f"failed to leave cluster: {error}") from error
    return make("machine.EtcdLeaveClusterResponse", messages=[make("machine.EtcdLeaveCluster")])


@machine(
    "EtcdSnapshot", "machine.EtcdSnapshotRequest", DATA, roles=frozenset({ADMIN, OPERATOR, ETCD_BACKUP}), stream=True
)
async def _etcd_snapshot(node: Node, _request: Any, _caller: Caller) -> AsyncIterator[Any]:
    _control_plane(node, "etcd snapshot")
    if not node.fleet.etcd.quorum():
        raise GRPCError(Status.UNKNOWN, "failed reading etcd snapshot: etcdserver: no leader")
    # A database dump followed by its SHA-256, the layout that a verifier expects of the real thing.
    body = (b"simulated etcd database " * 2000)[: 64 * 512]
    async for chunk in chunks(node, body + hashlib.sha256(body).digest()):
        yield chunk


@method("/cluster.ClusterService/HealthCheck", "cluster.HealthCheckRequest", "cluster.HealthCheckProgress", stream=True)
async def _health(node: Node, request: Any, _caller: Caller) -> AsyncIterator[Any]:
    named = {*request.cluster_info.control_plane_nodes, *request.cluster_info.worker_nodes}
    # Without names Talos checks the cluster's members: a machine that never joined is none.
    members = [
        other
        for other in node.fleet.nodes.values()
        if (other.address in named if named else other.spec.state == "running" or other.config_applied)
    ]
    checks = (
        ("etcd to be healthy", node.fleet.etcd.quorum()),
        ("apid to be ready", all(other.state == "running" for other in members)),
        ("all k8s nodes to report ready", all(other.ready for other in members)),
    )
    for text, passed in checks:
        yield make("cluster.HealthCheckProgress", message=f"waiting for {text}: ...")
        if not passed:
            raise GRPCError(Status.DEADLINE_EXCEEDED, "context deadline exceeded")
        yield make("cluster.HealthCheckProgress", message=f"waiting for {text}: OK")
