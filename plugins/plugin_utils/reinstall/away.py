# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a control plane of the cluster is away, also one that another controller or another ledger took away.

Two are asked whether it is back. Before any node is drained or wiped Kubernetes is, since a worker lists no members of
etcd. Before a control plane is wiped etcd is, since the machine may be a ready node before it is a voter again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..actions import TalosAction, Target
from ..evidence.identity import doubts_of, machine_id_of, same_uuid
from ..kube import NODES, read_lists
from ..nested import value_at
from ..problem import Problem
from ..rollout.cluster_lock import ClusterLock
from ..rollout.errors import LockHeld
from ..rollout.ledger import CONTROL_PLANE_LOCK
from ..talos.client import NodeClient
from .looks import status
from .members import address_of
from .work import CONTROL_PLANE_LEASE, StepProblem, Work, in_flight


def require_nobody_away(work: Work) -> None:
    """Return only while no control plane but this node is away. To be called before a node is drained or wiped.

    Raises:
        LockHeld: one is, by the Lease in the cluster, and Kubernetes does not show that it is back.
        ClusterProblem: the Kubernetes API gave no answer.
    """
    kubeconfig, context = work.params["kubeconfig"], work.params["kube_context"]
    if kubeconfig is None:
        return
    lock = work.control_plane_lease(in_flight(work.host, str(work.facts["uuid"])))
    try:
        lock.check()
    except LockHeld as held:
        why = "two control planes away at once cost etcd its quorum"
        (nodes,) = read_lists(kubeconfig, context, [NODES], why=why)
        if not is_node_again(nodes, held.context):
            raise


def lease_of(work: Work) -> ClusterLock | None:
    """The Lease that is held for the node, whichever controller or ledger took it; None when there is none.

    Raises:
        StepProblem: nobody told in which cluster, or it is held for another machine of that name.
        ClusterProblem: the Kubernetes API gave no answer.
    """
    lock, uuid = work.ledger.lock(CONTROL_PLANE_LOCK), work.facts.get("uuid")
    if work.params["kubeconfig"] is None:
        if lock is not None and lock["node"] == work.host:
            raise StepProblem(
                f"{work.host} is a control plane in flight, and no kubeconfig was given",
                f"the Lease {CONTROL_PLANE_LEASE} of its cluster keeps every other node from being taken away",
                "give the kubeconfig of its cluster, so that the Lease is released too",
                node=work.host,
            )
        return None
    try:
        work.control_plane_lease("").check()
    except LockHeld as problem:
        held = problem
    else:
        return None
    holder = str(held.context["owner"])
    if uuid and same_uuid(str(uuid), machine_of(held.context)):
        # Also of a machine that had another name when it was reset.
        return work.control_plane_lease(holder)
    if holder.rpartition(" (")[0] != work.host:
        return None
    if uuid and holder != in_flight(work.host, str(uuid)):
        raise StepProblem(
            f"the Lease {CONTROL_PLANE_LEASE} is held for {holder}, and the ledger knows {work.host} as {uuid}",
            "another machine of that name is away, perhaps in another cluster",
            "give the kubeconfig of the cluster in which this machine was reset; when the machine of that name was"
            " replaced, and the one that is away never comes back, give an empty directory, whose ledger knows neither",
            node=work.host,
        )
    return work.control_plane_lease(holder)


def take_control_plane_lock(action: TalosAction, lock: ClusterLock, where: Target, evidence: Mapping[str, Any]) -> None:
    """Take the lock of the control planes for a reset, also from one that is back from its own; not in check mode.

    Raises:
        LockHeld: a control plane is away, or it is not known whether it is.
        TalosError: etcd does not say who its members are.
    """
    settled = None
    try:
        lock.check()
    except LockHeld as held:
        told = held.context
        settled = told.get("version")
        if not action.ask(lambda client: is_voter_again(client, where, told), where):
            raise
    if not action.check:
        about, identity = f"the reinstall of {action.host}", evidence["node"]["identity"]
        lock.acquire(None, about=about, identity=identity, settled=settled)


def machine_of(held: Mapping[str, Any]) -> str | None:
    """The UUID of the machine that a lock of the control planes is held for; None where it names none to go by."""
    uuid = str(held.get("owner") or "").rpartition("(")[2].removesuffix(")")
    # One that many boards share shows nobody's return.
    return None if doubts_of(uuid, None) else uuid


def is_node_again(nodes: list[dict[str, Any]], held: Mapping[str, Any]) -> bool:
    """Whether the machine that a lock is held for is a ready node again, by another installation.

    Args:
        nodes: all Node objects of the cluster, read just now.
        held: the context of LockHeld: who has the lock, and for which identity.
    """
    uuid, gone = machine_of(held), machine_id_of(held.get("identity"))
    infos = [(node, value_at(node, "status", "nodeInfo") or {}) for node in nodes]
    found = [(node, info) for node, info in infos if same_uuid(uuid, info.get("systemUUID"))]
    if gone is None or len(found) != 1:
        return False
    node, info = found[0]
    ready = {one.get("type"): one.get("status") for one in value_at(node, "status", "conditions") or ()}.get("Ready")
    return ready == "True" and info.get("machineID") not in (None, "", gone)


async def is_voter_again(client: NodeClient, where: Target, held: Mapping[str, Any]) -> bool:
    """Whether the machine that a lock is held for runs as a voting etcd member again, by another installation.

    Args:
        client: a control plane, which lists the members.
        where: the settings by which each member is reached.
        held: the context of LockHeld: who has the lock, and for which identity.

    Raises:
        TalosError: etcd does not say who its members are.
    """
    uuid, gone = machine_of(held), held.get("identity")
    if uuid is None or not gone:
        return False
    for member in await client.etcd_members():
        try:
            async with dataclasses.replace(where, address=address_of(member) or "").connect() as other:
                seen = await status(other)
                identity = (await other.spec("identity")).get("nodeId")
                answering = (await other.etcd_status()).member_id
        except Problem:
            # That one may be the machine, and is not known to be back.
            continue
        if answering != member.id:
            # What votes under that number is another machine than the one that answers.
            continue
        if same_uuid(uuid, seen["uuid"]):
            up = (seen["stage"], seen["ready"], member.is_learner) == ("running", True, False)
            return up and identity not in (None, gone)
    return False
