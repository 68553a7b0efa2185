# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps before the wipe: verify, gate, save, drain."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from ..audit.store.store import AuditStore
from ..canonical import canonical_json
from ..evidence import files
from ..evidence.cluster import read_cluster
from ..evidence.collect import collect
from ..evidence.identity import same_uuid
from ..evidence.joined import Machine, NotThisNode, require_joined
from ..evidence.snapshot import take_snapshot
from ..gate import signing, waivers
from ..gate.again import require_eligible
from ..gate.policy import load_policy
from ..gate.request import judge_past
from ..gate.verdict import judge
from ..image.machine_config.dry_run import Judgement
from ..image.machine_config.planned import planned_config
from ..image.resolve import present_image, require_same_command_line, resolve
from ..private_files import write_private
from ..rollout import drain
from ..rollout.boot_paths import boot_path
from ..rollout.drain_api import is_cordoned, is_ours
from ..rollout.steps import FIRST_CHANGE
from ..talos.client import NodeClient, ways_without
from .configuration import judged_by_node, prepared
from .members import Peer, ask_a_peer, peers_of
from .work import StepProblem, Work


def verify(work: Work) -> dict[str, Any]:
    """Everything that can be known to fail later is looked at before anything is touched."""
    if work.params["consent"] != "wipe":
        raise StepProblem(
            f"nobody agreed to wipe {work.host}",
            "a reinstall destroys everything on the node's system disk",
            "read the plan, then set consent (rollout_consent in the playbooks) to the word wipe",
            node=work.host,
        )
    target = work.action.variable(work.host, "talos_target")
    if target is None:
        raise StepProblem(
            f"no image was prepared for {work.host}",
            "it is not known what to install",
            "prepare the image first, with the module schematic",
            node=work.host,
        )
    path = boot_path(
        work.action.variable(work.host, "talos_boot_path"), work.host, has_hook=bool(work.params["boot_hook"])
    )
    config = prepared(work, target)

    async def ask(client: NodeClient) -> tuple[dict[str, Any], Judgement]:
        # Of one visit, so that all of it is of the machine that was planned.
        _require_planned(work, (await client.spec("identity")).get("nodeId"))
        return await present_image(client), await judged_by_node(client, work, config, target)

    present, judgement = work.ask(ask)
    verify_image(work, target, present)
    return {
        "target": target,
        "config_sha256": config.facts["sha256"],
        "boot_path": path.name,
        "judged_by": judgement.running,
        "differences": list(judgement.differences),
    }


def verify_image(work: Work, target: dict[str, Any], present: dict[str, Any]) -> str:
    """The digest of the installer image right now.

    Args:
        present: what the node runs (``present_image``).

    Raises:
        Problem: the image is not there any more, is another one, or does not carry what it should.
    """
    settings = {
        **work.params,
        **dict.fromkeys(("schematic", "platform", "arch", "secureboot", "save_bundle")),
        "version": target["version"],
        "goal": "enforcing",
        "expect_digest": target["installer_digest"],
    }
    found = resolve(settings, present)
    require_same_command_line(present, found)
    return str(found["target"]["installer_digest"])


def gate(work: Work) -> dict[str, Any]:
    """Fresh evidence, saved, and a verdict on it; anything but eligible fails the step."""
    target, boot = work.facts["target"], work.params["boot"]
    operation = work.action.operation(work.host, locked_by=None, image=target)
    operation["boot_path"] = work.facts["boot_path"]
    kubernetes = read_cluster(work.params["kubeconfig"], work.params["kube_context"]).of_node
    where = work.where()
    text = work.action.machine_config_text(work.host)

    async def read(client: NodeClient) -> tuple[dict[str, Any], dict[str, files.Log], list[dict[str, Any]]]:
        found = await collect(
            client,
            name=work.host,
            address=where.address,
            endpoint=client.endpoint,
            peer=lambda address: work.where(address).connect(),
            kubernetes=kubernetes,
            config=lambda node: planned_config(text, target, boot, node),
            operation=operation,
            cluster={"name": where.context.name},
            **work.action.audit_terms(work.host),
            store=AuditStore(work.directory / "audit" / files.safe_name(work.host)),
        )
        etcd = found.document["etcd"]
        members = peers_of(await client.etcd_members(), etcd["member_id"]) if etcd else []
        return found.document, found.logs, members

    document, logs, members = work.ask(read)
    _require_planned(work, document["node"]["identity"])
    path = files.save(str(work.directory), document, logs)
    verdict = _judged(work, document)
    place = path.parent / "verdict.json"
    write_private(place, canonical_json(verdict) + b"\n")
    require_eligible(verdict)
    node = document["node"]
    if node["machine_type"] == "controlplane":
        ways_without(where.context, where.address, [peer["address"] for peer in members])
    return {
        "evidence": str(path),
        "evidence_sha256": document["sha256"],
        "verdict": str(place),
        "uuid": node["uuid"],
        "serial_number": node["serial_number"],
        "identity": node["identity"],
        "boot_id": document["boot"]["id"],
        "boot_time": document["boot"]["time"],
        "hostname": node["hostname"],
        "address": node["address"],
        "machine_type": node["machine_type"],
        "member": (document["etcd"] or {}).get("member_id"),
        "peers": members,
    }


def _require_planned(work: Work, identity: str | None) -> None:
    """Return unless nobody planned this, or another machine answers for the host than when the plan was made.

    The plan knows no identity of a node that it only resumes: that is the ledger's.

    Raises:
        StepProblem: another does. One that passes the gate too would get the configuration of this host.
    """
    if not work.action.has_variable(work.host, "talos_planned_identity"):
        raise StepProblem(
            f"{work.host} is not part of a plan: the role runs without the rollout's playbook",
            "budgets, order and the machine that the image was chosen for are the plan's; without it none is checked",
            "run the playbook talosops.selinux.rollout; rollout_hosts limits it to the nodes that are meant",
            node=work.host,
        )
    planned = work.action.variable(work.host, "talos_planned_identity")
    if planned is not None and identity != planned:
        raise StepProblem(
            f"the node {identity or 'unknown'} answers for {work.host}, which was {planned} when the fleet was judged",
            "the image and the configuration of this host were chosen for the machine that was judged then",
            "find out which machine has its address now, correct the inventory, then run the rollout again",
            node=work.host,
        )


def _judged(work: Work, document: dict[str, Any]) -> dict[str, Any]:
    policy = load_policy(work.params["policy"])
    now = dt.datetime.now(dt.UTC)
    # Whether a waiver is still used is a question about the fleet, and was answered by its gate.
    granted = waivers.load(work.params["waivers"], policy=policy, now=now) if work.params["waivers"] else None
    past = judge_past(document, files.earlier(str(work.directory), document), now)
    verdict = judge(document, policy, waivers=granted, now=now, node=work.host, history=past)
    if work.params["signing_key"]:
        verdict = signing.sign(verdict, work.action.read_file(work.params["signing_key"], "signing key"))
    return verdict


def save(work: Work) -> dict[str, Any]:
    """Evidence and verdict are on disk, whole; of a control plane a snapshot of its own etcd, from another member."""
    work.judged()
    if not work.control_plane:
        return {"snapshot": None, "snapshot_sha256": None, "snapshot_from": None}
    path = work.directory / "etcd" / f"{files.safe_name(work.host)}-{work.ledger.run}.snapshot"

    def snapshot(peer: Peer) -> dict[str, Any]:
        return take_snapshot(path, lambda question: work.ask(question, peer.target), of=peer.hostname)

    taken, peer = ask_a_peer(work, snapshot, what="a snapshot of etcd")
    return {"snapshot": str(path), "snapshot_sha256": taken["sha256"], "snapshot_from": peer.hostname}


def drain_node(work: Work) -> dict[str, Any]:
    """Cordon and drain the node, if Kubernetes' node of that name is the machine that was judged.

    A cordon that somebody else set is left to them: it is no write of this step, and nothing takes it back.
    """
    judged = work.judged()
    machine, ours = Machine.of(judged), False

    def require(nodes: Sequence[Mapping[str, Any]]) -> None:
        nonlocal ours
        require_joined(nodes, machine)
        ours, taken = is_ours(nodes[0]), is_cordoned(nodes[0])
        if taken and not ours and judged["kubernetes"]["unschedulable"] is not True:
            raise StepProblem(
                f"{work.host} is cordoned, and was not when it was judged",
                "a cordon that is not the rollout's own is somebody at work on this node",
                "find out who cordoned it and why; let them finish, then run the rollout again",
                node=work.host,
            )
        if ours or not taken:
            work.ledger.intent(work.host, FIRST_CHANGE)

    def meanwhile() -> None:
        work.hold_cluster()
        work.ledger.refuse_halted(work.host, FIRST_CHANGE)

    done = drain.drain(
        work.params["kubeconfig"],
        work.params["kube_context"],
        work.node_name,
        timeout=work.params["drain_timeout"],
        poll=work.params["poll_seconds"],
        mark=True,
        require=require,
        meanwhile=meanwhile,
    )
    ours = ours or done["cordoned"]
    if ours:
        work.ledger.sent(work.host, FIRST_CHANGE)
    work.changed = work.changed or done["cordoned"] or bool(done["pods"])
    return {"cordoned": ours, "evicted": len(done["pods"])}


def undo_drain(work: Work) -> bool:
    """Take the rollout's own cordon back, if Kubernetes' node of that name is the machine; whether there was one.

    The boot and the installation may be others by now, the machine is not.
    """

    def require(nodes: Sequence[Mapping[str, Any]]) -> None:
        told = nodes[0].get("status", {}).get("nodeInfo", {}).get("systemUUID")
        if not same_uuid(work.facts.get("uuid"), told):
            raise NotThisNode(
                f"the Kubernetes node {work.node_name} is the machine {told or 'unknown'}, not {work.facts['uuid']}",
                "another machine of that name would be uncordoned",
                "use the kubeconfig of the node's own cluster",
                node=work.node_name,
            )

    uncordoned = drain.uncordon(
        work.params["kubeconfig"],
        work.params["kube_context"],
        work.node_name,
        timeout=work.params["drain_timeout"],
        poll=work.params["poll_seconds"],
        mark=True,
        require=require,
    )
    work.changed = work.changed or uncordoned
    return uncordoned
