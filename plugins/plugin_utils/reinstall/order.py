# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order to wipe: judged again from the saved evidence and the live node, and sent as one act with its last look.

Both the step ``reset`` of a reinstall and the module M(talosops.selinux.machine_reset) by itself go through here.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..actions import TalosAction, Target
from ..audit.store.store import AuditStore
from ..canonical import parse_json
from ..evidence import files
from ..evidence.collect import collect
from ..evidence.etcd import may_remove
from ..evidence.joined import Machine, require_joined
from ..evidence.members import read_etcd
from ..evidence.visit import Visit
from ..gate import waivers
from ..gate.again import judge_again, require_eligible
from ..gate.binding import recheck
from ..gate.errors import RequestRefused, VerdictRefused
from ..gate.functions import moment
from ..gate.policy import load_policy
from ..gate.request import judge_request
from ..private_files import check_private
from ..problem import Problem
from ..rollout import drain
from ..rollout.boot_paths import BY_NAME
from ..rollout.cluster_lock import ClusterLock
from ..rollout.drain_api import is_cordoned
from ..talos import boots
from ..talos.answers import EtcdMember
from ..talos.client import NodeClient, ways_without
from ..talos.errors import OnlyWay, PermissionRefused, Refused, WriteNeedsLook
from .away import take_control_plane_lock
from .looks import status
from .members import address_of, hexadecimal
from .work import control_plane_lease, in_flight

#: Statuses by which the node itself says no: Talos' handlers answer UNKNOWN, INVALID_ARGUMENT and FAILED_PRECONDITION.
#: Others, such as INTERNAL, also come from what stands between when the node goes away in the middle of the call.
_REFUSALS = (2, 3, 9)


@dataclasses.dataclass(frozen=True)
class Order:
    """What is to be wiped, and what it rests on.

    ``evidence_sha256``: which evidence has to lie there, where somebody recorded it.
    ``record_intent`` is called before the last look, ``record_sent`` after the write; in between ``record_unsent`` is
    called with what was found when that look forbids the write. ``own_cordon``: whether this rollout cordoned the node,
    so that its cordon is no objection, and has to be there still.
    """

    evidence: str
    verdict: str
    boot_path: str
    config_sha256: str
    installer_digest: str
    policy: str
    public_key: str | None
    waivers: str | None
    store: str | None
    kubeconfig: str | None
    kube_context: str | None
    evidence_sha256: str | None = None
    own_cordon: bool = False
    record_intent: Callable[[], object] = lambda: None
    record_sent: Callable[[str], object] = lambda actor: None
    record_unsent: Callable[[str], object] = lambda found: None


@dataclasses.dataclass(frozen=True)
class Sent:
    """What was ordered: the actor id under which the node reports (None in check mode), and the boot that it ends."""

    actor_id: str | None
    labels: tuple[str, ...]
    boot: boots.Look


def send(action: TalosAction, order: Order, where: Target) -> Sent:
    """Judge the node again and order the wipe, unless in check mode.

    Raises:
        Problem: a reason not to; nothing was sent. A TalosError of the write itself may leave open whether it was.
    """
    evidence = (
        files.load(order.evidence)
        if order.evidence_sha256 is None
        else files.document_of({"path": order.evidence, "sha256": order.evidence_sha256})
    )
    verdict = _load_verdict(order.verdict)
    _refuse_other_path(order, evidence)
    control_plane = evidence["node"]["machine_type"] == "controlplane"
    if not control_plane:
        return action.ask(lambda client: _act(action, order, where, client, evidence, verdict), where)
    _refuse_own_branch(action.host, where)
    lock = _cluster_lock(action, order, evidence)
    # The lock of another cluster keeps nobody out of this one. Looked at again before the reset: judging takes a while.
    _require_node(order, evidence)
    take_control_plane_lock(action, lock, where, evidence)
    may_be_sent = False

    def intent() -> None:
        nonlocal may_be_sent
        may_be_sent = True
        order.record_intent()

    def unsent(found: str) -> None:
        nonlocal may_be_sent
        may_be_sent = False
        order.record_unsent(found)

    recorded = dataclasses.replace(order, record_intent=intent, record_unsent=unsent)
    try:
        return action.ask(lambda client: _act(action, recorded, where, client, evidence, verdict), where)
    except Exception as error:
        if not may_be_sent and not action.check:
            _release(lock, error)
        raise


def _release(lock: ClusterLock, error: Exception) -> None:
    """Release the lock of a reset that was not sent; when that fails too, ``error`` remains what is reported."""
    try:
        lock.release()
    except Problem as left:
        if isinstance(error, Problem):
            error.do += (
                f"; the Lease {lock.name} is still held for this machine ({left.found}) and does not end by time"
            )


async def _act(
    action: TalosAction,
    order: Order,
    where: Target,
    client: NodeClient,
    evidence: dict[str, Any],
    verdict: dict[str, Any],
) -> Sent:
    labels = BY_NAME[order.boot_path].labels
    control_plane = evidence["node"]["machine_type"] == "controlplane"
    await _judge(action, order, where, client, evidence, verdict)
    if control_plane:
        await _refuse_own_endpoint(action.host, client, where, evidence)
        await _spare(client, where)
    _require_node(order, evidence)
    boot = await _last_look(action.host, client, evidence)
    if action.check:
        return Sent(None, labels, boot)
    if control_plane:
        # Empty when this node is not the leader.
        await client.etcd_forfeit_leadership()
    order.record_intent()
    looked = False
    try:
        # An endpoint forwards by address and pins no machine, so not even the ledger's write comes between.
        boot = await _last_look(action.host, client, evidence)
        looked = True
        actor = await client.reset(labels, graceful=True, reboot=True, mode="system_disk")
    except Problem as problem:
        if not looked or _surely_not_done(problem):
            order.record_unsent(problem.found)
        raise
    order.record_sent(actor)
    return Sent(actor, labels, boot)


def _surely_not_done(problem: Problem) -> bool:
    """Whether an error of a write shows that the node did nothing."""
    if isinstance(problem, Refused):
        return problem.context.get("grpc_status") in _REFUSALS
    return isinstance(problem, WriteNeedsLook | PermissionRefused)


async def _judge(
    action: TalosAction,
    order: Order,
    where: Target,
    client: NodeClient,
    evidence: dict[str, Any],
    verdict: dict[str, Any],
) -> None:
    key = action.read_file(order.public_key, "public key") if order.public_key else None
    found = await collect(
        client,
        name=action.host,
        address=where.address,
        endpoint=client.endpoint,
        peer=lambda address: dataclasses.replace(where, address=address).connect(),
        kubernetes=None,
        config=None,
        operation={},
        cluster=evidence["cluster"],
        **action.audit_terms(action.host),
        store=AuditStore(Path(order.store) / files.safe_name(action.host)) if order.store else None,
        keep=not action.check,
    )
    live, now, policy = found.document, dt.datetime.now(dt.UTC), load_policy(order.policy)
    bound = dict(evidence["operation"]["target"] or {})
    bound["installer_digest"] = order.installer_digest
    recheck(
        verdict,
        {
            "node": action.host,
            "identity": live["node"]["identity"],
            "uuid": live["node"]["uuid"],
            "boot_id": live["boot"]["id"],
            "boot_time": live["boot"]["time"],
            "look": live["boot"]["look"],
            "talos_version": live["talos"]["version"],
            "target": bound,
            "config_sha256": order.config_sha256,
            "policy_sha256": policy.sha256,
            "evidence": evidence,
            "coverage": live["audit"]["coverage"]["verdict"],
            "denials": live["audit"]["denials"],
        },
        now,
        required_key=key,
    )
    _refuse_expired_waivers(verdict, now)
    granted = waivers.load(order.waivers, policy=policy, now=now) if order.waivers else None
    again = judge_again(evidence, live, policy, granted, now, own_cordon=order.own_cordon, node=action.host)
    require_eligible(again)
    labels = BY_NAME[order.boot_path].labels
    judge_request({"api": "Reset", "path": order.boot_path, "labels": list(labels), "mode": "SYSTEM_DISK"}, live)


async def _spare(client: NodeClient, where: Target) -> None:
    """Whether etcd can do without this member, as all members see it, each on a control plane that runs and is ready.

    Raises:
        RequestRefused: another control plane is on its way down or up.
        EtcdUnsafe: etcd is not proved to be able to.
    """

    async def stage(member: EtcdMember, at: NodeClient) -> None:
        seen = await status(at)
        answering = (await at.etcd_status()).member_id
        if answering != member.id:
            raise RequestRefused(
                f"the etcd member {hexadecimal(answering)} answers for {member.hostname}, which is"
                f" {hexadecimal(member.id)}",
                "whether that control plane runs is not known by the word of another one",
                "find out who has its address now, then run it again",
                checks=["control-planes-running"],
            )
        if (seen["stage"], seen["ready"]) != ("running", True):
            raise RequestRefused(
                f"the control plane of etcd member {member.hostname} is in stage {seen['stage'] or 'unknown'}"
                f" and {'ready' if seen['ready'] else 'not ready'}",
                "two control planes away at once cost etcd its quorum, and one that resets leaves etcd late",
                "wait until every control plane runs and is ready, then run it again",
                checks=["control-planes-running"],
            )

    visit = Visit(client)
    etcd = await read_etcd(visit, lambda address: dataclasses.replace(where, address=address).connect())
    may_remove(etcd["member_id"], etcd)
    members = await client.etcd_members()
    if {hexadecimal(member.id) for member in members} != {member["id"] for member in etcd["members"]}:
        raise RequestRefused(
            "etcd lists other members now than a moment ago",
            "whether every control plane runs is asked of those that it lists",
            "wait until nobody changes etcd's members, then run it again",
            checks=["control-planes-running"],
        )
    for member in members:
        host = address_of(member)
        if hexadecimal(member.id) == etcd["member_id"]:
            await stage(member, client)
            continue
        if host is None:
            raise RequestRefused(
                f"etcd lists no address for {member.hostname}",
                "whether that control plane runs cannot be asked",
                "look at etcd's member list",
                checks=["control-planes-running"],
            )
        async with dataclasses.replace(where, address=host).connect() as other:
            await stage(member, other)


async def _last_look(host: str, client: NodeClient, evidence: dict[str, Any]) -> boots.Look:
    """The node's identity and boot, read as the last thing before the write, on the connection of the write."""
    identity = (await client.spec("identity")).get("nodeId")
    uuid = (await client.spec("system_information")).get("uuid")
    seen = await boots.look(client)
    expected = (evidence["node"]["identity"], evidence["node"]["uuid"])
    answer = boots.compare(boots.of_evidence(evidence["boot"]), seen)
    if evidence["boot"]["id"] is not None:
        same = seen.boot_id == evidence["boot"]["id"] and answer == boots.SAME
    else:
        # Which boot it is was judged a moment ago by the logs of both looks; what a look without them says must not
        # contradict it.
        same = answer != boots.ANOTHER
    if (identity, uuid) != expected or not same:
        raise VerdictRefused(
            f"another machine or boot answers for {host} than the one that was judged",
            "only the machine that was judged is wiped",
            "find out who has its address now, collect evidence again and judge it again",
            bound="identity" if (identity, uuid) != expected else "boot_id",
        )
    return seen


def _require_node(order: Order, evidence: Mapping[str, Any]) -> None:
    """Return unless Kubernetes' node is another machine, or lost the cordon under which it was drained.

    Raises:
        NotThisNode: the kubeconfig does not lead to the node's cluster.
        VerdictRefused: pods may have come to it since it was drained.
        Problem: the Kubernetes API gave no answer.
    """
    if order.kubeconfig is None:
        return
    machine = Machine.of(evidence)
    node = drain.look(order.kubeconfig, order.kube_context, machine.nodename)
    require_joined([node], machine)
    if (order.own_cordon or evidence["kubernetes"]["unschedulable"] is True) and not is_cordoned(node):
        raise VerdictRefused(
            f"the Kubernetes node {machine.nodename} is not cordoned any more",
            "pods may have come to it since it was drained, and would be lost without regard to their budgets",
            "find out who uncordoned or replaced it; then run the rollout again, which judges and drains it anew",
            bound="unschedulable",
        )


def _cluster_lock(action: TalosAction, order: Order, evidence: dict[str, Any]) -> ClusterLock:
    if order.kubeconfig is None:
        raise RequestRefused(
            f"no kubeconfig was given for the reset of the control plane {action.host}",
            "a lock in the cluster keeps two controllers from taking two control planes away at once",
            "set kubeconfig to a file that may take leases in kube-system",
            checks=["control-plane-lock"],
        )
    holder = in_flight(action.host, str(evidence["node"]["uuid"]))
    return control_plane_lease(order.kubeconfig, order.kube_context, holder)


async def _refuse_own_endpoint(host: str, client: NodeClient, where: Target, evidence: Mapping[str, Any]) -> None:
    """Return unless the endpoint in use is the node itself, by another address of it or a virtual one that it holds.

    Raises:
        RequestRefused: it is.
        TalosError: the endpoint does not say who it is.
    """
    async with dataclasses.replace(
        where, route="direct", address=client.endpoint or where.address
    ).connect() as endpoint:
        identity = (await endpoint.spec("identity")).get("nodeId")
    if identity == evidence["node"]["identity"]:
        raise _own_api(host, f"{client.endpoint}, which is the node itself")


def _refuse_own_branch(host: str, where: Target) -> None:
    try:
        through_others = where.route == "endpoint" and set(ways_without(where.context, where.address)) >= set(
            where.context.endpoints
        )
    except OnlyWay:
        through_others = False
    if not through_others:
        raise _own_api(host, f"{where.route} to {where.address}")


def _own_api(host: str, through: str) -> RequestRefused:
    return RequestRefused(
        f"the reset of the control plane {host} was to be sent through {through}",
        "a control plane's own API goes away during its reset, and whether it left etcd is then unknown",
        "set route to endpoint, and endpoints to other control planes (never to a virtual address)",
    )


def _refuse_other_path(order: Order, evidence: Mapping[str, Any]) -> None:
    """What is wiped, and so what data is lost, depends on the boot path."""
    judged = (evidence["operation"] or {}).get("boot_path")
    if judged != order.boot_path:
        raise VerdictRefused(
            f"the node was judged for the boot path {judged or 'unknown'}, and is to be wiped for {order.boot_path}",
            "each boot path wipes other partitions, and data on them that was not judged would be lost",
            "give the boot path that was judged, or collect and judge again with the other one",
            bound="boot_path",
        )


def _refuse_expired_waivers(verdict: dict[str, Any], now: dt.datetime) -> None:
    """A verdict outlives its waivers by hours; nobody answers for their denials by then."""
    for waived in verdict.get("waived") or ():
        try:
            holds = moment(waived["expires"]) > now
        except (KeyError, TypeError, ValueError):
            holds = False
        if not holds:
            raise VerdictRefused(
                f"the waiver {waived.get('waiver_id')} of {waived.get('owner')} expired at {waived.get('expires')}",
                "the verdict let its denials pass on that word, which no longer holds",
                "fix what causes the denials, or have the waiver renewed, and ask the gate for a new verdict",
                bound="waived",
            )


def _load_verdict(path: str) -> dict[str, Any]:
    try:
        check_private(path)
        verdict = parse_json(Path(path).read_bytes())
    except (OSError, ValueError):
        verdict = None
    if not isinstance(verdict, dict):
        raise VerdictRefused(
            f"the verdict {path} cannot be read",
            "nothing is wiped without a saved verdict",
            "let the gate judge the node again",
            bound="verdict",
        )
    return verdict
