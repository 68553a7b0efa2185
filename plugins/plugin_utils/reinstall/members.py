# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The other members of a control plane's etcd: who they are, and answers that surely come from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from ..actions import Target
from ..problem import Problem
from ..talos.answers import EtcdMember
from ..talos.client import NodeClient
from ..talos.config import host_of
from ..talos.errors import TalosError
from .work import StepProblem, Work

V = TypeVar("V")


class NoPeer(Problem):
    """No other member of the node's etcd could be asked."""

    kind = "no_peer"


@dataclasses.dataclass(frozen=True)
class Peer:
    """Another member of the node's etcd, as the evidence lists it, and the way to it."""

    id: str
    hostname: str
    target: Target


def peers_of(members: Iterable[EtcdMember], own: str | None) -> list[dict[str, Any]]:
    """The members other than the node's own, as plain data for the ledger: ``[{id, hostname, address}]``."""
    return [
        {"id": hexadecimal(member.id), "hostname": member.hostname, "address": host}
        for member in members
        if hexadecimal(member.id) != own
        for host in [address_of(member)]
        if host
    ]


def address_of(member: EtcdMember) -> str | None:
    """The address that a member tells its clients; None when it tells none."""
    return host_of(member.client_urls[0]) if member.client_urls else None


def hexadecimal(member_id: int) -> str:
    """A member id as Talos and etcdctl print it."""
    return f"{member_id:016x}"


def peers(work: Work) -> list[Peer]:
    """The peers that the evidence recorded; they are reached by their own addresses, with the node's settings."""
    return [Peer(peer["id"], str(peer["hostname"]), work.where(peer["address"])) for peer in work.facts["peers"]]


def ask_a_peer(work: Work, question: Callable[[Peer], V], *, what: str) -> tuple[V, Peer]:
    """Ask the first peer that answers, and that is a member of the same etcd before and after.

    Raises:
        NoPeer: none did, with what each said.
    """
    told = []
    for peer in peers(work):
        try:
            require_same_etcd(work, peer)
            answer = question(peer)
            # Each question is a connection of its own, and an endpoint forwards by address.
            require_same_etcd(work, peer)
            return answer, peer
        except (TalosError, StepProblem) as problem:
            told.append(f"{peer.hostname}: {problem.found}")
    raise NoPeer(
        f"no other member of the etcd of {work.host} could give {what}: {'; '.join(told) or 'it has no other'}",
        "what a control plane's reinstall rests on has to come from a member of its own etcd",
        "check that the other control planes answer at the addresses that etcd lists, then run the rollout again",
        node=work.host,
    )


def require_same_etcd(work: Work, peer: Peer) -> list[str]:
    """The ids of the members that a peer lists now, if it is the recorded member and lists all that were recorded.

    Raises:
        StepProblem: another member answers, or one of another etcd.
        TalosError: no answer.
    """

    async def look(client: NodeClient) -> tuple[str, list[str]]:
        status = await client.etcd_status()
        return hexadecimal(status.member_id), [hexadecimal(member.id) for member in await client.etcd_members()]

    answering, listed = work.ask(look, peer.target)
    known: Mapping[str, Any] = {other["id"]: other for other in work.facts["peers"]}
    if answering != peer.id or not set(known) <= set(listed):
        raise StepProblem(
            f"the etcd member {answering} answers for {peer.hostname}, which is {peer.id}"
            if answering != peer.id
            else f"{peer.hostname} lists the members {', '.join(sorted(listed))}, and not all that were recorded",
            "the answer of another etcd says nothing about this node's",
            "correct the addresses, or collect the evidence again when members changed",
        )
    return listed
