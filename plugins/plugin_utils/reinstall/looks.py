# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at a node that may have been wiped: what answers at its address, and what that says about the reset."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any, Literal

from ..evidence.identity import one_machine, same_uuid
from ..problem import Problem
from ..rollout.state import DID_NOT, HAPPENED, UNKNOWN
from ..talos import boots
from ..talos.client import NodeClient
from ..talos.errors import NotFound, TalosError, Unreachable, Unsupported
from ..texts import printable, printable_all
from .work import Work

#: Stages in which a machine leaves its installation or comes up: it says nothing about the end of a reset.
_UNDER_WAY = ("resetting", "rebooting", "shutting down", "booting", "installing", "upgrading")


class WrongMachine(Problem):
    """Another machine answers at the node's address."""

    kind = "wrong_machine"


@dataclasses.dataclass(frozen=True)
class Seen:
    """What one look at a node's address found.

    ``how``: an installation answers over the cluster's own TLS (``running``), a machine without one (``maintenance``),
    somebody who tells nothing (``unread``), or nobody (``silent``). None means not known.
    """

    how: Literal["running", "maintenance", "unread", "silent"]
    found: str
    uuid: str | None = None
    serial_number: str | None = None
    identity: str | None = None
    stage: str | None = None
    ready: bool | None = None
    unmet: tuple[str, ...] = ()
    fingerprint: str | None = None
    boot: boots.Look = dataclasses.field(default_factory=boots.Look)

    def __str__(self) -> str:
        return self.found


async def status(client: NodeClient) -> dict[str, Any]:
    """The stage and the machine, of a node in any mode: ``{stage, ready, unmet_conditions, uuid, serial_number}``.

    Raises:
        TalosError: the node did not answer.
    """
    spec = await client.spec("machine_status")
    conditions = spec.get("status")
    if not isinstance(conditions, dict):
        conditions = {}
    ready = conditions.get("ready")
    try:
        system = await client.spec("system_information")
    except (NotFound, Unsupported):
        system = {}
    return {
        "stage": _said(spec.get("stage")),
        "ready": ready if isinstance(ready, bool) else None,
        "unmet_conditions": printable_all(conditions.get("unmetConditions") or []),
        "uuid": _said(system.get("uuid")),
        "serial_number": _said(system.get("serialnumber")),
    }


def _said(value: Any) -> str | None:
    """A text of a machine that nobody may have verified; what is none is not known."""
    return printable(value) if isinstance(value, str) else None


def see(work: Work) -> Seen:
    """Look at what answers at the node's address, over the cluster's TLS and else in maintenance mode."""
    try:
        return work.ask(_running)
    except TalosError as error:
        refused = error
    try:
        return see_maintenance(work)
    except TalosError as error:
        # One that refuses our certificate may well be the old installation.
        silent = isinstance(refused, Unreachable) and isinstance(error, Unreachable)
        also = f"; nor in maintenance mode: {error.found}" if error.found != refused.found else ""
        return Seen("silent" if silent else "unread", refused.found + also)


def see_maintenance(work: Work) -> Seen:
    """Look at a machine in maintenance mode.

    Raises:
        TalosError: none answers.
    """
    return work.ask_maintenance(_maintenance)


def same_machine(facts: Mapping[str, Any], seen: Seen) -> bool | None:
    """Whether what answered is the machine of the evidence, by UUID and serial number; None when it is not known."""
    judged = (facts.get("uuid"), facts.get("serial_number"))
    return one_machine(judged, (seen.uuid, seen.serial_number))


def effect_of_reset(facts: Mapping[str, Any], seen: Seen) -> tuple[str, str]:
    """What a look says about the wipe of the node that ``facts`` (UUID, serial number, identity) describe.

    The node's identity lies on the STATE partition, which every boot path wipes: while the old one answers, nothing was
    wiped; a new one on the same machine is a new installation.

    Returns:
        ``happened``, ``did_not`` or ``unknown``, and what was found, as a sentence without its period.
    """
    if seen.how == "silent":
        return UNKNOWN, f"nobody answers: {seen.found}"
    if seen.how == "unread":
        return UNKNOWN, f"what answers says nothing: {seen.found}"
    machine = same_machine(facts, seen)
    if machine is None:
        return UNKNOWN, "what answers does not say which machine it is"
    if machine is False:
        return UNKNOWN, f"another machine answers (UUID {seen.uuid or 'unknown'}, serial number {seen.serial_number})"
    if seen.how == "maintenance":
        if seen.stage != "maintenance":
            return UNKNOWN, f"the machine is in stage {seen.stage or 'unknown'}"
        return HAPPENED, "the machine waits in maintenance mode"
    if seen.identity is None or facts.get("identity") is None:
        return UNKNOWN, "the node does not say which installation it is"
    if seen.identity != facts["identity"]:
        return HAPPENED, "a new installation answers"
    if seen.stage is None or seen.stage in _UNDER_WAY:
        return UNKNOWN, f"the old installation still answers, in stage {seen.stage or 'unknown'}"
    return DID_NOT, f"the old installation still answers, in stage {seen.stage}"


def look_back(work: Work) -> tuple[str, str]:
    """What the node says about a reset that an earlier process may have sent; as :func:`effect_of_reset`."""
    answer, found = effect_of_reset(work.facts, see(work))
    if answer == DID_NOT:
        # One that was sent a moment ago may not show yet.
        time.sleep(work.params["poll_seconds"])
        answer, found = effect_of_reset(work.facts, see(work))
    return answer, found


def is_up(work: Work, seen: Seen) -> bool:
    """Whether the node's machine, and no other and none that does not say, runs and is ready."""
    running = (seen.how, seen.stage, seen.ready) == ("running", "running", True)
    return running and same_machine(work.facts, seen) is True


async def _running(client: NodeClient) -> Seen:
    told = await status(client)
    try:
        identity = (await client.spec("identity")).get("nodeId")
    except NotFound:
        identity = None
    seen = await boots.look(client)
    if client.endpoint is not None:
        # An endpoint forwards each question by address, to whoever has it then.
        again = (await client.spec("system_information")).get("uuid")
        if told["uuid"] and not same_uuid(told["uuid"], _said(again)):
            return Seen("unread", f"two machines answered at its address, {told['uuid']} and {printable(again)}")
    return Seen(
        "running",
        f"an installation answers in stage {told['stage']}",
        uuid=told["uuid"],
        serial_number=told["serial_number"],
        identity=str(identity) if identity else None,
        stage=told["stage"],
        ready=told["ready"],
        unmet=tuple(str(one.get("name")) for one in told["unmet_conditions"] if isinstance(one, dict)),
        boot=seen,
    )


async def _maintenance(client: NodeClient) -> Seen:
    told = await status(client)
    return Seen(
        "maintenance",
        "a machine answers in maintenance mode",
        uuid=told["uuid"],
        serial_number=told["serial_number"],
        stage=told["stage"],
        ready=told["ready"],
        fingerprint=client.peer_fingerprint,
    )
