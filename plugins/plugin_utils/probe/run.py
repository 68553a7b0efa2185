# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One probe of one node, in order: look, make, wait, remove, look again, and keep what is known.

Nothing is made unless the very machine says just before that it enforces. What the container reports counts only when
it ran in the boot that was looked at, and that boot still enforces afterwards.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ..audit.log import probe as records
from ..audit.store import probes
from ..audit.store.store import AuditStore
from ..evidence.identity import machine_id_of
from ..evidence.joined import Machine, NotThisNode, join
from ..evidence.questions import kernel_boot_id
from ..kube import kube_client
from ..problem import Problem
from ..rollout.owner import of_process
from ..talos import boots
from ..talos.client import NodeClient
from ..talos.errors import NotFound, TalosError, Unsupported
from . import attempts, pod
from .attempts import ATTEMPTS, INCONCLUSIVE, Outcome
from .cluster import Ended, ProbeApi, ProbeRemains
from .janitor import watched
from .pod import Plan

NOT_ATTEMPTED = "not_attempted"
#: Seconds in which a namespace goes, of a cluster that is not in trouble.
_REMOVAL = 120.0
#: Seconds after which the janitor looks once more: a request of the killed process may still have been on its way.
_LATE = 5.0
#: A namespace that has not gone by then waits for somebody.
_LEFTOVER = 30.0

V = TypeVar("V")
#: Asks the node one thing on a connection of its own.
Ask = Callable[[Callable[[NodeClient], Awaitable[V]]], V]


@dataclass(frozen=True)
class Seen:
    """A machine as it was looked at."""

    selinux: str
    nodename: str | None
    uuid: str | None
    identity: str | None
    look: boots.Look
    boot_id: str | None
    device: str | None


@dataclass(frozen=True)
class Settings:
    """What the operator asked for.

    Attributes:
        name: the node's inventory name.
        image: by digest.
        seconds: how long the pod may exist.
        poll: seconds between two looks at it.
        check: whether nothing may be made.
    """

    name: str
    image: str
    kubeconfig: str
    context: str | None
    seconds: int
    poll: float
    check: bool


def probe(ask: Ask[Any], store: AuditStore, settings: Settings) -> dict[str, Any]:
    """Probe one node.

    Args:
        ask: asks the node.
        store: the node's audit store, where the probe is kept beside the records that it caused.

    Returns:
        ``{outcome, why, selinux, attempts: [{id, title, outcome, observed, expected, records}], leftovers: [str],
        remains: [str], document: str | None, changed}``. ``outcome`` is ``refused``, ``allowed``, ``inconclusive`` or
        ``not_attempted``; ``records`` counts the AVC records that an attempt is known to have caused.

    Raises:
        ImageProblem: the image is not named by its digest.
        TalosError, ClusterProblem: the node or the cluster cannot be asked.
        NoJanitor: no process can be started beside this one.
        NotThisNode: the cluster is not known to have this machine, in this boot.
        ProbeRunning: another probe of the machine is under way.
        ProbeRemains: what was made could not be removed; its context has the result.
    """
    pod.require_digest(settings.image)
    seen: Seen = ask(look)
    with kube_client(settings.kubeconfig, settings.context) as client:
        api = ProbeApi(client, settings.kubeconfig, settings.poll)
        _require_joined(api, seen)
        leftovers = api.leftovers()
        remains = [] if settings.check else _removed(api, leftovers)
        result = {
            "selinux": seen.selinux,
            "leftovers": [leftover["metadata"]["name"] for leftover in leftovers],
            "remains": remains,
            "document": None,
            "changed": bool(leftovers),
        }
        why = _why_not(seen, settings)
        if why is not None:
            result["changed"] = bool(leftovers) or seen.selinux == "enforcing"
            return result | {"outcome": NOT_ATTEMPTED, "why": why, "attempts": _rows(attempts.unknown(why), [])}
        return result | _attempted(ask, api, store, seen, settings)


async def look(client: NodeClient) -> Seen:
    """Look at a machine. What it does not say is None; what cannot be asked is an error.

    Raises:
        TalosError: it gave no answer.
    """
    system = await client.spec("system_information")
    identity = (await client.spec("identity")).get("nodeId")
    nodename = (await client.spec("nodename")).get("nodename")
    boot = await boots.look(client)
    boot_id = boot.boot_id or await kernel_boot_id(client)
    try:
        volume = await client.spec("volume_statuses", "STATE")
    except (NotFound, Unsupported):
        volume = {}
    # Last, as everything rests on it.
    selinux = (await client.security_state()).selinux
    return Seen(
        selinux,
        _text(nodename),
        _text(system.get("uuid")),
        _text(identity),
        boot,
        boot_id,
        pod.device_of(volume.get("mountLocation")),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _why_not(seen: Seen, settings: Settings) -> str | None:
    """Why nothing is tried; None where it is."""
    if seen.selinux != "enforcing":
        return f"SELinux of {settings.name} is {seen.selinux}, and only what enforces can refuse"
    if settings.check:
        return f"in check mode nothing is tried; a pod of {settings.image} would run on the node {seen.nodename}"
    return None


def _require_joined(api: ProbeApi, seen: Seen) -> None:
    machine = Machine(seen.nodename or "", seen.uuid, machine_id_of(seen.identity), seen.boot_id)
    found = join(api.nodes(), machine)
    if found.joined is not True:
        raise NotThisNode(
            f"the Kubernetes node {machine.nodename or 'without a name'} is not known to be the machine that Talos"
            f" describes: {'; '.join(found.doubts)}",
            "the probe would run with all privileges on another machine, and say of this one what it found there",
            "use the kubeconfig of the node's own cluster; if the node rebooted a moment ago, run it again",
            node=machine.nodename,
            joined=found.joined,
        )


def _removed(api: ProbeApi, leftovers: list[dict[str, Any]]) -> list[str]:
    """Remove what earlier probes left; what does not go keeps no other machine from being probed, and is named."""
    remains = []
    for leftover in leftovers:
        try:
            api.remove(leftover, timeout=_LEFTOVER)
        except ProbeRemains as problem:
            remains.append(problem.found)
    return remains


def _attempted(ask: Ask[Any], api: ProbeApi, store: AuditStore, seen: Seen, settings: Settings) -> dict[str, Any]:
    now = dt.datetime.now(dt.UTC)
    key = store.boot_key(seen.look)
    plan = Plan(
        id=secrets.token_hex(8),
        machine=machine_id_of(seen.identity) or "",
        node=seen.nodename or "",
        image=settings.image,
        device=seen.device,
        owner=str(of_process(os.getpid())),
        seconds=settings.seconds,
        expires=now + dt.timedelta(seconds=settings.seconds + _REMOVAL),
    )
    document = _document(plan, seen, settings.name, now)
    # Kept before anything happens, so that whoever follows the log waits for the list of records.
    place = store.keep_probe(key, document)
    try:
        with watched(lambda: _abandoned(settings, plan)):
            ended, remains = _run(api, plan)
        outcomes, caused = _judge(ask, seen, plan, ended)
        document |= {
            "outcome": attempts.overall(outcomes),
            "why": ended.why or None,
            "attempts": _rows(outcomes, caused),
            "records": [record.line.decode("ascii") for record in caused],
        }
    finally:
        document["finished_at"] = _stamp(dt.datetime.now(dt.UTC))
        store.keep_probe(key, document)
    result = {key: document[key] for key in ("outcome", "why", "attempts")}
    result |= {"document": str(place), "changed": True}
    if remains is not None:
        remains.context["result"] = result
        raise remains
    return result


def _run(api: ProbeApi, plan: Plan) -> tuple[Ended, ProbeRemains | None]:
    """Let the pod run and remove everything, whatever happens; how it ended, and what could not be removed."""
    try:
        api.make(plan, timeout=_REMOVAL)
        api.begin(plan)
        ended = api.wait(plan)
    except BaseException as error:
        remains = _cleared(api, plan)
        if remains is not None and isinstance(error, Problem):
            error.context["remains"] = remains.context["namespace"]
        raise
    return ended, _cleared(api, plan)


def _abandoned(settings: Settings, plan: Plan) -> None:
    """Remove what a process made that was killed; in a process of its own, which nobody hears."""
    for pause in (0.0, _LATE):
        time.sleep(pause)
        with contextlib.suppress(Problem), kube_client(settings.kubeconfig, settings.context) as client:
            ProbeApi(client, settings.kubeconfig, settings.poll).clear(plan, timeout=_REMOVAL)


def _cleared(api: ProbeApi, plan: Plan) -> ProbeRemains | None:
    try:
        api.clear(plan, timeout=_REMOVAL)
    except ProbeRemains as remains:
        return remains
    return None


def _judge(ask: Ask[Any], seen: Seen, plan: Plan, ended: Ended) -> tuple[tuple[Outcome, ...], list[records.Caused]]:
    """What the attempts came to, and the records that they caused; also of a container without a report."""
    report = (
        attempts.read_report(ended.message, plan.id)
        if ended.message is not None
        else attempts.Report(None, attempts.unknown(ended.why))
    )

    async def again(client: NodeClient) -> tuple[Seen, bytes]:
        now = await look(client)
        try:
            return now, await client.logs("auditd")
        except TalosError:
            # A refusal without its record is one all the same.
            return now, b""

    try:
        now, log = ask(again)
    except Problem as problem:
        return attempts.unknown(f"the node could not be looked at again: {problem.found}"), []
    doubt = _doubt(seen, now, report.boot_id)
    caused = records.attributed(log, report.pids, ended.begin, ended.end) if doubt is None else []
    if doubt is not None and ended.message is not None:
        return attempts.unknown(doubt), []
    return report.outcomes, caused


def _doubt(before: Seen, after: Seen, reported: str | None) -> str | None:
    """Why a report says nothing of the machine that was looked at; None where it does."""
    if (before.uuid, before.identity) != (after.uuid, after.identity):
        return "another machine answers for the node now"
    if boots.compare(before.look, after.look) != boots.SAME:
        return "the node is not known to be in the boot in which it was probed"
    if after.selinux != "enforcing":
        return f"SELinux is {after.selinux} after the attempts"
    if reported != before.boot_id:
        return "the container did not run in the boot of this machine"
    return None


def _document(plan: Plan, seen: Seen, name: str, now: dt.datetime) -> dict[str, Any]:
    return {
        "schema": probes.SCHEMA,
        "kind": probes.KIND,
        "id": plan.id,
        "node": name,
        "machine": {"uuid": seen.uuid, "identity": seen.identity},
        "boot_id": seen.boot_id,
        "image": plan.image,
        "selinux": seen.selinux,
        "started_at": _stamp(now),
        "expires_at": _stamp(plan.expires),
        "finished_at": None,
        "outcome": INCONCLUSIVE,
        "why": "it was stopped before it ended",
        "attempts": _rows(attempts.unknown("it was stopped before it ended"), []),
        "records": [],
    }


def _rows(outcomes: tuple[Outcome, ...], caused: list[records.Caused]) -> list[dict[str, Any]]:
    return [
        {
            "id": attempt.id,
            "title": attempt.title,
            "outcome": outcome.outcome,
            "observed": outcome.observed,
            "expected": "permission denied",
            "records": sum(record.kind.attempt == attempt.id for record in caused),
        }
        for attempt, outcome in zip(ATTEMPTS, outcomes, strict=True)
    ]


def _stamp(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
