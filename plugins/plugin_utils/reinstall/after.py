# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps after the installation: prove, rejoin, soak."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..audit.store.store import AuditStore
from ..evidence import files
from ..evidence.collect import Collection, collect
from ..evidence.members import read_etcd
from ..evidence.visit import Visit
from ..rollout.labels import PARENTS, labels_of
from ..rollout.proof import prove
from ..rollout.state import DID_NOT
from ..talos import boots
from ..talos.client import NodeClient
from ..talos.errors import NotFound
from .before import undo_drain
from .looks import Seen, is_up, see
from .members import Peer, ask_a_peer
from .wipe import require_machine
from .work import StepProblem, Work


def prove_node(work: Work) -> dict[str, Any]:
    """Evidence of the new installation, and the proof by it and by what was saved before the wipe."""
    before = work.judged()

    async def look(client: NodeClient) -> tuple[Collection, dict[str, str | None]]:
        return await _collected(work, client), await _labels(client)

    found, labels = work.ask(look)
    document = found.document
    path = files.save(str(work.directory), document, found.logs)
    proof = prove(before, document, target=work.facts["target"], labels=labels)
    if proof["proven"] is not True:
        doubts = [item["found"] for item in [*proof["witnesses"], *proof["reinstall"]] if item["ok"] is not True]
        raise StepProblem(
            f"{work.host} is not proven to enforce after a reinstall: {'; '.join(doubts)}",
            "what is not known does not count as proven, and the node takes no workloads before",
            "look at the node, then run the rollout again, which proves again; docs/coming-back.md says how to go back",
            node=work.host,
        )
    return {
        "proven": True,
        "witnesses": proof["witnesses"],
        "reinstall": proof["reinstall"],
        "evidence_after": str(path),
        "boot_after": document["boot"],
        # The name may be another machine's one day, and this machine may be installed anew.
        "installation": {"uuid": document["node"]["uuid"], "identity": document["node"]["identity"]},
    }


async def _labels(client: NodeClient) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for parent in PARENTS:
        found |= labels_of(await client.list_files(parent, xattrs=True))
    return found


def rejoin(work: Work) -> dict[str, Any]:
    """Wait until the node is ready, and a control plane's member votes again."""

    def look() -> Seen:
        seen = see(work)
        require_machine(work, seen)
        return seen

    timeout = work.params["rejoin_timeout"]
    work.wait(
        look,
        lambda seen: is_up(work, seen),
        timeout=timeout,
        waiting_for=f"{work.host} to be ready",
        do=f"look at the services of {work.host} (talosctl services), then run the rollout again",
    )
    if work.control_plane:
        work.wait(
            lambda: _votes(work),
            lambda votes: votes == "",
            timeout=timeout,
            waiting_for=f"the new etcd member of {work.host} to vote",
            do="look at etcd on the control planes (talosctl etcd members, talosctl logs etcd), then run it again",
        )
    return {}


def soak(work: Work) -> dict[str, Any]:
    """Watch the new boot; a whole log without an unreviewed enforced denial lets the node take workloads again."""
    _watch(work)
    document = work.ask(lambda client: _collected(work, client)).document
    audit = document["audit"]
    if boots.compare(boots.of_evidence(work.facts["boot_after"]), boots.of_evidence(document["boot"])) != boots.SAME:
        found = "it is not known to be in the boot that was proven"
        # What was proven of another boot is proven anew.
        work.ledger.look(work.host, "prove", DID_NOT, found=f"{work.host} did not pass its soak: {found}")
        raise _not_soaked(work, found, "run the rollout again, which proves and watches its present boot")
    stops = _stops(audit)
    if stops is not None:
        raise _not_soaked(work, *stops)
    if work.facts["cordoned"]:
        undo_drain(work)
    return {"watched_seconds": work.params["soak_seconds"], "coverage": audit["coverage"]["verdict"], "enforced": []}


def _stops(audit: Mapping[str, Any]) -> tuple[str, str] | None:
    """What keeps the log of a soak from passing and what to do about it, by the evidence's section; None for nothing.

    A record that cannot be read or believed may be an enforced denial, so it does not pass either.
    """
    coverage, counts, denials = audit["coverage"], audit["counts"], audit["denials"]
    if coverage["verdict"] != "complete" or denials is None or counts is None:
        reasons = "; ".join(reason["text"] for reason in coverage["reasons"]) or "it was not read"
        return (
            f"its log of this boot is {coverage['verdict']}: {reasons}",
            "find out why records are missing, then run the rollout again",
        )
    strange = {name: counts.get(name) for name in ("doubtful", "unparsed", "mac_errors") if counts.get(name) != 0}
    if strange:
        listed = ", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in strange.items())
        return (
            f"records of its log may be denials ({listed})",
            "look at them in its evidence, fix what writes them, reboot the node, then run the rollout again",
        )
    unreviewed = [denial for denial in denials if not denial["known_benign"]]
    enforced = sorted(denial["signature"] for denial in unreviewed if denial["permissive"] is False)
    if enforced:
        return (
            f"it enforces, and denied {', '.join(enforced)}",
            "look at the denials, then fix the workload or bring the node back as docs/coming-back.md says",
        )
    if any(denial["permissive"] is not False for denial in denials):
        listed = ", ".join(sorted(denial["signature"] for denial in denials if denial["permissive"] is not False))
        return (
            f"it is not known to have enforced what it denied: {listed}",
            "find out whether the node, or the domain of these, became permissive; then run the rollout again",
        )
    return None


def _watch(work: Work) -> None:
    end = time.monotonic() + work.params["soak_seconds"]
    while (left := end - time.monotonic()) > 0:
        work.hold_cluster()
        time.sleep(min(left, 30.0))


def _not_soaked(work: Work, found: str, do: str) -> StepProblem:
    return StepProblem(
        f"{work.host} did not pass its soak: {found}",
        "whether something on it is denied what it needs is shown by a whole log only; it stays cordoned",
        do,
        node=work.host,
    )


async def _collected(work: Work, client: NodeClient) -> Collection:
    where = work.where()
    return await collect(
        client,
        name=work.host,
        address=where.address,
        endpoint=client.endpoint,
        peer=lambda address: work.where(address).connect(),
        kubernetes=None,
        config=None,
        operation={"target": work.facts["target"]},
        cluster={"name": where.context.name},
        **work.action.audit_terms(work.host),
        store=AuditStore(work.directory / "audit" / files.safe_name(work.host)),
    )


def _votes(work: Work) -> str:
    """Why the node's new member does not count yet; empty when every member sees it vote."""

    async def own(client: NodeClient) -> str | None:
        try:
            return str((await client.spec("etcd_member"))["memberID"])
        except (NotFound, KeyError):
            return None

    member = work.ask(own)
    if member is None:
        return "it has no member yet"

    def ask(peer: Peer) -> dict[str, Any]:
        async def question(client: NodeClient) -> dict[str, Any]:
            return await read_etcd(Visit(client), lambda address: work.where(address).connect())

        return work.ask(question, peer.target)

    etcd, peer = ask_a_peer(work, ask, what="the state of etcd")
    found = [other for other in etcd["members"] if other["id"] == member]
    if etcd["agreed"] is not True or etcd["healthy"] is not True:
        return f"{peer.hostname} says: {'; '.join(etcd['problems'])}"
    if not found or found[0]["is_learner"] is not False:
        return f"{peer.hostname} does not count it as a voter"
    return ""
