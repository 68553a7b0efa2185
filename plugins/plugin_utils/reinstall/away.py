# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a control plane of the cluster is away, also one that another controller or another ledger took away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..evidence.cluster import read_nodes
from ..evidence.identity import doubts_of, machine_id_of, same_uuid
from ..nested import value_at
from ..rollout.errors import LockHeld
from .work import CONTROL_PLANE_LEASE, Work, in_flight


def require_nobody_away(work: Work) -> None:
    """Return only while no control plane but this node is away. To be called before a node is drained or wiped.

    Raises:
        LockHeld: one is, by the Lease in the cluster, and Kubernetes does not show that it is back.
        ClusterProblem: the Kubernetes API gave no answer.
    """
    kubeconfig, context = work.params["kubeconfig"], work.params["kube_context"]
    if kubeconfig is None:
        return
    lock = work.cluster_lock(CONTROL_PLANE_LEASE, in_flight(work.host, str(work.facts["uuid"])))
    try:
        lock.check()
    except LockHeld as held:
        if not is_back(read_nodes(kubeconfig, context), held.context):
            raise


def machine_of(held: Mapping[str, Any]) -> str | None:
    """The UUID of the machine that a lock of the control planes is held for; None where it names none to go by."""
    uuid = str(held.get("owner") or "").rpartition("(")[2].removesuffix(")")
    # One that many boards share shows nobody's return.
    return None if doubts_of(uuid, None) else uuid


def is_back(nodes: list[dict[str, Any]], held: Mapping[str, Any]) -> bool:
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
