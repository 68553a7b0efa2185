# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps of the installation: apply and install."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ..image.machine_config.prepare import Prepared
from ..image.machine_config.quotes import Quotes
from ..problem import Problem
from ..rollout.boot_paths import BY_NAME
from ..rollout.state import DID_NOT, HAPPENED, INTENT, SENT, UNKNOWN
from ..talos.client import NodeClient
from ..talos.errors import Refused, TalosError, TlsFailure
from ..waiting import NotYet
from .configuration import prepared, require_judged_disk, require_repair
from .looks import Seen, effect_of_reset, is_up, see, status
from .wipe import require_console, require_machine
from .work import NotKnown, StepProblem, Work

#: Phases of an unattended installation in which the disk holds no system that it wrote.
_INSTALLS = ("pending", "installing", "failed")


def apply(work: Work) -> dict[str, Any]:
    """Give the waiting machine its configuration, unless it has it."""
    if work.writes.get("apply") == SENT or (work.look_first and not _still_waits(work)):
        return {"applied_sha256": None, "repaired": None}
    return _hand_out(work, "apply", work.facts["fingerprint"])


def _hand_out(work: Work, step: str, fingerprint: str | None) -> dict[str, Any]:
    """Send the configuration that was judged, or one that is fixed and makes the same node of the machine.

    Returns:
        ``{applied_sha256, repaired}``; ``repaired`` is what to record of a fixed one.
    """
    config = prepared(work, work.facts["target"])
    repaired = None
    if config.facts["sha256"] != work.facts["config_sha256"]:
        repaired = require_repair(work, work.judged(), config)
    send(work, step, config, fingerprint)
    return {"applied_sha256": config.facts["sha256"], "repaired": repaired}


def install(work: Work) -> dict[str, Any]:
    """Wait until the installed system is ready; hand out the configuration once more when the installation failed."""
    again = _waits_again(work)
    handed = {} if again is None else _hand_out(work, "install", again)

    last: list[Seen] = []

    def look() -> Seen:
        last.append(see(work))
        require_machine(work, last[-1])
        return last[-1]

    try:
        work.wait(
            look,
            lambda seen: is_up(work, seen),
            timeout=work.params["install_timeout"],
            waiting_for=f"{work.host} to be ready",
            do="",
        )
    except NotYet:
        seen = last[-1] if last else None
        raise _not_installed(work, seen) or _not_back(work, seen) from None
    return {"applied_again": again is not None, **handed}


def send(work: Work, step: str, config: Prepared, fingerprint: str | None) -> None:
    """Send the configuration over the connection on which the machine was recognised.

    Raises:
        Problem: another machine answers, or the node refuses the configuration.
    """

    async def act(client: NodeClient) -> None:
        told = await status(client)
        seen = Seen("maintenance", "", uuid=told["uuid"], serial_number=told["serial_number"], stage=told["stage"])
        require_machine(work, seen)
        if effect_of_reset(work.facts, seen)[0] != HAPPENED:
            raise StepProblem(
                f"{work.host} does not wait in maintenance mode (stage {told['stage'] or 'unknown'})",
                "the configuration is handed out only to the machine that was wiped, while it waits for it",
                "run the rollout again, which looks where the machine stands",
                node=work.host,
            )
        await require_judged_disk(client, work, config)
        work.ledger.intent(work.host, step)
        work.changed = True
        await client.apply_configuration(config.rewritten.text.encode())
        work.ledger.sent(work.host, step, config_sha256=config.facts["sha256"])

    try:
        _masked(work, act, config, fingerprint)
    except TlsFailure:
        # A machine makes a new certificate when a further address arrives; it is recognised by its UUID again.
        seen = see(work)
        require_machine(work, seen)
        if seen.how != "maintenance" or seen.fingerprint in (None, fingerprint):
            raise
        require_console(work, seen)
        _masked(work, act, config, seen.fingerprint)


def _masked(
    work: Work, act: Callable[[NodeClient], Awaitable[None]], config: Prepared, fingerprint: str | None
) -> None:
    """Act in maintenance mode; what the machine says about the configuration is shown without what it quotes of it."""
    try:
        return work.ask_maintenance(act, fingerprint=fingerprint)
    except TlsFailure:
        raise
    except Problem as problem:
        # Raised outside of the handler, so that the text as it came is not kept as its cause.
        masked, refused = Quotes(config.rewritten.text).problem(problem), isinstance(problem, Refused)
    if refused and work.ledger.node(work.host).writes.get("apply") == INTENT:
        work.ledger.look(work.host, "apply", DID_NOT, found=masked.found)
    raise masked


def _still_waits(work: Work) -> bool:
    """Whether the machine still waits for the configuration that an earlier run may have sent.

    Raises:
        NotKnown: it does not answer in time.
    """

    def look() -> Seen:
        seen = see(work)
        require_machine(work, seen)
        return seen

    try:
        seen = work.wait(
            look,
            lambda seen: effect_of_reset(work.facts, seen)[0] == HAPPENED,
            timeout=work.params["install_timeout"],
            waiting_for=f"{work.host} to answer",
            do="",
        )
    except NotYet as problem:
        raise NotKnown(
            f"whether {work.host} has its machine configuration is not known: {problem.found}",
            "no answer is no sign that it was applied, and none that it was not",
            f"look at the console of {work.host}; then run the rollout again, which goes on from what it finds",
            node=work.host,
        ) from None
    return seen.how == "maintenance"


def _waits_again(work: Work) -> str | None:
    """The certificate of a machine that waits for its configuration again, as its installation failed.

    Only when an earlier attempt ended: right after the configuration was accepted a machine still looks like waiting.
    """
    if not work.again:
        return None
    seen = see(work)
    require_machine(work, seen)
    if seen.how != "maintenance" or effect_of_reset(work.facts, seen)[0] == UNKNOWN:
        return None
    # The same certificate is the same start of the machine: interrupted, it may be about to install.
    if seen.fingerprint == work.facts["fingerprint"] and not work.failed_before:
        return None
    require_console(work, seen)
    return seen.fingerprint


def _not_installed(work: Work, seen: Seen | None) -> StepProblem | None:
    """What an unattended installation says that is not at its end; None where none says anything.

    Talos 1.14 installs by ``UnattendedInstallConfig`` in the stage booting, with its API up. It pulls the image for 20
    minutes, and after a failure tries again by itself, without going back to maintenance mode (seen on 1.14.0-rc.1).
    """
    if seen is None or seen.how != "running" or seen.stage not in ("booting", "installing"):
        return None
    try:
        told = work.ask(lambda client: client.spec("unattended_install_status"))
    except TalosError:
        return None
    phase, error = told.get("phase"), told.get("error")
    if phase not in _INSTALLS:
        return None
    found = f"its installation is {phase}"
    if isinstance(error, str) and error:
        found += f": {_without_quotes(work, error)}"
    return StepProblem(
        f"{work.host} did not come back within {work.params['install_timeout']:g} seconds: {found}",
        "it has no system on its disk yet; workloads stay off this node",
        f"fix what keeps {work.host} from pulling or writing its image (talosctl dmesg says what it tries), and run "
        "the rollout again: Talos tries again by itself. For another configuration restart the machine first, which "
        "then waits in maintenance mode (docs/coming-back.md)",
        node=work.host,
        last_seen=seen.how,
    )


def _without_quotes(work: Work, text: str) -> str:
    try:
        return Quotes(prepared(work, work.facts["target"]).rewritten.text).masked(text)
    except Problem:
        return "an error that is not shown, since the configuration that it may quote cannot be read"


def _not_back(work: Work, seen: Seen | None) -> StepProblem:
    found = "nothing was seen of it" if seen is None else seen.found
    if seen is not None and seen.how == "running" and seen.ready is not True:
        unmet = f", unmet conditions: {', '.join(seen.unmet)}" if seen.unmet else ""
        found = f"it is in stage {seen.stage} and not ready{unmet}"
    return StepProblem(
        f"{work.host} did not come back within {work.params['install_timeout']:g} seconds: {found}",
        "a system whose policy stops its own services never reaches the API, and only its console shows why; "
        "workloads stay off this node",
        f"read the console of {work.host} (lines with avc: denied, or a service that does not start); wait longer by "
        f"running the rollout again, or bring the node back permissive: {_way_back(work)} (docs/coming-back.md)",
        node=work.host,
        last_seen=None if seen is None else seen.how,
    )


def _way_back(work: Work) -> str:
    """How a person brings back permissive what never reaches its API, in words and commands."""
    address = work.facts["address"]
    wiped = " ".join(f"--system-labels-to-wipe {label}" for label in BY_NAME["in_place"].labels)
    return (
        "start it from a medium with the permissive image, or once with enforcing=0 on the kernel's command line, then "
        f"talosctl -n {address} reset {wiped} --reboot, then talosctl apply-config --insecure -n {address} -f its file "
        "with the permissive installer"
    )
