# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps of the wipe: reset, boot, identify."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from typing import Any, NoReturn

from ..actions import Target
from ..evidence.identity import doubts_of
from ..image.resolve import present_image
from ..rollout.boot_paths import BY_NAME
from ..rollout.state import DID_NOT, HAPPENED, SENT, UNKNOWN
from ..talos import boots
from ..talos.client import NodeClient
from ..talos.errors import TalosError
from ..waiting import NotYet
from .before import verify_image
from .configuration import prepared
from .hook import run_hook
from .looks import Seen, WrongMachine, effect_of_reset, look_back, same_machine, see
from .members import ask_a_peer, peers, require_same_etcd
from .order import Order, send
from .work import NotKnown, StepProblem, Work

#: A machine whose reset stopped its services answers nobody for so many looks in a row before a hook power-cycles it;
#: it wipes its disk meanwhile, and one whose reset failed reboots and answers before that.
_SILENT_LOOKS = 24
#: The task of Talos' reset after which the old boot ends for certain; talosctl waits for the same one. Nothing is
#: reported of the wipe itself: the API is stopped by this task.
_LAST_TASK = "stopAllServices"
#: For how many seconds at most a node is listened to before the locks are looked at again.
_LISTEN = 300.0


def reset(work: Work) -> dict[str, Any]:
    """Wipe the node, unless it is wiped; done only when the old installation is certainly gone."""
    earlier = work.writes.get("reset")
    actor, before, confirmed = None, None, _confirmed(work) if earlier else ""
    if earlier is None or _look_back(work, earlier, confirmed) == DID_NOT:
        # Whatever a person said before was not seen after this reset.
        actor, before, confirmed = *_order(work), ""
    found = _wait_until_gone(work, actor, before, confirmed)
    if work.control_plane:
        _wait_until_left(work)
    return {"actor_id": actor, "gone": found}


def boot(work: Work) -> dict[str, Any]:
    """Run the operator's hook where the boot path needs one, unless the machine already waits in maintenance mode."""
    if not BY_NAME[work.facts["boot_path"]].needs_hook:
        return {}

    def look() -> Seen:
        seen = see(work)
        require_machine(work, seen)
        return seen

    # Whatever answers may be the old installation, unwiped, on its way up or down: a hook would cut it off.
    seen = work.wait(
        look,
        lambda seen: seen.how == "silent" or effect_of_reset(work.facts, seen)[0] != UNKNOWN,
        timeout=work.params["wipe_timeout"],
        waiting_for=f"the old installation of {work.host} to be up or gone",
        do=f"look at the console of {work.host}; then run the rollout again",
    )
    answer, found = effect_of_reset(work.facts, seen)
    if answer == DID_NOT:
        had_no_effect(work, found)
    if answer == UNKNOWN:
        work.ledger.intent(work.host, "boot")
        work.changed = True
        run_hook(work)
        work.ledger.sent(work.host, "boot")
    return {}


def identify(work: Work) -> dict[str, Any]:
    """Wait for maintenance mode on the machine that was wiped, and pin its certificate."""

    def look() -> Seen:
        seen = see(work)
        answer, found = effect_of_reset(work.facts, seen)
        if answer == DID_NOT:
            had_no_effect(work, found)
        require_machine(work, seen)
        return seen

    seen = work.wait(
        look,
        lambda seen: seen.how == "maintenance" and effect_of_reset(work.facts, seen)[0] == HAPPENED,
        timeout=work.params["wipe_timeout"],
        waiting_for=f"{work.host} to wait in maintenance mode",
        do=f"look at the console of {work.host}: it must boot without an installation; then run the rollout again",
    )
    require_console(work, seen)
    return {"fingerprint": seen.fingerprint}


def require_console(work: Work, seen: Seen) -> None:
    """Return unless a machine that its UUID does not tell from others has another certificate than its console shows.

    Raises:
        WrongMachine: it has another, or nobody read the console yet.
    """
    # By what was judged: the variable that let the node pass may be gone when a run is resumed.
    unmistakable = not doubts_of(work.facts.get("uuid"), work.facts.get("serial_number"))
    if unmistakable and work.action.variable(work.host, "talos_identify_by") != "console":
        return
    told = work.action.variable(work.host, "talos_console_fingerprint")
    if not told or told != seen.fingerprint:
        raise WrongMachine(
            f"the machine in maintenance mode at the address of {work.host} has a certificate that is "
            + ("not the one that its console shows" if told else "to be compared with its console"),
            "its UUID is one that many boards share, so only its console shows which machine it is",
            f"set talos_console_fingerprint to the last fingerprint on the console of {work.host},"
            " and run the rollout again",
            node=work.host,
        )


def require_machine(work: Work, seen: Seen) -> None:
    """Return unless another machine answers.

    Raises:
        WrongMachine: its UUID or serial number is not the node's.
    """
    if seen.how != "silent" and same_machine(work.facts, seen) is False:
        raise WrongMachine(
            f"the machine at the address of {work.host} has the UUID {seen.uuid} and the serial number"
            f" {seen.serial_number}, not {work.facts['uuid']} and {work.facts['serial_number']}",
            "the machine configuration holds secrets and must only reach the machine that was wiped",
            "find out which machine took that address before going on",
            node=work.host,
        )


def had_no_effect(work: Work, found: str) -> NoReturn:
    """Record that the reset did not wipe the node, and fail.

    Where the boot hook has booted another system over the old installation, the node is not as it was: it stays where
    it is in the ledger, and cordoned, until its own system runs again.

    Raises:
        StepProblem: always.
    """
    if "boot" in work.ledger.node(work.host).writes and not _runs_as_judged(work):
        raise StepProblem(
            f"the boot hook booted {work.host} over its old installation, which was not wiped: {found}",
            "it runs the data of the old installation with a system that nobody judged for it; it stays cordoned",
            f"boot {work.host} from its own disk; then run the rollout again, which collects and judges anew",
            node=work.host,
        )
    problem = StepProblem(
        f"the reset of {work.host} had no effect: {found}",
        "nothing was wiped; the node is as it was",
        "look at the node's log for what stopped the reset, then run the rollout again: it collects and judges anew",
        node=work.host,
    )
    work.ledger.look(work.host, "reset", DID_NOT, found=problem.found, why=problem.why, do=problem.do)
    raise problem


def _runs_as_judged(work: Work) -> bool:
    """Whether the node runs the Talos release and the kernel arguments that its evidence has.

    Raises:
        TalosError: it does not say.
    """

    async def system(client: NodeClient) -> tuple[str, Any]:
        return (await client.version()).tag, (await client.spec("kernel_cmdline")).get("cmdline")

    judged = work.judged()
    tag, line = work.ask(system)
    return (tag, str(line or "").split()) == (judged["talos"]["version"], judged["selinux"]["kernel_args"])


def _look_back(work: Work, earlier: str, confirmed: str) -> str:
    """Whether the reset that an earlier run may have sent wiped the node.

    Raises:
        NotKnown: it cannot be told now.
    """

    answer, found = look_back(work)
    if answer == UNKNOWN and earlier != SENT and not confirmed:
        try:
            answer, found = work.wait(
                lambda: effect_of_reset(work.facts, see(work)),
                lambda seen: seen[0] != UNKNOWN,
                timeout=work.params["wipe_timeout"],
                waiting_for=f"{work.host} to answer",
                do="",
            )
        except NotYet:
            raise _not_known(work, found) from None
    if answer != UNKNOWN:
        work.ledger.look(work.host, "reset", answer, found=found)
    return answer


def _not_known(work: Work, found: str) -> NotKnown:
    do = f"check on the console of {work.host} that it answers, with its old installation or in maintenance mode"
    if BY_NAME[work.facts["boot_path"]].needs_hook:
        do = (
            f"look at the console of {work.host}: when it finds nothing to boot, boot it from the medium by hand, or"
            " confirm with rollout_confirm_wiped, by host and with what was seen, that the hook may be run"
        )
    return NotKnown(
        f"whether {work.host} was wiped is not known: {found}",
        "no answer is no sign that it was, and none that it was not",
        f"{do}; then run the rollout again, which goes on from what it finds",
        node=work.host,
    )


def _order(work: Work) -> tuple[str | None, boots.Look]:
    facts = work.facts
    digest = verify_image(work, facts["target"], work.ask(present_image))
    order = Order(
        evidence=facts["evidence"],
        evidence_sha256=facts["evidence_sha256"],
        verdict=facts["verdict"],
        boot_path=facts["boot_path"],
        config_sha256=prepared(work, facts["target"]).facts["sha256"],
        installer_digest=digest,
        policy=work.params["policy"],
        public_key=work.params["public_key"],
        waivers=work.params["waivers"],
        store=str(work.directory / "audit"),
        kubeconfig=work.params["kubeconfig"],
        kube_context=work.params["kube_context"],
        own_cordon=bool(facts.get("cordoned")),
        record_intent=lambda: work.ledger.intent(work.host, "reset"),
        record_sent=lambda actor: work.ledger.sent(work.host, "reset", actor_id=actor),
        record_unsent=lambda found: work.ledger.look(work.host, "reset", DID_NOT, found=found),
    )
    work.changed = True
    try:
        sent = send(work.action, order, _way(work))
    except TalosError:
        if not work.ledger.node(work.host).may_be_wiped:
            raise
        # The answer of the write was lost; the look after it decides.
        return None, boots.Look()
    return sent.actor_id, sent.boot


def _way(work: Work) -> Target:
    """A control plane is reset through the others: its own API goes away in the middle."""
    where = work.where()
    if not work.control_plane:
        return where
    others = [peer.target.address for peer in peers(work)]
    return dataclasses.replace(
        where, route="endpoint", context=dataclasses.replace(where.context, endpoints=others), server_name=None
    )


def _wait_until_gone(
    work: Work, actor: str | None, before: boots.Look | None, confirmed: str, *, silent_looks: int = _SILENT_LOOKS
) -> str:
    """Wait until the old installation is certainly gone; what was found.

    A disk that was wiped as a whole starts nothing, so on a boot path with a hook the machine stays silent. Silence
    alone says nothing: it counts once the node reported that its reset stopped all services, or a person ``confirmed``
    it by what was seen after an earlier run sent the reset.

    Raises:
        StepProblem: the node is back, unwiped.
        NotKnown: the time is over, and it cannot be told.
    """
    hooked = BY_NAME[work.facts["boot_path"]].needs_hook
    silent, ended = 0, False
    end = time.monotonic() + work.params["wipe_timeout"]

    def look() -> tuple[str, str]:
        nonlocal silent, ended
        if hooked and actor and not (ended or silent):
            ended = _reports_its_end(work, actor, min(end - time.monotonic(), _LISTEN))
        seen = see(work)
        answer, found = effect_of_reset(work.facts, seen)
        rebooted = before is not None and boots.compare(before, seen.boot) == boots.ANOTHER
        if answer == DID_NOT and rebooted:
            had_no_effect(work, f"{found}, in another boot")
        require_machine(work, seen)
        silent = silent + 1 if seen.how == "silent" else 0
        ended = ended and not rebooted
        if hooked and silent >= silent_looks:
            return _of_silence(work, confirmed, ended=ended) or (answer, found)
        return answer, found

    last = (UNKNOWN, "nobody looked")

    def remember() -> tuple[str, str]:
        nonlocal last
        last = look()
        return last

    try:
        return work.wait(
            remember,
            lambda seen: seen[0] == HAPPENED,
            timeout=work.params["wipe_timeout"],
            waiting_for=f"the old installation of {work.host} to be gone",
            do="",
        )[1]
    except NotYet:
        if last[0] == DID_NOT:
            had_no_effect(work, last[1])
        raise _not_known(work, last[1]) from None


def _reports_its_end(work: Work, actor: str, seconds: float) -> bool:
    """Whether the node reports, within so many seconds, that its reset stops all services."""

    async def listen(client: NodeClient) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), contextlib.aclosing(client.follow_tasks(actor)) as tasks:
                async for task in tasks:
                    if task == _LAST_TASK:
                        return True
        return False

    try:
        return work.ask(listen)
    except TalosError:
        return False


def _of_silence(work: Work, confirmed: str, *, ended: bool) -> tuple[str, str] | None:
    """What it means that the machine answers nobody; None when that is not known."""
    if ended:
        return HAPPENED, "its reset stopped all services of the old installation, and nobody answers since"
    if not confirmed:
        return None
    found = "a person confirmed that the machine was wiped"
    work.ledger.look(work.host, "reset", HAPPENED, found=found, because=confirmed)
    return HAPPENED, f"{found}: {confirmed}"


def _confirmed(work: Work) -> str:
    """What a person saw that shows that a machine that boots by a hook was wiped; empty for nothing."""
    if not BY_NAME[work.facts["boot_path"]].needs_hook:
        return ""
    return str(work.params["confirm_wiped"].get(work.host) or "").strip()


def _wait_until_left(work: Work) -> None:
    """Wait until the node's member has left etcd, by the word of another member of the same etcd.

    Raises:
        NotYet: it has not.
    """

    def look() -> list[str]:
        return ask_a_peer(work, lambda peer: require_same_etcd(work, peer), what="its member list")[0]

    work.wait(
        look,
        lambda listed: work.facts["member"] not in listed,
        timeout=work.params["wipe_timeout"],
        waiting_for=f"the etcd member {work.facts['member']} of {work.host} to leave",
        do="look at etcd on the other control planes (talosctl etcd members), and run the rollout again",
    )
